"""How a model's passes are best done on a machine; changes results by rounding at most."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from robusteval import ops


@dataclass(frozen=True)
class Tuning:
    """Measured once per model and machine by the engine. onednn: whether torch uses oneDNN's kernels; channels_last:
    the layout of images in a pass; batched_jacobian: gradients of several classes in one batched backward pass, not one
    after the other; own_kernels: whether attacks convolve and pool by `ops.kernels`; the judge never does."""

    onednn: bool = True
    channels_last: bool = False
    batched_jacobian: bool = False
    own_kernels: bool = False

    def kernels(self) -> AbstractContextManager[object]:
        """To be entered around a pass of the differentiable twin."""
        return ops.OwnKernels() if self.own_kernels else nullcontext()
