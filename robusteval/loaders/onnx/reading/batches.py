"""How a file takes a batch, told by trying: any number of rows, one number only, one by one, or without a batch
axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime

from robusteval.errors import ModelError
from robusteval.loaders.onnx.reading.inputs import Fits, InputReading, OutputReading, reading_of
from robusteval.runtime.answers import Runtime, placed
from robusteval.runtime.session import run_session

SEVERAL = 3  # rows that are tried beside one
BAKED = (2, 4, 8, 16, 32, 64, 128, 256)  # usual sizes of an exported batch
MOST = 1024


@dataclass(frozen=True)
class Habit:
    """How one output comes: asked for `batch` rows at a time (None: any), with its batch axis at `answers_at`."""

    batch: int | None
    answers_at: int | None
    width: int  # numbers a row
    scores: bool  # whether a row is a vector, not a map of places
    note: str = ""


@dataclass(frozen=True)
class Tried:
    """The way of reading the input that worked, and the habit of each output that did."""

    input_reading: InputReading
    habits: dict[str, Habit]


def try_input(
    session: onnxruntime.InferenceSession,
    model: onnx.ModelProto,
    found: tuple[Sequence[InputReading], Sequence[ModelError]],
    outputs: Sequence[OutputReading],
    fits: Fits,
) -> Tried:
    """The first of the guesses that works, or, where a leading axis may be the batch or the image's own, the one that
    the images or else the answers' shapes tell. Raises ModelError with the reason where none works."""
    tried: list[Tried] = []
    faults = list(found[1])
    for input_reading in found[0]:
        try:
            habits = _habits(_Asker(session, input_reading, outputs), input_reading, outputs, _sizes(model))
        except ModelError as error:
            faults.append(error)
            continue
        odd = input_reading.batch_at not in (
            0,
            None,
        )  # an open size elsewhere is the batch only where answers grow with it
        if not odd or any(habit.batch is None for habit in habits.values()):
            tried.append(Tried(input_reading, habits))
    if not tried:
        raise faults[0]
    fitting = [trial for trial in tried if fits(trial.input_reading.space.input_shape)]
    return fitting[0] if len(fitting) == 1 else _by_shape(tried)


def _by_shape(tried: list[Tried]) -> Tried:
    """With and without a batch axis: three numbers for (3, H, W) are three classes of one image rather than three
    images of one score."""
    with_axis, without = tried[0], next((trial for trial in tried if trial.input_reading.unbatched), None)
    if without is None or with_axis is without:
        return with_axis
    single = all(h.width == 1 for h in with_axis.habits.values())
    return without if single else with_axis


class _Asker:
    """Every output for n random inputs, by name."""

    def __init__(
        self, session: onnxruntime.InferenceSession, input_reading: InputReading, outputs: Sequence[OutputReading]
    ) -> None:
        self._session, self._input_reading, self._names = session, input_reading, [output.name for output in outputs]
        self._runtime = Runtime(session, reading_of(input_reading, outputs[0]))
        self.reason: ModelError | None = None  # of the first failure

    def __call__(self, rows: int) -> dict[str, Any] | None:
        """None where ONNX Runtime fails."""
        space = self._input_reading.space
        low, high = space.bounds
        x = low + (high - low) * np.random.default_rng(5).random((rows, *space.input_shape))
        feed = placed(self._runtime.feed(x.astype(np.float32)), self._input_reading.batch_at)
        try:
            answers = run_session(self._session, self._names, {self._input_reading.name: feed})
        except ModelError as error:
            self.reason = self.reason or error
            return None
        return dict(zip(self._names, answers, strict=True))


def _habits(
    ask: _Asker, input_reading: InputReading, outputs: Sequence[OutputReading], sizes: list[int]
) -> dict[str, Habit]:
    """Raises ModelError where no output can be had, or none has as many rows as the input."""
    if input_reading.unbatched:
        note = "The file has no batch axis: every input is asked alone."
        habits = {name: _noted(habit, note) for name, habit in _fixed(ask(1), 1, outputs).items()}
    elif input_reading.batch is not None:
        habits = _fixed(ask(input_reading.batch), input_reading.batch, outputs)
    else:
        one, several = ask(1), ask(SEVERAL)
        habits = {o.name: _open(o, one, several) for o in outputs}
        if one is None and several is None:
            size, answers = next(((n, found) for n in sizes if (found := ask(n)) is not None), (0, None))
            note = f"The file leaves its batch open, and answers {size} rows at a time only: so many are asked at once."
            habits = {name: _noted(habit, note) for name, habit in _fixed(answers, size, outputs).items()}
    good = {name: habit for name, habit in habits.items() if habit is not None}
    if not good:
        raise ask.reason or _rowless(ask, input_reading, outputs)
    return good


def _rowless(ask: _Asker, input_reading: InputReading, outputs: Sequence[OutputReading]) -> ModelError:
    rows = input_reading.batch or SEVERAL
    answers = ask(rows) or {}
    shown = ", ".join(str(tuple(np.shape(answers[o.name]))) for o in outputs if o.name in answers)
    return ModelError(
        f"The model answers {rows} inputs with a result of shape {shown}.",
        "Export it with a free batch axis, or with batch 1 declared in its input.",
    )


def _noted(habit: Habit | None, note: str) -> Habit | None:
    return None if habit is None else Habit(habit.batch, habit.answers_at, habit.width, habit.scores, note)


def _fixed(answers: dict[str, Any] | None, rows: int, outputs: Sequence[OutputReading]) -> dict[str, Habit | None]:
    """Of a file that takes this number of rows only."""
    if answers is None:
        return {}
    habits: dict[str, Habit | None] = {}
    for output in outputs:
        value = answers[output.name]
        if rows == 1:
            habits[output.name] = _single(output, value, "")
            continue
        shape = _shape(output, value)
        at = next((a for a in (0, len(shape) - 1) if shape and shape[a] == rows), None)
        habits[output.name] = None if at is None else Habit(rows, at, *_row(shape, at))
    return habits


def _open(one: OutputReading, alone: dict[str, Any] | None, several: dict[str, Any] | None) -> Habit | None:
    """Of a file that leaves its batch open, from its answers to one row and to SEVERAL."""
    first = None if alone is None else _shape(one, alone[one.name])
    batched = None if several is None else _shape(one, several[one.name])
    if first is not None and batched is not None and len(first) == len(batched):
        for at in (0, len(batched) - 1):
            if batched and first[at] == 1 and batched[at] == SEVERAL and _rest(first, at) == _rest(batched, at):
                return Habit(None, at, *_row(batched, at))
    if first is None:
        at = 0
        known = batched is not None and len(batched) > 0 and batched[at] == SEVERAL
        note = f"The file leaves its batch open, but fails on one row alone: {SEVERAL} are asked at once."
        return Habit(SEVERAL, at, *_row(batched, at), note) if known and batched is not None else None
    what = (
        f"fails on {SEVERAL} rows"
        if batched is None
        else f"answers 1 and {SEVERAL} rows in the shapes {first} and {batched}"
    )
    note = f"The file leaves its batch open, but {what}: every input is asked alone."
    return _single(one, alone[one.name] if alone is not None else None, note)


def _single(one: OutputReading, value: Any, note: str) -> Habit | None:
    """Of one row asked alone; None for what cannot be a row."""
    shape = _shape(one, value)
    long = [n for n in shape if n != 1]
    width = int(np.prod(shape)) if shape else 1
    if width < 1:
        return None
    return Habit(1, None, width, len(long) <= 1, note)


def _rest(shape: tuple[int, ...], at: int) -> tuple[int, ...]:
    return shape[:at] + shape[at + 1 :]


def _row(shape: tuple[int, ...], at: int) -> tuple[int, bool]:
    """(numbers a row, whether they are a vector)."""
    rest = _rest(shape, at)
    return int(np.prod(rest)) if rest else 1, sum(n != 1 for n in rest) <= 1


def _shape(one: OutputReading, value: Any) -> tuple[int, ...]:
    if one.kind == "zipmap":
        return (len(value), len(one.labels)) if isinstance(value, list) else ()
    return tuple(int(n) for n in np.shape(value))


def _sizes(model: onnx.ModelProto) -> list[int]:
    """Batch sizes that may be written into the graph: first numbers of constant shapes, then the usual ones."""
    constants = {t.name: t for t in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "Constant"]
    constants |= {node.output[0]: a.t for node in nodes for a in node.attribute if a.name == "value"}
    found = []
    for node in model.graph.node:
        if node.op_type == "Reshape" and len(node.input) > 1 and node.input[1] in constants:
            sizes = onnx.numpy_helper.to_array(constants[node.input[1]]).reshape(-1).tolist()
            found += [int(sizes[0])] if sizes else []
    for output in model.graph.output:
        found += [d.dim_value for d in output.type.tensor_type.shape.dim[:1]]
    return [n for n in dict.fromkeys((*found, *BAKED)) if 1 < n <= MOST]
