"""How a model's passes are best done on a machine. Ways differ by rounding: of float32, or of TF32 or bfloat16 where
that is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from robusteval import ops

FULL, TF32, REDUCED = "float32", "TF32", "bfloat16"
AUTO, FULL_ONLY = PRECISIONS = ("auto", "full")  # what may be asked: whatever calibration finds good, or FULL only


@dataclass(frozen=True)
class Tuning:
    """Measured once per model and machine by the engine. onednn: whether torch uses oneDNN's kernels; channels_last:
    the layout of images in a pass; batched_jacobian: gradients of several classes in one batched backward pass, not one
    after the other; own_kernels: whether attacks convolve and pool by `ops.kernels`; precision: FULL, TF32 where
    a GPU's products in gradients round their factors to 10 bits, or REDUCED where gradients are those of layers
    computed in bfloat16, with images and losses in float32; slack: how far rounding moves the lead of the best class,
    as a share of the largest score. The judge has none of these."""

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
        if self.own_kernels:
            return ops.OwnKernels()
        return nullcontext() if device == "cpu" else _products(self.precision == TF32)

    def there_and_back(self, device: str) -> AbstractContextManager[object]:
        """To be entered around a forward and a backward pass on a device of this type, as torch asks anew on the way
        back whether products may be TF32."""
        return _products(True) if self.precision == TF32 and device != "cpu" else nullcontext()

    def scores(self, twin: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """The twin's scores [B, K] of x [B, *shape].

        Only gradients are rounded: scores alone are asked in full. So are, once more, the images of a
        rounded pass between whose two best classes rounding may decide: attacks keep what won, so a win has to be one.
        """
        rounds = self.precision != FULL and x.requires_grad
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


@contextmanager
def _products(tf32: bool) -> Iterator[None]:
    """Inside, a GPU's products may be TF32 or not; back to what it was after."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def tuning_of(data: Any) -> Tuning:
    """The tuning that was written down as {name: value}. Raises ValueError, TypeError or AttributeError where it is
    none."""
    known = {field.name: type(field.default) for field in fields(Tuning)}
    for name, value in data.items():
        if type(value) is not known.get(name):
            raise ValueError(f"{name} is not of a tuning")
    made = Tuning(**data)
    if made.precision not in (FULL, TF32, REDUCED):
        raise ValueError(f"{made.precision!r} is no precision")
    return made
