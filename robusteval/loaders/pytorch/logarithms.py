"""Probabilities in logarithms: values beside the logarithms that they come from, carried through whatever follows a
softmax.

A softmax in float32 is one-hot long before its argument stops telling classes apart, and every gradient through it is
zero there. The function is the same in logarithms, so gradients are taken of those: exactly those of a model whose
softmax, clamp, mean or percentage was written as logarithms from the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Call = Callable[..., Any]
_SMALL = 1e-3  # constants added below this are guards against log(0), and would hide what lies below them
_SAME = (  # monotone, and as good as nothing between probabilities
    "clamp", "clip", "clamp_min", "clamp_max", "hardtanh", "relu", "abs", "nan_to_num", "round", "dropout", "threshold",
    "maximum", "minimum",
)  # fmt: skip
_MOVED = (  # the same function moves the logarithms
    "reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "movedim",
    "getitem",
    "index_select", "gather", "select", "narrow", "flip", "roll", "expand", "repeat", "take_along_dim", "contiguous",
    "clone", "to", "type", "float", "double", "half", "detach", "alias", "slice", "chunk", "split", "unbind", "tile",
    "swapaxes", "moveaxis", "type_as", "view_as", "reshape_as", "tensor_split", "amax", "amin", "identity",
)  # fmt: skip
_LOGS = {"log": 1.0, "log2": math.log(2.0), "log10": math.log(10.0)}


def plain_name(func: Call) -> str:
    """The name of a torch function without underscores and overloads: `add` for Tensor.__iadd__, add_ and
    add.Tensor."""
    name: str = getattr(func, "__name__", "").split(".")[0]
    if name == "__get__":
        return "data" if getattr(func, "__self__", None) is Tensor.data else "get"
    bare = name.strip("_")
    if name.startswith("__") and bare[:1] in "ir" and bare[1:] in _DUNDER:
        return ("r" if bare[0] == "r" and bare[1:] in ("sub", "truediv", "div", "pow", "floordiv") else "") + bare[1:]
    return bare


_DUNDER = ("add", "sub", "mul", "truediv", "div", "pow", "floordiv", "mod", "and", "or", "xor")


class LogValues(TorchFunctionMode):
    """While it is on, the logarithms of probabilities are known: `of` gives those of a tensor.

    `log` of such a tensor is its logarithm itself, so that what the module goes on to do is done without the detour.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[
            int, tuple[Tensor, Tensor, Tensor | None]
        ] = {}  # tensors are kept, so that their ids stay theirs
        self.steps: list[str] = []  # functions that logarithms were carried through, the softmax first
        self.took = False  # whether a logarithm was asked for and given

    def of(self, value: Any) -> Tensor | None:
        """The logarithm of a tensor that is known to be made of probabilities."""
        found = self.known.get(id(value))
        return None if found is None else found[1]

    def complement(self, value: Any) -> Tensor | None:
        """The logarithm of one minus the value, known for a sigmoid."""
        found = self.known.get(id(value))
        return None if found is None else found[2]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = plain_name(func)
        given = args[0] if args else kwargs.get("input", kwargs.get("tensors"))
        kept = self.known.get(id(given))  # an operator in place changes the value under the same id
        rest = args[1:]
        before = (kept[1], kept[2]) if kept is not None else (None, None)
        out = func(*args, **kwargs)
        if name == "setitem":
            self.known.pop(id(given), None)
            return out
        if name in _LOGS and before[0] is not None:
            self.took = True
            return before[0] / _LOGS[name]
        try:
            logarithm = self._rule(name, func, given, before, rest, kwargs)
        except (RuntimeError, TypeError, ValueError, IndexError):
            logarithm = None  # no rule for such arguments: nothing is known of the result
        self._note(name, out, logarithm)
        return out

    def _note(self, name: str, out: Any, logarithm: Any) -> None:
        if isinstance(out, list | tuple) and isinstance(logarithm, list | tuple):
            for part, (log, other) in zip(out, logarithm, strict=False):
                self.known[id(part)] = (part, log, other)
        elif isinstance(out, Tensor) and isinstance(logarithm, tuple) and _alike(out, logarithm[0]):
            self.known[id(out)] = (out, *logarithm)
        else:
            self.known.pop(id(out), None)
            return
        if name not in self.steps and name not in _MOVED:
            self.steps.append(name)

    def _rule(self, name: str, func: Call, x: Any, before: Any, rest: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """(logarithm, logarithm of the complement or None) of the result, a list of them for several, or None."""
        if name in ("softmax", "softmin"):
            x = -x if name == "softmin" else x
            return F.log_softmax(x, _axis(x, rest, kwargs)), None
        if name in ("sigmoid", "expit", "special_expit"):
            return F.logsigmoid(x), F.logsigmoid(-x)
        if name in ("exp", "exp2"):
            return (x if name == "exp" else x * math.log(2.0)), None
        if name in ("cat", "concat", "concatenate", "stack", "hstack", "vstack"):
            logs = [self._log(part) for part in x]
            if not any(id(part) in self.known for part in x) or any(log is None for log in logs):
                return None
            return func(logs, *rest, **{k: v for k, v in kwargs.items() if k != "tensors"}), None
        if name in _ARITHMETIC:
            return self._arithmetic(name, x, before, rest, kwargs)
        log, other = before
        if log is None:
            return None
        if name in _SAME:
            return log, other
        if name in _MOVED:
            return _moved(func, log, other, rest, kwargs)
        if name in ("sum", "mean", "nansum", "nanmean"):
            return _summed(name, log, rest, kwargs), None
        powers = {"sqrt": 0.5, "square": 2.0, "reciprocal": -1.0, "rsqrt": -0.5}
        return (powers[name] * log, None) if name in powers else None

    def _arithmetic(self, name: str, a: Any, before: Any, rest: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        b = rest[0] if rest else kwargs.get("other", kwargs.get("exponent"))
        if name.startswith("r") and name != "reciprocal":
            name, a, b, swapped = name[1:], b, a, before
            before = (None, None)
        else:
            swapped = (self.of(b), self.complement(b))
        if before[0] is None and swapped[0] is None:
            return None
        if name == "sub":  # one minus a sigmoid
            return (swapped[1], swapped[0]) if _is_one(a) and swapped[1] is not None else None
        if name == "pow":
            return (b * before[0], None) if before[0] is not None and isinstance(b, int | float) and b > 0 else None
        la = before[0] if before[0] is not None else self._log(a)
        lb = swapped[0] if swapped[0] is not None else self._log(b)
        if la is None or lb is None:
            if name == "add" and _no_more(b) and before[0] is not None:
                return before
            return None
        if name == "mul":
            return la + lb, None
        if name in ("div", "truediv", "true_divide", "divide"):
            return la - lb, None
        if before[0] is not None and swapped[0] is None and _tiny(b):
            return before
        if swapped[0] is not None and before[0] is None and _tiny(a):
            return swapped
        return torch.logaddexp(
            torch.as_tensor(la, device="cpu").to(_like(la, lb)), torch.as_tensor(lb, device="cpu").to(_like(la, lb))
        ), None

    def _log(self, value: Any) -> Any:
        """The logarithm of a tensor or number that is positive throughout, known or taken; else None."""
        if isinstance(value, Tensor):
            known = self.of(value)
            if known is not None:
                return known
            return value.log() if value.is_floating_point() and bool((value.detach() > 0).all()) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return math.log(value) if value > 0 else None


_ARITHMETIC = (
    "add", "mul", "div", "truediv", "true_divide", "divide", "multiply", "rtruediv", "rdiv", "rsub", "sub", "pow",
)  # fmt: skip


def _like(*values: Any) -> torch.dtype:
    return next(v.dtype for v in values if isinstance(v, Tensor))


def _alike(out: Tensor, log: Tensor) -> bool:
    return log.shape == out.shape and out.is_floating_point() and log.is_floating_point()


def _is_one(value: Any) -> bool:
    return bool((value.detach() == 1).all()) if isinstance(value, Tensor) else value == 1


def _tiny(value: Any) -> bool:
    return float(value.detach().abs().max()) < _SMALL if isinstance(value, Tensor) else abs(value) < _SMALL


def _no_more(value: Any) -> bool:
    return not isinstance(value, Tensor) and value == 0


def _axis(x: Tensor, rest: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    axis = rest[0] if rest else kwargs.get("dim")
    if axis is None:  # torch's own old rule
        return 0 if x.dim() in (0, 1, 3) else 1
    return int(axis)


def _moved(func: Call, log: Tensor, other: Tensor | None, rest: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    kwargs = {key: value for key, value in kwargs.items() if key != "input"}
    first = func(log, *rest, **kwargs)
    if isinstance(first, list | tuple):
        return [(part, None) for part in first]
    return first, None if other is None else func(other, *rest, **kwargs)


def _summed(name: str, log: Tensor, rest: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    axis = rest[0] if rest else kwargs.get("dim", kwargs.get("axis"))
    keep = bool(rest[1] if len(rest) > 1 else kwargs.get("keepdim", False))
    axes = tuple(range(log.dim())) if axis is None else axis
    total = torch.logsumexp(log, axes, keep)
    if "mean" not in name:
        return total
    sizes = [log.shape[i] for i in (axes if isinstance(axes, tuple | list) else (axes,))]
    return total - math.log(math.prod(sizes))
