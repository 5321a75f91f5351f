"""Probabilities in logarithms: values beside the logarithms that they come from, carried through whatever follows a
softmax.

A softmax in float32 is one-hot long before its argument stops telling classes apart, and every gradient through it is
zero there. The function is the same in logarithms, so gradients are taken of those: exactly those of a model whose
softmax, clamp, mean or percentage was written as logarithms from the start.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from robusteval.loaders import carried_logs as logs
from robusteval.loaders.carried_logs import Call, Rest, Words

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
        self.orders: dict[
            int, tuple[Tensor, Tensor]
        ] = {}  # what keeps the order of logarithms, and those, maybe negated
        self.steps: list[str] = []  # functions that logarithms were carried through, the softmax first
        self.took = False  # whether a logarithm was asked for and given

    def of(self, value: Any) -> Tensor | None:
        """The logarithm of a tensor that is known to be made of probabilities."""
        found = self.known.get(id(value))
        return None if found is None else found[1]

    def ordered(self, value: Any) -> Tensor | None:
        """What tells the classes of a tensor apart in its own order, and does not saturate: the logarithm, or where a
        constant was added, subtracted or multiplied since, the logarithm of what it was done to, maybe negated."""
        known = self.of(value)
        found = self.orders.get(id(value))
        return known if known is not None or found is None else found[1]

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
        order = self.ordered(given)
        out = func(*args, **kwargs)
        if name == "setitem":
            self.known.pop(id(given), None)
            self.orders.pop(id(given), None)
            return out
        if name in _LOGS and before[0] is not None:
            self.took = True
            return before[0] / _LOGS[name]
        try:
            logarithm = self._rule(name, func, given, before, rest, kwargs)
        except (RuntimeError, TypeError, ValueError, IndexError):
            logarithm = None  # no rule for such arguments: nothing is known of the result
        self._note(name, out, logarithm)
        self._sort(name, func, out, (given, order), rest, kwargs)
        return out

    def _note(self, name: str, out: Any, logarithm: Any) -> None:
        if isinstance(out, list | tuple) and isinstance(logarithm, list | tuple):
            for part, (log, other) in zip(out, logarithm, strict=False):
                self.known[id(part)] = (part, log, other)
        elif isinstance(out, Tensor) and isinstance(logarithm, tuple) and logs.alike(out, logarithm[0]):
            self.known[id(out)] = (out, *logarithm)
        else:
            self.known.pop(id(out), None)
            return
        if name not in self.steps and name not in logs.MOVED:
            self.steps.append(name)

    def _sort(self, name: str, func: Call, out: Any, first: Any, rest: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Notes what the result is in the order of, where its logarithm is not known."""
        try:
            b = rest[0] if rest else kwargs.get("other")
            known = self.of(out) is not None
            order = None if known else logs.order_of(name, func, first, (b, self.ordered(b)), rest, kwargs)
        except (RuntimeError, TypeError, ValueError, IndexError):
            order = None
        if isinstance(out, Tensor) and isinstance(order, Tensor) and logs.alike(out, order):
            self.orders[id(out)] = (out, order)
        else:
            self.orders.pop(id(out), None)

    def _rule(self, name: str, func: Call, x: Any, before: Any, rest: Rest, kwargs: Words) -> Any:
        """(logarithm, logarithm of the complement or None) of the result, a list of them for several, or None."""
        if name in ("softmax", "softmin"):
            x = -x if name == "softmin" else x
            return F.log_softmax(x, logs.axis_of(x, rest, kwargs)), None
        if name in ("sigmoid", "expit", "special_expit"):
            return F.logsigmoid(x), F.logsigmoid(-x)
        if name in ("exp", "exp2"):
            return (x if name == "exp" else x * math.log(2.0)), None
        if name in ("cat", "concat", "concatenate", "stack", "hstack", "vstack"):
            parts = [self._log(part) for part in x]
            if not any(id(part) in self.known for part in x) or any(log is None for log in parts):
                return None
            return func(parts, *rest, **{k: v for k, v in kwargs.items() if k != "tensors"}), None
        if name in logs.ARITHMETIC:
            return self._arithmetic(name, x, before, rest, kwargs)
        if name == "where" and len(rest) == 2:
            chosen = [self.of(part) for part in rest]
            return None if any(log is None for log in chosen) else (torch.where(x, *chosen), None)
        log, other = before
        if log is None or name in logs.SAME:
            return None if log is None else (log, other)
        if name in logs.MOVED:
            return logs.moved(func, log, other, rest, kwargs)
        made = self._made(name, log, rest, kwargs)
        return None if made is None else (made, None)

    def _made(self, name: str, log: Tensor, rest: Rest, kwargs: Words) -> Tensor | None:
        """The logarithm of what is made of several numbers, or of a power."""
        if name in logs.SUMS:
            return logs.summed(name, log, rest, kwargs)
        if name in logs.PRODUCTS:
            return logs.product(name, log, rest, kwargs)
        if name == "lerp":
            end, share = (*rest, kwargs.get("end"), kwargs.get("weight"))[:2]
            return logs.blended(log, self.of(end), share)
        powers = {"sqrt": 0.5, "square": 2.0, "reciprocal": -1.0, "rsqrt": -0.5}
        return powers[name] * log if name in powers else None

    def _arithmetic(self, name: str, a: Any, before: Any, rest: Rest, kwargs: Words) -> Any:
        b = rest[0] if rest else kwargs.get("other", kwargs.get("exponent"))
        if name.startswith("r"):
            name, a, b, swapped = name[1:], b, a, before
            before = (None, None)
        else:
            swapped = (self.of(b), self.complement(b))
        if name == "pow" and before[0] is None and isinstance(b, Tensor) and (base := logs.uniform(a) or 0.0) > 0:
            return b * math.log(base), None
        if before[0] is None and swapped[0] is None:
            return None
        if name == "sub":  # one minus a sigmoid
            return (swapped[1], swapped[0]) if logs.is_one(a) and swapped[1] is not None else None
        if name == "pow":
            return (b * before[0], None) if before[0] is not None and isinstance(b, int | float) and b > 0 else None
        la = before[0] if before[0] is not None else self._log(a)
        lb = swapped[0] if swapped[0] is not None else self._log(b)
        if la is None or lb is None:
            return before if name == "add" and logs.no_more(b) and before[0] is not None else None
        if name in (*logs.TIMES, *logs.OVER):
            return la + lb if name in logs.TIMES else la - lb, None
        if before[0] is not None and swapped[0] is None and logs.tiny(b):
            return before
        if swapped[0] is not None and before[0] is None and logs.tiny(a):
            return swapped
        kind = logs.like(la, lb)
        first, second = (torch.as_tensor(log, device="cpu").to(kind) for log in (la, lb))
        return torch.logaddexp(first, second), None

    def _log(self, value: Any) -> Any:
        """The logarithm of a tensor or number that is positive throughout, known or taken; else None."""
        known = self.of(value) if isinstance(value, Tensor) else None
        return logs.positive(value) if known is None else known
