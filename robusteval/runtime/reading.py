"""How an ONNX file is read: what becomes its input, and how its output becomes scores. Plain numbers and names, no
code.

The loader finds the reading out, the record carries it, and whoever checks the record asks the file again with it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from robusteval.errors import RecordError

KINDS = ("tensor", "zipmap", "labels")
SCALES = ("logits", "probabilities", "log-probabilities", "labels")
FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")
WHOLES = ("tensor(uint8)", "tensor(int8)", "tensor(uint16)", "tensor(int16)", "tensor(int32)", "tensor(int64)")
MOST = 2**31  # numbers in one input, and classes: no larger ones are believed

Range = tuple[float, float]


@dataclass(frozen=True)
class Reading:
    """How canonical pixels, float32 [B, *shape] in `bounds`, become the file's input, and its output scores [B, K]."""

    input: str  # name
    type: str  # ONNX Runtime's name for its element type
    shape: tuple[int, ...]  # canonical, without the batch axis: (C, H, W) or (D,)
    file_shape: tuple[int, ...]  # the file's own, without the batch axis
    bounds: Range
    output: str  # name
    classes: int
    mean: tuple[float, ...] = ()  # per channel, applied outside the file; in units of `bounds`
    std: tuple[float, ...] = ()
    channels_last: bool = False  # the axes (C, H, W) are turned to (H, W, C) for the file
    whole: Range | None = None  # the file takes whole numbers: where the two bounds go, before rounding
    batch: int | None = None  # the only number of rows that is asked at once; None: any
    batch_at: int | None = 0  # the batch axis of the input; None: it has none, and one row is asked at a time
    answers_at: int | None = 0  # the batch axis of the output; None: it has none
    kind: str = "tensor"  # of KINDS: a tensor of scores, a list of dictionaries, or labels alone
    keys: tuple[int | str, ...] = ()  # the file's own labels in the order of the classes, for "zipmap" and "labels"
    scale: str = "logits"  # of SCALES: what the numbers are
    one_score: bool = False  # a single number stands for two classes
    external: tuple[str, ...] = ()  # files beside it that hold parts of the model

    def to_json(self) -> dict[str, Any]:
        """As a record holds it: lists in place of tuples."""
        plain = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def whole_range(type_name: str, bounds: Range, normalised: bool) -> Range | None:
    """Where the stated pixel range goes in a file that takes whole numbers; None in one that takes reals.

    A range wider than one unit, and one that is normalised outside the file, goes there as it is. One of at most a unit
    is stretched over the 256 levels of a byte: -128..127 for int8, else 0..255.
    """
    if type_name in FLOATS:
        return None
    if bounds[1] - bounds[0] > 1 or normalised:
        return bounds
    return (-128.0, 127.0) if type_name == "tensor(int8)" else (0.0, 255.0)


def from_json(stored: object) -> Reading:
    """The reading that a record holds. Raises RecordError for anything that is not one: it may be hostile."""
    if not isinstance(stored, dict) or not stored:
        raise RecordError("The record does not say how the model's file is read.", "Run the evaluation again.")
    names = {field.name for field in dataclasses.fields(Reading)}
    needed = {f.name for f in dataclasses.fields(Reading) if f.default is dataclasses.MISSING}
    odd = sorted(map(str, (set(stored) - names) | (needed - set(stored))))
    if odd:
        raise _invalid(f"its fields {', '.join(odd)[:200]} are missing or unknown")
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
    found = Reading(**plain)
    for fault in _form(found):
        raise _invalid(fault)
    if found.whole is not None:
        found = dataclasses.replace(found, whole=(float(found.whole[0]), float(found.whole[1])))
    return dataclasses.replace(found, bounds=(float(found.bounds[0]), float(found.bounds[1])))


def _invalid(fault: str) -> RecordError:
    return RecordError(
        f"The record's reading of the model's file is not a valid one: {fault}.", "Run the evaluation again."
    )


def _form(one: Reading) -> list[str]:
    """What is wrong with its types and values, before any file is looked at."""
    axes = (one.batch_at, one.answers_at)
    rules = {
        "a name is no text": all(isinstance(name, str) for name in (one.input, one.output, one.type, *_texts(one))),
        "the element type is unknown": one.type in (*FLOATS, *WHOLES),
        "the kind of output is unknown": one.kind in KINDS and one.scale in SCALES,
        "a switch is neither true nor false": isinstance(one.channels_last, bool) and isinstance(one.one_score, bool),
        "a shape is not one": _sizes(one.shape) and _sizes(one.file_shape) and len(one.shape) in (1, 3),
        "the number of classes is not one": _count(one.classes) and one.classes >= 2,
        "a number is not finite": all(_real(v) for v in (*_pair(one.bounds), *_list(one.mean), *_list(one.std))),
        "the range is not one": _range(one.bounds) and (one.whole is None or _range(one.whole)),
        "the batch is not a number of rows": one.batch is None or (_count(one.batch) and one.batch <= 2**16),
        "an axis is not one": all(a is None or (type(a) is int and 0 <= a <= 8) for a in axes),
        "the keys are not texts and numbers": all(type(k) in (int, str) for k in _list(one.keys)),
    }
    return [fault for fault, holds in rules.items() if not holds][:1] or _sense(one)


def _sense(one: Reading) -> list[str]:
    """What is wrong with how its values, each of the right type, belong together."""
    channels = one.shape[0] if len(one.shape) == 3 else 1
    decides = one.kind == "tensor"
    rules = {
        "the shapes hold different numbers of pixels": math.prod(one.shape) == math.prod(one.file_shape),
        "mean and std are not one a channel": all(len(v) in (0, 1, channels) for v in (one.mean, one.std)),
        "a standard deviation is not positive": all(v > 0 for v in one.std),
        "only images have channels that can be last": not one.channels_last or len(one.shape) == 3,
        "the whole numbers are not those that the range implies": one.whole
        == whole_range(one.type, one.bounds, bool(one.mean or one.std)),
        "without a batch axis only one row can be asked": one.batch == 1 or None not in (one.batch_at, one.answers_at),
        "the batch axis is not one of the input's": one.batch_at is None or one.batch_at <= len(one.file_shape),
        "there is not one key a class": len(one.keys) == (0 if decides else one.classes)
        and len({str(key) for key in one.keys}) == len(one.keys),
        "labels are no scores": (one.kind == "labels") == (one.scale == "labels"),
        "one score stands for two classes only": not one.one_score
        or (one.classes == 2 and decides and one.scale in ("logits", "probabilities")),
    }
    return [fault for fault, holds in rules.items() if not holds][:1]


def _texts(one: Reading) -> tuple[Any, ...]:
    return _list(one.external)


def _list(value: object) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (None,)


def _pair(value: object) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) and len(value) == 2 else (None,)


def _real(value: object) -> bool:
    return type(value) in (int, float) and abs(float(value)) <= 1e30  # type: ignore[arg-type]


def _range(value: object) -> bool:
    pair = _pair(value)
    return len(pair) == 2 and all(map(_real, pair)) and bool(pair[0] < pair[1])


def _count(value: object) -> bool:
    return type(value) is int and 0 < value <= MOST


def _sizes(value: object) -> bool:
    return isinstance(value, tuple) and len(value) <= 8 and all(map(_count, value)) and math.prod(value) <= MOST
