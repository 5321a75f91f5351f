"""The checks of a metric: a pure function of the record."""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from robusteval.errors import RecordError
from robusteval.record.metric import Metric
from robusteval.record.run import Record, Result
from robusteval.record.store import to_json
from robusteval.testing.checks import case, fail, require
from robusteval.testing.facts import FACTS, built, global_randomness, split
from robusteval.testing.records import empty_record, failed_record, full_record


@dataclass
class MetricSubject:
    """A metric, and records of the caller's own to try it on."""

    given: object
    records: tuple[Record, ...] = ()

    @property
    def plugin(self) -> type:
        return split(self.given)[0]

    def make(self) -> Metric:
        made: Metric = built(self.given)
        return made

    def samples(self) -> list[Record]:
        """The caller's records and the kit's full one."""
        return [*self.records, full_record()]

    def compute(self, record: Record) -> list[Result]:
        """The metric's results."""
        return list(self.make().compute(record))


def computes_on_a_full_record(subject: MetricSubject) -> None:
    """A record with every kind of cell gives results."""
    found = [result for record in subject.samples() for result in subject.compute(record)]
    for result in found:
        require(isinstance(result, Result), f"It yields {type(result).__name__}, not Result.")
    advice = "give check_metric records of your own in which there is something to measure"
    require(bool(found), f"It gives no result on a record with every kind of cell, so nothing was looked at: {advice}.")


def leaves_the_record_alone(subject: MetricSubject) -> None:
    """The record is the same after computing."""
    for record in subject.samples():
        before = copy.deepcopy(record)
        subject.compute(record)
        require(record == before, "It changed the record.")


def is_pure(subject: MetricSubject) -> None:
    """The same record twice gives the same results, and no global generator is touched."""
    for record in subject.samples():
        touched: list[str] = []
        with global_randomness(touched):
            first, second = subject.compute(copy.deepcopy(record)), subject.compute(copy.deepcopy(record))
        require(first == second, "The same record gives other results the second time.")
        require(not touched, f"It touched the global generator of {', '.join(touched)}.")


def fits_the_schema(subject: MetricSubject) -> None:
    """Its results can be saved: they fit the published schema and JSON can carry every number."""
    for record in [*subject.samples(), empty_record(), failed_record()]:
        try:
            to_json(replace(record, results=subject.compute(record)))
            case()
        except RecordError as error:
            fail(f"Its results cannot be saved: {error.message}")


def has_no_nan(subject: MetricSubject) -> None:
    """No value, bound or curve point is NaN or infinite."""
    for record in [*subject.samples(), empty_record(), failed_record()]:
        for result in subject.compute(record):
            bad = [value for value in _numbers(result) if not math.isfinite(value)]
            require(not bad, f"Result {result.name!r} holds {bad[:1]}; leave out what is not known.")


def _numbers(result: Result) -> list[float]:
    cells: list[Any] = [result.value, result.low, result.high, *(cell for row in result.rows for cell in row)]
    for curve in result.curves:
        for point in curve.points:
            cells += [point.x, point.y, point.low, point.high]
    return [cell for cell in cells if isinstance(cell, float)]


def signs_its_results(subject: MetricSubject) -> None:
    """Each result carries the metric's name, a title, and is of one kind."""
    name = subject.plugin.info.name  # type: ignore[attr-defined]
    for record in subject.samples():
        for result in subject.compute(record):
            require(result.metric == name, f"Result {result.name!r} is signed {result.metric!r}, not {name!r}.")
            require(bool(result.name.strip() and result.title.strip()), "A result has no name or no title.")
            if result.kind == "table":
                widths = {len(row) for row in result.rows} | {len(result.columns)}
                require(len(widths) == 1, f"Table {result.name!r} has rows of other lengths than its columns.")


def names_results_apart(subject: MetricSubject) -> None:
    """No two results have the same name and tags."""
    for record in subject.samples():
        keys = Counter((result.name, tuple(sorted(result.tags.items(), key=str))) for result in subject.compute(record))
        twice = [key for key, count in keys.items() if count > 1]
        require(not twice, f"{twice[:1]} appears more than once.")


def survives_failed_cells(subject: MetricSubject) -> None:
    """A record in which every cell failed, was excluded or is pending gives no error."""
    subject.compute(failed_record())
    case()


def survives_an_empty_record(subject: MetricSubject) -> None:
    """A record without cells gives no error."""
    subject.compute(empty_record())
    case()


METRIC_CHECKS = (
    *FACTS,
    computes_on_a_full_record,
    leaves_the_record_alone,
    is_pure,
    fits_the_schema,
    has_no_nan,
    signs_its_results,
    names_results_apart,
    survives_failed_cells,
    survives_an_empty_record,
)
