"""What the preprocessors share: a classifier behind a change of its input, and fresh draws of a random change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, GraphNode, ModelInfo, RobustEvalError


@dataclass(frozen=True)
class Behind:
    """A classifier behind a change of its input, [B, *shape] -> [B, *shape] within the bounds.

    straight: the change has no useful gradient, so the twin lets gradients through as if nothing were changed.
    """

    base: Classifier
    change: Callable[[Tensor], Tensor]
    info: ModelInfo
    straight: bool = False

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.base.logits(self._changed(x))

    def twin(self, x: Tensor) -> Tensor:
        if self.straight:
            return self.base.twin(x + (self._changed(x.detach()) - x).detach())
        return self.base.twin(self._changed(x))

    def _changed(self, x: Tensor) -> Tensor:
        return self.change(x) if len(x) else x


@dataclass(frozen=True)
class FreshDraw:
    """Gives the pipeline with a fresh seed inside; a class, because closures cannot travel to worker processes."""

    model: Behind

    def __call__(self, rng: Generator) -> Defended:
        change = replace(self.model.change, seed=fresh_seed(rng))  # type: ignore[type-var]
        return Defended(replace(self.model, change=change))


def fresh_seed(rng: Generator) -> int:
    """A seed for a generator of its own."""
    return int(torch.randint(2**62, (1,), generator=rng, device=rng.device))


def behind(
    model: Classifier,
    change: Callable[[Tensor], Tensor],
    note: str,
    straight: str = "",
    steps: tuple[GraphNode, ...] | None = None,
) -> Defended:
    """The model behind a fixed change. note: one sentence for the report; straight: why the change has no gradient;
    steps: the change as nodes of a graph."""
    return Defended(Behind(model, change, described(model.info, note, straight), bool(straight)), steps=steps)


def behind_random(model: Classifier, change: Callable[[Tensor], Tensor], note: str) -> Defended:
    """The model behind a change that is drawn afresh for every query."""
    one = Behind(model, change, described(model.info, note))
    return Defended(one, draw=FreshDraw(one))


def described(info: ModelInfo, note: str, straight: str = "") -> ModelInfo:
    """The facts of the model behind a change. straight: the reason, where gradients go straight through."""
    info = replace(info, notes=(*info.notes, note))
    if not straight or info.gradients != "exact":
        return info
    return replace(info, gradients="straight-through", gradients_reason=straight, rung="B")


def image_shape(model: Classifier, name: str) -> tuple[int, int, int]:
    """(C, H, W) of the model's input. Raises RobustEvalError where it takes no images."""
    shape = model.info.input_shape
    if len(shape) != 3:
        raise RobustEvalError(
            f"The defence {name} changes images, and this model takes flat inputs of {shape[0]} values.",
            "Leave it out, or export the model with an input of shape (C, H, W).",
        )
    return shape[0], shape[1], shape[2]
