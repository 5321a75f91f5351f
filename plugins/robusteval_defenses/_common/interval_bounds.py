"""Interval bounds of the scores of any differentiable copy, which its parameters can learn from: a walk over torch's
operators, as they are when one batch goes through it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from robusteval.api import RobustEvalError
from robusteval_defenses._common.interval_rules import RULES, Interval, ahead_by, elided, moving

_AFTER = ("log", "clamp_min", "masked_fill", "view", "_to_copy", "clone", "alias", "flatten")  # a softmax
_SAME = ("view", "clone", "alias", "_to_copy", "detach", "lift_fresh_copy")  # where the shape stays
_HANDED_ON = (*_SAME, "t", "transpose", "permute", "reshape", "unsqueeze", "squeeze")  # a weight, as it is or turned
# where a layer has its weight and its bias; of mm, which has none, the place of the weight twice
_LAYERS = {"convolution": (1, 2), "addmm": (2, 0), "mm": (1, 1)}


@dataclass(frozen=True)
class _Traced:
    graph: GraphModule
    last: Node  # whose value is the scores
    needed: Collection[Node]


class IntervalBounds:
    """The bounds for one module, by its present parameters. Raises RobustEvalError for what no rule covers."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...], name: str) -> None:
        self._module, self._name = module, name
        self._traced: dict[int, _Traced] = {}  # a graph a size of batch, as traced shapes name it
        example = next(module.parameters()).new_full((2, *shape), 0.5)
        with torch.no_grad():
            self(example, example, torch.zeros(2, dtype=torch.int64, device=example.device))

    def __call__(self, low: Tensor, high: Tensor, y: Tensor) -> Tensor:
        """How far each class may get ahead of the label, [B, K], for images between low and high, [B, *shape], with
        labels y [B]: 0 for the label itself."""
        traced = self._trace(low)
        values: dict[Node, Any] = {}
        for node in traced.graph.graph.nodes:
            if node not in traced.needed:
                continue
            if node.op == "placeholder":
                values[node] = Interval(low, high)
            elif node.op == "get_attr":
                values[node] = getattr(traced.graph, str(node.target))
            elif node is traced.last:
                return self._compared(node, values, y)
            else:
                values[node] = self._step(node, values)
        raise self._refusal("a graph whose output does not depend on its input")

    def redraw(self, rng: Generator) -> None:
        """Draws the weights of linear layers and convolutions anew, so that intervals about keep their width from layer
        to layer: normal with deviation sqrt(2 pi) / (inputs of a value), biases 0 (Shi et al. 2021, section 3.2)."""
        (traced,) = self._traced.values()
        for node in traced.graph.graph.nodes:
            places = _LAYERS.get(op_of(node))
            if node not in traced.needed or places is None:
                continue
            weight, bias = (_parameter(traced.graph, node.args[place]) for place in places)
            with torch.no_grad():
                if weight is not None:
                    drawn = torch.randn(weight.shape, generator=rng, device=rng.device, dtype=weight.dtype)
                    weight.copy_(drawn * (math.sqrt(2 * math.pi) / _inputs(node)))
                if weight is not None and bias is not None and bias is not weight:
                    bias.zero_()

    def _trace(self, x: Tensor) -> _Traced:
        if len(x) not in self._traced:
            with torch.no_grad():
                graph = make_fx(self._module)(x.detach())
                if any(_in_place(node) for node in graph.graph.nodes):  # as a module's own ReLUs may be
                    graph = make_fx(torch.func.functionalize(self._module))(x.detach())
            graph.graph.eliminate_dead_code()
            last = _scores(graph)
            self._traced[len(x)] = _Traced(graph, last, _before(last))
        return self._traced[len(x)]

    def _step(self, node: Node, values: dict[Node, Any]) -> Any:
        args, kwargs = _given(node, values)
        op = op_of(node)
        if not moving(args):
            # what only reads weights is computed again for each batch, and a copy of them must not cut their gradient
            return args[0] if op == "detach" else node.target(*args, **kwargs)  # type: ignore[operator]
        rule = RULES.get(op)
        result = None if rule is None or moving(tuple(kwargs.values())) else rule(node.target, args, kwargs)  # type: ignore[arg-type]
        if result is None:
            raise self._refusal(op)
        return result

    def _compared(self, node: Node, values: dict[Node, Any], y: Tensor) -> Tensor:
        """How far classes may get ahead, with the last layer put into the comparison where it is one of weights."""
        args, kwargs = _given(node, values)
        op = op_of(node)
        if op in ("addmm", "mm") and not kwargs:
            bias, x, weight = args if op == "addmm" else (None, *args)
            if isinstance(x, Interval) and not moving((bias, weight)) and x.low.dim() == 2:
                ahead = elided(x.middle, x.reach, weight, bias, y)
                if ahead is not None:
                    return ahead
        scores = self._step(node, values)
        if not isinstance(scores, Interval):
            raise self._refusal("a graph whose output does not depend on its input")
        return ahead_by(scores, y)

    def _refusal(self, op: str) -> RobustEvalError:
        return RobustEvalError(
            f"The defence {self._name} cannot bound this model: no interval is known for the operator {op}.",
            "It works on linear layers, convolutions, pooling, batch normalisation, additions and usual activations.",
        )


def op_of(node: Node) -> str:
    """The operator's name in torch's own set, "" for what computes nothing."""
    target = node.target
    packet = getattr(target, "overloadpacket", None)
    return str(getattr(packet, "__name__", None) or getattr(target, "__name__", target))


def _parameter(graph: GraphModule, node: Any) -> Tensor | None:
    """What is learnt and handed on unchanged to this operand; None for anything else."""
    while isinstance(node, Node) and op_of(node) in _HANDED_ON:
        node = node.args[0]
    value = getattr(graph, str(node.target)) if isinstance(node, Node) and node.op == "get_attr" else None
    return value if isinstance(value, nn.Parameter) else None


def _inputs(node: Node) -> float:
    """How many values go into one of a layer's."""
    weight: Any = node.args[_LAYERS[op_of(node)][0]]
    shape = _shape(weight)
    if op_of(node) != "convolution":
        return float(shape[0])
    steps: Any = node.args[3]
    return math.prod(shape) / (shape[1] * math.prod(steps) if node.args[6] else shape[0])


def _in_place(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _given(node: Node, values: dict[Node, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args: Any = torch.fx.node.map_arg(node.args, lambda operand: values[operand])
    kwargs: Any = torch.fx.node.map_arg(node.kwargs, lambda operand: values[operand])
    return args, kwargs


def _scores(graph: GraphModule) -> Node:
    """The node of the scores: before a last softmax, in logarithms or not, and whatever only hands them on."""
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    found = output.args[0]
    last: Node = found[0] if isinstance(found, list | tuple) else found
    node = last
    while op_of(node) in _AFTER:
        node = node.args[0]  # type: ignore[assignment]
    if op_of(node) in ("_log_softmax", "_softmax") and node.args[1] in (1, -1):
        last = node.args[0]  # type: ignore[assignment]
    while op_of(last) in _SAME and _shape(last) == _shape(last.args[0]):
        last = last.args[0]  # type: ignore[assignment]
    return last


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _before(last: Node) -> set[Node]:
    """All that a node is computed from, and the node."""
    found, todo = {last}, [last]
    while todo:
        for node in todo.pop().all_input_nodes:
            if node not in found:
                found.add(node)
                todo.append(node)
    return found
