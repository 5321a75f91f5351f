"""What a run left to check with is read as it is, and refused with one sentence where there is nothing to check
with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from robusteval.errors import RecordError
from robusteval.record.run import Record
from robusteval.verify.parts import evidence as module
from robusteval.verify.parts.evidence import Array, Remembered, gather, read_tensors
from tests.sure import sure
from tests.verify.tiny import Counting, clean, counted, tiny

HINT = "Give the folder that the run wrote."


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Record, Path]:
    """(a record whose witness file is in tmp_path, the model's file)."""
    record, evidence, _ = tiny()
    path = tmp_path / sure(record.witnesses).file
    path.write_bytes(safetensors.numpy.save(evidence.tensors))
    model = tmp_path / "m.onnx"
    model.write_bytes(b"")
    monkeypatch.setattr(module, "reopened", lambda *given: ("asked", given))
    return record, model


def refused(*given: Any) -> RecordError:
    with pytest.raises(RecordError) as error:
        gather(*given)
    return error.value


def test_what_a_run_left(kept: tuple[Record, Path], tmp_path: Path) -> None:
    record, model = kept
    found = gather(record, tmp_path, model)
    content = (tmp_path / sure(record.witnesses).file).read_bytes()
    assert found.folder == tmp_path
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.tensors.keys() == tiny()[1].tensors.keys()
    assert np.array_equal(found.tensors["clean"], clean())
    assert isinstance(found.model, Remembered)
    asked: object = found.model.model
    assert asked == ("asked", (model, record))
    assert found.without == ""


def test_a_model_that_is_no_onnx_file_is_not_asked(kept: tuple[Record, Path], tmp_path: Path) -> None:
    record, _ = kept
    record.model.format = "torch"
    found = gather(record, tmp_path, None)
    assert found.model is None
    assert found.without == "the model is no ONNX file, so its answers were not asked again"
    assert found.folder == tmp_path
    assert found.tensors.keys() == tiny()[1].tensors.keys()
    assert found.sha256 == hashlib.sha256((tmp_path / sure(record.witnesses).file).read_bytes()).hexdigest()


def test_a_model_that_is_gone(kept: tuple[Record, Path], tmp_path: Path) -> None:
    record, _ = kept
    for model in (None, tmp_path / "gone.onnx"):
        error = refused(record, tmp_path, model)
        assert error.message == "The model m.onnx is not where it was."
        assert error.hint == "Give its path: robusteval verify RUN --model MODEL."


@pytest.mark.parametrize("name", ["clean", "labels"])
def test_a_witness_file_without_clean_samples(kept: tuple[Record, Path], tmp_path: Path, name: str) -> None:
    record, model = kept
    tensors = tiny()[1].tensors
    del tensors[name]
    (tmp_path / sure(record.witnesses).file).write_bytes(safetensors.numpy.save(tensors))
    error = refused(record, tmp_path, model)
    assert (error.message, error.hint) == ("The witness file has no clean samples.", HINT)


def test_no_witness_file(kept: tuple[Record, Path], tmp_path: Path) -> None:
    record, model = kept
    path = tmp_path / sure(record.witnesses).file
    for spoil in (lambda: path.write_bytes(b"x"), path.unlink):
        spoil()
        error = refused(record, tmp_path, model)
        assert error.message.startswith(f"Cannot read {path}: ")
        assert error.hint == HINT
        with pytest.raises(RecordError):
            read_tensors(path)
    (tmp_path / "other").write_bytes(safetensors.numpy.save(tiny()[1].tensors))
    assert refused(record, tmp_path, model).message == f"Cannot read {path}: No such file or directory."
    path.symlink_to(tmp_path / "other")
    assert refused(record, tmp_path, model).message == f"Cannot read {path}: it is a link."
    record.witnesses = None
    error = refused(record, tmp_path, model)
    assert error.message == "This run stored no adversarials, so there is nothing to verify."


def test_a_witness_file_that_is_too_large(
    kept: tuple[Record, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, model = kept
    size = (tmp_path / sure(record.witnesses).file).stat().st_size
    monkeypatch.setattr(module, "MAX_BYTES", size)
    gather(record, tmp_path, model)
    monkeypatch.setattr(module, "MAX_BYTES", size - 1)
    assert refused(record, tmp_path, model).message.endswith(f" bytes, more than the limit of {size - 1:,}.")


@pytest.mark.parametrize("name", ["", ".", "..", "../w", "a/w", "/w", "x/" * 50])
def test_a_witness_file_is_in_the_folder(kept: tuple[Record, Path], tmp_path: Path, name: str) -> None:
    record, model = kept
    sure(record.witnesses).file = name
    said = f"The witness file {name[:80]!r} is not in the run's folder."
    assert refused(record, tmp_path, model).message == said


def test_a_model_is_asked_once_in_parts_of_128(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Counting()
    seen = []

    def scores(x: Array) -> Array:
        seen.append(len(x))
        return np.arange(2 * len(x)).reshape(-1, 2)

    monkeypatch.setattr(model, "scores", scores)
    remembered = Remembered(model)
    x = np.concatenate([clean()] * 50)[:257]
    assert np.array_equal(remembered.labels(x), counted(x))
    assert np.array_equal(remembered.labels(x.copy()), counted(x))
    assert model.asked == [128, 128, 1]
    assert remembered.scores(x[:3]).tolist() == remembered.scores(x[:3]).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert seen == [3]
    assert np.array_equal(remembered.labels(x[1:4]), counted(x[1:4]))
    assert model.asked == [128, 128, 1, 3]
    assert np.array_equal(remembered.labels(x[::2]), counted(x[::2]))


def test_other_bytes_and_the_same_in_another_shape_are_another_question() -> None:
    model = Counting()
    remembered = Remembered(model)
    zeros = np.zeros((2, 1, 2, 2), np.float32)
    assert remembered.labels(zeros).tolist() == [0, 0]
    assert remembered.labels(zeros + np.float32(0.75)).tolist() == [2, 2]
    assert len(remembered.labels(zeros.reshape(1, 2, 2, 2))) == 1
    none = remembered.labels(zeros[:0])
    assert none.shape == (0,)
    assert none.dtype == np.int64
    assert model.asked == [2, 2, 1]
