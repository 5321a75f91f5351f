"""Parts of one image's ball, each where some ReLUs are known to be on and others to be off.

A part is told by signs: 1 where the value before a ReLU is at least 0, -1 where it is at most 0, and 0 where nothing is
asked of it. Both sides of a split are closed, so that they cover what was split, for computed values too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robusteval_certifiers._common.intervals import Bounds
from robusteval_certifiers._common.network import Network


@dataclass(frozen=True)
class Undecided:
    """The ReLUs of one activation that the whole ball leaves open, F of its n. index: [F] which they are; bend: [F] the
    slope below 0; chord, shift: [F] the line above; first: [F] CROWN's lower slope; others: [n] the slopes of the
    decided ones, 0 at these."""

    index: Tensor
    bend: Tensor
    chord: Tensor
    shift: Tensor
    first: Tensor
    others: Tensor


class Frame:
    """A network with the bounds of one image's whole ball, which hold in all of its parts."""

    def __init__(self, network: Network, bounds: Bounds, start: int, dual: int = 2) -> None:
        """start: the node of whose value functions are bounded; dual: see `Ball.least`."""
        self.network, self.bounds, self.start, self.dual = network, bounds, start, dual
        self.undecided: dict[int, Undecided] = {}
        for place, line in bounds.lines.items():
            rectified = network.nodes[place].settings["kind"] in ("relu", "leaky_relu")
            if place >= start or not rectified:
                continue
            free = line.free[0]
            index = free.nonzero().squeeze(1)
            self.undecided[place] = Undecided(
                index=index,
                bend=line.least[0, index],
                chord=line.high_slope[0, index],
                shift=line.high_shift[0, index],
                first=line.low_slope[0, index],
                others=torch.where(free, 0.0, line.low_slope[0]),
            )

    @property
    def count(self) -> int:
        """How many ReLUs are open."""
        return sum(len(known.index) for known in self.undecided.values())


@dataclass
class Parts:
    """D parts, each with the function of the start node's value that is bounded there. rows: [D, m] the coefficients;
    best: [D] the best bound that was met; by place [D, F]: slopes, the lower ones, signs, and multipliers, at least 0
    and 0 where nothing is split."""

    rows: Tensor
    best: Tensor
    slopes: dict[int, Tensor]
    signs: dict[int, Tensor]
    multipliers: dict[int, Tensor]

    def __len__(self) -> int:
        """How many."""
        return len(self.rows)

    def __getitem__(self, some: Tensor) -> Parts:
        """Some of them, or some of them more than once."""
        return Parts(
            self.rows[some],
            self.best[some],
            *(
                {place: value[some] for place, value in values.items()}
                for values in (self.slopes, self.signs, self.multipliers)
            ),
        )


def whole(frame: Frame, rows: Tensor) -> Parts:
    """The whole ball, once for each function."""
    slopes, none = {}, {}
    for place, known in frame.undecided.items():
        slopes[place] = known.first.repeat(len(rows), 1)
        none[place] = torch.zeros_like(slopes[place])
    best = torch.full_like(rows[:, 0], -torch.inf)
    return Parts(rows, best, slopes, dict(none), {place: value.clone() for place, value in none.items()})


def joined(first: Parts, second: Parts) -> Parts:
    """Both behind each other."""
    pairs = ((first.slopes, second.slopes), (first.signs, second.signs), (first.multipliers, second.multipliers))
    return Parts(
        torch.cat([first.rows, second.rows]),
        torch.cat([first.best, second.best]),
        *({place: torch.cat([value, theirs[place]]) for place, value in ours.items()} for ours, theirs in pairs),
    )


def halves(parts: Parts, place: Tensor, element: Tensor) -> Parts:
    """Each part split at one ReLU: all with it on, and then all with it off. place, element: [D]."""
    count = len(parts)
    both = parts[torch.arange(count, device=place.device).repeat(2)]
    for at, signs in both.signs.items():
        here = (place == at).nonzero().squeeze(1)
        signs[here, element[here]] = 1.0
        signs[here + count, element[here]] = -1.0
    return both
