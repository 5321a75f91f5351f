"""What breaks the model first: the attack that leaves least where the model is weakest, and the weakest access that
does it too."""

from __future__ import annotations

from dataclasses import dataclass

from robusteval.assessment.answers.figures import Share, at, scalars, share_of
from robusteval.assessment.answers.robust import Standing
from robusteval.record.run import Cell, Record
from robusteval.record.units import attack_text, norm_width

NEEDS = {"gradient": "the model's gradients", "scores": "its scores alone", "decision": "its answers alone"}
_LESS = ("scores", "decision")  # from more access to less


@dataclass(frozen=True)
class Breaker:
    """One attack on the bare model at the budget that decides. kept: of all images; median: distance at which half of
    the right answers are lost, None where more than half are not; passes: mean passes an image, there and back."""

    attack: str
    needs: str
    kept: Share
    median: float | None
    passes: float


@dataclass(frozen=True)
class Broken:
    """first: the attack that leaves least; easier: the same with less access, where such an attack ran and takes
    something."""

    first: Breaker
    easier: tuple[Breaker, ...]


def what_breaks(record: Record, standing: Standing | None) -> Broken | None:
    """None where no attack takes anything at that budget."""
    if standing is None:
        return None
    found = [
        breaker
        for cell in record.done(norm=standing.norm, knowledge="none", defense="none")
        if (breaker := _breaker(record, standing, cell)) is not None and breaker.kept.value < standing.clean - 1e-9
    ]
    if not found:
        return None
    first = min(found, key=_least)
    easier = [
        min(those, key=_least)
        for needs in _LESS
        if needs != first.needs and (those := [breaker for breaker in found if breaker.needs == needs])
    ]
    return Broken(first, tuple(easier))


def _least(breaker: Breaker) -> tuple[float, float, str]:
    return breaker.kept.value, breaker.median if breaker.median is not None else float("inf"), breaker.attack


def _breaker(record: Record, standing: Standing, cell: Cell) -> Breaker | None:
    norm = standing.norm
    found = at(scalars(record, "attack-accuracy", norm=norm, defense="none", attack=cell.attack), standing.eps)
    kept = share_of(found)
    if kept is None:
        return None
    medians = scalars(record, "median-distance", norm=norm, defense="none", attack=cell.attack)
    name = attack_text(cell.attack, norm, cell.eps, cell.threat, norm_width("", record.model.bounds))
    asked = sum(cell.forwards) + sum(cell.backwards)
    return Breaker(name, cell.needs, kept, medians[0].value if medians else None, asked / max(len(cell.forwards), 1))
