"""Small nets whose gradients are flat, in as many spellings as files have, and their plain siblings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from robusteval.loaders.onnx.classifier import OnnxClassifier
from tests.loaders import exports

SIDE, CLASSES = 8, 10
_RNG = np.random.default_rng(5)
PATTERNS = np.sign(_RNG.standard_normal((CLASSES, SIDE * SIDE))).astype(np.float32)
MIX = _RNG.standard_normal((SIDE * SIDE, SIDE * SIDE)).astype(np.float32)
Nodes = list[onnx.NodeProto]


def images(n: int = 60) -> tuple[Tensor, Tensor]:
    """Faint patterns in grey: [n, 1, 8, 8] in [0, 1], and their classes."""
    rng = np.random.default_rng(6)
    y = np.arange(n) % CLASSES
    x = 0.5 + 0.1 * PATTERNS[y] + 0.15 * rng.standard_normal((n, SIDE * SIDE))
    return torch.from_numpy(x.clip(0, 1).astype(np.float32)).reshape(n, 1, SIDE, SIDE), torch.from_numpy(y)


class Graph:
    """Nodes in the making: `g("Op", "a", 0.5)` adds one and gives the name of its output; numbers become constants."""

    def __init__(self) -> None:
        self.nodes: Nodes = []
        self.constants: dict[str, Any] = {}

    def value(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array, dtype=np.float32) if not isinstance(array, np.ndarray) else array
        return name

    def __call__(self, op: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        names = [i if isinstance(i, str) else self.value(i) for i in inputs]
        outs = [f"{op.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, names, outs, **attributes))
        return outs[0] if outputs == 1 else outs

    def save(self, path: Path, last: str, classes: int = CLASSES, opset: int = 18) -> Path:
        self.nodes.append(helper.make_node("Identity", [last], ["y"]))
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", classes])
        held = [numpy_helper.from_array(a, n) for n, a in self.constants.items()]
        graph = helper.make_graph(self.nodes, "masked", [x], [y], held)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
        path.write_bytes(model.SerializeToString())
        return path


def attacked(model: OnnxClassifier, x: Tensor, y: Tensor, eps: float, steps: int = 20) -> Tensor:
    """Projected gradient descent on the twin's margin; bool [n]: still right on ONNX Runtime after every step."""
    return descend(model.twin, model, x, y, eps, steps)


def descend(scores: Any, judge: OnnxClassifier, x: Tensor, y: Tensor, eps: float, steps: int = 20) -> Tensor:
    z, right = x, judge.logits(x).argmax(1) == y
    for _ in range(steps):
        leaf = z.clone().requires_grad_(True)
        out = scores(leaf)
        own = out.gather(1, y[:, None])[:, 0]
        grad = torch.autograd.grad((own - out.scatter(1, y[:, None], -torch.inf).amax(1)).sum(), leaf)[0]
        z = z - 2.5 * eps / steps * grad.sign()
        z = torch.minimum(torch.maximum(z, x - eps), x + eps).clamp(0, 1)
        right = right & (judge.logits(z).argmax(1) == y)
    return right


def share(right: Tensor) -> float:
    return float(right.double().mean())


__all__ = ["CLASSES", "MIX", "PATTERNS", "SIDE", "Graph", "attacked", "descend", "exports", "images", "share"]
