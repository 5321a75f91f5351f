"""The model among known ones: the same attacks on the same images, so that a figure means something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robusteval.hooks import hookimpl
from robusteval.metrics._common import columns
from robusteval.metrics._common.statistics import median, share
from robusteval.metrics._common.steps import step_points
from robusteval.record.column import DISTANCE, SHARE, at_budget
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Cell, Column, Compared, Curve, Record, Reference, ReferenceColumn, Result, Scalar
from robusteval.record.units import norm_width

NAME = "references"
# Budgets that are worth a column beside those that the suite asks about, as shares of the pixel range.
TELLING = {"linf": (8 / 255, 0.1), "l2": (0.5, 1.5), "l1": (10.0,), "l0": (10.0,)}
FACTS = [
    Column("model", "Model"),
    Column("role", "Role"),
    Column("about", "About"),
    Column("images", "Images", "samples"),
    Column("right-when-clean", "Right when clean", "samples"),
    Column("clean-accuracy", "Clean accuracy", SHARE),
    Column("clean-low", "Clean low", SHARE),
    Column("clean-high", "Clean high", SHARE),
]
TAILS = [Column("median-distance", "Median distance", DISTANCE), Column("trust-grade", "Trust grade")]
DESCRIPTION = (
    "Known models under the same attacks on the same images. Worst case over attacks, shares of all common images with "
    "95 % Clopper-Pearson intervals; a model behind a defence is attacked by someone who knows it."
)


@dataclass(frozen=True)
class Line:
    """One model on its common images. role: this, reference, same (a reference that is the very file evaluated), or
    exact (what exact gradients report of a masked one)."""

    name: str
    role: str
    about: str
    grade: str
    right: NDArray[np.bool_]
    distance: NDArray[np.float64]  # inf: never lost, 0: wrong when clean; in pixel units
    searched: float | None
    curve: bool = True  # whether smallest distances were looked for


@dataclass(frozen=True)
class References:
    """Curves and a table for each reference set and norm."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "1",
        "The model beside known ones: same attacks, same images.",
        "Carlini et al., On Evaluating Adversarial Robustness, 2019: compare against prior work, on the same terms",
    )

    def compute(self, record: Record) -> Iterator[Result]:
        bare = next((pipeline for pipeline in columns.pipelines(record) if pipeline.defense == columns.BARE), None)
        if bare is None:
            return
        right = columns.right_when_clean(record, bare)
        for index, reference in enumerate(record.references):
            for norm in columns.NORMS if reference.status == "done" else ():
                yield from _one(record, reference, index, norm, right)


def _one(record: Record, compared: Compared, index: int, norm: str, right: NDArray[np.bool_]) -> Iterator[Result]:
    cells = columns.attack_cells(record, norm, columns.BARE)
    worst = columns.worst_case(cells, right)
    width = norm_width(norm, record.model.bounds)
    others = [line for model in compared.models for line in _lines(record, model, norm, width)]
    if worst is None or not others:
        return
    rows = sorted({row for model in compared.models for row in model.rows if row < right.size})
    limit = None if any(cell.eps is None for cell in cells) else max(cell.eps or 0.0 for cell in cells)
    mine = Line(
        record.model.name, "this", "this run", "", right[rows], worst.distance[rows], limit, columns.has_curve(cells)
    )
    tags: dict[str, Scalar] = {"norm": norm, "set": index, "file": compared.file, "images": len(rows)}
    tags["missing"] = ", ".join(_missing(compared.models, norm, {cell.attack for cell in cells}))
    title = f"Among known models, {columns.title(norm)}"
    yield Result(
        NAME,
        f"references/{index}/{norm}",
        "curves",
        title,
        DESCRIPTION,
        tags=tags,
        x_title=f"Size of the perturbation ({columns.title(norm)} distance)",
        y_title="Accuracy",
        curves=[_curve(line, norm) for line in ((mine, *others) if columns.has_curve(cells) else others)],
    )
    yield _table(record, (mine, *others), index, norm, title, tags, cells)


def _lines(record: Record, model: Reference, norm: str, width: float) -> Iterator[Line]:
    """The model's worst case; and, where its gradients are masked, what exact ones report."""
    right = np.asarray(model.right, dtype=bool)
    same = model.defense == columns.BARE and model.sha256 == record.model.sha256
    about = f"{model.about} (the very file that was evaluated)" if same else model.about
    columns_of = [("same" if same else "reference", model.name, about, model.grade, model.worst.get(norm))]
    columns_of.append(
        (
            "exact",
            f"{model.name}, as exact gradients report it",
            _false(model),
            model.exact_grade,
            model.exact.get(norm),
        )
    )
    for role, name, words, grade, column in columns_of:
        if column is not None and max(model.rows, default=0) < record.data.samples:
            searched = None if column.searched is None else column.searched * width
            yield Line(name, role, words, grade, right, _distances(column, right, width), searched)


def _false(model: Reference) -> str:
    fails = f", and its checks {', '.join(model.exact_fails)} fail" if model.exact_fails else ""
    return f"a false figure, shown as a warning: an evaluation that says so is graded {model.exact_grade or '?'}{fails}"


def _distances(column: ReferenceColumn, right: NDArray[np.bool_], width: float) -> NDArray[np.float64]:
    found = np.array(
        [np.inf if distance is None else distance * width for distance in column.distance], dtype=np.float64
    )
    return np.where(right, found, 0.0)


def _missing(models: Sequence[Reference], norm: str, mine: set[str]) -> list[str]:
    """Attacks that the references met and this model did not; its line may lie too high for that."""
    bare = [model.worst[norm].attacks for model in models if model.defense == columns.BARE and norm in model.worst]
    return sorted({name for names in bare for name in names} - mine)


def _curve(line: Line, norm: str) -> Curve:
    points = step_points(line.distance, line.searched, band=line.role == "this")
    return Curve(line.name, points, norm, {"role": line.role, "norm": norm})


def _table(
    record: Record,
    lines: Sequence[Line],
    index: int,
    norm: str,
    title: str,
    tags: dict[str, Scalar],
    cells: Sequence[Cell],
) -> Result:
    """One row a line; three columns a budget: share, low, high."""
    listed = columns.budgets(record, norm, cells)
    first = columns.reference_budget(record, norm, listed, cells)
    width = norm_width(norm, record.model.bounds)
    budgets_asked = {cell.eps for cell in cells if cell.threat == "budget"} | {first}
    budgets_asked |= {budget * width for budget in TELLING.get(norm, ())}
    chosen = [
        eps for eps in listed if any(budget is not None and abs(budget - eps) <= 1e-6 * eps for budget in budgets_asked)
    ]
    heads = [*FACTS]
    for at in (f"{eps:.10g}" for eps in chosen):
        heads += [
            Column(at_budget(name.lower(), norm, at), f"{name} at {at}", SHARE) for name in ("Accuracy", "Low", "High")
        ]
    return Result(
        NAME,
        f"references-table/{index}/{norm}",
        "table",
        title,
        DESCRIPTION,
        tags=tags | {"eps": first},
        columns=[*heads, *TAILS],
        rows=[_row(line, chosen) for line in lines],
    )


def _row(line: Line, budgets: Sequence[float]) -> list[Scalar]:
    clean = share(int(line.right.sum()), line.right.size)
    row: list[Scalar] = [line.name, line.role, line.about, line.right.size, int(line.right.sum())]
    row += [clean.value, clean.low, clean.high]
    for eps in budgets:
        if line.searched is not None and line.searched < eps * (1 - 1e-6):
            row += [None, None, None]
            continue
        figure = share(int(columns.beyond(line.distance, eps).sum()), line.distance.size)
        row += [figure.value, figure.low, figure.high]
    half = median(line.distance[line.right]) if line.curve else None
    return [*row, half, line.grade or None]


@hookimpl
def robusteval_metrics() -> list[type[References]]:
    return [References]
