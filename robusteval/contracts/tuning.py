"""How a model's passes are best done on a machine; changes results by rounding at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """Measured once per model and machine by the engine. onednn: whether torch uses oneDNN's kernels; channels_last: the
    layout of images in a pass; batched_jacobian: gradients of several classes in one batched backward pass, not one
    after the other."""

    onednn: bool = True
    channels_last: bool = False
    batched_jacobian: bool = False
