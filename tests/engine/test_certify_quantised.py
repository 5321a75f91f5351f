"""A run of a quantised file has certificates, and `verify` holds their graph against the file's own answers."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from robusteval.contracts.classifier import LoadOptions
from robusteval.engine.certify.stored_graph import packed
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.record import store
from robusteval.verify.proofs.check import UNTIED
from robusteval.verify.run import verify
from tests.certifiers.quantised_nets import Draft
from tests.engine.certified import made
from tests.sure import sure


def quantised(folder: Path) -> Path:
    """The example's kind of file: quantised at its input, and behind each of two layers."""
    rng = np.random.default_rng(1)
    draft, last = Draft(rng), "x"
    for number, (size, width) in enumerate(((36, 16), (16, 3))):
        scale, zero = (0.0078, 0) if number == 0 else (0.02, 0)
        names = draft.put(np.float32(scale), np.float32), draft.put(zero, np.uint8)
        last = draft("DequantizeLinear", draft("QuantizeLinear", last, *names), *names)
        last = draft("Flatten", last) if number == 0 else last
        weight = draft.put(rng.integers(-60, 60, (width, size)), np.int8)
        weight = draft("DequantizeLinear", weight, draft.put(0.01, np.float32), draft.put(0, np.int8))
        bias = draft.put(rng.integers(-900, 900, width), np.int32)
        factor = np.float32(np.float32(0.01) * np.float32(scale))
        bias = draft("DequantizeLinear", bias, draft.put(factor, np.float32), draft.put(0, np.int32))
        last = draft("Gemm", last, weight, bias, transB=1)
    return draft.saved(last, folder, (1, 6, 6), 3)


def test_a_quantised_file_is_certified_and_its_balls_are_proved_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x = quantised(tmp_path), torch.rand(9, 1, 6, 6, generator=torch.Generator().manual_seed(4))
    made(net, (x.numpy(), load_onnx(net, LoadOptions()).logits(x).argmax(1).numpy()), tmp_path)
    record, folder = store.load(tmp_path / "run"), tmp_path / "run"
    row = next(row for row in record.certificates if (row.certifier, row.norm) == ("crown", "linf"))
    assert sum(value > 0 for value in row.radius) >= 4
    fine = verify(record, folder, net)
    assert fine.failures == []
    with monkeypatch.context() as patch:  # a graph that leaves open what a score is cannot be compared
        patch.setattr("robusteval.verify.proofs.check._VAGUE", -1.0)
        vague = verify(record, folder, net)
        assert vague.failures == []
        assert vague.left[UNTIED] == fine.kinds["certificates"].confirmed - 2 >= 4, "all but hash and comparison"
    graph = load_onnx(net, LoadOptions()).graph()
    nodes = [
        replace(node, tensors={**node.tensors, "weight": node.tensors["weight"] * 0.9}) if node.op == "linear" else node
        for node in graph.nodes
    ]
    file = folder / "proofs.safetensors"
    file.write_bytes(packed(replace(graph, nodes=tuple(nodes))))
    sure(record.proofs).sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert any("answers otherwise than the model" in sentence for sentence in verify(record, folder, net).failures)
