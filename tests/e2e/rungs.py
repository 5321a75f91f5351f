"""Random small nets of every rung of the ladder: an ONNX file, and in torch the same with its steps passed straight
through.

A kind says what stands before, inside or behind a net of two layers; a seed says the rest: sizes, weights, steps. Add a
kind by a row of KINDS, with what ONNX does and what an attacker who knows it would differentiate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.reading.session import open_session

Through = Callable[[Tensor], Tensor]
COUNT = 60  # images of a net


@dataclass
class Graph:
    """Nodes of a file in the making; names count up."""

    nodes: list[Any]
    tensors: list[Any]

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(value, dtype=kind), name))
        return name


@dataclass(frozen=True)
class Kind:
    """before, inside, after: name -> name in ONNX, of the pixels, the hidden values, the scores; the same in torch, as
    an attacker differentiates it. batch: None for a free axis. labels: only the best class comes out. none: there is no
    gradient to be had."""

    before: Callable[[Graph, str, float], str] | None = None
    before_through: Callable[[Tensor, float], Tensor] | None = None
    inside: Callable[[Graph, str], str] | None = None
    inside_through: Through | None = None
    after: Callable[[Graph, str], str] | None = None
    batch: int | None = None
    labels: bool = False
    none: bool = False


def _straight(step: Callable[[Tensor], Tensor]) -> Through:
    """step as it is, with the derivative of the identity."""
    return lambda x: x + (step(x) - x).detach()


def _graded(op: str) -> dict[str, Any]:
    """The pixels on a few grey levels, by Round, Floor or Ceil."""
    rule = {"Round": torch.round, "Floor": torch.floor, "Ceil": torch.ceil}[op]

    def before(graph: Graph, x: str, levels: float) -> str:
        scaled = graph.add(op, graph.add("Mul", x, graph.constant(levels)))
        return graph.add("Div", scaled, graph.constant(levels))

    return {"before": before, "before_through": lambda x, levels: _straight(rule)(x * levels) / levels}


def _black_and_white(graph: Graph, x: str, levels: float) -> str:
    return graph.add("Cast", graph.add("GreaterOrEqual", x, graph.constant(0.5)), to=TensorProto.FLOAT)


def _where(graph: Graph, h: str) -> str:
    return graph.add("Where", graph.add("Greater", h, graph.constant(0.0)), graph.constant(1.0), graph.constant(-1.0))


def _compared(graph: Graph, h: str) -> str:
    return graph.add("Cast", graph.add("Less", graph.constant(0.0), h), to=TensorProto.FLOAT)


def _sharp(graph: Graph, scores: str) -> str:
    return graph.add("Softmax", graph.add("Mul", scores, graph.constant(200.0)), axis=1)


def _noisy(graph: Graph, scores: str) -> str:
    """The last digits of the scores, blown up: no copy computes them alike, so a copy's gradient is a surrogate's."""
    large = graph.add("Mul", scores, graph.constant(3e6))
    left = graph.add("Sub", large, graph.add("Floor", large))
    return graph.add("Add", scores, graph.add("Mul", left, graph.constant(0.02)))


KINDS: dict[str, Kind] = {
    "exact": Kind(),
    "round": Kind(**_graded("Round")),
    "floor": Kind(**_graded("Floor")),
    "ceil": Kind(**_graded("Ceil")),
    "black-and-white": Kind(_black_and_white, lambda x, levels: _straight(lambda v: (v >= 0.5).float())(x)),
    "sign": Kind(inside=lambda graph, h: graph.add("Sign", h), inside_through=_straight(torch.sign)),
    "where": Kind(inside=_where, inside_through=_straight(lambda h: (h > 0).float() * 2 - 1)),
    "less": Kind(inside=_compared, inside_through=_straight(lambda h: (h > 0).float())),
    "softmax": Kind(after=lambda graph, s: graph.add("Softmax", s, axis=1)),
    "sharp-softmax": Kind(after=_sharp),
    "batch-of-one": Kind(batch=1),
    "surrogate": Kind(after=_noisy),
    "labels": Kind(after=lambda graph, s: graph.add("ArgMax", s, axis=1, keepdims=0), labels=True),
    "tree": Kind(labels=True, none=True),
}


@dataclass(frozen=True)
class Net:
    """blob: the file; x [N, *shape] and y: images, and the file's own answers to them; through: scores that are
    differentiable straight through; None where nobody has any."""

    blob: bytes
    x: np.ndarray
    y: np.ndarray
    through: Through | None
    batch: int | None

    def answers(self, x: np.ndarray) -> np.ndarray:
        """Best class of each image, by ONNX Runtime: int64 [N]."""
        return ask(self.blob, x, self.batch)


def ask(blob: bytes, x: np.ndarray, batch: int | None) -> np.ndarray:
    session = open_session(blob)
    parts = [x] if batch is None else [x[i : i + batch] for i in range(0, len(x), batch)]
    name, out = session.get_inputs()[0].name, session.get_outputs()[-1].name
    got = np.concatenate([session.run([out], {name: part})[0] for part in parts])
    return (got if got.ndim == 1 else got.argmax(1)).astype(np.int64)


def make(name: str, seed: int) -> Net:
    """The net of that kind and seed, with images that it is right on by construction."""
    kind, rng = KINDS[name], np.random.default_rng([seed, *name.encode()])
    side, hidden, classes = int(rng.integers(5, 8)), int(rng.integers(12, 28)), int(rng.integers(3, 6))
    shape = (side * side,) if name == "tree" else (1, side, side)
    x = rng.uniform(0.1, 0.9, (COUNT, *shape)).astype(np.float32)
    if name == "tree":
        blob = _forest(rng, side * side, classes)
        return Net(blob, x, ask(blob, x, None), None, None)
    levels = float(rng.integers(8, 20))
    w1 = (rng.normal(size=(side * side, hidden)) / np.sqrt(side)).astype(np.float32)
    w2 = rng.normal(size=(hidden, classes)).astype(np.float32)
    b1 = (-0.5 * w1.sum(0)).astype(np.float32)
    before, inside = kind.before_through or (lambda v, _: v), kind.inside_through or F.relu

    def through(v: Tensor, b2: np.ndarray) -> Tensor:
        seen = before(v, levels).flatten(1)
        return inside(seen @ torch.from_numpy(w1) + torch.from_numpy(b1)) @ torch.from_numpy(w2) + torch.from_numpy(b2)

    with torch.no_grad():  # so that every class is somebody's
        b2 = -through(torch.from_numpy(x), np.zeros(classes, np.float32)).mean(0).numpy()
    blob = _layers(kind, shape, levels, (w1, b1, w2, b2))
    return Net(blob, x, ask(blob, x, kind.batch), lambda v: through(v, b2), kind.batch)


def _layers(kind: Kind, shape: tuple[int, ...], levels: float, weights: tuple[np.ndarray, ...]) -> bytes:
    graph, at = Graph([], []), "x"
    w1, b1, w2, b2 = (graph.constant(weight) for weight in weights)
    if kind.before is not None:
        at = kind.before(graph, at, levels)
    h = graph.add("Gemm", graph.add("Flatten", at), w1, b1)
    h = kind.inside(graph, h) if kind.inside is not None else graph.add("Relu", h)
    scores = graph.add("Gemm", h, w2, b2)
    scores = kind.after(graph, scores) if kind.after is not None else scores
    axis, classes = kind.batch or "n", weights[2].shape[1]
    out = (TensorProto.INT64, [axis]) if kind.labels else (TensorProto.FLOAT, [axis, classes])
    made = helper.make_graph(
        graph.nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [axis, *shape])],
        [helper.make_tensor_value_info(scores, *out)],
        graph.tensors,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    answer: bytes = model.SerializeToString()
    return answer


def _forest(rng: np.random.Generator, size: int, classes: int, trees: int = 12, depth: int = 4) -> bytes:
    """Whole binary trees with random splits; each leaf votes for one class."""
    inner, rows = 2**depth - 1, []
    for tree in range(trees):
        for node in range(2 * inner + 1):
            leaf = node >= inner
            where = (0, 0.0) if leaf else (int(rng.integers(size)), float(rng.uniform(0.3, 0.7)))
            rows.append((tree, node, *where, "LEAF" if leaf else "BRANCH_LEQ", 2 * node + 1, 2 * node + 2))
    leaves = [(row[0], row[1]) for row in rows if row[4] == "LEAF"]
    node = helper.make_node(
        "TreeEnsembleClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", post_transform="NONE",
        nodes_treeids=[row[0] for row in rows], nodes_nodeids=[row[1] for row in rows],
        nodes_featureids=[row[2] for row in rows], nodes_values=[row[3] for row in rows],
        nodes_modes=[row[4] for row in rows],
        nodes_truenodeids=[row[5] * (row[4] != "LEAF") for row in rows],
        nodes_falsenodeids=[row[6] * (row[4] != "LEAF") for row in rows],
        class_treeids=[leaf[0] for leaf in leaves], class_nodeids=[leaf[1] for leaf in leaves],
        class_ids=[int(rng.integers(classes)) for _ in leaves], class_weights=[1.0] * len(leaves),
        classlabels_int64s=list(range(classes)),
    )  # fmt: skip
    made = helper.make_graph(
        [node],
        "forest",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", size])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", classes]),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    answer: bytes = onnx.helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()
    return answer
