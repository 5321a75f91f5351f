"""Whether attacks may propose in bfloat16 or TF32: where the machine computes in it, and the model's gradients stay
what they are.

What is proposed is judged in full precision in any case, so this is a question of strength and cost, never of truth.
benchmarks/precision.py measures what it costs in strength.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from robusteval.contracts.classifier import Classifier
from robusteval.contracts.tuning import Tuning
from robusteval.errors import RobustEvalError

_COSINE = 0.97  # least cosine of a gradient in bfloat16 with that in float32, for the median image
_LOW_COSINE = 0.9  # and for all but a tenth
_LABELS = 0.98  # share of images that get the same class
_SLACK = 2.0**-8  # the least: between neighbouring bfloat16 numbers near 1
_MOST_SLACK = 1 / 16  # beyond it most of what an attack asks near the boundary would be asked twice


def computes(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 numbers itself, and TF32 ones where it is a GPU; elsewhere they are taken
    apart, which is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in known)


def usable(model: Classifier, x: Tensor) -> bool:
    """Whether rounding is worth a try: gradients of a copy that rounds already lose too much by rounding once more."""
    return model.info.gradients == "exact" and computes(x.device)


def rounded(model: Classifier, x: Tensor, exact: Tuning, rough: Tuning) -> Tuning | None:
    """The rough way with its slack, where it gives x [B, *shape] the same classes as the exact one, and gradients that
    point the same way; else None."""
    try:
        (scores, grad), (others, turned) = _margins(model, x, exact), _margins(model, x, rough)
    except (RuntimeError, TypeError, ValueError, RobustEvalError):  # something in it takes no bfloat16
        return None
    if not bool(torch.isfinite(others).all() and torch.isfinite(turned).all()):
        return None
    there = (grad != 0).any(1)
    if float((scores.argmax(1) == others.argmax(1)).double().mean()) < _LABELS or not bool(there.any()):
        return None
    cosine = torch.nn.functional.cosine_similarity(grad[there], turned[there], dim=1)
    low, median = torch.quantile(cosine, cosine.new_tensor([0.1, 0.5])).tolist()
    slack = max(_SLACK, _moved(scores.double(), others.double()))
    if low < _LOW_COSINE or median < _COSINE or slack > _MOST_SLACK:
        return None
    return replace(rough, slack=slack)


def _moved(scores: Tensor, others: Tensor) -> float:
    """How far the lead of the best class differs, as a share of the largest score, on all but a tenth of the images."""
    best = scores.topk(2, dim=1).indices
    lead, other = (item.gather(1, best) @ item.new_tensor([1.0, -1.0]) for item in (scores, others))
    share = (lead - other).abs() / scores.abs().amax(1).clamp_min(1e-12)
    return float(torch.quantile(share, 0.9))


def _margins(model: Classifier, x: Tensor, tuning: Tuning) -> tuple[Tensor, Tensor]:
    """Scores [B, K], and the gradient of the lead of the best class over the next, float64 [B, D]."""
    leaf = tuning.laid(x.detach()).requires_grad_(True)
    with torch.enable_grad(), tuning.there_and_back(x.device.type):
        with tuning.kernels(x.device.type):
            scores = model.twin(leaf)
        top = scores.to(x.dtype).topk(2, dim=1).values
        (grad,) = torch.autograd.grad((top[:, 0] - top[:, 1]).sum(), leaf)
    return scores.detach(), grad.double().flatten(1)
