"""The end of a graph: in logarithms where it saturates, before its ArgMax where it gives labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx

from robusteval.loaders.onnx.gradients.ends import strip
from robusteval.loaders.onnx.gradients.logarithms import PASSING, Logs


@dataclass(frozen=True)
class Soft:
    """The graph's end in logarithms: `target` is its new output. All empty where nothing was to be done."""

    nodes: list[onnx.NodeProto]
    target: str
    before: tuple[str, ...] = ()  # the tensors that go into what saturates
    tail: str = ""  # "Softmax" or "Sigmoid" where it is the last operator; "Logs", or "Log" of a graph that ends in one
    words: str = ""  # what was done, for the record


def soft_tail(
    nodes: list[onnx.NodeProto],
    target: str,
    one_score: bool,
    constants: Iterable[onnx.TensorProto],
    labels: bool = False,
) -> Soft:
    """Takes the scores in logarithms where they are made of what saturates.

    `one_score`: the file's only output is the probability of the second of two classes; its logit is wanted.
    `labels`: the target is what an ArgMax over the classes finds; what it reads is wanted.
    """
    logs = Logs(nodes, constants)
    if labels:
        return _before_arg_max(logs, nodes, target)
    name, chain, tail, turned = strip(logs, target, monotone=not one_score)
    last = None
    if one_score:
        log, rest = logs.log(name), logs.rest(name)
        if logs.plain_sigmoid(name):
            last, tail = logs.plain_sigmoid(name), "Sigmoid"
        elif log and rest:
            last = logs.emit("Sub", [log, rest], name)
    else:
        last = logs.log(name)
        if turned:
            tail, last = "Logs", None if last is None else logs.emit("Neg", [last], name)
        plain = logs.makers.get(name)
        if not tail and plain is not None and plain.op_type in ("Softmax", "Sigmoid"):
            tail = plain.op_type
    if last is None or not logs.bases or (one_score and tail == "Log"):
        return Soft(nodes, target)
    for node in reversed(chain):
        last = logs.copy(node, [last])
    return Soft([*nodes, *logs.made], last, tuple(logs.bases), tail or "Logs", f"in logarithms from {logs.words()}")


def _before_arg_max(logs: Logs, nodes: list[onnx.NodeProto], target: str) -> Soft:
    """Before what picks the largest or smallest score: ArgMax, ArgMin, or TopK of one."""
    while target in logs.makers and logs.makers[target].op_type in PASSING:
        target = logs.makers[target].input[0]
    node = logs.makers.get(target)
    if node is None or node.domain or not _picks(node, target):
        return Soft(nodes, target)
    read = node.input[0]
    name, _, _, turned = strip(logs, read, monotone=True)
    last = logs.log(name)
    before: tuple[str, ...] = (read,)
    words = f"before {node.op_type} node {node.name or node.output[0]!r}"
    if last is not None:
        before, words = tuple(logs.bases), f"{words}, in logarithms from {logs.words()}"
    smallest = node.op_type == "ArgMin" or any(a.name == "largest" and not a.i for a in node.attribute)
    if (turned and last is not None) != smallest:
        last = logs.emit("Neg", [last or read], name)
    return Soft([*nodes, *logs.made], last or read, before, "Labels", words)


def _picks(node: onnx.NodeProto, target: str) -> bool:
    return node.op_type in ("ArgMax", "ArgMin") or (node.op_type == "TopK" and target in node.output[1:])
