"""Transfer: adversarials made on other models, judged on this one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import (
    AttackInfo,
    Classifier,
    ModelError,
    Passes,
    PluginError,
    Problem,
    hookimpl,
    load_model,
    margin,
    param,
)
from robusteval_attacks._common.surrogate import climb

_MEMORY = "transfer"


@dataclass(frozen=True)
class Transfer:
    """PGD on the mean margin of the given models, each in units of the spread of its own scores."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="transfer",
        version="1",
        norms=("linf", "l2", "l1", "l0"),
        budget="fixed",
        needs="decision",
        summary="Climbs the mean margin of other, given models and tries the result on this one.",
        reference="Papernot, McDaniel, Goodfellow: Transferability in machine learning, 2016; ensembles after Liu, "
        "Chen, Liu, Song: Delving into transferable adversarial examples and black-box attacks, 2017",
        strengths="Asks this model nothing at all, so nothing that it does to its gradients or scores matters.",
        limits="Says more about how alike the models are than about the robustness of this one.",
        surrogates=True,
    )
    models: tuple[str, ...] = param((), "Paths of the models that the adversarials are made on; at least one.")
    steps: int = param(40, "Gradient steps.", minimum=1, maximum=100_000)
    step: float = param(0.1, "Size of a step as a share of eps.", minimum=1e-4, maximum=2.0)

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(0, 0, own=len(self.models) * (self.steps + 1))

    def run(self, problem: Problem) -> Tensor:
        if _MEMORY not in problem.memory:
            problem.memory[_MEMORY] = self.load()
        models: list[Classifier] = problem.memory[_MEMORY]
        for model in models:
            _check(model, problem)
        if len(problem) == 0:
            return problem.x.clone()
        return climb(problem, lambda x: _mean_margin(models, x, problem), self.steps, self.step)

    def load(self) -> list[Classifier]:
        """The models, opened by the installed loaders. Raises PluginError where none is named, ModelError for bad
        ones."""
        if not self.models:
            raise PluginError("transfer was given no models.", 'Name some: params = {models = ["other.onnx"]}.')
        return [load_model(path) for path in self.models]


def _check(model: Classifier, problem: Problem) -> None:
    """Raises ModelError where a model does not speak of the same inputs and classes, or gives no gradients."""
    info, shape = model.info, tuple(problem.x.shape[1:])
    if info.gradients == "none":
        raise ModelError(f"transfer needs gradients of {info.name}, which gives none.", info.gradients_reason)
    # A detector in front of the attacked model is one more class, which the others know nothing of.
    if tuple(info.input_shape) != shape or info.classes not in (problem.classes, problem.classes - 1):
        raise ModelError(
            f"transfer cannot use {info.name}: it maps {tuple(info.input_shape)} to {info.classes} classes, and the "
            f"attacked model {shape} to {problem.classes}.",
            "Name models of the same inputs and classes.",
        )


def _mean_margin(models: list[Classifier], x: Tensor, problem: Problem) -> Tensor:
    """Mean over the models of the margin over the spread of the scores, [B]; each model sees its own range."""
    low, high = problem.bounds
    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for model in models:
        bottom, top = model.info.bounds
        same = (bottom, top) == (low, high)
        scores = model.twin(x if same else bottom + (x - low) * ((top - bottom) / (high - low)))
        spread = scores.detach().std(1).clamp_min(1e-12)
        total = total + margin(scores, problem.safe[:, : scores.shape[1]]) / spread
    return total / len(models)


@hookimpl
def robusteval_attacks() -> list[type[Transfer]]:
    return [Transfer]
