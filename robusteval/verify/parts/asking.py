"""The model of a record, asked again: its file checked as a whole, and read as the record says, if that is valid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from robusteval.errors import RecordError, RobustEvalError
from robusteval.record.run import Model, Record
from robusteval.runtime.answers import Runtime, check_reading
from robusteval.runtime.files import Bytes, read_file
from robusteval.runtime.reading import FLOATS, SCALES, Reading, from_json, whole_range
from robusteval.runtime.session import DTYPES, run_session
from robusteval.runtime.wire import label_lists


def reopened(path: Path, record: Record) -> Runtime:
    """ONNX Runtime on the file's own bytes, external data included, with the record's reading of it.

    Raises RecordError where the file is not the one that was evaluated, or the reading is not a valid one of it.
    """
    try:
        file = read_file(path)
        if file.sha256 != record.model.sha256:
            raise RecordError(
                f"The model {path} is not the one that was evaluated: its hash differs.",
                "Give the evaluated file with --model.",
            )
        session = file.session()
    except RecordError:
        raise
    except RobustEvalError as error:
        raise RecordError(f"The model {path} cannot be asked: {error.message}", error.hint) from None
    return Runtime(session, reading_in(record.model, session, file))


def reading_in(model: Model, session: onnxruntime.InferenceSession, file: Bytes) -> Reading:
    """The record's reading, where it is valid and says nothing else than the record's other fields; for records that
    were written before there was one, what follows from those fields. Raises RecordError."""
    if not model.reading:
        return _derived(model, session)
    found = from_json(model.reading)
    check_reading(found, session, label_lists(file.content))
    pairs: dict[str, Any] = {
        "input shape": (list(found.shape), list(model.input_shape)),
        "pixel range": (list(found.bounds), list(model.bounds)),
        "mean": (list(found.mean), list(model.mean)),
        "std": (list(found.std), list(model.std)),
        "number of classes": (found.classes, model.classes),
        "output": (found.scale, model.output),
        "external data": (sorted(found.external), sorted(file.external)),
    }
    odd = [name for name, (first, second) in pairs.items() if first != second]
    if odd:
        raise RecordError(
            f"The record says two things of how the model's file is read: {', '.join(odd)}.",
            "Run the evaluation again.",
        )
    return found


def _derived(model: Model, session: onnxruntime.InferenceSession) -> Reading:
    """As files were read before the record said how."""
    only = session.get_inputs()[0]
    declared = [size if isinstance(size, int) and size > 0 else None for size in only.shape]
    shape = tuple(model.input_shape)
    last = model.layout == "NHWC" and len(shape) == 3
    turned = (*shape[1:], shape[0]) if last else shape
    known = None not in declared[1:] and len(declared) > 1
    low, high = float(model.bounds[0]), float(model.bounds[1])
    reading = Reading(
        input=only.name,
        type=only.type if only.type in DTYPES else FLOATS[0],
        shape=shape,
        file_shape=tuple(int(size or 0) for size in declared[1:]) if known else turned,
        bounds=(low, high),
        output=session.get_outputs()[0].name,
        classes=model.classes,
        mean=tuple(model.mean),
        std=tuple(model.std),
        channels_last=last,
        whole=whole_range(only.type, (low, high), bool(model.mean or model.std)),
        batch=declared[0] or model.batch,
        scale=model.output if model.output in SCALES else "logits",
    )
    return _with_output(reading, model, session)


def _with_output(reading: Reading, model: Model, session: onnxruntime.InferenceSession) -> Reading:
    """The first output that has as many numbers as there are classes; else one score, or labels."""
    rows = reading.batch or 1
    x = np.full((rows, *reading.shape), reading.bounds[0], np.float32)
    names = [output.name for output in session.get_outputs()]
    values = run_session(session, names, {reading.input: Runtime(session, reading).feed(x)})
    for name, value in zip(names, values, strict=True):
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return replace(reading, output=name, kind="zipmap", keys=tuple(sorted(value[0])))
        array = np.asarray(value)
        if array.dtype.kind == "f" and array.ndim >= 2 and array.size == rows * model.classes:
            return replace(reading, output=name)
    first = np.asarray(values[0])
    if first.size == rows and first.dtype.kind == "f" and model.classes == 2:
        return replace(reading, output=names[0], one_score=True)
    return replace(reading, output=names[0], kind="labels", scale="labels", keys=tuple(range(model.classes)))
