"""What the sources say, what this run measured, and why the two differ: attacks here, defences in claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import ClassVar

import numpy as np

from robusteval.api import Cell, Column, MetricInfo, Record, Result, Scalar, columns
from robusteval_published_claims.claims import CIFAR, HARDENED, MNIST, Claim, rows_of

NAME = "sources"
SUITE = "seeds-attacks"
DEFENCES = {"seeds": MNIST, "seeds-colour": CIFAR}  # by suite
ROBUST = "-robust"  # how the name of a file ends that adversarial training wrote
COLUMNS = [
    Column("figure", "Figure"),
    Column("source", "Source"),
    Column("source-says", "Source says"),
    Column("we-measure", "We measure"),
    Column("why-they-differ", "Why they differ"),
]
DESCRIPTION = (
    "Figures that the sources give for MNIST models, beside those of this run. A source's model is not ours: same "
    "architecture, other weights. Distances are L2 in units of pixels from 0 to 1."
)
DEFENCES_DESCRIPTION = (
    "Figures that the sources give for defences, beside those of this run, against attacks that do not know the "
    "defence (oblivious) and against those that do (adaptive): only the second say what a defence is worth. Detection "
    "is given with its false alarms. Shares are of all samples, in brackets 95 % intervals. The sources' models have "
    "other weights."
)
_MINIMAL = (
    "The source raises one strength for all samples and reads the mean L2 off the curve where it meets the axis; the "
    "mean over per-sample smallest distances is what that comes to, and the last sample goes at the largest of them."
)
_FIXED = (
    "The source raises one budget for all samples; a budget searched per sample needs less, so our figure is smaller."
)


@dataclass(frozen=True)
class _Claim:
    """One figure: for the model with this stem, from cells of this plugin, by `measure`."""

    model: str
    plugin: str
    figure: str
    source: str
    says: str
    why: str
    measure: Callable[[Record, Cell], str]


def _rho(record: Record, cell: Cell) -> str:
    """Mean of ||delta||_2 / ||x||_2 over the samples that were right when clean and lost."""
    sizes = np.asarray(record.data.l2)
    lengths = np.array([value or np.nan for value in cell.l2], dtype=np.float64)
    ratios = lengths / sizes
    found = ratios[np.isfinite(ratios)]
    return f"{found.mean():.3f} over {len(found)} samples" if len(found) else "no sample was lost"


def _zero(_record: Record, cell: Cell) -> str:
    """The L2 of what it took to leave no sample right: mean, and largest."""
    lengths = np.array([value for value in cell.l2 if value is not None and value > 0], dtype=np.float64)
    left = sum(value is None for value in cell.distance)
    if len(lengths) == 0:
        return "no sample was lost"
    held = f"; {left} of {len(cell.distance)} samples withstood" if left else "; none withstood"
    return f"mean {lengths.mean():.2f}, largest {lengths.max():.2f}{held}"


_CLAIMS = (
    _Claim(
        "lenet", "deepfool", "rho_adv by DeepFool, LeNet", "Moosavi-Dezfooli 2016, 004", "0.20",
        "Other weights; and ours keeps to the box, which the paper does not (without the box it is about 5 % "
        "less).", _rho,
    ),
    _Claim(
        "fc", "deepfool", "rho_adv by DeepFool, FC500-150-10", "Moosavi-Dezfooli 2016, 004", "0.11",
        "Other weights; and ours keeps to the box.", _rho,
    ),
    _Claim("conv4", "carlini-wagner", "C&W: accuracy 0 at L2", "002 fig. 10", "about 1.4", _MINIMAL, _zero),
    _Claim("conv4", "newtonfool", "NewtonFool: accuracy 0 at L2", "002 fig. 10", "about 2", _MINIMAL, _zero),
    _Claim("conv4", "bim", "BIM: accuracy 0 at L2", "002 fig. 14", "about 5", _FIXED, _zero),
    _Claim(
        "conv4", "jsma", "JSMA: accuracy 0 at L2", "002 fig. 10", "about 9",
        "Ours moves the fewest pixels that it can, goes for the likeliest wrong class and puts back what was not "
        "needed.", _zero,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Sources:
    """A table in runs of the suites `seeds-attacks`, on a model that a source speaks of, known by its file's name, and
    `seeds` and `seeds-colour`, on the defences that sources speak of."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "1",
        "Figures of the sources beside the measured ones (suites seeds-attacks, seeds, seeds-colour).",
        "Moosavi-Dezfooli, Fawzi, Frossard 2016; and the seeds 002 and 004 of this project",
    )

    def compute(self, record: Record) -> Iterator[Result]:
        claims = DEFENCES.get(record.suite.name)
        if claims is not None:
            yield from _of_defences(record, claims)
        if record.suite.name != SUITE:
            return
        rows = [row for claim in _CLAIMS for row in _rows(record, claim)]
        order = _order(record)
        if order is not None:
            rows.append(order)
        if rows:
            yield Result(NAME, "sources", "table", "What the sources say", DESCRIPTION, columns=COLUMNS, rows=rows)


def _of_defences(record: Record, claims: tuple[Claim, ...]) -> Iterator[Result]:
    rows = rows_of(record, claims)
    if PurePath(record.model.file).stem.endswith(ROBUST):
        rows += rows_of(record, HARDENED)
    if rows:
        yield Result(NAME, "sources", "table", "What the sources say", DEFENCES_DESCRIPTION, columns=COLUMNS, rows=rows)


def _rows(record: Record, claim: _Claim) -> Iterator[list[Scalar]]:
    if PurePath(record.model.file).stem != claim.model:
        return
    for cell in columns.measured(record, record.done(knowledge="none", defense="none")):
        if cell.plugin == claim.plugin and cell.norm in ("l2", "l0"):
            yield [claim.figure, claim.source, claim.says, claim.measure(record, cell), claim.why]


def _order(record: Record) -> list[Scalar] | None:
    """FGSM is the weakest, Carlini & Wagner the strongest: attacks by mean L2, the share that withstood first."""
    cells = [
        cell
        for cell in columns.measured(record, record.done(knowledge="none", defense="none"))
        if cell.norm in ("l2", "l0") and cell.threat == "curve"
    ]
    if len(cells) < 2 or PurePath(record.model.file).stem != "conv4":
        return None

    def strength(cell: Cell) -> tuple[float, float]:
        lengths = [value for value in cell.l2 if value is not None and value > 0]
        return sum(value is None for value in cell.distance), float(np.mean(lengths)) if lengths else np.inf

    names = [cell.attack for cell in sorted(cells, key=strength)]
    return [
        "Order of the attacks, strongest first",
        "002 fig. 10",
        "C&W first, FGSM last",
        ", ".join(names),
        "JSMA counts pixels, so its L2 says little; the newer attacks are not in the source.",
    ]
