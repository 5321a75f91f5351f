"""What a file's input means: its layout, and where its batch axis is, if it has one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import onnxruntime

from robusteval.contracts.classifier import LoadOptions
from robusteval.errors import ModelError
from robusteval.loaders.input_space import PixelSpace, pixel_space
from robusteval.loaders.output_head import Head
from robusteval.runtime.reading import FLOATS, Reading, whole_range
from robusteval.runtime.session import DTYPES

SHAPE_HINT = "Say what one input looks like with --shape, for example --shape 3,32,32."
LAYOUT_HINT = "Say which with --layout NCHW or --layout NHWC."
SMALL = (1, 2, 3, 4)  # usual numbers of channels

Fits = Callable[[tuple[int, ...]], bool]  # whether the user's images can be read as inputs of this canonical shape


@dataclass(frozen=True)
class InputReading:
    """The one input: how canonical pixels become it."""

    name: str
    type: str  # ONNX Runtime's name for its element type
    space: PixelSpace
    layout: str  # "NCHW", "NHWC", "flat" or "other"
    batch: int | None  # rows that are asked at once; None: any
    batch_at: int | None = 0  # the batch axis; None: the file has none
    notes: tuple[str, ...] = ()

    @property
    def unbatched(self) -> bool:
        """Whether the file has no batch axis at all."""
        return self.batch_at is None


@dataclass(frozen=True)
class OutputReading:
    """The chosen output. `kind`: "tensor", "zipmap" (a list of dictionaries) or "labels"."""

    name: str
    kind: str
    labels: tuple[int | str, ...] = ()  # the keys of a ZipMap, or the labels, in the order of the classes
    tensor: str = ""  # the tensor behind it in the graph
    answers_at: int | None = 0  # the batch axis; None: it has none, so one row is asked at a time
    notes: tuple[str, ...] = ()


def reading_of(
    input_reading: InputReading,
    output_reading: OutputReading,
    head: Head | None = None,
    batch: int | None = None,
    external: tuple[str, ...] = (),
) -> Reading:
    """Both as the plain description that travels in the record. batch: forced where the file takes any."""
    space, head = input_reading.space, head or Head(classes=max(2, len(output_reading.labels)))
    return Reading(
        input=input_reading.name,
        type=input_reading.type,
        shape=space.input_shape,
        file_shape=space.file_shape,
        bounds=space.bounds,
        output=output_reading.name,
        classes=head.classes,
        mean=space.mean,
        std=space.std,
        channels_last=space.turned,
        whole=space.whole,
        batch=input_reading.batch if input_reading.batch is not None else batch,
        batch_at=input_reading.batch_at,
        answers_at=output_reading.answers_at,
        kind=output_reading.kind,
        keys=output_reading.labels,
        scale=head.output,
        one_score=head.one_score,
        external=external,
    )


def guesses(
    session: onnxruntime.InferenceSession, options: LoadOptions, fits: Fits
) -> tuple[list[InputReading], list[ModelError]]:
    """(every way in which the file's declared input can be meant, what is wrong with others), the likeliest first;
    which of them works is tried. Raises ModelError where there is none, in the words of the likeliest."""
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
    found: list[InputReading] = []
    faults: list[ModelError] = []
    for at in _batch_axes(dims, options):
        own = dims if at is None else dims[:at] + dims[at + 1 :]
        batch = 1 if at is None else dims[at]
        try:
            found.append(_guess(only, own, batch, at, options, fits))
        except ModelError as error:
            faults.append(error)
    if not found:
        raise faults[-1]
    return found, faults


def _batch_axes(dims: list[int | None], options: LoadOptions) -> list[int | None]:
    """Where the batch axis may be. None: nowhere."""
    if len(dims) == 1:
        return [None]
    still_open = [i for i, d in enumerate(dims) if d is None]
    if len(still_open) == 1 and still_open[0] > 0 and not options.input_shape:
        return [still_open[0], 0]
    if len(dims) <= 3 and (dims[0] is not None or len(options.input_shape) == len(dims)):
        return [0, None]
    return [0]


def _guess(
    only: onnxruntime.NodeArg,
    own: list[int | None],
    batch: int | None,
    at: int | None,
    options: LoadOptions,
    fits: Fits,
) -> InputReading:
    shape, layout, notes = _understand(own, options, fits)
    file_shape = _file_shape(own, shape, layout)
    whole, more = _whole_numbers(only.type, options)
    turned = "NHWC" if layout == "NHWC" or (layout == "flat" and options.layout.upper() == "NHWC") else "NCHW"
    space = pixel_space(options, shape, file_shape, turned, whole)
    if None in own:
        shown = " x ".join(map(str, shape))
        notes = (*notes, f"The file leaves the size of its input open; {shown} was asked for.")
    return InputReading(only.name, only.type, space, layout, batch, at, (*notes, *more))


def _understand(
    own: list[int | None], options: LoadOptions, fits: Fits
) -> tuple[tuple[int, ...], str, tuple[str, ...]]:
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
    layout, notes = _layout(own, asked, given, fits)
    filled = _fill(own, given, layout)
    shape = (filled[2], filled[0], filled[1]) if layout == "NHWC" else (filled[0], filled[1], filled[2])
    return _agree(given, shape), layout, notes


def _layout(own: Sequence[int | None], asked: str, given: tuple[int, ...], fits: Fits) -> tuple[str, tuple[str, ...]]:
    """NCHW or NHWC: as asked, else by --shape, by a usual number of channels, by the images, by two equal sides."""
    if asked:
        return asked, ()
    if len(given) == 3:
        can = [guess for guess in ("NCHW", "NHWC") if _takes(own, given, guess)]
        if len(can) == 1 or None in own:
            return (can or ["NCHW"])[0], ()
    a, b, c = (int(d or 0) for d in own)
    guess, note = _by_shape(a, b, c)
    can = [name for name, shape in (("NCHW", (a, b, c)), ("NHWC", (c, a, b))) if fits(shape)]
    if len(can) == 1 and (can[0] != guess or note):
        return can[0], (f"The input's shape {a} x {b} x {c} fits both NCHW and NHWC; the images fit {can[0]} only.",)
    if not guess:
        raise ModelError(
            f"The input's shape {a} x {b} x {c} does not say whether its channels are first or last.", LAYOUT_HINT
        )
    return guess, (note,) if note else ()


def _by_shape(a: int, b: int, c: int) -> tuple[str, str]:
    """(NCHW, NHWC or "", what to tell the reader where it is not plain)."""
    first, last = a in SMALL, c in SMALL
    if first and last:
        return "NCHW", "The input's shape fits both NCHW and NHWC; NCHW was taken (--layout says otherwise)."
    if last:
        return "NHWC", "The layout NHWC was read off the input's shape."
    if first or (b == c != a):
        return "NCHW", ""
    if a == b != c:
        return "NHWC", f"The layout NHWC was read off the input's shape: {c} channels (--layout says otherwise)."
    return "", ""


def _takes(own: Sequence[int | None], given: tuple[int, ...], layout: str) -> bool:
    expected = (given[1], given[2], given[0]) if layout == "NHWC" else given
    return all(d in (None, w) for d, w in zip(own, expected, strict=True))


def _fill(own: Sequence[int | None], given: tuple[int, ...], layout: str) -> tuple[int, int, int]:
    if len(given) != 3:
        if None in own:
            raise ModelError("The model leaves the size of its input open.", SHAPE_HINT)
        given = (0, 0, 0)
    expected = (given[1], given[2], given[0]) if layout == "NHWC" else given
    a, b, c = (w if d is None else d for d, w in zip(own, expected, strict=True))
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
    """Where the stated range goes in a file that takes integers, and what to tell the reader."""
    if type_name in FLOATS:
        return None, ()
    low, high = (float(v) for v in options.bounds)
    target = whole_range(type_name, (low, high), bool(options.mean or options.std))
    plain = type_name.removeprefix("tensor(").removesuffix(")")
    if target is None or target == (low, high):
        return target, (f"The file takes {plain}: inputs are rounded to whole numbers before they reach it.",)
    note = f"The file takes {plain}: {low:g}..{high:g} is stretched to {target[0]:g}..{target[1]:g} and rounded."
    return target, (note,)


def with_batch(input_reading: InputReading, batch: int | None, notes: tuple[str, ...]) -> InputReading:
    """As tried: how many rows the file takes at once."""
    return replace(input_reading, batch=batch, notes=(*input_reading.notes, *notes))
