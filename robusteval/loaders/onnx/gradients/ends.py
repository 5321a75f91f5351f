"""What stands between scores and the probabilities that they are made of, and tells the classes apart as these do."""

from __future__ import annotations

import math

import onnx
from onnx import helper

from robusteval.loaders.onnx.gradients.logarithms import PASSING, Logs, to_real

_ALONE = ("Clip", "Neg", "Round", "Floor", "Ceil")
_ROWS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceLogSumExp")


def strip(logs: Logs, name: str, monotone: bool) -> tuple[str, list[onnx.NodeProto], str, bool]:
    """The tensor behind what only moves numbers and, `monotone`, what changes all classes alike and keeps their order
    or turns it round.

    With the moving nodes, last first, "Log" where a logarithm was among what was taken away, and whether the order is
    turned round.
    """
    chain: list[onnx.NodeProto] = []
    tail, turned = "", False
    while name in logs.makers:
        node = logs.makers[name]
        rest, turns = _monotone(logs, node) if monotone else (_clipped(node), False)
        if node.op_type in PASSING and not node.domain and to_real(node):
            chain.append(node)
            rest, turns = node.input[0], False
        elif node.op_type == "Log" and not node.domain:
            tail, rest = "Log", node.input[0]
        elif rest is not None:
            logs.between[node.op_type] = None
        if rest is None:
            break
        name, turned = rest, turned != turns
    return name, chain, tail, turned


def _clipped(node: onnx.NodeProto) -> str | None:
    return str(node.input[0]) if node.op_type == "Clip" and not node.domain else None


def _monotone(logs: Logs, node: onnx.NodeProto) -> tuple[str | None, bool]:
    """(the one operand of a node that adds, multiplies or cuts off the same for every class, whether the node turns
    their order round)."""
    op = node.op_type
    sized = op == "LpNormalization" and all(a.i in (1, -1) for a in node.attribute if a.name == "axis")
    if node.domain or sized or op in _ALONE:
        return (None, False) if node.domain else (str(node.input[0]), op == "Neg")
    if op not in ("Add", "Sub", "Mul", "Div", "Max", "Min") or len(node.input) != 2:
        return None, False
    a, b = (_alike(logs, name, op) for name in node.input)
    number = a if a is not None else b
    if number is None or (a is None) == (b is None) or (op == "Div" and b is None):
        return None, False
    if op in ("Mul", "Div") and (number == 0 or not math.isfinite(number)):
        return None, False
    turns = number < 0 if op in ("Mul", "Div") else op == "Sub" and b is None
    return str(node.input[0] if b is not None else node.input[1]), turns


def _alike(logs: Logs, name: str, op: str) -> float | None:
    """The number that a constant is for every class; of what is added, 0 also for a number that each row has for all of
    its classes, such as their mean."""
    found = logs.uniform(name)
    node = logs.makers.get(name)
    if found is not None or node is None or op not in ("Add", "Sub") or node.domain or node.op_type not in _ROWS:
        return found
    plain = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    given = logs.value(node.input[1]) if len(node.input) > 1 else None
    axes = plain.get("axes", []) if given is None else given.reshape(-1).tolist()
    return 0.0 if plain.get("keepdims", 1) and list(axes) in ([1], [-1]) else None
