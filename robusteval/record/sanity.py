"""Whether a record makes sense: what types cannot say. Columns are as long as what they go with, distances are no less
than 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from typing import Any

import numpy as np

from robusteval.errors import RecordError
from robusteval.record.column import faulty_keys
from robusteval.record.measured.per_sample import PerSample, numbers, rows_of
from robusteval.record.measured.witness_rows import WitnessRows
from robusteval.record.run import Cell, Pipeline, Record

NORMS = ("l0", "l1", "l2", "linf")
_HINT = "It was changed after the run, or not written by robusteval."


def check(record: Record) -> None:
    """Raises RecordError with the first thing that makes no sense, by its place in the document."""
    _head(record)
    _unique("pipelines", (row.defense for row in record.pipelines))
    for index, row in enumerate(record.pipelines):
        _pipeline(record, row, f"pipelines[{index}]")
    _unique("cells", (cell.id for cell in (*record.cells, *record.probes)))
    for index, cell in enumerate(record.cells):
        _cell(record, cell, f"cells[{index}]", record.data.samples)
    for index, cell in enumerate(record.probes):
        _cell(record, cell, f"probes[{index}]", None)
    _tests(record)
    _known(record)
    _derived(record)
    _witnesses(record)


def _no(where: str, what: str) -> RecordError:
    return RecordError(f"The record makes no sense at {where}: {what}.", _HINT)


def _unique(where: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise _no(where, f"{name[:80]!r} is there twice")
        seen.add(name)


def _long(where: str, column: Sized, count: int, may_miss: bool = False) -> None:
    if len(column) != count and not (may_miss and len(column) == 0):
        raise _no(where, f"it has {len(column)} entries for {count} samples")


def _least(where: str, column: Iterable[float | None], least: float = 0.0) -> None:
    rows: Iterable[tuple[int, float | None]] = enumerate(column)
    if isinstance(column, PerSample):  # millions of rows: only the first that is too little is looked at
        rows = ((int(place), column[place]) for place in np.flatnonzero(numbers(column) < least))
    for index, value in rows:
        if value is not None and value < least:
            raise _no(f"{where}[{index}]", f"{value:g} is less than {least:g}")


def _odd(column: Sequence[float], least: float, most: float) -> Iterable[tuple[int, float]]:
    """(place, value) of what is not between the two."""
    values = numbers(column)
    return [(place, column[place]) for place in np.flatnonzero(~((values >= least) & (values <= most))).tolist()]


def _head(record: Record) -> None:
    model, data = record.model, record.data
    if len(model.bounds) != 2 or not model.bounds[0] < model.bounds[1]:
        raise _no("model.bounds", "a range has a low and a high end")
    if model.classes < 1:
        raise _no("model.classes", "there is no class")
    _least("model.input_shape", model.input_shape, 1)
    _long("data.labels", data.labels, data.samples)
    _long("data.l2", data.l2, data.samples)
    _long("data.hashes", data.hashes, data.samples, may_miss=True)
    _long("data.names", data.names, data.samples, may_miss=True)
    _least("data.l2", data.l2)
    _least("data.labels", data.labels)
    _least("data", (data.samples, data.available, data.fit_samples))
    for index, label in _odd(data.labels, 0, model.classes - 1):
        raise _no(f"data.labels[{index}]", f"there is no class {label} of {model.classes}")
    for norm in record.suite.norms:
        if norm not in NORMS:
            raise _no("suite.norms", f"{norm[:40]!r} is no norm")


def _pipeline(record: Record, row: Pipeline, where: str) -> None:
    count, done = record.data.samples, row.status == "done"
    _long(f"{where}.prediction", row.prediction, count, may_miss=not done)
    for name in ("label", "confidence", "suspicion", "certified"):
        _long(f"{where}.{name}", getattr(row, name), count, may_miss=True)
    _least(f"{where}.certified", row.certified)
    for index, value in _odd(row.prediction, -1, record.model.classes):
        raise _no(f"{where}.prediction[{index}]", f"there is no class {value} of {record.model.classes}")
    shares = [share for share in (row.unstable_again, row.unstable_batch, row.surrogate_agreement) if share is not None]
    for column in (row.confidence, shares):
        for _, share in _odd(column, 0, 1 + 1e-9):
            raise _no(where, f"{share:g} is no share")


def _cell(record: Record, cell: Cell, where: str, count: int | None) -> None:
    """count: how many samples; None: as many as the cell has distances, and no more than the record has samples."""
    if cell.norm not in NORMS:
        raise _no(f"{where}.norm", f"{cell.norm[:40]!r} is no norm")
    if cell.eps is not None and not cell.eps >= 0:
        raise _no(f"{where}.eps", f"{cell.eps:g} is no budget")
    rows = len(cell.distance) if count is None else count
    if rows > record.data.samples:
        raise _no(f"{where}.distance", f"it has {rows} entries for {record.data.samples} samples")
    attacked = cell.status == "done" and cell.knowledge != "oblivious"
    _long(f"{where}.distance", cell.distance, rows, may_miss=not attacked)
    for name in (
        "l2",
        "prediction",
        "suspicion",
        "survives_8bit",
        "member",
        "by_target",
        "forwards",
        "backwards",
        "blind",
    ):
        _long(f"{where}.{name}", getattr(cell, name), rows, may_miss=True)
    for name in ("distance", "l2", "forwards", "backwards", "blind"):
        _least(f"{where}.{name}", getattr(cell, name))
    _least(where, (cell.zero_gradients, cell.bad_gradients, *cell.rejected.values(), *cell.watched.values()))
    _least(f"{where}.prediction", cell.prediction, -1)
    _by_target(record, cell, where)
    for index, strength in enumerate(cell.strengths):
        _least(f"{where}.strengths[{index}]", (strength.strength, strength.mean_l2, strength.mean_distance))
        _long(f"{where}.strengths[{index}].fools_model", strength.fools_model, rows)
        _long(f"{where}.strengths[{index}].prediction", strength.prediction, rows)
        _long(f"{where}.strengths[{index}].suspicion", strength.suspicion, rows, may_miss=True)


def _by_target(record: Record, cell: Cell, where: str) -> None:
    if isinstance(cell.by_target, PerSample) and len(cell.by_target) and not (rows_of(cell.by_target) < 0).any():
        _long(f"{where}.by_target[0]", cell.by_target[0], record.model.classes)
        return  # its rows are as long as the first
    for index, row in enumerate(cell.by_target):
        _long(f"{where}.by_target[{index}]", row, record.model.classes)
        _least(f"{where}.by_target[{index}]", row)


def _tests(record: Record) -> None:
    """Estimates, planted adversarials, searches and certificates: columns go with their samples, which exist."""
    tests: list[tuple[str, Sequence[int], list[Sequence[Any]]]] = []
    for index, estimate in enumerate(record.estimates):
        tests.append((f"estimates[{index}]", estimate.samples, [estimate.value, estimate.target, estimate.fit]))
        _least(f"estimates[{index}].value", estimate.value)
    for index, row in enumerate(record.planted):
        tests.append((f"planted[{index}]", row.samples, [row.random, *row.found.values()]))
        _least(f"planted[{index}].eps", (row.eps,))
    for index, search in enumerate(record.searches):
        tests.append((f"searches[{index}]", search.samples, [search.eps, search.hits]))
        _least(f"searches[{index}].hits", (*search.hits, *search.eps, search.draws))
        if any(hits > search.draws for hits in search.hits):
            raise _no(f"searches[{index}].hits", f"more hits than the {search.draws} draws")
    proofs = [(f"certificates[{index}]", proof) for index, proof in enumerate(record.certificates)]
    proofs += [(f"certificates_behind[{index}]", proof) for index, proof in enumerate(record.certificates_behind)]
    for where, proof in proofs:
        tests.append((where, proof.samples, [proof.radius]))
        _least(f"{where}.radius", (*proof.radius, proof.limit, proof.stopped))
        if proof.norm not in NORMS:
            raise _no(f"{where}.norm", f"{proof.norm[:40]!r} is no norm")
    names = {pipeline.defense for pipeline in record.pipelines} - {"none"}
    for index, behind in enumerate(record.certificates_behind):
        if behind.defense not in names:
            raise _no(f"certificates_behind[{index}].defense", f"{behind.defense[:40]!r} is no defence of the run")
    for where, samples, columns in tests:
        _samples(where, samples, record.data.samples)
        for column in columns:
            if len(column) not in (0, len(samples)):
                raise _no(where, f"a column has {len(column)} entries for {len(samples)} samples")


def _samples(where: str, samples: Sequence[int], count: int) -> None:
    for sample in samples:
        if not 0 <= sample < count:
            raise _no(where, f"there is no sample {sample} of {count}")


def _known(record: Record) -> None:
    for index, reference in enumerate(record.references):
        for model in reference.models:
            where = f"references[{index}].models, {model.name[:40]}"
            _samples(where, model.rows, record.data.samples)
            _long(where, model.right, len(model.rows))
            for column in (*model.worst.values(), *model.exact.values()):
                _long(where, column.distance, len(model.rows))
                _least(where, column.distance)


def _derived(record: Record) -> None:
    for index, result in enumerate(record.results):
        fault = faulty_keys(result.heads())
        if fault:
            raise _no(f"results[{index}].columns", fault)
        for number, row in enumerate(result.rows):
            if len(row) != len(result.columns):
                raise _no(f"results[{index}].rows[{number}]", f"{len(row)} entries for {len(result.columns)} columns")


def _witnesses(record: Record) -> None:
    if record.witnesses is None:
        return
    entries: Iterable[tuple[int, Any]] = enumerate(record.witnesses.entries)
    if isinstance(record.witnesses.entries, WitnessRows):
        entries = _strange(record.witnesses.entries, record.data.samples)
    for index, entry in entries:
        _samples(f"witnesses.entries[{index}]", (entry.sample,), record.data.samples)
        _least(f"witnesses.entries[{index}]", (entry.row, entry.distance))
    for index, picture in enumerate(record.gallery):
        _samples(f"gallery[{index}]", (picture.sample,), record.data.samples)


def _strange(entries: WitnessRows, samples: int) -> list[tuple[int, Any]]:
    """The entries that hold a number which makes no sense, with their places."""
    columns = {name: numbers(entries.columns[name]) for name in ("sample", "row", "distance")}
    odd = (columns["sample"] < 0) | (columns["sample"] >= samples) | (columns["row"] < 0) | (columns["distance"] < 0)
    return [(place, entries[place]) for place in np.flatnonzero(odd).tolist()]
