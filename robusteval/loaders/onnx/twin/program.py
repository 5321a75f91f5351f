"""An ONNX graph as calls in order: names become slots of one list, subgraphs programs of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from torch import Tensor

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule, Unsupported, to_torch
from robusteval.loaders.onnx.twin.rules import rule_for


@dataclass
class Call:
    """A node ready to run: where its operands lie, and which of them are read as numbers."""

    node: Node
    rule: Rule
    fn: Fn
    ins: tuple[int, ...]
    outs: tuple[int, ...]
    uses_shape: bool

    def run(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """The node's outputs as a tuple. Raises Unsupported, or what torch raises, naming the node."""
        out = self.fn(*args)
        return out if isinstance(out, tuple) else (out,)


class Scope:
    """Slots for the values of one graph, and those that a subgraph takes from around it."""

    def __init__(self, outer: Scope | None = None) -> None:
        self.slots: dict[str, int] = {"": 0}
        self.outer = outer
        self.captured: dict[str, int] = {}

    def add(self, name: str) -> int:
        return self.slots.setdefault(name, len(self.slots))

    def find(self, name: str) -> int:
        if name in self.slots:
            return self.slots[name]
        if self.outer is None:
            raise Unsupported(f"the graph uses a value {name!r} that nothing makes")
        self.captured[name] = self.add(name)
        return self.captured[name]


class Program:
    """A graph as calls in order. `inputs` and `outputs` are names; a subgraph adds `captures` from its surroundings."""

    def __init__(
        self,
        graph: onnx.GraphProto,
        opsets: Mapping[str, int],
        real: torch.dtype,
        straight: bool | str,
        types: Mapping[str, int],
        outer: Scope | None = None,
    ) -> None:
        self.scope = Scope(outer)
        self.constants: dict[int, Tensor] = {}
        for proto in graph.initializer:
            self.constants[self.scope.add(proto.name)] = to_torch(proto, real)
        self.inputs = [i.name for i in graph.input if i.name not in {t.name for t in graph.initializer}]
        self.input_slots = [self.scope.add(name) for name in self.inputs]
        self.calls = [self._call(proto, opsets, real, straight, types) for proto in graph.node]
        self.output_slots = [self.scope.find(o.name) for o in graph.output]
        self.captures = self.scope.captured

    def _call(
        self,
        proto: onnx.NodeProto,
        opsets: Mapping[str, int],
        real: torch.dtype,
        straight: bool | str,
        types: Mapping[str, int],
    ) -> Call:
        node = Node(proto, opsets, real, straight)
        node.types = types
        rule = rule_for(proto.domain, proto.op_type)
        ins = [self.scope.find(name) for name in proto.input]
        uses_shape = rule.shape_only
        for key, attr in node.attrs.items():
            if attr.type == onnx.AttributeProto.GRAPH:
                inner = Program(attr.g, opsets, real, straight, types, self.scope)
                node.programs[key] = (inner, len(ins))
                ins += [self.scope.find(name) for name in inner.captures]
                uses_shape = uses_shape or any(c.uses_shape for c in inner.calls)
        fn = rule.build(node)
        outs = tuple(self.scope.add(name) if name else -1 for name in proto.output)
        return Call(node, rule, fn, tuple(ins), outs, uses_shape)

    def interpret(self, inputs: Sequence[Tensor | None], captured: Sequence[Tensor]) -> list[Any]:
        """Runs the calls one by one: for bodies of If, Loop and Scan."""
        env: list[Any] = [None] * len(self.scope.slots)
        for slot, value in self.constants.items():
            env[slot] = value
        for slot, given in zip(self.input_slots, inputs, strict=False):
            env[slot] = given
        for slot, value in zip(self.captures.values(), captured, strict=True):
            env[slot] = value
        for call in self.calls:
            for slot, value in zip(call.outs, run_call(call, [env[i] for i in call.ins]), strict=False):
                if slot >= 0:
                    env[slot] = value
        return [env[slot] for slot in self.output_slots]


def run_call(call: Call, args: Sequence[Any]) -> tuple[Any, ...]:
    """Runs a call on operands that may lie on different devices; a failure names the node."""
    device = next((a.device for a in args if isinstance(a, Tensor) and a.device.type != "cpu"), None)
    if device is not None:
        args = [
            a.to(device) if isinstance(a, Tensor) and i not in call.rule.host and a.device != device else a
            for i, a in enumerate(args)
        ]
    try:
        return call.run(args)
    except Unsupported:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, ArithmeticError) as error:
        raise call.node.refuse(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}") from error
