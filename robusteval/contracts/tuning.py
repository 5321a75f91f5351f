"""How a model's passes are best done on a machine. Ways differ by rounding: of float32, or of bfloat16 where that is
chosen."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from robusteval import ops

FULL, REDUCED = "float32", "bfloat16"
AUTO, FULL_ONLY = PRECISIONS = ("auto", "full")  # what may be asked: whatever calibration finds good, or FULL only


@dataclass(frozen=True)
class Tuning:
    """Measured once per model and machine by the engine. onednn: whether torch uses oneDNN's kernels; channels_last:
    the layout of images in a pass; batched_jacobian: gradients of several classes in one batched backward pass, not one
    after the other; own_kernels: whether attacks convolve and pool by `ops.kernels`; precision: FULL, or REDUCED where
    gradients are those of layers computed in bfloat16, with images and losses in float32; slack: how far rounding moves
    the lead of the best class, as a share of the largest score. The judge has none of these."""

    onednn: bool = True
    channels_last: bool = False
    batched_jacobian: bool = False
    own_kernels: bool = False
    precision: str = FULL
    slack: float = 0.0

    def full(self) -> Tuning:
        """The same in full precision."""
        return self if self.precision == FULL else replace(self, precision=FULL, slack=0.0)

    def laid(self, x: Tensor) -> Tensor:
        """x in the layout in which this model's passes are fastest."""
        if self.channels_last and x.dim() == 4:
            return x.contiguous(memory_format=torch.channels_last)
        return x

    def kernels(self, device: str = "cpu") -> AbstractContextManager[object]:
        """To be entered around a forward pass of the differentiable twin on a device of this type."""
        if self.precision == REDUCED:  # the own kernels are for float32
            return torch.autocast(device, torch.bfloat16, cache_enabled=False)
        return ops.OwnKernels() if self.own_kernels else nullcontext()

    def scores(self, twin: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """The twin's scores [B, K] of x [B, *shape].

        Only gradients are rounded to bfloat16: scores alone are asked in full. So are, once more, the images of a
        rounded pass between whose two best classes rounding may decide: attacks keep what won, so a win has to be one.
        """
        rounds = self.precision == REDUCED and x.requires_grad
        with (self if rounds else self.full()).kernels(x.device.type):
            scores = twin(x)
        if not rounds:
            return scores
        scores = scores.to(x.dtype)
        with torch.no_grad():
            top = scores.topk(min(2, scores.shape[1]), dim=1).values
            sure = top[:, 0] - top[:, -1] > self.slack * scores.abs().amax(1)  # False where one is not a number
            rows = (~sure).nonzero().squeeze(1)
            if not len(rows):
                return scores
            exact = scores.index_copy(0, rows, self.full().scores(twin, x.detach()[rows]).to(x.dtype))
        return exact + (scores - scores.detach()).nan_to_num(0.0, 0.0, 0.0)  # the bracket is 0 and has the gradient


def tuning_of(data: Any) -> Tuning:
    """The tuning that was written down as {name: value}. Raises ValueError, TypeError or AttributeError where it is
    none."""
    known = {field.name: type(field.default) for field in fields(Tuning)}
    for name, value in data.items():
        if type(value) is not known.get(name):
            raise ValueError(f"{name} is not of a tuning")
    made = Tuning(**data)
    if made.precision not in (FULL, REDUCED):
        raise ValueError(f"{made.precision!r} is no precision")
    return made
