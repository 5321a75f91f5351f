"""The shipped models and clean samples that they get right, for attacks that see labels or scores alone."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch import Tensor

from robusteval.api import Classifier, load_model
from robusteval.contracts.problem import Problem
from robusteval.engine.data.fashion_mnist import FashionMnist

EXAMPLES = Path(__file__).parents[3] / "examples"


@functools.cache
def shipped(name: str) -> Classifier:
    """The model examples/fashion-<name>.onnx."""
    return load_model(EXAMPLES / f"fashion-{name}.onnx")


def right_samples(model: Classifier, count: int) -> tuple[Tensor, Tensor]:
    """The first so many training images that the model gets right, and their labels."""
    images, labels, _ = FashionMnist().raw("fit")
    x = torch.as_tensor(images[: 2 * count]).reshape(-1, 1, 28, 28).float() / 255
    y = torch.as_tensor(labels[: 2 * count]).long()
    right = model.logits(x).argmax(1) == y
    return x[right][:count], y[right][:count]


def distances(problem: Problem, found: Tensor, model: Classifier) -> Tensor:
    """Distance of each candidate, infinite where it is no win on the true model."""
    answer = model.logits(found).argmax(1)
    kept = problem.safe.gather(1, answer[:, None]).squeeze(1)
    return problem.distance(found).masked_fill(kept, torch.inf)
