"""From the file's graph to one that the walker can take: one input, one output, sorted, inlined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import onnx
from onnx import helper, inliner

from robusteval.loaders.onnx.gradients.tail import soft_tail
from robusteval.loaders.onnx.reading.inference import inferred
from robusteval.loaders.onnx.twin.node import Unsupported
from robusteval.loaders.onnx.twin.rules import has_rule


@dataclass(frozen=True)
class Prepared:
    """A graph for the walker. Its output may be in logarithms: `before` names the tensors that go into what
    saturates."""

    graph: onnx.GraphProto
    opsets: dict[str, int]
    types: dict[str, int]
    before: tuple[str, ...] = ()
    tail: str = ""  # what was moved into the logarithm: "Softmax", "Sigmoid", "Logs" or "Log" (tail.Soft)
    words: str = ""  # what was taken in logarithms, for the record


def prepare(
    model: onnx.ModelProto, target: str, one_score: bool = False, soft: bool = True, labels: bool = False
) -> Prepared:
    """Cuts `model` down to what makes the tensor `target`, in logarithms where it is made of softmaxes, sigmoids and
    the like.

    `one_score`: the file has a single output, the probability of the second class, whose logit is wanted. `soft` False:
    no logarithms, `target` is wanted as it is. `labels`: it holds labels, and what its ArgMax reads is wanted. Raises
    Unsupported.
    """
    opsets = merge_opsets(model)
    model = inlined(model)
    opsets = {**opsets, **merge_opsets(model)}
    graph = model.graph
    constants = {t.name for t in graph.initializer}
    inputs = [i for i in graph.input if i.name not in constants]
    types = _element_types(model)
    nodes = sort_nodes(list(graph.node), {i.name for i in inputs} | constants)
    nodes = _needed(nodes, target)
    before: tuple[str, ...] = ()
    tail = words = ""
    if soft:
        end = soft_tail(nodes, target, one_score, graph.initializer, labels)
        before, tail, words = end.before, end.tail, end.words
        nodes, target = _needed(end.nodes, end.target), end.target
    used = {name for node in nodes for name in consumed(node)} | {target}
    slim = onnx.GraphProto(name=graph.name)
    slim.node.extend(nodes)
    slim.initializer.extend(t for t in graph.initializer if t.name in used)
    if any(s.values.name in used for s in graph.sparse_initializer):
        raise Unsupported("sparse initialisers have no torch form here")
    slim.input.extend(i for i in inputs if i.name in used)
    if len(slim.input) != 1:
        raise Unsupported("the scores do not depend on the input")
    slim.output.append(onnx.ValueInfoProto(name=target))
    return Prepared(slim, opsets, types, before, tail, words)


def merge_opsets(model: onnx.ModelProto) -> dict[str, int]:
    """Versions by domain; some exporters write a domain twice. Mends the model in place."""
    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        versions[domain] = max(versions.get(domain, 0), entry.version)
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(d, v) for d, v in versions.items())
    return versions


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Local functions first, then the standard's own definitions of operators that have no rule."""
    if model.functions:
        shaped = {v.name for v in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
        for t in model.graph.initializer:
            if t.name not in shaped:
                model.graph.value_info.append(helper.make_tensor_value_info(t.name, t.data_type, t.dims))
        try:
            model = inliner.inline_local_functions(model)
        except RuntimeError as error:
            raise Unsupported("the file's own functions cannot be written out") from error
    missing = {(n.domain, n.op_type) for n in all_nodes(model.graph) if not has_rule(n.domain, n.op_type)}
    defined = [(d, op) for d, op in missing if _has_body(d, op)]
    if not defined:
        return model
    try:
        return inliner.inline_selected_functions(model, defined, inline_schema_functions=True)
    except RuntimeError:
        return model  # the walker will name the operator that it does not know


def _has_body(domain: str, op: str) -> bool:
    try:
        schema = onnx.defs.get_schema(op, domain)
    except onnx.defs.SchemaError:
        return False
    return any(getattr(schema, key, False) for key in ("has_function", "has_context_dependent_function"))


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of the graphs inside them."""
    for node in graph.node:
        yield node
        for attr in node.attribute:
            if attr.HasField("g"):
                yield from all_nodes(attr.g)


def consumed(node: onnx.NodeProto) -> set[str]:
    """Names that a node needs from around it, its subgraphs' captures included."""
    names = {name for name in node.input if name}
    for attr in node.attribute:
        if attr.HasField("g"):
            inner = {t.name for t in attr.g.initializer} | {i.name for i in attr.g.input}
            outputs = {o.name for o in attr.g.output}
            for child in attr.g.node:
                outputs |= consumed(child)
                inner |= set(child.output)
            names |= outputs - inner
    return names


def sort_nodes(nodes: list[onnx.NodeProto], known: set[str]) -> list[onnx.NodeProto]:
    """Topological order, keeping the file's own where it is one. Raises Unsupported for a cycle."""
    for node in nodes:
        for attr in node.attribute:
            if attr.HasField("g"):
                inner = list(attr.g.node)
                names = {name for child in inner for name in child.output}
                outside = {name for child in inner for name in consumed(child)} - names
                ordered = sort_nodes(inner, outside)
                del attr.g.node[:]
                attr.g.node.extend(ordered)
    makers = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    needs = [{makers[name] for name in consumed(node) if name in makers and name not in known} for node in nodes]
    order: list[int] = []
    state = [0] * len(nodes)  # 0 untouched, 1 open, 2 done
    for root in range(len(nodes)):
        stack = [root]
        while stack:
            at = stack[-1]
            if state[at] == 0:
                state[at] = 1
                open_needs = [i for i in sorted(needs[at], reverse=True) if state[i] != 2]
                if any(state[i] == 1 for i in open_needs):
                    raise Unsupported("the graph's nodes depend on each other in a circle")
                stack += open_needs
                continue
            stack.pop()
            if state[at] == 1:
                state[at] = 2
                order.append(at)
    return [nodes[i] for i in order]


def _needed(nodes: list[onnx.NodeProto], target: str) -> list[onnx.NodeProto]:
    needed, kept = {target}, []
    for node in reversed(nodes):
        if needed & set(node.output):
            kept.append(node)
            needed |= consumed(node)
    return kept[::-1]


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element types by name, as far as shape inference can tell them."""
    types = {t.name: t.data_type for t in model.graph.initializer}
    try:
        graph = inferred(model)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        graph = model.graph  # it is a help, not a gate
    for value in (*graph.value_info, *graph.input, *graph.output):
        if value.type.HasField("tensor_type"):
            types[value.name] = value.type.tensor_type.elem_type
    return types


def freed_batch(prepared: Prepared) -> Prepared | None:
    """A copy whose reshapes keep whatever batch they are given instead of the 1 they were exported with.

    None where there is nothing to change. Whether the result still means the same is for the parity gate to say.
    """
    graph = onnx.GraphProto()
    graph.CopyFrom(prepared.graph)
    constants = {t.name: t for t in graph.initializer}
    values = {n.output[0]: a.t for n in graph.node if n.op_type == "Constant" for a in n.attribute if a.name == "value"}
    known = {i.name for i in graph.input}
    changed = False
    for node in graph.node:
        live = any(name in known for name in node.input)
        known |= set(node.output) if live else set()
        if node.op_type != "Reshape" or len(node.input) < 2 or node.input[0] not in known:
            continue
        name = node.input[1]
        tensor = constants.get(name) or values.get(name)
        sizes = [] if tensor is None else onnx.numpy_helper.to_array(tensor).reshape(-1).tolist()
        if len(sizes) < 2 or sizes[0] != 1 or any(a.name == "allowzero" and a.i for a in node.attribute):
            continue
        fresh = helper.make_tensor(f"{name} of any batch", onnx.TensorProto.INT64, [len(sizes)], [0, *sizes[1:]])
        if fresh.name not in constants:
            graph.initializer.append(fresh)
            constants[fresh.name] = fresh
        node.input[1] = fresh.name
        changed = True
    return replace(prepared, graph=graph) if changed else None
