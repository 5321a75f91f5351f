"""What a file's input and output mean: layout, batch size, and which of its outputs are the scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx
import onnxruntime

from ..contracts.classifier import LoadOptions
from ..errors import ModelError
from .onnx_session import DTYPES
from .pixel import PixelSpace, pixel_space

FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")
SHAPE_HINT = "Say what one input looks like with --shape, for example --shape 3 32 32."


@dataclass(frozen=True)
class InputReading:
    """The one input: how canonical pixels become it."""

    name: str
    type: str  # ONNX Runtime's name for its element type
    space: PixelSpace
    layout: str  # "NCHW", "NHWC", "flat" or "other"
    batch: int | None  # None: any
    unbatched: bool = False  # the file has no batch axis at all
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OutputReading:
    """The chosen output. `kind`: "tensor", "zipmap" (a list of dictionaries) or "labels"."""

    name: str
    kind: str
    labels: tuple[int | str, ...] = ()  # the keys of a ZipMap in the order of the classes
    tensor: str = ""  # the tensor behind it in the graph
    notes: tuple[str, ...] = ()


def read_input(session: onnxruntime.InferenceSession, options: LoadOptions) -> InputReading:
    """Understands the file's input, with the user's word where the file leaves it open. Raises ModelError."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(i.name for i in inputs)
        raise ModelError(f"The model takes {len(inputs)} inputs ({names}), not one image.", "Export it with one input.")
    only = inputs[0]
    if only.type not in DTYPES:
        raise ModelError(f"The model's input is a {only.type}, not numbers.", "Export it with a tensor of pixels.")
    dims = [d if isinstance(d, int) and d > 0 else None for d in (only.shape or [])]
    if not dims:
        raise ModelError("The model does not say what shape its input has.", "Export it with a shaped input.")
    unbatched = _unbatched(dims, session)
    own = dims if unbatched else dims[1:]
    shape, layout, notes = _understand(own, options)
    file_shape = _file_shape(own, shape, layout)
    whole, more = _whole_numbers(only.type, options)
    turned = "NHWC" if layout == "NHWC" or (layout == "flat" and options.layout.upper() == "NHWC") else "NCHW"
    space = pixel_space(options, shape, file_shape, turned, whole)
    if None in own:
        shown = " x ".join(map(str, shape))
        notes = (*notes, f"The file leaves the size of its input open; {shown} was asked for.")
    batch = None if dims[0] is None else dims[0]
    return InputReading(only.name, only.type, space, layout, 1 if unbatched else batch, unbatched, (*notes, *more))


def _unbatched(dims: list[int | None], session: onnxruntime.InferenceSession) -> bool:
    """A (3, H, W) or (1, H, W) input whose output has no batch axis of its own."""
    if len(dims) != 3 or dims[0] not in (1, 3) or None in dims or math.prod(d or 1 for d in dims[1:]) < 16:
        return False
    ranks = [len(o.shape) for o in session.get_outputs() if o.shape is not None]
    leads = [o.shape[0] for o in session.get_outputs() if o.shape]
    return (bool(ranks) and max(ranks) == 1) or (dims[0] == 3 and all(lead == 1 for lead in leads))


def _understand(own: list[int | None], options: LoadOptions) -> tuple[tuple[int, ...], str, tuple[str, ...]]:
    """The canonical shape, the file's layout, and what to tell the reader."""
    asked = options.layout.upper()
    if asked not in ("", "NCHW", "NHWC"):
        raise ModelError(f"The layout {options.layout!r} is not known.", "Give NCHW or NHWC.")
    given = tuple(options.input_shape)
    if any(n <= 0 for n in given) or len(given) not in (0, 1, 3):
        raise ModelError(f"The input shape {given} is not one of an image or a vector.", SHAPE_HINT)
    known = [d for d in own if d is not None]
    if len(known) < len(own) and not given:
        raise ModelError("The model leaves the size of its input open.", SHAPE_HINT)
    if sum(d is None or d > 1 for d in own) <= 1:  # a vector, however many axes of size 1 it has
        size = next((d for d in own if d is None or d > 1), 1)
        size = math.prod(given) if size is None else size
        if not given:
            return (size,), "flat", ()
        return _fitting(given, size), "flat", ()
    if len(own) == 2:
        height, width = (g or d for g, d in zip(own, given[-2:] or own, strict=True))
        shape = (1, int(height or 0), int(width or 0))
        return _agree(given, shape), "other", ()
    if len(own) != 3:
        raise ModelError(f"The model's input has {len(own)} axes beside the batch: not an image.", SHAPE_HINT)
    layout, note = _layout(own, asked)
    filled = _fill(own, given, layout)
    shape = (filled[2], filled[0], filled[1]) if layout == "NHWC" else (filled[0], filled[1], filled[2])
    return _agree(given, shape), layout, note


def _layout(own: Sequence[int | None], asked: str) -> tuple[str, tuple[str, ...]]:
    if asked:
        return asked, ()
    first, last = own[0] in (1, 2, 3, 4), own[2] in (1, 2, 3, 4)
    if last and not first:
        return "NHWC", ("The layout NHWC was read off the input's shape.",)
    if first and last:
        return "NCHW", ("The input's shape fits both NCHW and NHWC; NCHW was taken (--layout says otherwise).",)
    return "NCHW", ()


def _fill(own: Sequence[int | None], given: tuple[int, ...], layout: str) -> tuple[int, int, int]:
    if len(given) != 3:
        if None in own:
            raise ModelError("The model leaves the size of its input open.", SHAPE_HINT)
        given = (0, 0, 0)
    wanted = (given[1], given[2], given[0]) if layout == "NHWC" else given
    a, b, c = (w if d is None else d for d, w in zip(own, wanted, strict=True))
    return a, b, c


def _agree(given: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    if given and given != shape:
        raise ModelError(f"The model takes inputs of shape {shape}, not {given}.", "Leave --shape away, or correct it.")
    return shape


def _fitting(given: tuple[int, ...], size: int) -> tuple[int, ...]:
    if math.prod(given) != size:
        raise ModelError(f"The model takes {size} numbers, which is not the shape {given}.", SHAPE_HINT)
    return given


def _file_shape(own: list[int | None], shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    if layout == "flat":
        size = math.prod(shape)
        return tuple(size if d is None or d > 1 else 1 for d in own)
    if layout == "NHWC":
        return shape[1], shape[2], shape[0]
    return shape[1:] if layout == "other" else shape


def _whole_numbers(type_name: str, options: LoadOptions) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Where the stated range goes in a file that takes integers."""
    if type_name in FLOATS:
        return None, ()
    low, high = (float(v) for v in options.bounds)
    plain = type_name.removeprefix("tensor(").removesuffix(")")
    if high - low > 1 or options.mean or options.std:
        return (low, high), (f"The file takes {plain}: inputs are rounded to whole numbers before they reach it.",)
    target = (-128.0, 127.0) if plain == "int8" else (0.0, 255.0)
    note = f"The file takes {plain}: {low:g}..{high:g} is stretched to {target[0]:g}..{target[1]:g} and rounded."
    return target, (note,)


def read_output(session: onnxruntime.InferenceSession, model: onnx.ModelProto) -> OutputReading:
    """Chooses the scores among the outputs, and says so where there was a choice. Raises ModelError."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found = [_candidate(o, makers) for o in session.get_outputs()]
    scores = [c for c in found if c is not None and c.kind != "labels"]
    labels = [c for c in found if c is not None and c.kind == "labels"]
    if not scores and not labels:
        shown = ", ".join(f"{o.name}: {o.type} {o.shape}" for o in session.get_outputs())
        raise ModelError(f"None of the model's outputs looks like class scores ({shown}).", "Export a classifier.")
    if not scores:
        return labels[0]
    best = min(scores, key=lambda c: _preference(c.name))
    others = [o.name for o in session.get_outputs() if o.name != best.name]
    if others:
        best = replace(best, notes=(*best.notes, f"Of several outputs {best.name!r} was taken as the scores."))
    return best


def _preference(name: str) -> int:
    words = ("logit", "score", "prob", "output")
    return next((i for i, word in enumerate(words) if word in name.lower()), len(words))


def _candidate(output: onnxruntime.NodeArg, makers: dict[str, onnx.NodeProto]) -> OutputReading | None:
    node = makers.get(output.name)
    if node is not None and node.op_type == "ZipMap":
        keys: tuple[int | str, ...] = ()
        for attr in node.attribute:
            keys = tuple(attr.ints) or tuple(s.decode() for s in attr.strings) or keys
        return OutputReading(output.name, "zipmap", keys, node.input[0])
    if output.type in FLOATS:
        shape = output.shape or []
        if len(shape) > 2 and any(isinstance(d, int) and d != 1 for d in shape[2:]):
            return None  # a feature map, not scores
        return OutputReading(output.name, "tensor", (), output.name)
    if output.type in ("tensor(int64)", "tensor(int32)", "tensor(string)"):
        return OutputReading(output.name, "labels", _label_keys(node), output.name)
    return None


def count_labels(taken: OutputReading, model: onnx.ModelProto) -> OutputReading:
    """For a file that returns labels without naming them: how many there are, as far as its graph says."""
    if taken.kind != "labels" or taken.labels:
        return taken
    node = next((n for n in model.graph.node if taken.name in n.output and n.op_type == "ArgMax"), None)
    shapes = {v.name: v.type.tensor_type.shape for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    shapes |= {v.name: v.type.tensor_type.shape for v in model.graph.input}
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0) if node is not None else 0
    dims = list(shapes[node.input[0]].dim) if node is not None and node.input[0] in shapes else []
    count = dims[axis].dim_value if -len(dims) <= axis < len(dims) else 0
    if count < 2:
        raise ModelError(
            "The model returns labels only, and does not say how many there are.", "Export its class scores too."
        )
    return replace(taken, labels=tuple(range(count)))


def _label_keys(node: onnx.NodeProto | None) -> tuple[int | str, ...]:
    for attr in node.attribute if node is not None else ():
        if attr.name in ("classlabels_int64s", "classlabels_ints"):
            return tuple(attr.ints)
        if attr.name == "classlabels_strings":
            return tuple(s.decode() for s in attr.strings)
    return ()
