"""Training against soft targets: what distillation and label embedding share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robusteval_defenses._common.training import Batch


def cross_entropy_to(targets: Tensor, temperature: float = 1.0) -> Callable[[nn.Module, Batch], Tensor]:
    """The loss against a distribution for each sample of the data, [N, K], with scores softened by the temperature."""

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(net(batch.x) / temperature, targets[batch.rows])

    return loss


def softened(net: Callable[[Tensor], Tensor], x: Tensor, temperature: float) -> Tensor:
    """Probabilities at the temperature, [N, K], without gradients."""
    with torch.no_grad():
        return torch.cat([(net(part) / temperature).softmax(1) for part in torch.split(x, 256)])
