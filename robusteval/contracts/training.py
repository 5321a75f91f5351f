"""What it takes to train a loaded model: a copy of its twin with parameters that learn, and what is said meanwhile."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from robusteval.contracts.classifier import Classifier
from robusteval.contracts.plugins import Defended, Defense
from robusteval.contracts.samples import Samples
from robusteval.errors import RobustEvalError
from robusteval.ops import Norm


@dataclass(frozen=True)
class Epoch:
    """Where a training is: after this epoch, of so many; `loss` is the mean over the epoch's batches."""

    stage: str  # such as "teacher"; empty where there is but one
    done: int
    epochs: int
    loss: float
    seconds: float  # that this epoch took; 0 where it was taken from an earlier, interrupted training
    resumed: bool = False


@runtime_checkable
class TrainedDefense(Defense, Protocol):
    """A defence that trains, so that `robusteval train` can write what it made; `fit` is `train` without a word."""

    def train(
        self, model: Classifier, data: Samples | None, rng: Generator, on_epoch: Callable[[Epoch], None]
    ) -> Defended: ...


@dataclass(frozen=True)
class Aim:
    """What a training wants to be provable of its result: no image within eps, in units of the pixels, is answered
    otherwise than the label. certifier: the plugin that is asked whether it is."""

    norm: Norm
    eps: float
    certifier: str


@runtime_checkable
class TrainsToProve(Protocol):
    """A defence that trains for certificates, so that `robusteval train` says how much is proved of what it wrote."""

    def aim(self, model: Classifier) -> Aim: ...


@runtime_checkable
class Learns(Protocol):
    """A classifier that knows how its twin is trained; others are searched for modules and weights."""

    def trainable(self) -> nn.Module:
        """A fresh module, [B, *input_shape] -> scores [B, K], whose parameters are what may be learnt."""
        ...


def trainable(model: Classifier) -> nn.Module:
    """A fresh copy of the model's twin, [B, *input_shape] -> [B, K]; its parameters require gradients, in evaluation
    mode.

    The model itself is never touched. Normalisation keeps its running statistics. Raises RobustEvalError where the
    model has no gradients, or nothing that can be learnt.
    """
    if model.info.gradients == "none":
        raise RobustEvalError(
            f"The model {model.info.name!r} cannot be trained: it has no differentiable copy. "
            f"{model.info.gradients_reason}".strip(),
            "Export the model in floating point, or leave defences that train out.",
        )
    module = model.trainable() if isinstance(model, Learns) else _Copied(model)
    if not any(True for _ in module.parameters()):
        raise RobustEvalError(
            f"The model {model.info.name!r} cannot be trained: it has no weights that could be learnt.",
            "Give a network with floating-point weights.",
        )
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    return module.eval()


class _Copied(nn.Module):
    """A deep copy of any classifier: modules that it holds, and tensors in its fields, become parameters."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self._model = _Held(copy.deepcopy(model))
        self._find(self._model.model, "", set())

    def _find(self, holder: Any, path: str, seen: set[int]) -> None:
        if id(holder) in seen or not hasattr(holder, "__dict__"):
            return
        seen.add(id(holder))
        for name, value in list(vars(holder).items()):
            where = f"{path}_{name}" if path else name
            if isinstance(value, nn.Module):
                self.add_module(where, value)
            elif isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 0:
                trained = nn.Parameter(value.detach().clone())
                object.__setattr__(holder, name, trained)  # also where the dataclass is frozen
                self.register_parameter(where, trained)
            elif isinstance(value, Classifier):
                self._find(value, where, seen)

    def forward(self, x: Tensor) -> Tensor:
        return self._model.model.twin(x)


@dataclass(frozen=True)
class _Held:
    """Hides a classifier that may be a module itself from nn.Module's book-keeping."""

    model: Classifier


def parameters_of(module: nn.Module) -> dict[str, Tensor]:
    """Copies of what was learnt, by name, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in module.named_parameters()}


def with_parameters(module: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """Writes weights into the module's parameters, in place. Raises ValueError where names or shapes differ."""
    own = dict(module.named_parameters())
    if set(own) != set(weights) or any(own[name].shape != weights[name].shape for name in own):
        raise ValueError("these are not the weights of this module")
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value)
    return module
