"""Lipschitz-margin training: scores must win by more than a bounded move of the input can cost, and so it certifies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from robusteval.api import Classifier, Defended, DefenseInfo, Samples, hookimpl, param, trainable
from robusteval_defenses._common.input_transform import fresh_seed
from robusteval_defenses._common.lipschitz_bound import LipschitzBound
from robusteval_defenses._common.training import (
    Batch,
    Retrained,
    Said,
    Schedule,
    Training,
    learnable,
    model_facts,
    retrained,
    silent,
)

_ROUNDING = 1e-5  # of the largest score: what float32 may get wrong in a margin


@dataclass(frozen=True)
class MarginCertificate:
    """margin / (sqrt(2) L): scores whose vector moves by at most L per unit of L2 keep their order within it."""

    model: Retrained
    bound: float

    def __call__(self, x: Tensor) -> Tensor:
        """Certified L2 radius [B] of x [B, *shape], in units of the pixels."""
        if not len(x):
            return torch.zeros(0, dtype=torch.float64, device=x.device)
        scores = self.model.logits(x).double()
        top = scores.topk(2, 1).values
        margin = top[:, 0] - top[:, 1] - 2 * _ROUNDING * scores.abs().amax(1)
        return (margin / (math.sqrt(2) * self.bound)).clamp_min(0.0)


@dataclass(frozen=True)
class Lipschitz:
    """Trains on scores from which the most that `radius` could cost has been taken off."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="lipschitz",
        version="1",
        kind="retrained",
        needs_data=True,
        summary="Trains the model to win by more than its Lipschitz bound allows a perturbation to take, and certifies "
        "it.",
        reference="Tsuzuku, Sato, Sugiyama: Lipschitz-margin training, 2018; Cisse et al.: Parseval networks, 2017; "
        "norms of convolutions after Sedghi, Gupta, Long: The singular values of convolutional layers, 2019",
        known_breaks="None of the certificate, which holds for every sample, in L2 only. What an attack needs is "
        "usually several times the certified radius, as the product of layer norms overstates how far scores move.",
    )
    radius: float = param(
        0.5,
        "L2 radius that is trained for, as a share of the range; more costs clean accuracy.",
        minimum=0.0,
        maximum=1e3,
    )
    epochs: int = param(20, "Passes over the samples; 0 certifies the model as it is.", minimum=0, maximum=10000)
    rate: float = param(2e-3, "Learning rate at the start; it falls to 0 along a cosine.", minimum=1e-9, maximum=10.0)
    batch: int = param(64, "Samples a step.", minimum=1)
    warm_up: float = param(0.5, "Share of the training in which the radius grows from 0.", minimum=0.0, maximum=1.0)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return self.train(model, data, rng, silent)

    def train(self, model: Classifier, data: Samples | None, rng: Generator, on_epoch: Said) -> Defended:
        """As fit; `said` is told of every epoch. Raises RobustEvalError, also where no bound is known for a layer."""
        samples = learnable(data, self.info.name)
        module = trainable(model)
        bound = LipschitzBound(module, model.info.input_shape, self.info.name)
        low, high = model.info.bounds
        facts = model_facts(model, self.info, asdict(self))
        schedule = Schedule(self.epochs, self.rate, self.batch)
        loss = self._loss(bound, self.radius * (high - low))
        Training(samples, schedule, facts, fresh_seed(rng), on_epoch).run(module, loss)
        with torch.no_grad():
            largest = float(bound.now(exact=True)) * (1 + 1e-9)
        note = (
            f"Trained for {self.epochs} epochs on {len(samples)} samples for margins at L2 {self.radius:g} of the "
            f"range; its scores move by at most {largest:.4g} per unit of L2."
        )
        hardened = retrained(model, module, note)
        return Defended(hardened, certify=MarginCertificate(hardened, largest), notes=(note,))

    def _loss(self, bound: LipschitzBound, radius: float) -> Callable[[nn.Module, Batch], Tensor]:
        def loss(net: nn.Module, batch: Batch) -> Tensor:
            scores = net(batch.x)
            margin = radius * min(1.0, batch.progress / self.warm_up) if self.warm_up else radius
            handicap = math.sqrt(2) * margin * bound.now().to(scores)
            others = 1 - F.one_hot(batch.y, scores.shape[1]).to(scores)
            return F.cross_entropy(scores + handicap * others, batch.y)

        return loss


@hookimpl
def robusteval_defenses() -> list[type[Lipschitz]]:
    return [Lipschitz]
