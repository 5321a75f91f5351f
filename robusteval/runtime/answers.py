"""ONNX Runtime asked as a reading says: canonical pixels in, scores and labels out. The answers that count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime

from robusteval.errors import ModelError, RecordError
from robusteval.runtime.reading import Reading
from robusteval.runtime.session import DTYPES, Array, run_session

TINY = float(np.finfo(np.float32).tiny)
LOG_ZERO = -104.0  # in the place of the logarithm of a probability that became zero: below that of float32's smallest


class Runtime:
    """A session and how it is read. Not picklable."""

    def __init__(self, session: onnxruntime.InferenceSession, reading: Reading) -> None:
        self.session, self.reading = session, reading
        self._seen: tuple[int, int] | None = None  # numbers a row, and rows, of the first answer

    def labels(self, x: Array) -> Array:
        """The file's answers int64 [B] to canonical x [B, *shape]; -1 where its scores are not finite."""
        return self._labels(self.exact(self._sure(self.raw(x))))

    def scores(self, x: Array) -> Array:
        """float32 [B, K]; probabilities in logarithms. Their argmax is the file's own even where float32 is too
        coarse."""
        return self.rounded(self.exact(self._sure(self.raw(x))))

    def _sure(self, raw: Array) -> Array:
        """The file's numbers, of which there are as many a row as ever. Raises ModelError."""
        self.expected_width(raw.shape)
        return raw

    def expected_width(self, shape: Sequence[int]) -> None:
        """Raises ModelError where the file's numbers [B, K] are not as many a row as its classes ask for."""
        expected = 1 if self.reading.one_score else self.reading.classes
        if shape[0] and shape[1] != expected:
            raise _uneven(expected, 1, shape[1], shape[0])

    def raw(self, x: Array, batch: int | None = None) -> Array:
        """The file's own numbers for canonical x: [B, K]. `batch`: ask so many rows at once, where the file takes
        any."""
        if not len(x):
            return np.zeros((0, 1 if self.reading.one_score else self.reading.classes), np.float32)
        feed = self.feed(x)
        size = self.reading.batch if self.reading.batch is not None else batch
        if size is None:
            return self._rows(feed)
        parts = []
        for start in range(0, len(feed), size):
            part = feed[start : start + size]
            short = size - len(part)
            full = np.concatenate([part, np.repeat(part[-1:], short, 0)]) if short else part
            parts.append(self._rows(full)[: len(part)])
        return np.concatenate(parts)

    def feed(self, x: Array) -> Array:
        """Canonical x [B, *shape] as the file's own numbers, [B, *file_shape] (before its batch axis is moved or
        cut)."""
        one = self.reading
        dtype: np.dtype[Any] = np.dtype(DTYPES[one.type])
        x = np.asarray(x, dtype=np.float64 if dtype == np.float64 else np.float32)
        tail = (1,) * (len(one.shape) - 1)
        for values, apply in ((one.mean, np.subtract), (one.std, np.divide)):
            if values:
                x = apply(x, np.asarray(values, dtype=x.dtype).reshape(-1, *tail))
        if one.whole is not None:
            low, high = one.bounds
            first, last = one.whole
            if one.whole != one.bounds:
                x = (x - low) * ((last - first) / (high - low)) + first
            x = np.round(x)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype.name)
            x = np.clip(x, float(limits.min), float(limits.max))
        if one.channels_last:
            x = x.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(x.reshape(len(x), *one.file_shape).astype(dtype))

    def exact(self, raw: Array) -> Array:
        """Scores [B, K] in float64 from the file's own numbers."""
        one = self.reading
        raw = raw.astype(np.float64)
        if one.scale == "probabilities":
            raw = np.concatenate([1 - raw, raw], 1) if one.one_score else raw
            logs: Array = np.log(np.maximum(raw, TINY))  # NaN stays NaN
            return logs
        if one.scale == "log-probabilities":
            return np.where(np.isneginf(raw), LOG_ZERO, raw)
        return np.concatenate([np.zeros_like(raw), raw], 1) if one.one_score else raw

    def rounded(self, exact: Array) -> Array:
        """float64 scores as float32, with the largest kept the largest."""
        with np.errstate(over="ignore"):
            scores = exact.astype(np.float32)
        labels = self._labels(exact)
        swallowed = np.flatnonzero((scores.argmax(1) != labels) & (labels >= 0))
        top = (
            np.nextafter(scores[swallowed].max(1, initial=-np.inf), np.float32(np.inf))
            if len(swallowed)
            else scores[:0, 0]
        )
        scores[swallowed, labels[swallowed]] = top
        return scores

    def _labels(self, exact: Array) -> Array:
        with np.errstate(over="ignore"):
            finite = np.isfinite(exact.astype(np.float32)).all(1)
        return np.where(finite, exact.argmax(1), -1).astype(np.int64)

    def _rows(self, feed: Array) -> Array:
        """One run on a batch of the size that the file takes: [n, ...] -> [n, K]."""
        value = run_session(
            self.session, [self.reading.output], {self.reading.input: placed(feed, self.reading.batch_at)}
        )
        rows = rows_of(value[0], len(feed), self.reading)
        self.same_width(rows.shape[1], len(rows))
        return rows

    def same_width(self, width: int, rows: int) -> None:
        """Raises ModelError where an answer to so many rows has another number of scores a row than the first one."""
        first, count = self._seen = self._seen or (width, rows)
        if width != first:
            raise _uneven(first, count, width, rows)


def placed(feed: Array, batch_at: int | None) -> Array:
    """[n, ...] with the batch axis where the file has it; None: of one row, without any."""
    if batch_at is None:
        return np.asarray(feed[0])
    return feed if batch_at == 0 else np.ascontiguousarray(np.moveaxis(feed, 0, batch_at))


def rows_of(value: Any, rows: int, reading: Reading) -> Array:
    """One output of ONNX Runtime for so many rows as [rows, K]; labels as one-hot rows. Raises ModelError."""
    if reading.kind == "zipmap":
        return _listed(value, reading.keys, rows)
    array = np.asarray(value)
    if reading.kind == "labels":
        if array.size != rows:
            raise _wrong(rows, array.shape)
        return _hot(array.reshape(-1).tolist(), reading.keys)
    at = row_axis(array.shape, rows, reading)
    return array.reshape(1, -1) if at is None else np.moveaxis(array, at, 0).reshape(rows, -1)


def row_axis(shape: Sequence[int], rows: int, reading: Reading) -> int | None:
    """Which axis of an output for so many rows counts them; None where a single row was asked, and is all that came.
    Raises ModelError where there is none."""
    if rows == 1:
        return None
    at = reading.answers_at
    if at is None or len(shape) <= at or shape[at] != rows:
        raise _wrong(rows, shape)
    return at


def _wrong(rows: int, shape: Sequence[int]) -> ModelError:
    return ModelError(
        f"The model answers {rows} inputs with a result of shape {tuple(shape)}.",
        "Export it with a free batch axis, or with batch 1 declared in its input.",
    )


def _uneven(first: int, rows: int, then: int, others: int) -> ModelError:
    return ModelError(
        f"The model's number of classes changes with the batch: {first} when asked {rows} at a time, {then} when asked "
        f"{others}.",
        "Export it so that a batch of any size has one row of scores an input.",
    )


def _listed(value: Any, keys: tuple[int | str, ...], rows: int) -> Array:
    if not isinstance(value, list) or len(value) != rows:
        raise _wrong(rows, (len(value),) if isinstance(value, list) else np.shape(value))
    if any(set(row) != set(keys) for row in value):
        raise ModelError("The model answers with other labels than it lists.", "Export its class scores too.")
    return np.asarray([[float(row[key]) for key in keys] for row in value], dtype=np.float32)


def _hot(labels: list[Any], keys: tuple[int | str, ...]) -> Array:
    place = {str(key): number for number, key in enumerate(keys)}
    hot = np.zeros((len(labels), len(keys)), np.float32)
    for row, label in enumerate(labels):
        if str(label) not in place:
            raise ModelError(f"The model answers with an unknown label {label!r}.", "Export its class scores too.")
        hot[row, place[str(label)]] = 1.0
    return hot


def check_reading(
    reading: Reading, session: onnxruntime.InferenceSession, label_lists: Sequence[tuple[int | str, ...]]
) -> None:
    """That a reading from a record, well-formed as it is, is one of this file. Raises RecordError.

    label_lists: those that the file holds (runtime.wire). It cannot say which of several outputs was meant: that stands
    in the record, and its clean answers are asked again.
    """
    inputs = session.get_inputs()
    outputs = {output.name: output for output in session.get_outputs()}
    if len(inputs) != 1 or inputs[0].name != reading.input or inputs[0].type != reading.type:
        raise _foreign("the file's input has another name or element type")
    if reading.output not in outputs:
        raise _foreign(f"the file has no output {reading.output!r}")
    if not _fits(list(inputs[0].shape or []), reading):
        raise _foreign("the file's input has another shape or batch")
    type_name = outputs[reading.output].type
    kinds = {"tensor": "tensor(", "zipmap": "seq(map(", "labels": "tensor("}
    whole = type_name in ("tensor(int64)", "tensor(int32)", "tensor(string)")
    if not type_name.startswith(kinds[reading.kind]) or (
        type_name.startswith("tensor(") and whole != (reading.kind == "labels")
    ):
        raise _foreign("the file's output is of another kind")
    plain = reading.kind == "labels" and reading.keys == tuple(range(reading.classes))
    if reading.keys and not plain and reading.keys not in label_lists:
        raise _foreign("its labels are not those of the file, in the file's order")


def _fits(declared: list[Any], reading: Reading) -> bool:
    """Whether the file's declared input takes what the reading feeds it."""
    sizes: list[int | None] = list(reading.file_shape)
    if reading.batch_at is not None:
        sizes.insert(reading.batch_at, reading.batch)
    if len(declared) != len(sizes):
        return False
    known = [(d, s) for d, s in zip(declared, sizes, strict=True) if isinstance(d, int) and d > 0]
    return all(d == s for d, s in known)


def _foreign(fault: str) -> RecordError:
    return RecordError(
        f"The record's reading of the model's file does not fit the file: {fault}.", "Run the evaluation again."
    )
