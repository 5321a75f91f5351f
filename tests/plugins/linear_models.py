"""Problems with a known answer, and a plain torch module as a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from robusteval.api import Defended, ModelInfo, Norm, Problem
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.meter import Meter, Trace
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Attack

DUAL = {"l2": 2.0, "linf": 1.0, "l1": float("inf")}


@dataclass
class Module:
    """A torch module as a Classifier."""

    net: Any  # an nn.Module, whose layers tests reach for
    info: ModelInfo

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            answer: Tensor = self.net(x)
            return answer

    def twin(self, x: Tensor) -> Tensor:
        answer: Tensor = self.net(x)
        return answer


def classifier(
    net: nn.Module, shape: tuple[int, ...], classes: int, bounds: tuple[float, float] = (0.0, 1.0)
) -> Module:
    for weight in net.parameters():
        weight.requires_grad_(False)
    info = ModelInfo(name="net", format="torch", sha256="0" * 64, input_shape=shape, classes=classes, bounds=bounds)
    return Module(net.eval(), info)


def linear(
    shape: tuple[int, ...], classes: int, bounds: tuple[float, float] = (0.0, 1.0), seed: int = 0, zero: bool = False
) -> Module:
    """scores = W (x - centre): its boundaries are known in closed form."""
    size = int(torch.tensor(shape).prod())
    layer = nn.Linear(size, classes)
    rng = torch.Generator().manual_seed(seed)
    layer.weight.data = torch.randn(classes, size, generator=rng) * (0.0 if zero else 1.0)
    middle = torch.full((size,), (bounds[0] + bounds[1]) / 2)
    layer.bias.data = -layer.weight.data @ middle
    return classifier(nn.Sequential(nn.Flatten(), layer), shape, classes, bounds)


def middling(model: Module, count: int, seed: int = 1, share: float = 0.1) -> Tensor:
    """Samples so close to the middle of the box that the box binds no attack on the linear model."""
    low, high = model.info.bounds
    noise = torch.rand((count, *model.info.input_shape), generator=torch.Generator().manual_seed(seed)) - 0.5
    return (low + high) / 2 + noise * (high - low) * share


def optimum(model: Module, x: Tensor, safe: Tensor, norm: Norm) -> Tensor:
    """Smallest distance to a win on the linear model without its box, [B]; safe must spare one class or all but one."""
    weight = model.net[1].weight
    scores = model.logits(x)
    best = torch.full((len(x),), float("inf"))
    for row in range(len(x)):
        inside, outside = safe[row].nonzero().flatten(), (~safe[row]).nonzero().flatten()
        reach = []
        for k in outside:
            gaps = (scores[row, inside] - scores[row, k]).clamp_min(0)
            slopes = torch.linalg.vector_norm(weight[k] - weight[inside], ord=DUAL[norm], dim=1)
            reach.append(gaps / slopes)
        # one kept class: exact; several: every one must be passed, so the largest is a lower bound
        best[row] = torch.stack(reach).amax(1).min()
    return best


def untargeted(model: Classifier, x: Tensor) -> Tensor:
    scores = model.logits(x)
    return torch.nn.functional.one_hot(scores.argmax(1), scores.shape[1]).bool()


def pose(
    attack: Attack,
    model: Classifier | Defended,
    x: Tensor,
    safe: Tensor,
    norm: Norm,
    eps: float | Tensor | None = None,
    seed: int = 0,
    trace: bool = False,
    draws: int = 1,
) -> Problem:
    """The problem as the engine poses it to this attack; model is a Classifier or a Defended."""
    view = Pipeline(model if isinstance(model, Defended) else Defended(model))
    budget = None if eps is None else torch.full((len(x),), float(eps)) if isinstance(eps, float) else eps
    info = view.defended.model.info
    rng = Generator().manual_seed(seed)
    rows = torch.arange(len(x))
    meter = Meter(len(x))
    points = Trace() if trace else None
    return Problem(x, safe, norm, budget, info.bounds, rng, attack.info.needs, view, meter, rows, draws, points)


def smallest_budget(attack: Attack, model: Module, x: Tensor, safe: Tensor, norm: Norm, halvings: int = 8) -> Tensor:
    """The engine's search in short: the smallest eps at which the attack wins, per sample, [B]."""
    reach = optimum(model, x, safe, norm)
    low, high = torch.zeros_like(reach), 4 * reach
    for _ in range(halvings):
        middle = (low + high) / 2
        found = attack.run(pose(attack, model, x, safe, norm, middle))
        won = pose(attack, model, x, safe, norm, middle).won(found)
        low, high = torch.where(won, low, middle), torch.where(won, middle, high)
    return high
