"""Other activations in the place of every ReLU of a model's twin, without touching the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from robusteval.api import AccessError, Classifier, Featured, ModelInfo, RobustEvalError

Activation = Callable[[Tensor], Tensor]

_RELUS = (torch.relu, F.relu, Tensor.relu)
_IN_PLACE = (torch.relu_, F.relu_, Tensor.relu_)
_CLAMPS = (torch.clamp, torch.clip, Tensor.clamp, Tensor.clip, torch.clamp_min, Tensor.clamp_min, F.hardtanh)
_SIX = 6.0  # the only upper end at which a clamp is an activation (ReLU6) and no rounding to a range


class ReplacedReLU(TorchFunctionMode):
    """Within `with ReplacedReLU(activation):` every ReLU of this thread is `activation` instead.

    It sees the calls of nn modules, of functions and of the walker of ONNX graphs alike. A clamp at 0 from below counts
    as a ReLU, and one between 0 and 6 as the ReLU6 of mobile networks; other clamps (of quantised values) do not.
    """

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.replaced = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        top = _top(func, args, kwargs)
        if top is None:
            return func(*args, **kwargs)
        self.replaced += 1
        x: Tensor = args[0] if args else kwargs["input"]
        out = self.activation(x)
        if top < float("inf"):
            out = out.clamp(max=top)
        if func in _IN_PLACE or kwargs.get("inplace", False):
            return x.copy_(out)  # whoever calls it in place may go on with x instead of the result
        return out


def _top(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float | None:
    """The upper end of the ReLU that this call is, infinity for a plain one; None if it is none."""
    name = getattr(func, "__name__", "")
    if func in _RELUS or func in _IN_PLACE or name in ("relu.default", "relu_.default"):
        return float("inf")
    if func is F.relu6:
        return _SIX
    if func not in _CLAMPS and name not in ("clamp.default", "clamp_min.default", "hardtanh.default"):
        return None
    low, high = _ends(func, args, kwargs)
    if not _is(low, 0.0):
        return None
    return float("inf") if high is None else _SIX if _is(high, _SIX) else None


def _ends(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    names = ("min_val", "max_val") if func is F.hardtanh else ("min", "max")
    given = (*args[1:3], None, None)
    return (given[0] if given[0] is not None else kwargs.get(names[0])), (
        given[1] if given[1] is not None else kwargs.get(names[1])
    )


def _is(value: Any, wanted: float) -> bool:
    return isinstance(value, int | float) and float(value) == wanted


@dataclass(frozen=True)
class Retrofitted:
    """A classifier with another activation for every ReLU. Truth and twin are both the twin of the model.

    soft: what an attacker differentiates in the activation's place; None: the activation itself.
    """

    base: Classifier
    activation: Activation
    info: ModelInfo
    soft: Activation | None = None

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad(), ReplacedReLU(self.activation):
            return self.base.twin(x).float()

    def twin(self, x: Tensor) -> Tensor:
        with ReplacedReLU(self.soft or self.activation):
            return self.base.twin(x)

    def features(self) -> Retrofitted:
        """The base's features, with the same activations; so is their gradient. Raises AccessError where it has
        none."""
        if not isinstance(self.base, Featured):
            raise AccessError("The model below shows no features.", "Read out the scores instead.")
        base = self.base.features()
        info = replace(self.info, name=base.info.name, classes=base.info.classes, class_names=(), output="logits")
        return Retrofitted(base, self.activation, info, self.soft)


def needs_relu(model: Classifier, name: str) -> int:
    """How many ReLUs one pass of the twin takes. Raises RobustEvalError where there are none, or no twin."""
    if model.info.gradients == "none":
        raise RobustEvalError(
            f"The defence {name} rebuilds the model from its differentiable copy, and this model has none. "
            f"{model.info.gradients_reason}".strip(),
            "Export the model in floating point, or leave the defence out.",
        )
    low, high = model.info.bounds
    probe = ReplacedReLU(torch.relu)
    with torch.no_grad(), probe:
        model.twin(torch.full((1, *model.info.input_shape), (low + high) / 2, device="cpu"))
    if probe.replaced == 0:
        raise RobustEvalError(
            f"The defence {name} replaces ReLUs, and none was seen in this model.",
            "It works on models with ReLU or ReLU6 activations that are not compiled; leave it out for others.",
        )
    return probe.replaced
