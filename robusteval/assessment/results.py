"""What a metric derived, taken only where it can be saved and shown: a metric's fault costs its own figures, never the
run."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from robusteval.cage.page import calling
from robusteval.foreign import foreign, words
from robusteval.record.column import faulty_keys
from robusteval.record.metric import Metric
from robusteval.record.run import Finding, Record, Result, Scalar
from robusteval.text import as_sentence, line

MOST_RESULTS = 10_000  # of one metric
MOST_BYTES = 64 * 2**20  # of one metric's results as JSON; a report of more opens in no browser
_WHOLE = 2**63  # whole numbers beyond this are no figures, and fit no other program's integers


class Offered(Protocol):
    """A row of the catalogue."""

    @property
    def name(self) -> str: ...
    @property
    def distribution(self) -> str: ...
    @property
    def plugin(self) -> type[Metric]: ...


class _UnusableError(Exception):
    """Why a result cannot be taken."""


def derived(entries: Iterable[Offered], record: Record) -> tuple[list[Result], list[Finding]]:
    """(the results of these metrics, a finding for each that failed or gave what cannot be used).

    A metric that does not come with robusteval gets a copy of the record, so that it cannot change what was measured.
    """
    results: list[Result] = []
    findings: list[Finding] = []
    for entry in entries:
        lent = record if entry.distribution == "robusteval" else copy.deepcopy(record)
        try:
            with foreign(), calling(f"the metric {entry.name}"):
                results += _taken(entry.plugin().compute(lent), entry.name)
        except Exception as error:  # noqa: BLE001 - a third party's metric must not lose the run
            findings.append(_failed(entry, error))
    return results, findings


def _failed(entry: Offered, error: Exception) -> Finding:
    reason = as_sentence(error if isinstance(error, _UnusableError) else words(error))
    return Finding(
        "metric-failed",
        "warning",
        f"The metric {entry.name} failed, so its figures are missing.",
        {"metric": entry.name, "error": reason[:500]},
        "Tell its author; `robusteval plugins list` shows the distribution.",
    )


def _taken(offered: Iterable[Result], name: str) -> list[Result]:
    """The results, all of them usable. Raises _UnusableError for the first that is not."""
    taken: list[Result] = []
    size = 0
    for result in offered:
        if not isinstance(result, Result):
            raise _UnusableError(f"it gave a {type(result).__name__}, not a Result")
        whole = dataclasses.replace(result)  # columns that were added to it as titles get keys
        size += _checked(whole, name)
        taken.append(_shown(whole))
        if size > MOST_BYTES or len(taken) > MOST_RESULTS:
            raise _UnusableError(f"it gave more than {MOST_RESULTS} results or {MOST_BYTES >> 20} MiB")
    return taken


def _checked(result: Result, metric: str) -> int:
    """Bytes of a result as JSON. Raises _UnusableError where it cannot be saved or shown."""
    label = f"result {result.name[:80]!r}" if isinstance(result.name, str) else "a result"
    if result.metric != metric:
        raise _UnusableError(f"{label} is signed with another name than the metric's")
    try:
        data = dataclasses.asdict(result)
        text = json.dumps(data, allow_nan=False, ensure_ascii=False).encode()
        _adapter().validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _UnusableError(f"{label} does not fit at {where}: {first['msg']}") from None
    except (ValueError, TypeError, RecursionError) as error:  # NaN, an infinity, or a value that is no JSON
        raise _UnusableError(f"{label} cannot be saved: {words(error)}") from None
    fault = faulty_keys(result.heads())
    if fault:
        raise _UnusableError(f"{label} cannot be read: {fault}")
    if any(len(row) != len(result.columns) for row in result.rows):
        raise _UnusableError(f"{label} has rows of other lengths than its {len(result.columns)} columns")
    if any(isinstance(value, int) and abs(value) >= _WHOLE for value in _scalars(data)):
        raise _UnusableError(f"{label} holds a whole number beyond 64 bits")
    return len(text)


def _shown(result: Result) -> Result:
    """The same with its texts as records keep them: they may be names of files and classes, and of plugins."""

    def told(values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {line(key): line(value) if isinstance(value, str) else value for key, value in values.items()}

    curves = [
        dataclasses.replace(curve, label=line(curve.label), group=line(curve.group), tags=told(curve.tags))
        for curve in result.curves
    ]
    heads = [dataclasses.replace(head, title=line(head.title), unit=line(head.unit)) for head in result.heads()]
    rows = [[line(value) if isinstance(value, str) else value for value in row] for row in result.rows]
    return dataclasses.replace(
        result,
        name=line(result.name),
        title=line(result.title),
        description=line(result.description),
        x_title=line(result.x_title),
        y_title=line(result.y_title),
        tags=told(result.tags),
        curves=curves,
        columns=heads,
        rows=rows,
    )


def _scalars(data: object) -> Iterator[object]:
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else None
    if inner is None:
        yield data
        return
    for value in inner:
        yield from _scalars(value)


@functools.cache
def _adapter() -> TypeAdapter[Result]:
    return TypeAdapter(Result)
