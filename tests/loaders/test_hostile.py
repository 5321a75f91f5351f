"""Files that were not made in good faith, or not made well."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from robusteval.contracts.classifier import LoadOptions
from robusteval.errors import ModelError
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.loaders.onnx.plugin import OnnxLoader
from robusteval.loaders.onnx.reading.file import read_model
from robusteval.loaders.onnx.sandbox import probe_file
from robusteval.loaders.onnx.twin.node import Unsupported
from robusteval.loaders.onnx.twin.program import Program
from tests.fuzz import seeds
from tests.loaders import exports


def load(path: Path) -> object:
    return load_onnx(path, LoadOptions())


def test_broken_files_are_refused_in_one_sentence(exported: Callable[[str], Path], tmp_path: Path) -> None:
    good = exported("vgg").read_bytes()
    contents = {
        "empty": b"",
        "truncated": good[: len(good) // 2],
        "random": np.random.default_rng(0).bytes(5000),
        "text": b"<html>not found</html>",
        "nothing": onnx.ModelProto(ir_version=8).SerializeToString(),
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        with pytest.raises(ModelError) as caught:
            load(path)
        assert caught.value.hint
        assert "\n" not in caught.value.message
    for path in (tmp_path, tmp_path / "missing.onnx"):
        with pytest.raises(ModelError):
            load(path)


def test_flipped_bytes_never_escape_as_other_errors(exported: Callable[[str], Path], tmp_path: Path) -> None:
    good, rng = exported("mlp").read_bytes(), np.random.default_rng(1)
    path = tmp_path / "f.onnx"
    refused = 0
    for _ in range(12):
        data = bytearray(good)
        for at in rng.integers(0, 400, 4):
            data[at] = int(rng.integers(0, 256))
        path.write_bytes(bytes(data))
        try:
            load(path)
        except ModelError:
            refused += 1
    assert refused > 0


def bomb(path: Path) -> Path:
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"]),
        helper.make_node("ReduceSum", ["c"], ["r"], keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    return exports.save(path, nodes, {"s": np.array([2**33], np.int64)}, x=["n", 10], y=["n", 10])


def endless(path: Path) -> Path:
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("v", TensorProto.FLOAT, None)],
        [info("on", TensorProto.BOOL, []), info("w", TensorProto.FLOAT, None)],
    )
    nodes = [helper.make_node("Loop", ["", "t", "x"], ["y"], body=body)]
    return exports.save(path, nodes, {"t": np.array(True)}, x=["n", 10], y=["n", 10])


def test_a_small_file_that_wants_all_memory(tmp_path: Path) -> None:
    path = bomb(tmp_path / "b.onnx")
    assert path.stat().st_size < 300
    with pytest.raises(ModelError, match="memory"):
        load(path)
    graph = read_model(path).proto().graph
    with pytest.raises(Unsupported, match="ConstantOfShape"):
        Program(graph, {"": 17}, torch.float32, False, {}).interpret([torch.rand(1, 10)], [])


def test_a_loop_without_end(tmp_path: Path) -> None:
    path = endless(tmp_path / "l.onnx")
    with pytest.raises(ModelError, match="within 2 seconds"):
        probe_file(read_model(path), LoadOptions(), seconds=2)
    graph = read_model(path).proto().graph
    with pytest.raises(Unsupported, match="times"):
        Program(graph, {"": 17}, torch.float32, False, {}).interpret([torch.rand(1, 10)], [])


@pytest.fixture
def beside(exported: Callable[[str], Path], tmp_path: Path) -> Path:
    return exports.with_external_data(exported("vgg"), tmp_path / "m.onnx", "weights.bin")


def relocated(path: Path, location: str) -> Path:
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    target = path.with_name("relocated.onnx")
    target.write_bytes(model.SerializeToString())
    return target


def test_external_data_is_found_beside_the_file(beside: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    classifier = load_onnx(beside, LoadOptions())
    x = torch.rand(3, 3, 16, 16)
    assert torch.allclose(classifier.logits(x), exports.cnn()(x), atol=1e-5)
    before = classifier.info.sha256
    assert before != hashlib.sha256(beside.read_bytes()).hexdigest()
    data = bytearray((tmp_path / "weights.bin").read_bytes())
    data[100] ^= 1
    (tmp_path / "weights.bin").write_bytes(bytes(data))
    assert load_onnx(beside, LoadOptions()).info.sha256 != before


def test_external_data_elsewhere_is_refused(beside: Path, tmp_path: Path) -> None:
    (tmp_path / "soft.bin").symlink_to(tmp_path / "weights.bin")
    (tmp_path / "folder").mkdir()
    for location in (
        "../weights.bin",
        str(tmp_path / "weights.bin"),
        "soft.bin",
        "gone.bin",
        "folder",
        "a/../weights.bin",
    ):
        with pytest.raises(ModelError, match="external data"):
            load(relocated(beside, location))
    os.link(tmp_path / "weights.bin", tmp_path / "hard.bin")
    with pytest.raises(ModelError, match="hard link"):
        load(relocated(beside, "hard.bin"))


def test_external_data_of_the_wrong_size_is_refused(beside: Path, tmp_path: Path) -> None:
    whole = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="does not fit"):
        load(beside)
    (tmp_path / "weights.bin").write_bytes(whole)
    model = onnx.load(str(beside), load_external_data=False)
    model.graph.initializer[0].dims[0] = 2**40
    beside.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="does not fit"):
        load(beside)


def test_a_divergence_is_found_and_named(exported: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from robusteval.loaders.onnx.twin import elementwise
    from robusteval.loaders.onnx.twin.node import Rule, fixed

    monkeypatch.setitem(elementwise.RULES, "Tanh", Rule(fixed(lambda x: torch.tanh(x) * 1.01)))
    from robusteval.loaders.onnx.twin import rules

    monkeypatch.setitem(rules.STANDARD, "Tanh", elementwise.RULES["Tanh"])
    info = load_onnx(exported("lenet"), LoadOptions()).info
    assert (info.rung, info.gradients) == ("S", "surrogate")  # a hundredth off still shows the way
    assert "Tanh" in info.gradients_reason


def test_a_graph_whose_name_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(seeds.net().replace(b"net", b"\xed\xa0\x80", 1))
    with pytest.raises(ModelError, match="no text"):
        OnnxLoader().load(tmp_path / "m.onnx", LoadOptions())
