"""The bracket of the bare model: what is proved, what is broken, and what is unknown, by budget and sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robusteval.hooks import hookimpl
from robusteval.metrics._common import columns
from robusteval.metrics._common.bracket import (
    Edges,
    certified_pipelines,
    contradicted,
    edges_of,
    lower_edge,
    shares_at,
)
from robusteval.metrics._common.statistics import share
from robusteval.metrics._common.steps import step_points
from robusteval.record.column import DISTANCE, SHARE
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Column, Curve, Record, Result, Scalar

NAME, BEHIND = "bracket", "bracket-behind"
DESCRIPTION = (
    "Proved: no image of the ball, as far as it lies in the range of pixels, is answered otherwise, whatever the "
    "attack; the proof holds for the arithmetic that the file is computed in, float32 and, where it is quantised, "
    "whole numbers. Broken: an attack won within the budget, or the sample is wrong when clean. Unknown: neither."
)
_COLUMNS = [
    Column("budget", "Budget", DISTANCE),
    Column("proved", "Proved", SHARE),
    Column("proved-low", "95 % from", SHARE),
    Column("proved-high", "to", SHARE),
    Column("unknown", "Unknown", SHARE),
    Column("broken", "Broken or wrong", SHARE),
]
_SAMPLES = [
    Column("sample", "Sample"),
    Column("proved", "Proved up to", DISTANCE),
    Column("broken", "Broken at", DISTANCE),
    Column("certifier", "Certifier"),
]
_SHOWN = 5  # samples at either end of the list of brackets


@dataclass(frozen=True)
class Bracket:
    """For each norm with certificates a table by budget, its curve, and the tightest and loosest samples."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "1",
        "Shares of the samples that are proved, broken and unknown at each budget.",
        "Zhang et al., Efficient neural network robustness certification with general activation functions, 2018",
    )

    def compute(self, record: Record) -> Iterable[Result]:
        """Nothing where the suite asked for no certificates; their reasons where there is none."""
        for norm in dict.fromkeys(row.norm for row in record.certificates):
            edges = edges_of(record, norm)
            if edges is not None:
                yield from _in_norm(record, norm, edges)


@dataclass(frozen=True)
class BracketBehind:
    """For each defence and norm with certificates a table by budget."""

    info: ClassVar[MetricInfo] = MetricInfo(
        BEHIND,
        "1",
        "Shares of the samples that are proved, broken and unknown at each budget, behind defences.",
        "Zhang et al., Efficient neural network robustness certification with general activation functions, 2018",
    )

    def compute(self, record: Record) -> Iterable[Result]:
        """Nothing where no defence has certificates."""
        for defense, norm in certified_pipelines(record):
            edges = None if defense == columns.BARE else edges_of(record, norm, defense)
            if edges is None:
                continue
            title = columns.title(norm)
            yield Result(
                BEHIND, f"bracket-behind/{defense}/{norm}", "table",
                f"Proved, unknown, broken behind {defense} ({title})", f"{DESCRIPTION} All of the defended model.",
                tags={"norm": norm, "defense": defense, "samples": edges.count}, columns=_COLUMNS,
                rows=[_row(record, edges, budget) for budget in columns.BUDGETS[norm]],
            )  # fmt: skip


def _row(record: Record, edges: Edges, budget: float) -> list[Scalar]:
    eps = budget * columns.span(record)
    shares = shares_at(edges, eps)
    figure = share(round(shares.proved * edges.count), edges.count)
    return [eps, shares.proved, figure.low, figure.high, shares.unknown, shares.broken]


def _in_norm(record: Record, norm: str, edges: Edges) -> Iterator[Result]:
    tags: dict[str, Scalar] = {"norm": norm, "defense": columns.BARE}
    title = columns.title(norm)
    rows: list[list[Scalar]] = []
    for budget in columns.BUDGETS[norm]:
        eps = budget * columns.span(record)
        figure = share(round(shares_at(edges, eps).proved * edges.count), edges.count)
        rows.append(_row(record, edges, budget))
        yield Result(
            NAME,
            f"certified/{norm}/{eps:.6g}",
            "scalar",
            f"Proved at {title} {eps:.4g}",
            f"Share of {edges.count} samples that are proved to be right up to this budget.",
            figure.value,
            figure.low,
            figure.high,
            tags | {"measure": "certified", "eps": eps},
        )
    yield Result(
        NAME, f"bracket/{norm}", "table", f"Proved, unknown, broken ({title})", DESCRIPTION,
        tags=tags | {"samples": edges.count}, columns=_COLUMNS, rows=rows,
    )  # fmt: skip
    distances, shares_proved = lower_edge(record, norm)
    points = step_points(np.where(contradicted(edges), 0.0, edges.proved), None, band=True)
    yield Result(
        NAME,
        f"lower-edge/{norm}",
        "curves",
        f"Between proof and attack ({title})",
        DESCRIPTION,
        tags=tags | {"largest": float(distances[-1]) if distances.size else 0.0, "steps": int(shares_proved.size)},
        x_title=f"Size of the perturbation ({title})",
        y_title="Accuracy",
        curves=[
            Curve("Proved (lower bound)", points, norm, tags | {"role": "certified"}),
            Curve("Under attack (upper bound)", step_points(edges.broken, None), norm, tags | {"role": "worst"}),
        ],
    )
    yield _by_sample(norm, title, edges, tags)


def _by_sample(norm: str, title: str, edges: Edges, tags: dict[str, Scalar]) -> Result:
    """The tightest and the loosest brackets of the samples that have both ends."""
    both = np.flatnonzero((edges.proved > 0) & np.isfinite(edges.broken))
    order = both[np.argsort(-edges.proved[both] / edges.broken[both], kind="stable")]
    some = list(dict.fromkeys([*order[:_SHOWN].tolist(), *order[-_SHOWN:].tolist()]))
    rows: list[list[Scalar]] = [
        [int(edges.rows[at]), float(edges.proved[at]), float(edges.broken[at]), edges.by[at]] for at in some
    ]
    return Result(
        NAME, f"brackets/{norm}", "table", f"Tightest and loosest samples ({title})",
        f"Of {both.size} samples with a proof and a win, those whose two ends are closest, and those that are farthest "
        "apart.",
        tags=tags, columns=_SAMPLES, rows=rows,
    )  # fmt: skip


@hookimpl
def robusteval_metrics() -> list[type[Bracket | BracketBehind]]:
    """The metrics of this module."""
    return [Bracket, BracketBehind]
