"""Saturated outputs in logarithms: the end of a graph written anew for log p in the place of p.

A softmax in float32 says 1 and 0 for logits that are 104 apart, and its gradient is zero then, whatever stands behind
it: a clip, a mean over members, a percentage. So the end of the graph is followed back from the scores to what makes
positive numbers (Softmax, Sigmoid, Exp, ...), and every operator between is replaced by its twin on logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from robusteval.loaders.onnx.twin.elementwise import COMPUTED
from robusteval.loaders.onnx.twin.logs import DOMAIN

PASSING = ("Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Cast", "Dropout")
_MOVING = (  # operators that move, pick or repeat numbers of their first operand
    *PASSING, "Gather", "GatherElements", "GatherND", "Slice", "Split", "Expand", "Tile", "ReduceMax", "ReduceMin",
    "GlobalMaxPool", "CastLike",
)  # fmt: skip
_REDUCING = ("ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd")
_BASES = ("Softmax", "Sigmoid", "Exp", "Softplus", "Hardmax")
SMALL = 1e-3  # what is added to, or cut off, a probability to keep it from 0 and 1
MAX_DEPTH = 200  # operators followed back from the scores


class Logs:
    """Writes nodes that make log p, or log(1 - p), of tensors of a graph."""

    def __init__(self, nodes: list[onnx.NodeProto], constants: Iterable[onnx.TensorProto]) -> None:
        self.makers: Mapping[str, onnx.NodeProto] = {n: node for node in nodes for n in node.output if n}
        self.made: list[onnx.NodeProto] = []
        self.bases: dict[str, onnx.NodeProto] = {}  # by the tensor that goes into it
        self.between: dict[str, None] = {}
        self._constants = {t.name: t for t in constants}
        self._memo: dict[tuple[str, str], str | None] = {}
        self._depth = 0

    def words(self) -> str:
        """What was taken in logarithms, and through what."""
        named = dict.fromkeys(f"{n.op_type} node {n.name or n.output[0]!r}" for n in self.bases.values())
        through = [op for op in self.between if op not in PASSING]
        shown = [*named][:3] + (["others"] if len(named) > 3 else [])
        return " and ".join(shown) + (f", through {', '.join(through)}" if through else "")

    def value(self, name: str) -> np.ndarray | None:
        """A constant's numbers."""
        if name in self._constants:
            return numpy_helper.to_array(self._constants[name])
        node = self.makers.get(name)
        if node is not None and node.op_type == "Constant":
            for attr in node.attribute:
                if attr.name == "value":
                    return numpy_helper.to_array(attr.t)
                if attr.name in ("value_float", "value_int"):
                    return np.asarray(attr.f if attr.name == "value_float" else attr.i)
                if attr.name in ("value_floats", "value_ints"):
                    return np.asarray(list(attr.floats or attr.ints))
        if node is not None and node.op_type in PASSING and node.input:
            return self.value(node.input[0])
        return None

    def uniform(self, name: str) -> float | None:
        """The number that a constant holds throughout; None for any other tensor."""
        value = self.value(name)
        if value is None or not value.size or value.dtype.kind not in "fiu":
            return None
        value = value.astype(np.float64)
        return float(value.flat[0]) if bool(np.all(value == value.flat[0])) else None

    def plain_sigmoid(self, name: str) -> str | None:
        """What goes into the sigmoid that makes `name`."""
        node = self.makers.get(name)
        if node is None or node.op_type != "Sigmoid" or node.domain:
            return None
        self.bases = {node.input[0]: node}
        return str(node.input[0])

    def emit(self, op: str, inputs: list[str], like: str, domain: str = "") -> str:
        """A new node; the name of its output."""
        out = f"log {len(self.made)} of {like}"
        self.made.append(helper.make_node(op, inputs, [out], domain=domain))
        return out

    def copy(self, node: onnx.NodeProto, firsts: list[str], op: str = "", output: int = 0, domain: str = "") -> str:
        """A node like `node` on other first operands; the name of its `output`."""
        fresh = onnx.NodeProto()
        fresh.CopyFrom(node)
        fresh.op_type = op or node.op_type
        fresh.domain = domain or node.domain
        fresh.input[: len(firsts)] = firsts
        outs = [f"log {len(self.made)} of {n}" if n else "" for n in node.output]
        fresh.output[:] = outs
        self.made.append(fresh)
        return outs[output]

    def log(self, name: str) -> str | None:
        """The name of a tensor holding log of `name`; None where that is not known to be positive, or nothing is
        won."""
        return self._kept("log", name)

    def rest(self, name: str) -> str | None:
        """The name of a tensor holding log(1 - `name`)."""
        return self._kept("rest", name)

    def _kept(self, kind: str, name: str) -> str | None:
        key = (kind, name)
        if key not in self._memo:
            self._memo[key] = None  # a circle, or too deep
            node = self.makers.get(name)
            if node is not None and not node.domain and self._depth < MAX_DEPTH:
                self._depth += 1
                self._memo[key] = self._log(node, name) if kind == "log" else self._rest(node, name)
                self._depth -= 1
        return self._memo[key]

    def _base(self, node: onnx.NodeProto, op: str, domain: str = "") -> str:
        inner = self._behind(node.input[0])
        if inner is None:  # else that logarithm is gone from the graph, and what it was of is the base
            self.bases[node.input[0]] = node
        return self.copy(node, [inner or node.input[0]], op, 0, domain)

    def _behind(self, name: str) -> str | None:
        """A logarithm, maybe divided by a temperature, without the detour through what it is of."""
        node = self.makers.get(name)
        if node is None or node.domain:
            return None
        if node.op_type == "Log":
            return self.log(node.input[0])
        scaled = node.op_type in ("Mul", "Div") and self.uniform(node.input[1]) is not None
        inner = self._behind(node.input[0]) if scaled else None
        return self.copy(node, [inner]) if inner else None

    def _log(self, node: onnx.NodeProto, name: str) -> str | None:
        op, first = node.op_type, node.input[0] if node.input else ""
        if op in _BASES:
            ops = {"Softmax": "LogSoftmax", "Sigmoid": "LogSigmoid", "Exp": "Identity", "Hardmax": "LogSoftmax"}
            return self._base(node, ops[op]) if op in ops else self._base(node, "LogSoftplus", DOMAIN)
        logarithm: str | None = None
        if op in _MOVING and to_real(node):
            log = self.log(first)
            logarithm = self.copy(node, [log], "", list(node.output).index(name)) if log else None
        elif op in ("Clip", "Relu", "Abs", "Max", "Min"):
            others = [self.uniform(other) for other in node.input[1:]] if op in ("Max", "Min") else []
            logarithm = self._joined(node, op) if None in others else self.log(first)
        elif op in ("Add", "Sum", "Mean", "Concat"):
            logarithm = self._joined(node, {"Mean": "LogMean", "Concat": "Concat"}.get(op, "LogSum"))
        elif op in _REDUCING:
            logarithm = self._reduced(node)
        elif op in ("Mul", "Div"):
            logs = [self._either(other) for other in node.input]
            if all(logs) and any(self.log(other) for other in node.input):
                logarithm = self.emit("Add" if op == "Mul" else "Sub", [str(log) for log in logs], name)
        elif op in ("Pow", "Sqrt", "Reciprocal"):
            logarithm = self._power(node, name)
        elif op == "Where":
            logs = [self._either(other) for other in node.input[1:]]
            logarithm = self.emit("Where", [first, *map(str, logs)], name) if all(logs) else None
        elif op == "Sub" and self.uniform(first) == 1.0:
            logarithm = self.rest(node.input[1])
        elif op in ("MatMul", "Gemm"):
            logarithm = self._product(node)
        if logarithm is not None:
            self.between[op] = None
        return logarithm

    def _either(self, name: str) -> str | None:
        """log of a positive tensor, be it a constant."""
        value = self.value(name)
        if value is None:
            return self.log(name)
        if value.dtype.kind != "f" or not value.size or not bool((value > 0).all()):
            return None
        return self.emit("LogConstant", [name], name, DOMAIN)

    def _joined(self, node: onnx.NodeProto, op: str) -> str | None:
        """Several positive tensors added, averaged, compared or put side by side; what is small and everywhere is left
        out."""
        small = [n for n in node.input if op == "LogSum" and 0 < (self.uniform(n) or 0.0) <= SMALL]
        parts = [n for n in node.input if n not in small]
        logs = [self._either(n) for n in parts]
        if not parts or not all(logs) or not any(self.log(n) for n in parts):
            return None
        names = [str(log) for log in logs]
        if op in ("Concat", "Max", "Min"):
            return self.copy(node, names)
        return names[0] if len(names) == 1 else self.emit(op, names, node.output[0], DOMAIN)

    def _reduced(self, node: onnx.NodeProto) -> str | None:
        op, log = node.op_type, self.log(node.input[0])
        if log is None or op == "ReduceMean":
            return None if log is None else self.copy(node, [log], "ReduceLogMean", 0, DOMAIN)
        if op == "ReduceProd":
            return self.copy(node, [log], "ReduceSum")
        squared = op in ("ReduceL2", "ReduceSumSquare")
        total = self.copy(node, [self._scaled(log, 2.0, log) if squared else log], "ReduceLogSumExp")
        return self._scaled(total, 0.5, total) if op == "ReduceL2" else total

    def _power(self, node: onnx.NodeProto, name: str) -> str | None:
        base = self.uniform(node.input[0]) if node.op_type == "Pow" else None
        if base is not None and base > 0 and base != 1:
            self.bases[node.input[1]] = node
            return self._scaled(node.input[1], math.log(base), name)
        log = self.log(node.input[0])
        if log is None:
            return None
        if node.op_type == "Reciprocal":
            return self.emit("Neg", [log], name)
        if node.op_type == "Sqrt":
            return self._scaled(log, 0.5, name)
        power = self.uniform(node.input[1])
        return self._scaled(log, power, name) if power is not None else None

    def _scaled(self, log: str, factor: float, name: str) -> str:
        value = f"factor {len(self.made)} of {name}"
        self.made.append(helper.make_node("Constant", [], [value], value_float=factor))
        return self.emit("Mul", [log, value], name)

    def _product(self, node: onnx.NodeProto) -> str | None:
        weight = self.value(node.input[1])
        plain = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if weight is None or weight.ndim != 2 or not bool((weight >= 0).all()) or not bool((weight > 0).any()):
            return None
        if len(node.input) > 2 or plain.get("transA") or plain.get("alpha", 1.0) <= 0:
            return None
        log = self.log(node.input[0])
        return self.copy(node, [log], "LogMatMul", 0, DOMAIN) if log else None

    def _rest(self, node: onnx.NodeProto, name: str) -> str | None:
        op, first = node.op_type, node.input[0] if node.input else ""
        if op == "Sigmoid":
            self.bases[first] = node
            return self.emit("LogSigmoid", [self.emit("Neg", [first], name)], name)
        if op == "Softmax":
            return self._base(node, "LogRestSoftmax", DOMAIN)
        if op in (*_MOVING, "Clip") and op not in ("ReduceMax", "ReduceMin", "GlobalMaxPool") and to_real(node):
            rest = self.rest(first)
            if rest is None or op == "Clip":
                return rest
            return self.copy(node, [rest], "", list(node.output).index(name))
        if op in ("Mean", "ReduceMean"):
            rests = [self.rest(n) for n in (node.input if op == "Mean" else [first])]
            if not all(rests):
                return None
            if op == "Mean":
                return self.emit("LogMean", [str(r) for r in rests], name, DOMAIN)
            return self.copy(node, [str(rests[0])], "ReduceLogMean", 0, DOMAIN)
        if op == "Sub" and self.uniform(first) == 1.0:
            return self.log(node.input[1])
        log = self.log(name)
        return self.emit("LogRest", [log], name, DOMAIN) if log else None


def to_real(node: onnx.NodeProto) -> bool:
    """Not a cast to whole numbers or to truth values."""
    return node.op_type != "Cast" or any(a.name == "to" and a.i in COMPUTED for a in node.attribute)
