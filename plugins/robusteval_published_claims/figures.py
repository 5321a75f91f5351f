"""The figures of one defended pipeline in words, for the table that sets them beside the sources'."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robusteval.api import Cell, Finding, Pipeline, Record, Strength, columns, detection, statistics

Budgets = Mapping[str, tuple[float, ...]]  # by norm

RATE = 0.01  # of false alarms that detection is quoted at
NEAR = 0.01  # relative distance at which two budgets are the same


@dataclass(frozen=True)
class Kept:
    """Accuracy at one budget, or at one multiple of the smallest distance."""

    norm: str
    at: float
    accuracy: statistics.Interval
    fooled_too: float | None = None  # share of the bare model's adversarials that fool the pipeline, unnoticed

    def value(self) -> float:
        return self.accuracy.value if self.accuracy.value is not None else float("nan")


@dataclass(frozen=True)
class Found:
    """How well a detector finds one attack's adversarials at one strength. alarms: false ones where it finds 95 %."""

    case: detection.Case
    positives: int
    auc: statistics.Interval
    rate: statistics.Interval
    alarms: float


@dataclass(frozen=True)
class PipelineFigures:
    """One finished pipeline of a record."""

    record: Record
    pipeline: Pipeline

    @property
    def right(self) -> NDArray[np.bool_]:
        return columns.right_when_clean(self.record, self.pipeline)

    def findings(self) -> list[Finding]:
        """The findings that name a cell of this pipeline."""
        mine = {cell.id for cell in self.record.cells if cell.defense == self.pipeline.defense}
        return [finding for finding in self.record.findings if not mine.isdisjoint(finding.cells)]

    def clean(self) -> statistics.Interval:
        return statistics.share(int(self.right.sum()), self.right.size)

    def oblivious(self, attack: str, budgets: Budgets | None = None) -> list[Kept]:
        """Accuracy on the bare model's adversarials of that attack; a rejected sample counts as kept."""
        truth = columns.labels(self.record)
        kept = []
        for cell, strength in self._strengths(attack, budgets):
            answer = np.asarray(strength.prediction, dtype=np.int64)
            fooled = (answer != truth) & (answer != self.record.model.classes)
            fools = np.asarray(strength.fools_model, dtype=bool)
            too = float(fooled[fools].mean()) if fools.any() else None
            good = self.right & ~fooled
            kept.append(Kept(cell.norm, strength.strength, statistics.share(int(good.sum()), good.size), too))
        return kept

    def adaptive(self, budgets: Budgets, attacks: Iterable[str] = ()) -> list[Kept]:
        """Accuracy that attacks on this pipeline itself leave within budgets: the worst case over those named, or
        all."""
        kept, named = [], tuple(attacks)
        for norm, sizes in budgets.items():
            cells = columns.attack_cells(self.record, norm, self.pipeline.defense)
            worst = columns.worst_case([cell for cell in cells if not named or cell.attack in named], self.right)
            for eps in sizes if worst is not None else ():
                hold = columns.beyond(worst.distance, eps) if worst is not None else self.right
                kept.append(Kept(norm, eps, statistics.share(int(hold.sum()), hold.size)))
        return kept

    def undefended(self, budgets: Budgets) -> list[Kept]:
        """The same for the bare model on the same samples."""
        return PipelineFigures(self.record, self.record.pipeline(columns.BARE)).adaptive(budgets)

    def median(self, attack: str, norm: str = "l2") -> statistics.Interval:
        """Median smallest distance over the samples that are right when clean, with its interval by ranks; no value
        where half of them hold."""
        for cell in columns.attack_cells(self.record, norm, self.pipeline.defense):
            if cell.attack == attack:
                distance = columns.distances(cell, self.right)[self.right]
                return statistics.Interval(
                    statistics.median(distance), *(statistics.median_interval(distance) or (None, None))
                )
        return statistics.Interval(None)

    def found(self, attack: str, knowledge: str, budgets: Budgets | None = None) -> list[Found]:
        """Detection of that attack's adversarials, for each norm and strength; nothing where there are none."""
        own = columns.own_class_right(self.record, self.pipeline)
        clean = np.asarray(self.pipeline.suspicion, dtype=np.float64)
        if clean.size != own.size:
            return []
        negatives = clean[own & np.isfinite(clean)]
        rows = []
        for case in detection.cases(self.record, self.pipeline, own):
            cell = case.cell
            if cell.attack != attack or cell.knowledge != knowledge or not _asked(cell, case.strength, budgets):
                continue
            rng = statistics.generator(self.record.seed, f"sources/{self.pipeline.defense}/{cell.id}/{case.strength}")
            figures, curve = (
                statistics.roc_figures(negatives, case.scores, (RATE,), rng),
                statistics.roc(negatives, case.scores),
            )
            if figures is not None and curve is not None:
                rows.append(Found(case, case.scores.size, figures.auc, figures.found[0], _alarms_at(curve, 0.95)))
        return rows

    def flagged(self, attack: str, budgets: Budgets) -> list[statistics.Interval]:
        """Share of the bare model's adversarials that the detector rejects at its own threshold."""
        shares = []
        for _, strength in self._strengths(attack, budgets):
            fools = np.asarray(strength.fools_model, dtype=bool)
            rejected = np.asarray(strength.prediction, dtype=np.int64) == self.record.model.classes
            shares.append(statistics.share(int((rejected & fools).sum()), int(fools.sum())))
        return shares

    def false_alarms(self) -> statistics.Interval:
        """Share of the clean samples that the model gets right and the detector rejects."""
        own = columns.own_class_right(self.record, self.pipeline)
        rejected = np.asarray(self.pipeline.prediction, dtype=np.int64) == self.record.model.classes
        return statistics.share(int((own & rejected).sum()), int(own.sum()))

    def _strengths(self, attack: str, budgets: Budgets | None) -> Iterator[tuple[Cell, Strength]]:
        for cell in self.record.done(defense=self.pipeline.defense, knowledge="oblivious"):
            for strength in cell.strengths if cell.attack == attack else ():
                if _asked(cell, strength.strength, budgets):
                    yield cell, strength


def _asked(cell: Cell, strength: float | None, budgets: Budgets | None) -> bool:
    """Whether a strength is one of the budgets; multiples of smallest distances, and no budgets at all, always are."""
    if budgets is None or strength is None or cell.family != "fixed":
        return True
    return any(abs(strength - eps) <= NEAR * eps for eps in budgets.get(cell.norm, ()))


def _alarms_at(curve: statistics.Roc, rate: float) -> float:
    return float(curve.false[np.argmax(curve.true >= rate)])


def percent(figure: statistics.Interval) -> str:
    """A share with its interval."""
    return _with_interval(figure, 100, "{:.0f}", " %")


def length(figure: statistics.Interval) -> str:
    """A distance with its interval."""
    return _with_interval(figure, 1, "{:.2f}", "")


def _with_interval(figure: statistics.Interval, factor: float, form: str, unit: str) -> str:
    if figure.value is None:
        return "none"
    value, *bounds = (
        form.format(factor * number) for number in (figure.value, figure.low, figure.high) if number is not None
    )
    return f"{value}{unit} ({' to '.join(bounds)}{unit})" if len(bounds) == 2 else f"{value}{unit}"


def span(shares: Iterable[float | None]) -> str:
    """From the smallest to the largest of some shares."""
    known = [100 * share for share in shares if share is not None and np.isfinite(share)]
    if not known:
        return "none"
    low, high = f"{min(known):.0f}", f"{max(known):.0f}"
    return f"{low} %" if low == high else f"{low} to {high} %"


def kept_text(kept: Iterable[Kept], stretched: bool = False) -> str:
    """Accuracies at budgets, or at multiples of smallest distances, in a row."""
    words = "at {1:.3g} times the smallest {0}" if stretched else "{0} {1:.3g}"
    parts = [f"{words.format(columns.title(claim.norm), claim.at)}: {percent(claim.accuracy)}" for claim in kept]
    return "; ".join(parts) if parts else "not measured"


def found_text(found: Iterable[Found]) -> str:
    """Rates at 1 % false alarms and areas under the curve, in a row."""
    parts = []
    for row in found:
        cell, strength = row.case.cell, row.case.strength
        times = "" if strength is None else f" x {strength:.3g}" if cell.family == "minimal" else f" {strength:.3g}"
        area = f"{row.auc.value:.3f}" if row.auc.value is not None else "none"
        if row.auc.low is not None and row.auc.high is not None:
            area += f" ({row.auc.low:.3f} to {row.auc.high:.3f})"
        name = f"{cell.attack} {columns.title(cell.norm)}{times}"
        parts.append(f"{name}: {percent(row.rate)} found at 1 % false alarms, AUC {area}, of {row.positives}")
    return "; ".join(parts) if parts else "no adversarials to find"
