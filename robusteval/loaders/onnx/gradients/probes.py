"""The inputs that the gates ask: the user's own images first, made-up ones besides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.errors import ModelError
from robusteval.loaders.gradient_help import MAX_ROWS, rows_to_ask
from robusteval.loaders.onnx.reading.inputs import InputReading
from robusteval.loaders.onnx.reading.reference import Truth

LARGE = 3 * 96 * 96  # inputs from this size on are checked with fewer rows


@dataclass(frozen=True)
class Probes:
    """Inputs whose answers are finite. `x` decide, [n, ...]: the user's images, or made-up inputs where there are
    none."""

    x: Tensor
    raw: Tensor  # ONNX Runtime's own answers to x
    walk: Tensor  # those of x that steps along a gradient start from
    made: Tensor  # made-up inputs beside the user's images, maybe none
    real: bool  # x are the user's images
    notes: tuple[str, ...] = ()


def probe_inputs(input_reading: InputReading, samples: Tensor | None) -> Tensor:
    """Made-up inputs: smooth shapes, noise, all dark, all bright; behind `samples` where there are any. float32."""
    shape, (low, high) = input_reading.space.input_shape, input_reading.space.bounds
    rng = np.random.default_rng(20240229)
    count = 6 if math.prod(shape) < LARGE else 2
    noise = torch.from_numpy(rng.random((count, *shape), dtype=np.float32))
    if len(shape) == 3:
        coarse = torch.from_numpy(rng.random((count, shape[0], 4, 4), dtype=np.float32))
        smooth = F.interpolate(coarse, size=shape[1:], mode="bilinear", align_corners=False)
    else:
        smooth = torch.from_numpy(rng.random((count, *shape), dtype=np.float32)) ** 3
    plain = torch.stack([torch.zeros(shape, device="cpu"), torch.ones(shape, device="cpu")])
    points = low + (high - low) * torch.cat([smooth, noise, plain])
    if samples is None or not len(samples):
        return points
    return torch.cat([samples[: 2 * count].float().cpu(), points])


def gather(truth: Truth, samples: Tensor | None, logarithms: bool = False) -> Probes:
    """Asks ONNX Runtime, and keeps what it answers with finite numbers. Raises ModelError where the user's images fail.

    `logarithms`: the file ends in a logarithm, so that minus infinity is a fair answer. A made-up input that fails,
    such as a constant image in a file that standardises each image, is a note where there are images, and where others
    are left.
    """
    points = probe_inputs(truth.input_reading, None)
    shape = truth.input_reading.space.input_shape
    most = rows_to_ask(shape)  # walks are dear, answers are cheap
    real = None if samples is None or not len(samples) else samples[: MAX_ROWS if math.prod(shape) < LARGE else most]
    answers = None
    if real is not None:
        real = real.float().cpu()
        answers, fine = _asked(truth, real, logarithms)
        if not bool(fine.all()):
            raise ModelError(
                f"The model answers {int((~fine).sum())} of {len(fine)} of the given images with values that are not "
                "finite.",
                "Check the export, and the range of the data.",
            )
    try:
        own, good = _asked(truth, points, logarithms)
    except ModelError:
        if real is None:
            raise
        own, good = points.new_zeros((len(points), 1)), torch.zeros(len(points), dtype=torch.bool, device="cpu")
    notes: tuple[str, ...] = ()
    if not bool(good.all()):
        which = "a constant image among them, " if not bool(good[-2:].all()) else ""
        notes = (
            (
                f"Of {len(points)} made-up inputs {int((~good).sum())} ({which}which no data set may hold) have no "
                "finite answer."
            ),
        )
    if real is not None and answers is not None:
        return Probes(real, answers, real[:most], points[good], True, notes)
    if not bool(good.any()):
        raise ModelError("The model answers plain inputs with values that are not finite.", "Check the export.")
    inner = good.clone()
    inner[-2:] = False  # the all-dark and all-bright inputs lie in corners of the box, where steps are cut off
    walk = points[inner] if bool(inner.any()) else points[good]
    return Probes(points[good], own[good], walk, points[:0], False, notes)


def _asked(truth: Truth, x: Tensor, logarithms: bool) -> tuple[Tensor, Tensor]:
    """Answers to x, and which of them are finite; asked alone where some are not, as one row may spoil those beside
    it."""
    raw = truth.raw(x)
    fine = _finite(raw, logarithms)
    if not bool(fine.all()) and truth.input_reading.batch is None:
        raw = truth.raw(x, 1)
        fine = _finite(raw, logarithms)
    return raw, fine


def _finite(raw: Tensor, logarithms: bool) -> Tensor:
    flat = raw.reshape(len(raw), -1)
    fine = torch.isfinite(flat)
    if logarithms:
        fine = (fine | torch.isneginf(flat)) & torch.isfinite(flat).any(1, keepdim=True)
    return fine.all(1)
