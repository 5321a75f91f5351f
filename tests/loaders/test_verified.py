"""What exporters and quantisers write, run and verified: nothing that an honest run claims is called false."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import robusteval
from robusteval.contracts.classifier import LoadOptions
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.record import store
from robusteval.verify.run import verify
from tests.loaders import exports

SUITE = """
name = "one"
version = "1"
norms = ["linf"]
eps = { linf = 0.9 }
samples = 8
probe_samples = 0
[[attack]]
plugin = "pgd"
params = { steps = 3 }
search = 1
[[attack]]
plugin = "noise"
"""
MADE: dict[str, Callable[[Path, Path], Path]] = {
    "mlp": lambda path, out: path,
    "vit": lambda path, out: path,
    "instance_norm": lambda path, out: path,
    "mlp-half": exports.halved,
    "mlp-qdq": lambda path, out: exports.quantised(path, out, "qdq"),
    "mlp-qoperator": lambda path, out: exports.quantised(path, out, "qoperator"),
    "mlp-dynamic": lambda path, out: exports.quantised(path, out, "dynamic"),
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.filterwarnings("ignore")  # the quantiser's own
def test_exports_are_confirmed(name: str, exported: Callable[[str], Path], tmp_path: Path) -> None:
    path = MADE[name](exported(name.split("-", maxsplit=1)[0]), tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    x = rng.random((300, 3, 16, 16), dtype=np.float32) * rng.random((300, 3, 1, 1), dtype=np.float32)
    top = load_onnx(path, LoadOptions()).logits(torch.from_numpy(x)).topk(2, 1)
    near = (top.values[:, 0] - top.values[:, 1]).argsort()[:8].numpy()  # networks with random weights hardly change
    x, y = x[near], top.indices[near, 0].numpy()
    (tmp_path / "one.toml").write_text(SUITE)
    robusteval.evaluate(path, (x, y), str(tmp_path / "one.toml"), out=tmp_path / "run")
    result = verify(store.load(tmp_path / "run"), tmp_path / "run", path)
    assert result.failures == []
    assert not any("answer" in reason for reason in result.left), result.left  # every label was asked again
    assert result.claims == result.confirmed > 0
