"""A device that is not there: tensors of type mps that lie in the processor's memory, of which none can be float64, and
that meet no tensor of another place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

MPS = torch.device("mps")
_FACTORIES = {
    *(torch.arange, torch.as_tensor, torch.empty, torch.eye, torch.full, torch.linspace, torch.ones),
    *(torch.scalar_tensor, torch.tensor, torch.zeros),
}


class Far(Tensor):
    """A tensor on the pretended device."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func == Tensor.device.__get__:
            return MPS
        if func is torch._has_compatible_shallow_copy_type:  # asked of a module's weights on their way
            return False
        near = [a for a in _tensors((args, kwargs or {})) if not isinstance(a, Far)]
        if any(tensor.dim() for tensor in near):
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found mps and cpu ({func.__name__})"
            )
        found = super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]
        return _checked(found)


class Pretended(TorchFunctionMode):
    """Inside, tensors can be moved to MPS, made there, and brought back."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in _FACTORIES and str(given.get("device", "")) == "mps":
            return _checked(func(*args, **given | {"device": "cpu"}).as_subclass(Far))
        if func is Tensor.to:
            return _moved(args, given)
        if func is Tensor.cpu:
            return _plain(args[0])
        return func(*args, **given)


def _plain(tensor: Tensor) -> Tensor:
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.as_subclass(Tensor)


def _moved(args: tuple[Any, ...], given: dict[str, Any]) -> Tensor:
    tensor, *rest = args
    words = [*rest, *given.values()]
    places = [w if isinstance(w, torch.device) else w.device for w in words if isinstance(w, torch.device | Tensor)]
    dtypes = [w if isinstance(w, torch.dtype) else w.dtype for w in words if isinstance(w, torch.dtype | Tensor)]
    far = (places[0].type == "mps") if places else isinstance(tensor, Far)
    plain = _plain(tensor)
    plain = plain.to(dtypes[0]) if dtypes else plain
    return _checked(plain.as_subclass(Far)) if far else plain


def _checked(found: Any) -> Any:
    for tensor in _tensors(found):
        if isinstance(tensor, Far) and _plain(tensor).dtype == torch.float64:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
    return found


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, list | tuple) else []
