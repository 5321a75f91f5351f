"""Random small nets of every rung: straight-through descent on the net itself never beats descent on its twin by
much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from robusteval.contracts.classifier import LoadOptions
from robusteval.loaders.onnx.classifier import load_onnx
from tests.loaders.masked import CLASSES, PATTERNS, SIDE, Graph, attacked, descend, images, share

RUNGS = {"A": "exact", "B": "straight-through", "C": "exact", "D": "exact", "S": "surrogate"}


class Net:
    """Two layers of random weights behind an optional grid of grey levels, built as a graph and written in torch."""

    def __init__(self, seed: int, rung: str) -> None:
        rng = np.random.default_rng(seed)
        self.rung, self.levels = rung, int(rng.integers(2, 6))
        self.mix = (rng.standard_normal((SIDE * SIDE, 40)) / 8).astype(np.float32)
        hidden = np.maximum(0.4 * PATTERNS @ self.mix, 0)
        self.out = (hidden - hidden.mean(0)).T.astype(np.float32) * (40 if rung == "C" else 1)

    def graph(self, path: Path) -> Path:
        g = Graph()
        flat = g("Reshape", "x", np.array([2, SIDE * SIDE])) if self.rung == "D" else g("Flatten", "x")
        if self.rung in ("B", "S"):
            flat = g("Mul", g("Floor", g("Add", g("Mul", flat, float(self.levels)), 0.5)), 1.0 / self.levels)
        hidden = g("Relu", g("MatMul", g("Mul", g("Sub", flat, 0.5), 4.0), self.mix))
        last = g("MatMul", hidden, self.out)
        path = g.save(path, g("Clip", g("Softmax", last), 1e-6, 1.0) if self.rung == "C" else last)
        if self.rung == "D":
            model = onnx.load(str(path))
            for value in (*model.graph.input, *model.graph.output):
                value.type.tensor_type.shape.dim[0].Clear()
                value.type.tensor_type.shape.dim[0].dim_value = 2
            path.write_bytes(model.SerializeToString())
        return path

    def __call__(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        if self.rung in ("B", "S"):
            flat = (torch.floor(flat * self.levels + 0.5) / self.levels - flat).detach() + flat
        hidden = torch.relu(4 * (flat - 0.5) @ torch.from_numpy(self.mix))
        return hidden @ torch.from_numpy(self.out)


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_descent_on_the_twin_is_as_strong(
    rung: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, (x, y) = Net(seed, rung), images()
    path = net.graph(tmp_path / "m.onnx")
    if rung == "S":
        from robusteval.loaders.onnx.twin.graph import Twin

        own = Twin.forward
        monkeypatch.setattr(
            Twin, "forward", lambda self, z: torch.tanh(own(self, z) / 9) + 0.05 * torch.eye(CLASSES)[seed]
        )
    model = load_onnx(path, LoadOptions(), x)
    assert (model.info.rung, model.info.gradients) == (rung, RUNGS[rung]), model.info.gradients_reason
    for eps in (0.05, 0.1, 0.15):
        assert share(attacked(model, x, y, eps)) <= share(descend(net, model, x, y, eps)) + 0.05
    assert share(attacked(model, x, y, 0.15)) < 0.5 < share(attacked(model, x, y, 0.0))
