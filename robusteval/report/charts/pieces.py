"""The pieces that the page is built from: tables, figures, and the results by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from markupsafe import Markup

from robusteval.record.run import Record, Result, Scalar
from robusteval.report.charts.vega import STATIC_WIDTH, Chart
from robusteval.report.formats import embed
from robusteval.report.formats.numbers import MISSING, percent


class Value(NamedTuple):
    """A cell with its interval below it; how dark it is, 0 to 10 (-1: plain); a relative link, or none; the key by
    which it follows the budget slider ("linf a3"); and which pictures are behind it ("linf cell 4"), and how many."""

    text: str
    below: str = ""
    level: int = -1
    href: str = ""
    live: str = ""
    shows: str = ""
    pictures: int = 0


Text = str | Value


@dataclass(frozen=True)
class Table:
    """Rows of text; the first `heads` columns are row headings, the others numbers unless named in `words`. summary:
    what a folded table says in one line."""

    caption: str
    columns: Sequence[Text]
    rows: Sequence[Sequence[Text]]
    heads: int = 1
    words: Sequence[int] = ()
    note: str = ""
    summary: str = ""

    @property
    def titles(self) -> list[str]:
        """The columns' names as text."""
        return [column if isinstance(column, str) else column.text for column in self.columns]


@dataclass(frozen=True)
class Figure:
    """A drawn chart: its data for the script, and its static picture."""

    key: str
    title: str
    caption: str
    spec: Markup
    picture: str
    alt: str


@dataclass(frozen=True)
class Generic:
    """A result of a metric that this report knows nothing about."""

    metric: str
    title: str
    description: str
    value: str = ""
    interval: str = ""
    table: Table | None = None
    figures: Sequence[Figure] = field(default_factory=tuple)


def figure(chart: Chart) -> Figure:
    picture = embed.static_picture(chart.spec, STATIC_WIDTH)
    return Figure(chart.key, chart.title, chart.caption, embed.script_json(chart.spec), picture, chart.alt)


# What the sections know how to show; everything else is shown as it is.
KNOWN = {
    ("accuracy-curve", "curves"): ("curve/",),
    ("accuracy-curve", "scalar"): ("clean-accuracy/", "robust-accuracy/", "attack-accuracy/", "median-distance/"),
    ("oblivious-curve", "curves"): ("oblivious/",),
    ("rho-adv", "table"): ("rho-adv",),
    ("rho-adv", "scalar"): ("rho-adv/",),
    ("detector-roc", "table"): ("roc-table/",),
    ("detector-roc", "curves"): ("roc/",),
    ("cost", "table"): ("cost",),
    ("cost", "scalar"): ("passes/",),
    ("accuracy-curve", "table"): ("claims",),
    ("per-class", "table"): ("per-class/", "flips/"),
    ("strength-curve", "curves"): ("strength/none",),
    ("label-next", "table"): ("label-next/",),
    ("references", "curves"): ("references/",),
    ("references", "table"): ("references-table/",),
    ("bracket", "table"): ("bracket/", "brackets/"),
    ("bracket-behind", "table"): ("bracket-behind/",),
    ("bracket", "curves"): ("lower-edge/",),
    ("bracket", "scalar"): ("certified/",),
    ("clever", "table"): ("clever/",),
    ("clever", "scalar"): ("clever-median/",),
}


def is_known(result: Result) -> bool:
    return result.name.startswith(KNOWN.get((result.metric, result.kind), ("\0",)))


def matching(record: Record, measure: str, tags: Mapping[str, Scalar]) -> list[Result]:
    """The scalars of a built-in measure whose tags hold all of these."""
    return [
        result
        for result in record.results
        if result.kind == "scalar"
        and is_known(result)
        and result.tags.get("measure") == measure
        and all(result.tags.get(key) == value for key, value in tags.items())
    ]


def first(results: Iterable[Result]) -> Result | None:
    return next(iter(results), None)


def of_kind(record: Record, metric: str, kind: str, tags: Mapping[str, Scalar] | None = None) -> list[Result]:
    """The curves or tables of a built-in metric."""
    return [
        result
        for result in record.results
        if result.metric == metric
        and result.kind == kind
        and is_known(result)
        and all(result.tags.get(key) == value for key, value in (tags or {}).items())
    ]


def shade(share: float | None, below: str = "") -> Value:
    """A share as a percentage on a ground that is darker the larger it is."""
    if share is None:
        return Value(MISSING, below)
    return Value(percent(share, 0), below, round(10 * min(max(share, 0.0), 1.0)))


def named_rows(result: Result) -> list[dict[str, Scalar]]:
    """Rows by their columns' keys; a row of another length is left out."""
    keys = result.keys()
    return [dict(zip(keys, row, strict=True)) for row in result.rows if len(row) == len(keys)]


def display(defense: str) -> str:
    return "No defence" if defense == "none" else defense


def norms(record: Record) -> list[str]:
    """The norms that have figures, in a fixed order: the one in which budgets are mostly told first."""
    found = {
        str(result.tags.get("norm"))
        for result in record.results
        if result.metric == "accuracy-curve" and result.tags.get("norm")
    }
    order = ("linf", "l2", "l1", "l0")
    return [value for value in order if value in found] + sorted(found - set(order))


def width(record: Record) -> float:
    """Width of the input's range."""
    bounds = record.model.bounds
    return bounds[1] - bounds[0] if len(bounds) == 2 and bounds[1] > bounds[0] else 1.0
