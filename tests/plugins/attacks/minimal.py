"""What the tests of minimal attacks share: a trained model with its images, and distances after a line search."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import robusteval
from robusteval.api import Classifier, LoadOptions, Norm, size
from robusteval.contracts.plugins import Attack
from robusteval.loaders.onnx.plugin import OnnxLoader
from tests.plugins.linear_models import Module, linear, middling, optimum, pose, untargeted

ROOT = Path(__file__).parents[3]


@lru_cache(maxsize=2)
def trained(name: str, count: int = 16) -> tuple[Classifier, Tensor, Tensor]:
    """Model examples/fashion-<name>.onnx, bundled test images that it gets right, and their safe mask."""
    model = OnnxLoader().load(ROOT / "examples" / f"fashion-{name}.onnx", LoadOptions())
    with np.load(Path(robusteval.__file__).parent / "data" / "fashion_mnist.npz") as data:
        x = torch.from_numpy(data["x_test"][: 2 * count]).float().reshape(-1, 1, 28, 28) / 255
        y = torch.from_numpy(data["y_test"][: 2 * count].astype("int64"))
    x = x[model.logits(x).argmax(1) == y][:count]
    return model, x, untargeted(model, x)


def reach(attack: Attack, model: Classifier, x: Tensor, safe: Tensor, norm: Norm) -> Tensor:
    """Distance of the attack's answer after the engine's line search to the clean sample, infinite without a win,
    [B]."""
    problem = pose(attack, model, x, safe, norm)
    far = attack.run(problem)
    won, near, best = problem.won(far), x, far
    for _ in range(12):
        middle = (near + best) / 2
        inside = problem.won(middle).reshape(-1, *[1] * (x.dim() - 1))
        near, best = torch.where(inside, near, middle), torch.where(inside, middle, best)
    found = far if norm == "l0" else best
    return torch.where(won, size(found - x, norm), torch.inf)


def excess(
    attack: Attack,
    norm: Norm,
    bounds: tuple[float, float] = (0.0, 1.0),
    classes: int = 3,
    shape: tuple[int, ...] = (12,),
) -> Tensor:
    """Distance found on a linear model in proportion to the closed form, [B]; 1 is optimal."""
    model = linear(shape, classes, bounds)
    x = middling(model, 24)
    safe = untargeted(model, x)
    return reach(attack, model, x, safe, norm) / optimum(model, x, safe, norm)


def fewest(model: Module, x: Tensor, safe: Tensor) -> Tensor:
    """Smallest number of values of a linear model's input that must change within the box for a win, [B]."""
    weight, scores = model.net[1].weight, model.logits(x)
    low, high = model.info.bounds
    best = torch.full((len(x),), float("inf"))
    for row in range(len(x)):
        inside = int(safe[row].nonzero())
        for other in (~safe[row]).nonzero().flatten():
            slope = weight[other] - weight[inside]
            gains = torch.where(slope > 0, slope * (high - x[row]), slope * (low - x[row])).sort(descending=True).values
            count = int((gains.cumsum(0) < scores[row, inside] - scores[row, other]).sum()) + 1
            best[row] = min(float(best[row]), count)
    return best
