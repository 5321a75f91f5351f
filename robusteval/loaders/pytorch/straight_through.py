"""Straight-through gradients for a module: what is flat almost everywhere has the slope of what it stands for (BPDA).

Athalye, Carlini, Wagner 2018, Obfuscated Gradients Give a False Sense of Security; Bengio et al. 2013 for the rule
itself. Values stay those of the module; only derivatives are others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from robusteval.loaders.pytorch.logarithms import plain_name

Call = Callable[..., Any]
ROUNDING = ("round", "floor", "ceil", "trunc", "fix")
SIGNS = ("sign", "sgn", "heaviside")
UPWARD = ("ge", "gt", "greater", "greater_equal")
DOWNWARD = ("le", "lt", "less", "less_equal")
DIVIDED = ("floor_divide", "floordiv", "rfloordiv")
REMAINDERS = ("remainder", "fmod", "mod")
DETACHED = ("detach", "data")
_WHOLE = {"int": torch.int32, "long": torch.int64, "short": torch.int16, "byte": torch.uint8, "char": torch.int8}
_BOTH = ("and", "logical_and", "bitwise_and")
_EITHER = ("or", "logical_or", "bitwise_or")
_DIFFER = ("xor", "logical_xor", "bitwise_xor")
_NOT = ("invert", "logical_not", "bitwise_not")
_OUTSIDE = 0.1  # slope of a step farther than 1 from it: a clipped rule alone would be dead there


def through(hard: Tensor, soft: Tensor) -> Tensor:
    """`hard` in value, `soft` in derivative."""
    return hard.detach() + (soft - soft.detach())


def _writes(func: Call) -> bool:
    """Whether a function writes into its first argument: add_, or __iadd__."""
    name: str = getattr(func, "__name__", "").split(".")[0]
    if name.endswith("__"):
        return name.startswith("__i") and plain_name(func) != "invert"
    return name.endswith("_")


def _near(gap: Tensor) -> Tensor:
    """The slope of a step at 0: 1 up to a distance of 1, little beyond."""
    inner = gap.clamp(-1.0, 1.0)
    return inner + _OUTSIDE * (gap - inner)


class StraightThrough(TorchFunctionMode):
    """While it is on, steps let gradients through. `met`: the functions where that made a difference.

    Whole numbers and truth values have no gradient of their own: each gets a real shadow with one, which takes its
    place wherever real numbers come out again. Where gradients are wanted they are also taken through what was cut off
    from them: detach, and passes under no_grad.
    """

    def __init__(self) -> None:
        super().__init__()
        self.met: dict[str, None] = {}
        self.shadows: dict[int, tuple[Tensor, Tensor]] = {}  # tensors are kept, so that their ids stay theirs
        self.wanted = torch.is_grad_enabled()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not self.wanted:
            return func(*args, **kwargs)
        name = plain_name(func)
        if name in {"set_grad_enabled", "_set_grad_enabled"}:
            return func(*args, **kwargs)
        cut = not torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            out = self._run(name, func, args, kwargs)
        if cut and isinstance(out, Tensor) and out.requires_grad:
            self.met["no_grad"] = None
        return out

    def _run(self, name: str, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x = args[0] if args else kwargs.get("input")
        if isinstance(x, Tensor) and x.requires_grad and _writes(func):
            return self._in_place(name, func, x, args, kwargs)
        if name in DETACHED and isinstance(x, Tensor) and x.requires_grad:
            self.met["detach"] = None
            return x
        if name == "setitem":
            return self._set(func, args)
        if name in DIVIDED:  # torch cannot even start to differentiate these
            out = func(*(value.detach() if isinstance(value, Tensor) else value for value in args), **kwargs)
        else:
            out = func(*args, **kwargs)
        soft = self._soft(name, x, out, args, kwargs)
        if soft is None:
            return self._carried(name, func, out, args, kwargs)
        self.met[name] = None
        return self._kept(out, soft)

    def _kept(self, out: Tensor, soft: Tensor) -> Tensor:
        """out with the derivative of soft; a whole number or truth value keeps it as its shadow."""
        if out.is_floating_point():
            return through(out, soft)
        self.shadows[id(out)] = (out, through(out.to(soft.dtype), soft))
        return out

    def _real(self, value: Any) -> Any:
        """A value with a derivative in the place of a whole number or truth value that has a shadow."""
        found = self.shadows.get(id(value))
        return value if found is None else found[1]

    def _moving(self, value: Any) -> bool:
        real = self._real(value)
        return isinstance(real, Tensor) and real.is_floating_point() and real.requires_grad

    def _soft(self, name: str, x: Any, out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a flat function stands for, or None for any other function and for what does not depend on the input."""
        if not isinstance(out, Tensor):
            return None
        other = args[1] if len(args) > 1 else kwargs.get("other", kwargs.get("rounding_mode"))
        if not (self._moving(x) or self._moving(other)):
            return None
        a, b = self._real(x), self._real(other)
        if name in ROUNDING:
            return a if isinstance(a, Tensor) else None
        if name in SIGNS:
            return _near(a)
        if name in UPWARD:
            return _near(a - b)
        if name in DOWNWARD:
            return _near(b - a)
        if name in DIVIDED or (name in ("div", "divide") and kwargs.get("rounding_mode")):
            return b / a if name == "rfloordiv" else a / b
        if name in REMAINDERS:
            return torch.zeros_like(out) + 0.0 * a
        if not out.is_floating_point() and out.dtype != torch.bool and isinstance(a, Tensor) and a.shape == out.shape:
            return a if name in _WHOLE or name in ("to", "type") else None
        return None

    def _carried(self, name: str, func: Call, out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a function of shadows: again a shadow, or real numbers with their derivative."""
        given = [*args, *kwargs.values()]
        given += [part for value in given if isinstance(value, list | tuple) for part in value]
        if not any(id(value) in self.shadows for value in given) or not isinstance(out, Tensor):
            return out
        try:
            soft = self._logic(name, func, args, kwargs)
        except (RuntimeError, TypeError, ValueError, IndexError):
            return out  # a function that has no meaning for real numbers, such as indexing by them
        if not isinstance(soft, Tensor) or soft.shape != out.shape or not soft.requires_grad:
            return out
        return self._kept(out, soft)

    def _logic(self, name: str, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        real = [self._all_real(value) for value in args]
        if name in _NOT:
            return 1.0 - real[0]
        if name in (*_BOTH, *_EITHER, *_DIFFER):
            a, b = (value.float() if isinstance(value, Tensor) else float(value) for value in real[:2])
            return a * b if name in _BOTH else a + b - a * b if name in _EITHER else a + b - 2 * a * b
        if name == "where" and len(args) == 3:
            return _chosen(args, real[0])
        if name in ("masked_fill", "masked_fill_") and len(args) == 3:
            return _chosen((args[1], args[2], args[0]), real[1])
        if name in ("any", "all") and len(args) > 1:
            return real[0].amax(args[1]) if name == "any" else real[0].amin(args[1])
        if name in _WHOLE or name == "bool":
            return real[0]
        if name in ("to", "type", "type_as") and not func(*args, **kwargs).is_floating_point():
            return real[0]
        return func(*real, **{key: self._all_real(value) for key, value in kwargs.items()})

    def _all_real(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(self._real(part) for part in value)
        return self._real(value)

    def _in_place(self, name: str, func: Call, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function that writes into its input: the derivative is written beside the value."""
        if name == "detach":
            self.met["detach"] = None
            return x
        if name == "requires_grad":
            return x
        old = x.clone()
        real = (old, *args[1:])
        if name in DIVIDED:
            out = x.copy_(torch.floor_divide(old.detach(), *args[1:]))
        else:
            out = func(*args, **kwargs)
        soft = self._soft(name, old, out, real, kwargs)
        if soft is None and name == "masked_fill" and id(args[1]) in self.shadows:
            pull = self._real(args[1]) * (args[2] - old).detach()
            out.add_(pull - pull.detach())
        elif soft is not None:
            self.met[name] = None
            out.add_(soft - soft.detach())
        return out

    def _set(self, func: Call, args: tuple[Any, ...]) -> Any:
        """x[mask] = value, where the mask has a shadow."""
        x, mask, value = args
        old = x.clone() if id(mask) in self.shadows and x.is_floating_point() else None
        result = func(x, mask, value)
        if old is not None and (not isinstance(value, Tensor) or value.dim() == 0):
            pull = self._real(mask) * (value - old).detach()
            x.add_(pull - pull.detach())
        return result


def _chosen(args: tuple[Any, ...], mask: Tensor) -> Tensor:
    """torch.where(condition, a, b) with a condition that has a derivative."""
    condition, a, b = args
    value = torch.where(condition, a, b)
    gap = torch.as_tensor(a, device=mask.device) - torch.as_tensor(b, device=mask.device)
    pull = mask * gap.detach()
    return value + (pull - pull.detach())
