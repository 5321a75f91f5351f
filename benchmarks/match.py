"""What is compared: ours and the peers' under one name, and at which budgets."""

from __future__ import annotations

from dataclasses import dataclass, field

from peer_attacks import Peer

from robusteval.contracts.plugins import Attack
from robusteval.ops import Norm

# Budgets of the fixed attacks by norm and model: where the plain model still holds some samples, and the one that the
# robust model was trained for. At "wide" most samples of the plain model fall.
BUDGETS: dict[str, dict[str, float]] = {
    "linf": {"lenet": 0.1, "robust": 0.3},
    "l2": {"lenet": 1.5, "robust": 1.5},
    "wide": {"lenet": 0.3},
    "trained": {"robust": 0.3},
}
STEPS = 300  # of the minimal attacks with one pass a step, unless their usual number is another
WORST = "standard (worst case)"
SAME = "ours, same steps"  # as the peers, where ours takes fewer by default
FAR = 1e3  # a budget that limits nothing, for a peer that wants one


@dataclass(frozen=True)
class Match:
    """Ours and the peers' under one name. budget: a key of BUDGETS, or "" for smallest distances; a list of ours is a
    cascade at a budget, each on the survivors of the one before, and for smallest distances the worst case over its
    members. halvings: of the budget search of each member that has a fixed budget; largest: where that search ends, 0
    for the norm's own largest distance. reduced: peers with as few steps as ours by default, fewer than usual; shown
    beside, and not among those that the targets speak of. slow: of thousands of passes, left out by --quick."""

    name: str
    norm: Norm
    ours: dict[str, list[Attack]]
    peers: dict[str, Peer | None]
    budget: str = ""
    halvings: tuple[int, ...] = (8,)
    largest: float = 0.0
    reduced: dict[str, Peer | None] = field(default_factory=dict)
    slow: bool = False

    @property
    def key(self) -> str:
        return f"{self.name} {self.norm}" + (f" at {self.budget}" if self.budget else "")
