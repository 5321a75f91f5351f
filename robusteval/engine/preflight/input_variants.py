"""Could it be the input? The usual ways to scale, normalise, order and turn images, as maps of what the model is
fed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robusteval.contracts.classifier import ModelInfo
from robusteval.contracts.samples import Samples
from robusteval.engine.data.npz import RawData
from robusteval.engine.data.pixels import Range, flag, show

RANGES: tuple[Range, ...] = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))
MOST_CHANGES = 2  # more at once would be a search, not a slip of the user's

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Norm:
    """Usual mean and std, in units of the range that they are given in."""

    name: str
    bounds: Range
    mean: tuple[float, ...]
    std: tuple[float, ...]


NORMS = (
    Norm("ImageNet", (0.0, 1.0), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    Norm("ImageNet, blue first", (0.0, 255.0), (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    Norm("CIFAR-10", (0.0, 1.0), (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    Norm("MNIST", (0.0, 1.0), (0.1307,), (0.3081,)),
)


class Setting(NamedTuple):
    """One thing that differs from what was stated."""

    kind: Literal["model range", "data range", "normalisation", "channels", "layout"]
    words: str


@dataclass(frozen=True)
class InputVariant:
    """One other way to feed the model: first the pixels are moved, then scaled as scale * x + shift, per channel."""

    settings: tuple[Setting, ...]
    flags: str
    by_hand: str
    changes: int
    bounds: Range
    range_only: bool
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    move: str = ""  # "", "channels" or "transposed"

    @property
    def about(self) -> tuple[str, ...]:
        """What is different from the stated view, by kind."""
        kinds = {setting.kind for setting in self.settings}
        about = {
            "range": bool(kinds & {"model range", "data range"}),
            "normalisation": "normalisation" in kinds,
            "channels": "channels" in kinds,
            "layout": "layout" in kinds,
        }
        return tuple(kind for kind, there in about.items() if there)

    def apply(self, x: Tensor) -> Tensor:
        """What the model would be fed instead of x [B, *shape]; float32, and in general outside its stated range."""
        if self.move == "channels":
            x = x.flip(1)
        elif self.move == "transposed":
            x = _transposed(x)
        shape = (1, -1, 1, 1) if x.ndim == 4 else (1, -1)
        scale, shift = (
            torch.tensor(part, dtype=torch.float64, device="cpu").view(shape) for part in (self.scale, self.shift)
        )
        return (x.double() * scale.to(x.device) + shift.to(x.device)).float()


def input_views(
    info: ModelInfo, raw: RawData, samples: Samples, data_range: Range | None, thorough: bool
) -> Iterator[InputVariant]:
    """The stated view (changes 0) and every other that feeds the model something else, simplest first.

    Scaling, mean and std are affine, so a view is a map of x that stands for other flags. Not thorough: the model's
    range, mean and std only, as a high accuracy does not say that those are right.
    """
    views = [
        view
        for view in _scalings(info, raw, samples, data_range)
        if thorough or not any(setting.kind == "data range" for setting in view.settings)
    ]
    for move, by_hand in _moves(info.input_shape) if thorough else ():
        views += [
            replace(
                view,
                settings=(*view.settings, Setting("channels" if move == "channels" else "layout", by_hand)),
                by_hand=by_hand,
                changes=view.changes + 1,
                range_only=False,
                move=move,
            )
            for view in views
            if not view.move
        ]
    seen = set()
    for view in sorted(views, key=lambda view: view.changes):
        key = (view.move, tuple(f"{value:.6g}" for value in (*view.scale, *view.shift)))
        if view.changes <= MOST_CHANGES and key not in seen:
            seen.add(key)
            yield view


def _scalings(info: ModelInfo, raw: RawData, samples: Samples, data_range: Range | None) -> Iterator[InputVariant]:
    """Every combination of a range for the model, a range for the data, and mean/std."""
    is_bytes = raw.images.dtype == np.uint8
    stated = data_range or ((0.0, 255.0) if is_bytes else info.bounds)
    own = Norm("", info.bounds, info.mean or (0.0,), info.std or (1.0,))
    channels = info.input_shape[0] if len(info.input_shape) == 3 else 1
    norms = [replace(own, bounds=bounds) for bounds in dict.fromkeys((info.bounds, *RANGES))]
    if info.mean:
        norms += [replace(norm, name="none", mean=(0.0,), std=(1.0,)) for norm in norms]
    norms += [norm for norm in NORMS if len(norm.mean) == channels]
    for norm in norms:
        for source in _sources(samples, stated, is_bytes):
            default = data_range or ((0.0, 255.0) if is_bytes else norm.bounds)
            scale, shift = _affine(info, own, stated, norm, source)
            settings, flags = _words(info, norm, source, stated, default)
            yield InputVariant(
                settings=settings,
                flags=flags,
                by_hand="",
                changes=len(settings),
                bounds=norm.bounds,
                range_only=not norm.name and source == stated and norm.bounds != info.bounds,
                scale=scale,
                shift=shift,
            )


def _words(
    info: ModelInfo, norm: Norm, source: Range, stated: Range, default: Range
) -> tuple[tuple[Setting, ...], str]:
    """What is different from the stated settings, one entry each; and the flags that state it."""
    usual = norm.name not in ("", "none")
    settings, flags = [], []
    if norm.bounds != info.bounds:
        flags.append(f"--range {flag(norm.bounds)}")
    if norm.bounds != info.bounds and not usual:
        settings.append(Setting("model range", f"pixel range {show(norm.bounds)}"))
    if source != stated:
        settings.append(Setting("data range", f"data in {show(source)}"))
    if source != default:  # without the flag, another --range would also change how floats are read
        flags.append(f"--data-range {flag(source)}")
    if usual:
        settings.append(Setting("normalisation", f"the mean and std of {norm.name}"))
        flags.append(f"--mean {_list(norm.mean)} --std {_list(norm.std)}")
    elif norm.name == "none":
        settings.append(Setting("normalisation", "no mean and std"))
        flags.append("without --mean and --std")
    return tuple(settings), " ".join(flags)


def _list(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _sources(samples: Samples, stated: Range, is_bytes: bool) -> list[Range]:
    """The ranges that the stored values could mean: the stated one, that one inverted, and those that hold them all."""
    low, high = samples.bounds
    least, most = (
        stated[0] + (float(value) - low) / (high - low) * (stated[1] - stated[0]) for value in samples.x.aminmax()
    )
    least, most = min(least, most), max(least, most)
    usual = RANGES[:1] if is_bytes else RANGES
    holding = [bounds for bounds in usual if bounds[0] - 1e-6 <= least and most <= bounds[1] + 1e-6]
    return list(dict.fromkeys((stated, (stated[1], stated[0]), *holding)))


def _affine(
    info: ModelInfo, own: Norm, stated: Range, norm: Norm, source: Range
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(scale, shift) per channel such that the model, given scale * x + shift, feeds its file what `norm` and `source`
    say."""

    def fed(x: float) -> Floats:
        share = (x - info.bounds[0]) / (info.bounds[1] - info.bounds[0])
        stored = stated[0] + share * (stated[1] - stated[0])
        value = norm.bounds[0] + (stored - source[0]) / (source[1] - source[0]) * (norm.bounds[1] - norm.bounds[0])
        # The model will subtract its own mean and divide by its own std, so those are undone here.
        normed: Floats = (value - np.array(norm.mean)) / np.array(norm.std) * np.array(own.std) + np.array(own.mean)
        return normed

    shift = fed(0.0)
    return tuple((fed(1.0) - shift).tolist()), tuple(shift.tolist())


def _moves(shape: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """The ways to move pixels that make sense for inputs of this shape, and what the user would have to do."""
    if len(shape) == 3 and shape[0] == 3:
        yield "channels", "storing the colour channels in reverse order"
    side = math.isqrt(shape[0])
    if (len(shape) == 3 and shape[1] == shape[2]) or (len(shape) == 1 and side * side == shape[0]):
        yield "transposed", "storing the images transposed"


def _transposed(x: Tensor) -> Tensor:
    """x with height and width swapped; flat images are taken as square."""
    if x.ndim == 4:
        return x.transpose(2, 3)
    side = math.isqrt(x.shape[1])
    return x.view(len(x), side, side).transpose(1, 2).reshape(len(x), -1)
