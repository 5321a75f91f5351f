"""Which of a file's outputs are the class scores: by name, by the user's images and labels, or by preference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnxruntime

from robusteval.contracts.classifier import LoadOptions
from robusteval.errors import ModelError
from robusteval.loaders.onnx.reading.batches import Habit, Tried
from robusteval.loaders.onnx.reading.inference import inferred
from robusteval.loaders.onnx.reading.inputs import OutputReading, reading_of, with_batch
from robusteval.runtime.answers import Runtime
from robusteval.runtime.reading import FLOATS
from robusteval.runtime.session import Array

WORDS = ("logit", "score", "prob", "output")
KINDS = ("tensor", "zipmap", "labels")
_PASSING = ("Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten")

Shown = tuple[Array, Array]  # the user's images float32 [n, *shape] and labels int64 [n]


@dataclass(frozen=True)
class Rated:
    """A candidate, and the share of the user's images that it names rightly (None: not measured, or not possible)."""

    output_reading: OutputReading
    habit: Habit
    right: float | None = None


def candidates(session: onnxruntime.InferenceSession, model: onnx.ModelProto) -> list[OutputReading]:
    """Every output that may hold scores or labels, as far as its type tells. Raises ModelError where there is none."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found = [one for o in session.get_outputs() if (one := _candidate(o, makers)) is not None]
    if not found:
        raise _no_scores(session)
    return found


def _no_scores(session: onnxruntime.InferenceSession) -> ModelError:
    shown = ", ".join(f"{o.name}: {o.type} {o.shape}" for o in session.get_outputs())
    return ModelError(f"None of the model's outputs looks like class scores ({shown}).", "Export a classifier.")


def _candidate(output: onnxruntime.NodeArg, makers: dict[str, onnx.NodeProto]) -> OutputReading | None:
    node = makers.get(output.name)
    if node is not None and node.op_type == "ZipMap":
        return OutputReading(output.name, "zipmap", _label_keys(node), node.input[0])
    if output.type in FLOATS:
        return OutputReading(output.name, "tensor", (), output.name)
    if output.type in ("tensor(int64)", "tensor(int32)", "tensor(string)"):
        while node is not None and node.op_type in _PASSING:
            node = makers.get(node.input[0])
        return OutputReading(output.name, "labels", _label_keys(node), output.name)
    return None


def choose(
    session: onnxruntime.InferenceSession,
    model: onnx.ModelProto,
    found: Sequence[OutputReading],
    tried: Tried,
    options: LoadOptions,
    shown: Shown | None,
) -> tuple[Tried, OutputReading]:
    """The output that holds the scores, and the input as that output wants it asked. Raises ModelError."""
    names = [o.name for o in session.get_outputs()]
    if options.output and options.output not in names:
        raise ModelError(f"The model has no output named {options.output!r}.", f"It has: {', '.join(names)}.")
    rated = [Rated(o, tried.habits[o.name]) for o in found if o.name in tried.habits]
    rated = [
        candidate
        for candidate in rated
        if candidate.habit.scores and (candidate.output_reading.kind != "labels" or candidate.habit.width == 1)
    ]
    if options.output:
        rated = [candidate for candidate in rated if candidate.output_reading.name == options.output]
        if not rated:
            raise ModelError(f"The output {options.output!r} does not hold class scores.", f"All: {', '.join(names)}.")
        best, note = rated[0], _asked(options.output, names)
    else:
        rated = _countable(rated, model)
        if not rated:
            raise _no_scores(session)
        rated = (
            [_rate(session, tried, candidate, shown) for candidate in rated]
            if len(rated) > 1 and shown is not None
            else rated
        )
        best = max(enumerate(rated), key=lambda pair: _worth(pair[1], pair[0], shown is not None))[1]
        note = _told(best, rated, names)
    if best.output_reading.kind == "labels":
        best = replace(best, output_reading=count_labels(best.output_reading, model))
    notes = (best.habit.note,) if best.habit.note else ()
    input_reading = with_batch(tried.input_reading, best.habit.batch, notes)
    output_reading = replace(best.output_reading, answers_at=best.habit.answers_at, notes=(note,) if note else ())
    return Tried(input_reading, tried.habits), output_reading


def _countable(rated: list[Rated], model: onnx.ModelProto) -> list[Rated]:
    """Without outputs of labels whose number the file does not tell, where there are others."""
    countable = []
    for candidate in rated:
        try:
            labelled = candidate.output_reading.kind == "labels"
            countable.append(
                replace(candidate, output_reading=count_labels(candidate.output_reading, model))
                if labelled
                else candidate
            )
        except ModelError:
            if len(rated) == 1:
                raise
    return countable


def _rate(session: onnxruntime.InferenceSession, tried: Tried, one: Rated, shown: Shown | None) -> Rated:
    """How often it agrees with the labels; None where it has too few classes for them, or fails on the images."""
    if shown is None:
        return one
    x, y = shown
    classes = max(2, one.habit.width if one.output_reading.kind == "tensor" else len(one.output_reading.labels))
    if not 0 <= y.min() <= y.max() < classes:
        return one
    input_reading = with_batch(tried.input_reading, one.habit.batch, ())
    output_reading = replace(one.output_reading, answers_at=one.habit.answers_at)
    try:
        raw = Runtime(session, reading_of(input_reading, output_reading)).raw(x).astype(np.float64)
    except ModelError:
        return one
    if raw.shape[1] == 1:
        half = 0.5 if raw.min() >= 0 and raw.max() <= 1 else 0.0
        answers = (raw[:, 0] > half).astype(np.int64)
    else:
        answers = raw.argmax(1)
    return replace(one, right=float((answers == y).mean()))


def _worth(one: Rated, index: int, by_data: bool) -> tuple[float, int, int, int]:
    """Greater is better: agreement with the labels, scores rather than labels, the name, and, where all that is equal,
    the last output where images were looked at, and the first one where not."""
    return (
        -1.0 if one.right is None else one.right,
        -KINDS.index(one.output_reading.kind),
        -_preference(one.output_reading.name),
        index if by_data else -index,
    )


def _preference(name: str) -> int:
    return next((i for i, word in enumerate(WORDS) if word in name.lower()), len(WORDS))


def _asked(name: str, names: list[str]) -> str:
    others = ", ".join(repr(n) for n in names if n != name)
    return f"Of several outputs {name!r} was taken as the scores, as asked; the others: {others}." if others else ""


def _told(best: Rated, rated: list[Rated], names: list[str]) -> str:
    """What the reader should know where there was a choice."""
    if len(names) < 2:
        return ""
    shares = {candidate.output_reading.name: candidate.right for candidate in rated}

    def shown(name: str) -> str:
        right = shares.get(name)
        return repr(name) if right is None else f"{name!r} ({right:.0%} of the user's images right)"

    others = ", ".join(shown(name) for name in names if name != best.output_reading.name)
    hint = "--output NAME says otherwise"
    return (
        f"Of several outputs {shown(best.output_reading.name)} was taken as the scores; the others: {others} ({hint})."
    )


def count_labels(output_reading: OutputReading, model: onnx.ModelProto) -> OutputReading:
    """For a file that returns labels without naming them: how many there are, as far as its graph says."""
    if output_reading.kind != "labels" or output_reading.labels:
        return output_reading
    makers = {name: node for node in model.graph.node for name in node.output}
    node = makers.get(output_reading.name)
    while node is not None and node.op_type in _PASSING:
        node = makers.get(node.input[0])
    node = node if node is not None and node.op_type in ("ArgMax", "ArgMin", "TopK") else None
    shapes = {v.name: v.type.tensor_type.shape for v in inferred(model).value_info}
    shapes |= {v.name: v.type.tensor_type.shape for v in model.graph.input}
    default = -1 if node is not None and node.op_type == "TopK" else 0
    axis = next((a.i for a in node.attribute if a.name == "axis"), default) if node is not None else 0
    dims = list(shapes[node.input[0]].dim) if node is not None and node.input[0] in shapes else []
    count = dims[axis].dim_value if -len(dims) <= axis < len(dims) else 0
    if count < 2:
        raise ModelError(
            "The model returns labels only, and does not say how many there are.", "Export its class scores too."
        )
    return replace(output_reading, labels=tuple(range(count)))


def _label_keys(node: onnx.NodeProto | None) -> tuple[int | str, ...]:
    for attr in node.attribute if node is not None else ():
        if attr.name in ("classlabels_int64s", "classlabels_ints"):
            return tuple(attr.ints)
        if attr.name == "classlabels_strings":
            return tuple(s.decode() for s in attr.strings)
    return ()
