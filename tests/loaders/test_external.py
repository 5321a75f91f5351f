"""Data beside a model: read by the ranges that tensors name, whatever else the file holds or says."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from robusteval import plain
from robusteval.errors import ModelError
from robusteval.loaders.onnx.reading.file import read_model
from robusteval.runtime import external
from robusteval.runtime.external import BITS, PADDING
from robusteval.runtime.files import each_sha256, read_file
from robusteval.runtime.wire import stored

WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) / 12
DATA = "net.data"


def model(folder: Path, offset: int = 0, length: int | str | None = None, dims: tuple[int, ...] = (4, 3)) -> Path:
    """A model of one MatMul, whose weights are said to lie beside it."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    length = WEIGHTS.nbytes if length is None else length
    for key, value in {"location": DATA, "offset": offset, "length": length}.items():
        if value != "":
            tensor.external_data.add(key=key, value=str(value))
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [info("x", TensorProto.FLOAT, ["n", 4])],
        [info("y", TensorProto.FLOAT, ["n", 3])],
        [tensor],
    )
    path = folder / "net.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    return path


def data(folder: Path, offset: int = 0, whole: int | None = None) -> Path:
    """The weights at their place in a file of that size: holes before and behind."""
    path = folder / DATA
    with path.open("wb") as file:
        file.seek(offset)
        file.write(WEIGHTS.tobytes())
        if whole is not None:
            file.truncate(whole)
    return path


def weights_of(path: Path) -> np.ndarray:
    (tensor,) = read_model(path).proto().graph.initializer
    return onnx.numpy_helper.to_array(tensor)


@pytest.mark.parametrize(("offset", "whole"), [(0, 10**12), (0, 7 * 10**9), (4096, 7 * 10**9), (4096, None)])
def test_a_file_of_holes_costs_what_its_tensors_do(offset: int, whole: int | None, tmp_path: Path) -> None:
    path, beside = model(tmp_path, offset), data(tmp_path, offset, whole)
    assert np.array_equal(weights_of(path), WEIGHTS)
    (ranges,) = read_file(path).external.values()
    assert ranges == [(offset, WEIGHTS.tobytes())]
    session = read_file(path).session()
    (answer,) = session.run(None, {"x": np.eye(4, dtype=np.float32)})
    assert np.array_equal(answer, WEIGHTS)
    assert beside.stat().st_blocks * 512 < 10**6


def test_the_hash_is_of_the_file_as_far_as_its_tensors_reach(tmp_path: Path) -> None:
    path, beside = model(tmp_path, 4096), data(tmp_path, 4096)
    whole = hashlib.sha256(path.read_bytes() + beside.read_bytes()).hexdigest()
    assert read_model(path).sha256 == read_file(path).sha256 == whole
    data(tmp_path, 4096, 4096 + WEIGHTS.nbytes + PADDING)  # padding is the file's own
    padded = hashlib.sha256(path.read_bytes() + beside.read_bytes()).hexdigest()
    assert read_model(path).sha256 == read_file(path).sha256 == padded
    data(tmp_path, 4096, 4096 + WEIGHTS.nbytes + PADDING + 1)  # and what is more is none
    assert read_model(path).sha256 == read_file(path).sha256 == whole


@pytest.mark.parametrize(
    ("offset", "length", "dims", "whole", "said"),
    [
        (10**12 - 48, None, (4, 3), 10**12, "too far for a model"),
        (0, 10**12, (4, 3), 10**12, "does not fit"),
        (0, 4 * 10**12, (10**6, 10**6), 4 * 10**12, "too far for a model"),
        (0, 2_400_000_000, (600_000, 1000), 3 * 10**9, "more than 2000000000 bytes"),
        (0, "", (2**40, 2**40), 10**12, "does not fit"),
        (0, "9" * 6000, (4, 3), None, "offset that is not a number"),
        (-1, None, (4, 3), None, "does not fit"),
        (0, None, (4, -3), None, "type or shape"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    offset: int, length: int | str | None, dims: tuple[int, ...], whole: int | None, said: str, tmp_path: Path
) -> None:
    path = model(tmp_path, offset, length, dims)
    data(tmp_path, 0, whole)
    for reader in (read_model, read_file):
        with pytest.raises(ModelError, match=said) as caught:
            reader(path)
        assert "\n" not in caught.value.message


def test_more_than_the_machine_has_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = model(tmp_path, 0, 1_200_000_000, (300_000, 1000))
    data(tmp_path, 0, 1_200_000_000)
    monkeypatch.setattr(external, "memory", lambda: 2e9)
    monkeypatch.setattr(external.Beside, "read", lambda *_: pytest.fail("it was read"))
    for reader in (read_model, read_file):
        with pytest.raises(ModelError, match=r"1\.2 GB: opening it takes 3\.6 GB of memory, and 2\.0 GB are left"):
            reader(path)


@pytest.mark.parametrize("kind", ["pipe", "link", "hard link", "folder"])
def test_only_plain_files_are_opened(kind: str, tmp_path: Path) -> None:
    path = model(tmp_path)
    if kind == "pipe":
        os.mkfifo(tmp_path / DATA)
    elif kind == "folder":
        (tmp_path / DATA).mkdir()
    else:
        real = data(tmp_path).rename(tmp_path / "real")
        (tmp_path / DATA).symlink_to(real) if kind == "link" else (tmp_path / DATA).hardlink_to(real)
    for reader in (read_model, read_file):
        with pytest.raises(ModelError, match="external data"):
            reader(path)


def test_what_is_read_of_the_bytes_is_what_onnx_reads(tmp_path: Path) -> None:
    path = model(tmp_path, 4096)
    (tensor,) = onnx.load(path, load_external_data=False).graph.initializer
    (found,) = stored(path.read_bytes())
    assert (found.name, found.kind, found.dims) == (tensor.name, tensor.data_type, tuple(tensor.dims))
    assert found.entries == {entry.key: entry.value for entry in tensor.external_data}


@pytest.mark.parametrize("kind", sorted(BITS))
def test_sizes_of_elements_are_those_of_onnx(kind: int) -> None:
    held = np.dtype(helper.tensor_dtype_to_np_dtype(kind)).itemsize * 8  # some are held in wider ones
    assert held == BITS[kind] if kind < TensorProto.BFLOAT16 else held >= BITS[kind]


def test_the_file_may_grow_smaller_while_it_is_read(tmp_path: Path) -> None:
    path = model(tmp_path)
    data(tmp_path)
    files = external.beside(tmp_path, stored(path.read_bytes()), 1)
    (tmp_path / DATA).write_bytes(b"x")
    with pytest.raises(ModelError, match="changed while they were read"):
        files.read(files.ranges[0])
    (tmp_path / DATA).unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        files.read(files.ranges[0])
    assert plain.size(1) == "0.0 kB"


@pytest.mark.parametrize("more", [0, PADDING, PADDING + 1])
def test_each_file_of_a_model_has_its_hash(tmp_path: Path, more: int) -> None:
    """To its end, as sha256sum says it, where no more than padding follows; else as far as the model's hash goes."""
    path, beside = model(tmp_path), data(tmp_path, whole=WEIGHTS.nbytes + more)
    content = beside.read_bytes()[: WEIGHTS.nbytes + more if more <= PADDING else WEIGHTS.nbytes]
    assert each_sha256(path) == {
        "": hashlib.sha256(path.read_bytes()).hexdigest(),
        DATA: hashlib.sha256(content).hexdigest(),
    }
    assert read_file(path).sha256 == hashlib.sha256(path.read_bytes() + content).hexdigest()
    beside.unlink()
    with pytest.raises(ModelError, match="is missing"):
        each_sha256(path)


@pytest.mark.parametrize("location", ["n" * 5_000, "a/" * 3_000 + "w.bin", "\ud800.bin"])
def test_a_name_that_no_file_can_have_is_one_sentence(location: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is missing|is not a plain file"):
        external.checked(tmp_path, location)


def test_many_huge_axes_are_refused_before_they_are_multiplied(tmp_path: Path) -> None:
    data(tmp_path)
    path = model(tmp_path, dims=(1 << 62,) * 100_000)
    for read in (read_model, read_file):
        with pytest.raises(ModelError, match="type or shape that cannot be read"):
            read(path)
