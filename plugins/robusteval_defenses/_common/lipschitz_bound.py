"""A sound bound of how far scores can move for a move of the input: walks the operators of any differentiable copy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from robusteval.api import RobustEvalError
from robusteval_defenses._common.operator_norm import conv_norm, matrix_norm

# Slopes are at most this; values of elementwise activations.
_SLOPES: Mapping[str, float] = {
    **dict.fromkeys(("relu", "clamp", "clamp_min", "clamp_max", "hardtanh", "tanh", "abs", "neg", "softplus"), 1.0),
    **dict.fromkeys(("sin", "cos", "relu6", "hardsigmoid"), 1.0),
    "sigmoid": 0.25,
    "gelu": 1.13,
    "silu": 1.1,
}
# They move or drop values, or pad with constants.
_MOVES = (
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "squeeze", "unsqueeze", "clone", "alias", "detach",
    "slice", "select", "constant_pad_nd", "_to_copy", "flatten", "contiguous", "lift_fresh_copy",
)  # fmt: skip


@dataclass(frozen=True)
class Moves:
    """What depends on the input: by how much it moves at most (L2 over one sample), and its shape with the batch
    axis."""

    factor: Tensor
    shape: tuple[int, ...]


class LipschitzBound:
    """The bound for one module, by its present parameters, differentiable. Raises RobustEvalError where none is
    known."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...], name: str) -> None:
        self._name = name
        example = next(module.parameters()).new_full((2, *shape), 0.5)
        with torch.no_grad():
            graph = make_fx(module)(example)
        graph.graph.eliminate_dead_code()
        self._graph: GraphModule = graph  # holds the module's own parameters, so it follows their training
        self.now()

    def now(self, exact: bool = False) -> Tensor:
        """The bound []; exact: in float64, for certificates."""
        values: dict[Node, Any] = {}
        for node in self._graph.graph.nodes:
            if node.op == "placeholder":
                where = next((value.device for value in self._graph.parameters()), torch.device("cpu"))
                one = torch.ones((), dtype=torch.float64 if exact else torch.float32, device=where)
                values[node] = Moves(one, _shape(node))
            elif node.op == "get_attr":
                constant = getattr(self._graph, str(node.target))
                values[node] = constant.double() if exact and constant.is_floating_point() else constant
            elif node.op == "output":
                return self._answer(node, values)
            else:
                values[node] = self._step(node, values)
        raise self._refusal("a graph without an output")

    def _answer(self, node: Node, values: dict[Node, Any]) -> Tensor:
        (last,) = node.args
        if isinstance(last, Node) and _op(last) == "_log_softmax":
            last = last.args[0]  # it takes the same from all scores, so their differences are those before it
        found = values[last] if isinstance(last, Node) else None
        if not isinstance(found, Moves):
            raise self._refusal("a graph whose output does not depend on its input")
        return found.factor

    def _step(self, node: Node, values: dict[Node, Any]) -> Any:
        args: Any = torch.fx.node.map_arg(node.args, lambda operand: values[operand])
        kwargs: Any = torch.fx.node.map_arg(node.kwargs, lambda operand: values[operand])
        flat = [element for arg in args for element in (arg if isinstance(arg, list | tuple) else [arg])]
        if not any(isinstance(element, Moves) for element in flat):
            return node.target(*args, **kwargs)  # type: ignore[operator]
        op, shape = _op(node), _shape(node)
        if op == "getitem":
            return args[0]
        if op == "_log_softmax" and all(user.op == "output" for user in node.users):
            return Moves(_factor(args[0]), shape)  # never read, see _answer
        factor = None
        if op in _SLOPES or op in _MOVES:
            others = (
                any(isinstance(element, Moves) for element in flat[1:])
                or not kwargs.get("dtype", torch.float).is_floating_point
            )
            factor = None if others else _factor(args[0]) * _SLOPES.get(op, 1.0)
        elif op in _RULES:
            factor = _RULES[op](args, kwargs, shape)
        if factor is None:
            raise self._refusal(op)
        return Moves(factor, shape)

    def _refusal(self, op: str) -> RobustEvalError:
        return RobustEvalError(
            f"The defence {self._name} cannot bound this model: no bound is known for {op}.",
            "It works on linear layers, 2-D convolutions, pooling, batch normalisation, additions and usual "
            "activations.",
        )


def _factor(moving: Any) -> Tensor:
    """By how much it moves."""
    factor: Tensor = moving.factor
    return factor


def _op(node: Node) -> str:
    target = node.target
    packet = getattr(target, "overloadpacket", None)
    return str(getattr(packet, "__name__", None) or getattr(target, "__name__", target))


def _shape(node: Node) -> tuple[int, ...]:
    value = node.meta["val"]
    first = value[0] if isinstance(value, list | tuple) else value
    return tuple(first.shape)


def _sum(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    """a + alpha b, or a - alpha b."""
    scale = abs(float(kwargs.get("alpha", args[2] if len(args) > 2 else 1.0)))
    total: Tensor | None = None
    for operand, weight in ((args[0], 1.0), (args[1], scale)):
        if isinstance(operand, Moves):
            part = operand.factor * weight * _repeats(operand.shape, shape)
            total = part if total is None else total + part
    return total


def _repeats(shape: tuple[int, ...], wider: tuple[int, ...]) -> float:
    """What broadcasting stretches: the root of how often each value is repeated within a sample."""
    return math.sqrt(max(1.0, math.prod(wider) / max(1, math.prod(shape))))


def _product(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    """Times a constant, with broadcasting of either."""
    moving, constant = (args[0], args[1]) if isinstance(args[0], Moves) else (args[1], args[0])
    if isinstance(constant, Moves):
        return None
    if not isinstance(constant, Tensor):
        return _factor(moving) * abs(float(constant)) * _repeats(moving.shape, shape)
    squares = constant.square().expand(shape)
    padded = (1,) * (len(shape) - len(moving.shape)) + moving.shape
    spread = [axis for axis in range(len(shape)) if padded[axis] == 1 and shape[axis] > 1]
    total = squares.sum(spread) if spread else squares
    return _factor(moving) * total.amax().sqrt()


def _quotient(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    if isinstance(args[1], Moves) or kwargs.get("rounding_mode") is not None:
        return None
    return _product((args[0], 1.0 / args[1]), kwargs, shape)


def _matrix(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    """x @ W with x [B, D]."""
    if not isinstance(args[0], Moves) or isinstance(args[1], Moves):
        return None
    return _factor(args[0]) * matrix_norm(args[1])


def _affine(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    """bias + alpha x @ W."""
    if isinstance(args[0], Moves):
        return None
    factor = _matrix(args[1:], kwargs, shape)
    return None if factor is None else factor * abs(float(kwargs.get("alpha", 1.0)))


def _convolution(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    x, weight, _, stride, _, dilation, transposed, _, groups = args
    if not isinstance(x, Moves) or isinstance(weight, Moves) or transposed or weight.dim() != 4:
        return None
    return x.factor * conv_norm(weight, x.shape[2:], stride, dilation, groups)


def _windows(args: Any) -> tuple[int, int]:
    """(values in a window, windows that one value can be in) of a pooling with these arguments."""
    kernel = list(args[1]) * (2 if len(args[1]) == 1 else 1)
    stride = (list(args[2]) if len(args) > 2 and args[2] else kernel) * 1
    stride = stride * (2 if len(stride) == 1 else 1)
    return math.prod(kernel), math.prod(math.ceil(k / s) for k, s in zip(kernel, stride, strict=True))


def _max_pool(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    if len(args) > 4 and any(step != 1 for step in args[4]):
        return None
    return _factor(args[0]) * math.sqrt(_windows(args)[1])


def _mean_pool(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    if len(args) > 3:  # padding and what it counts change how many values a mean is of: the coarse bound is of one
        return _factor(args[0]) * math.sqrt(_windows(args)[1])
    count, overlap = _windows(args)
    return _factor(args[0]) * math.sqrt(overlap / count)


def _reduced(args: Any, shape: tuple[int, ...]) -> float | None:
    """How many values of a sample go into one result; None where the batch axis is reduced too."""
    before = args[0].shape
    axes = [axis % len(before) for axis in args[1]] if len(args) > 1 and args[1] is not None else [0]
    return None if 0 in axes or not axes else float(math.prod(before[axis] for axis in axes))


def _mean(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    count = _reduced(args, shape)
    return None if count is None else _factor(args[0]) / math.sqrt(count)


def _total(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    count = _reduced(args, shape)
    return None if count is None else _factor(args[0]) * math.sqrt(count)


def _batch_norm(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    """With running statistics; args: x, weight, bias, mean, variance, ..., eps."""
    x, weight, variance, eps = args[0], args[1], args[4], args[-1]
    if variance is None or (len(args) == 8 and args[5]):
        return None
    scale = torch.rsqrt(variance + eps) if weight is None else weight.abs() * torch.rsqrt(variance + eps)
    return _factor(x) * scale.amax()


def _expand(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    return _factor(args[0]) * _repeats(args[0].shape, shape)


def _cat(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    return torch.stack([element.factor.square() for element in args[0] if isinstance(element, Moves)]).sum().sqrt()


def _leaky(args: Any, kwargs: Any, shape: tuple[int, ...]) -> Tensor | None:
    return _factor(args[0]) * max(1.0, abs(float(args[1]) if len(args) > 1 else 0.01))


_RULES: Mapping[str, Callable[[Any, Any, tuple[int, ...]], Tensor | None]] = {
    "add": _sum,
    "sub": _sum,
    "mul": _product,
    "div": _quotient,
    "mm": _matrix,
    "addmm": _affine,
    "convolution": _convolution,
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _mean_pool,
    "mean": _mean,
    "sum": _total,
    "native_batch_norm": _batch_norm,
    "cudnn_batch_norm": _batch_norm,  # what a module on a GPU is traced to
    "miopen_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "expand": _expand,
    "cat": _cat,
    "leaky_relu": _leaky,
}
