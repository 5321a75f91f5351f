"""How a figure is marked that cannot be relied on: as the upper bound that it is, before the figure and not after
it."""

from __future__ import annotations

from dataclasses import dataclass

from robusteval.assessment.evidence.white_box import ENOUGH, adaptive_share
from robusteval.record.run import Record


@dataclass(frozen=True)
class Bounds:
    """blind: norms without working gradients on the bare model; doubtful: whether the whole evaluation is
    inconclusive."""

    blind: tuple[str, ...]
    doubtful: bool

    def said(self, sentence: str, norm: str = "") -> str:
        """The sentence, marked where its figure is no more than an upper bound; without a norm it speaks of all of
        them."""
        if not self.doubtful:
            return sentence
        only = norm in self.blind if norm else bool(self.blind)
        how = "An upper bound from black-box attacks only" if only else "An upper bound at best"
        return f"{how}: {sentence[:1].lower()}{sentence[1:]}"

    def of_defense(self, record: Record, defense: str) -> str:
        """What is to be added to a claim about a defence whose adaptive attacks did not follow gradients."""
        norms = sorted({cell.norm for cell in record.done(knowledge="adaptive", defense=defense)})
        broken = [norm for norm in norms if adaptive_share(record, norm, defense) < ENOUGH]
        if not broken:
            return ""
        return f" (an upper bound of its worth: no attack that knows it had working gradients in {', '.join(broken)})"
