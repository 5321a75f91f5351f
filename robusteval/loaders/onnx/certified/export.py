"""From an ONNX file to its graph: the twin traced on one image, each call made a node, and the result held against it.

What selects, repeats or reorders values needs no rule of its own: the twin's function is asked about numbered places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import onnx
import torch
from torch import Tensor

from robusteval.contracts.certificates.enclosure import encloses
from robusteval.contracts.certificates.evaluate import scores
from robusteval.contracts.certificates.graph import Graph, Node, NotCoveredError
from robusteval.loaders.input_space import PixelSpace
from robusteval.loaders.onnx.certified import activations, pointwise, quantised, windows
from robusteval.loaders.onnx.certified.builder import Builder, numbers, one_image, refused
from robusteval.loaders.onnx.gradients.ladder import TwinRunner
from robusteval.loaders.onnx.twin.program import Call, run_call
from robusteval.loaders.output_head import Head

SLACK = 2.0**-14  # of the lead before a softmax, so that float32 cannot lose it behind
_CLOSE = 1e-6  # of float64 answers of graph and twin, relative to the largest score
_DEEP = -20.0  # log-probabilities below are not compared
_REALS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)

_OURS = {("com.microsoft", op) for op in ("Gelu", "QGemm", "QuantizeLinear", "DequantizeLinear")}  # that we know

Handler = Callable[[Builder, Call], None]
Ask = Callable[[Tensor], Tensor]  # [B, *shape] -> scores [B, K]


def export(runner: TwinRunner, head: Head, low: float, high: float, truth: Ask) -> Graph:
    """The graph of a twin in float64 that folds nothing, with pixels and head around it. low, high: the pixel range;
    truth: the file's own scores, [B, *shape] -> [B, K], which a graph that rounds to whole numbers is held against too.

    Raises NotCoveredError, naming the node.
    """
    space, at = runner.input_reading.space, runner.input_reading.batch_at
    if head.output == "labels":
        raise NotCoveredError("the file gives labels alone")
    middle = torch.full((1, *space.input_shape), (low + high) / 2, dtype=torch.float64, device="cpu")
    build = _started(space, at, runner, middle)
    for call in build.calls:
        _handle(build.builder, call)
    graph = _ended(build.builder, build.builder.at[runner.module.program.output_slots[0]], head)
    _check(graph, [runner.scores, truth], middle, low, high)
    return graph


class _Started:
    def __init__(self, builder: Builder, calls: list[Call]) -> None:
        self.builder, self.calls = builder, calls


def _started(space: PixelSpace, at: int | None, runner: TwinRunner, middle: Tensor) -> _Started:
    """The builder with the nodes from canonical pixels to the file's input."""

    def placed(feed: Tensor) -> Tensor:
        return feed[0] if at is None else feed.movedim(0, at)

    env, known, calls = runner.module.traced(placed(space.to_file(middle)))
    build = Builder(env, known, runner.module.dequantised)
    build.nodes.append(Node("input", (), space.input_shape, name="the input"))
    place = 0
    if space.mean or space.std:
        sides = [1] * (len(space.input_shape) - 1) if len(space.input_shape) == 3 else []
        mean, std = (
            torch.tensor(values, dtype=torch.float64, device="cpu").reshape(-1, *sides).expand(space.input_shape)
            for values in (space.mean or (0.0,), space.std or (1.0,))
        )
        tensors = {"scale": 1 / std, "shift": -mean / std, "size": (mean / std).abs()}
        build.nodes.append(Node("scale", (0,), space.input_shape, tensors, {}, "the normalisation"))
        place = 1
    if space.whole is not None:
        place = _whole(build, place, space, space.whole)
    plain = replace(space, mean=(), std=(), whole=None)
    order = placed(plain.to_file(numbers((1, *space.input_shape))))
    index = order.round().long().flatten() - 1
    fill = torch.zeros(len(index), dtype=torch.float64, device="cpu")
    tensors = {"index": index, "fill": fill}
    build.nodes.append(Node("gather", (place,), one_image(order.shape), tensors, {}, "the input's layout"))
    build.at[runner.module.program.input_slots[0]] = len(build.nodes) - 1
    return _Started(build, calls)


def _whole(build: Builder, place: int, space: PixelSpace, ends: tuple[float, float]) -> int:
    """The node of the whole numbers that the file takes."""
    (low, high), (first, last) = space.bounds, ends
    if ends != space.bounds:
        factor = (last - first) / (high - low)
        values = {"scale": factor, "shift": first - low * factor, "size": abs(first) + abs(low * factor)}
        tensors = {
            name: torch.full(space.input_shape, value, dtype=torch.float64, device="cpu")
            for name, value in values.items()
        }
        build.nodes.append(Node("scale", (place,), space.input_shape, tensors, {}, "the input's range"))
        place = len(build.nodes) - 1
    settings = {"kind": "round", "low": -math.inf, "high": math.inf}
    build.nodes.append(Node("activation", (place,), space.input_shape, {}, settings, "the input's whole numbers"))
    return len(build.nodes) - 1


def _handle(build: Builder, call: Call) -> None:
    if call.node.domain not in ("", "ai.onnx") and (call.node.domain, call.node.op) not in _OURS:
        raise refused(call)
    handler = HANDLERS.get(call.node.op)
    if handler is None:
        raise refused(call)
    handler(build, call)


def _moved(build: Builder, call: Call) -> None:
    """Whatever only selects, repeats and reorders: asked about numbered places, and about zeros for its constants."""
    if call.node.op == "Cast" and call.node.get_int("to", 1) not in _REALS:
        raise refused(call, "casts to numbers of another kind")
    dynamic = build.dynamic(call)
    args = [build.env[slot] for slot in call.ins]
    first, empty, full = 1, list(args), list(args)
    for place in dynamic:
        empty[place] = torch.zeros(args[place].shape, dtype=torch.float64, device="cpu")
        full[place] = numbers(args[place].shape, first)
        first += args[place].numel()
    source = build.joined(call, [build.at[call.ins[place]] for place in dynamic])
    results = zip(call.outs, run_call(call, full), run_call(call, empty), strict=False)
    for out, (slot, numbered, constant) in enumerate(results):
        if slot >= 0 and not build.known[slot]:
            build.put(call, build.gather(call, source, numbered - constant, constant), out)


def _softmax(build: Builder, call: Call) -> None:
    """A softmax over all scores, which is to be the last node: it leaves their order as it is."""
    source, x = build.only(call), build.value(call, 0)
    axis = call.node.get_int("axis", -1 if call.node.opset >= 13 else 1)
    across = x.shape[axis] if call.node.opset >= 13 else x.shape[axis % x.dim() :].numel()
    if across != x.numel() or build.softmax is not None:
        raise refused(call, "is no softmax over the scores alone")
    build.softmax = (source, f"node {call.node.name} ({call.node.op})")
    build.put(call, build.gather(call, source, numbers(x.shape)))


def _ended(build: Builder, last: int, head: Head) -> Graph:
    """The graph up to the scores: what keeps their order is cut, and one score becomes two."""
    slack = 0.0
    if build.softmax is not None:
        cut, name = build.softmax
        if _behind(build, last, cut) is None:
            raise NotCoveredError(f"{name} is not the last node")
        slack = SLACK
    if head.one_score:
        if head.output == "probabilities":
            node = build.nodes[last]
            if node.op != "activation" or node.settings["kind"] != "sigmoid":
                raise NotCoveredError("the single probability is not that of a sigmoid")
            last, slack = node.inputs[0], SLACK
        index = torch.tensor([-1, 0], device="cpu")
        fill = torch.zeros(2, dtype=torch.float64, device="cpu")
        nodes = _needed(build.nodes, last)
        pair = Node("gather", (len(nodes) - 1,), (2,), {"index": index, "fill": fill}, {}, "the second class")
        return Graph((*nodes, pair), slack)
    return Graph(_needed(build.nodes, last), slack)


def _needed(nodes: list[Node], last: int) -> tuple[Node, ...]:
    """The nodes that the last one is made of, and the input."""
    used = {0, last}
    for place in range(last, 0, -1):
        if place in used:
            used.update(nodes[place].inputs)
    order = sorted(used)
    at = {place: new for new, place in enumerate(order)}
    return tuple(replace(nodes[place], inputs=tuple(at[source] for source in nodes[place].inputs)) for place in order)


def _behind(build: Builder, last: int, cut: int) -> int | None:
    """The node `cut` where only copies of its values in their order lie between it and the last one."""
    while last != cut:
        node = build.nodes[last]
        same = torch.arange(node.numel, device="cpu")
        if node.op != "gather" or not torch.equal(node.tensors["index"], same):
            return None
        last = node.inputs[0]
    return last


def _check(graph: Graph, asked: Sequence[Ask], middle: Tensor, low: float, high: float) -> None:
    """Raises NotCoveredError where the graph answers otherwise than the twin, the first that is asked. What rounds to
    whole numbers may go either way near a half: then the answers have to lie where the graph says that they may, and
    those of the file too, of which ONNX Runtime may have made something else."""
    rng = torch.Generator("cpu").manual_seed(0)
    drawn = torch.rand((4, *middle.shape[1:]), generator=rng, dtype=torch.float64, device="cpu") * (high - low) + low
    points = torch.cat([middle, drawn, torch.full_like(middle, low), torch.full_like(middle, high)])
    if any(node.rounds for node in graph.nodes):
        points = points.float().double()
        alike = all(encloses(graph, points, torch.cat([ask(x) for x in points.split(1)]), _CLOSE) for ask in asked)
    else:
        alike = all(_same(graph, scores(graph, x), asked[0](x)) for x in points.split(1))
    if not alike:
        raise NotCoveredError("the graph that was made of the file does not answer as it does, or leaves it open")


def _same(graph: Graph, own: Tensor, theirs: Tensor) -> bool:
    if graph.slack:  # beyond a softmax, where it has not saturated
        own, theirs = own.log_softmax(1).clamp_min(_DEEP), theirs.log_softmax(1).clamp_min(_DEEP)
    far = _CLOSE * theirs.abs().amax().clamp_min(1.0)
    return own.shape == theirs.shape and bool(((own - theirs).abs() <= far).all())


HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(
        ("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Concat", "Split", "Slice", "Pad", "Expand",
         "Tile", "DepthToSpace", "SpaceToDepth", "Gather", "GatherElements", "GatherND", "Identity", "Dropout",
         "Cast"),
        _moved,
    ),
    **dict.fromkeys(("Add", "Sub", "Sum", "Mean", "Mul", "Div", "Neg"), pointwise.arithmetic),
    **dict.fromkeys(
        ("Relu", "LeakyRelu", "PRelu", "Clip", "Max", "Min", "Sigmoid", "HardSigmoid", "Tanh", "Erf", "HardSwish",
         "Gelu", "Swish"),
        activations.activation,
    ),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "GlobalAveragePool"), windows.reduced),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    "Gemm": pointwise.gemm,
    "MatMul": pointwise.matmul,
    "BatchNormalization": pointwise.batch_norm,
    "Conv": windows.convolution,
    "ConvTranspose": windows.transposed,
    "MaxPool": windows.max_pool,
    "GlobalMaxPool": windows.global_max,
    "QuantizeLinear": quantised.quantise,
    "DequantizeLinear": quantised.dequantise,
    "DynamicQuantizeLinear": quantised.dynamic,
    "QLinearConv": quantised.qlinear_conv,
    "QLinearMatMul": quantised.qlinear_matmul,
    "QGemm": quantised.qgemm,
    "ConvInteger": quantised.conv_integer,
    "MatMulInteger": quantised.matmul_integer,
    "Round": quantised.rounded,
    "AveragePool": windows.average_pool,
}  # fmt: skip
