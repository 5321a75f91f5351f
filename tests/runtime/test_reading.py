"""What a record may say of how its model's file is read, and what it may not."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from robusteval.contracts.classifier import LoadOptions
from robusteval.errors import ModelError, RecordError
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.loaders.onnx.reading.file import read_model
from robusteval.runtime.answers import Runtime, check_reading
from robusteval.runtime.files import file_sha256, read_file
from robusteval.runtime.reading import from_json
from robusteval.runtime.session import open_session
from robusteval.runtime.wire import label_lists, outside
from tests.verify.guises import GUISES, write


def loaded(name: str, folder: Path) -> tuple[Path, Any, dict[str, Any]]:
    """(the file, the classifier, its reading as a record holds it)."""
    guise = GUISES[name]
    path, _ = write(guise, folder)
    classifier = load_onnx(path, LoadOptions(bounds=guise.bounds, **guise.options))
    return path, classifier, json.loads(json.dumps(classifier.info.reading))


@pytest.mark.parametrize("name", ["plain", "zipmap", "int8-half", "normalised", "batch-last", "no-batch-vector"])
def test_the_reading_in_the_record_is_all_that_is_needed(name: str, tmp_path: Path) -> None:
    path, classifier, stored = loaded(name, tmp_path)
    file = read_file(path)
    reading = from_json(stored)
    session = file.session()
    check_reading(reading, session, label_lists(file.content))
    low, high = classifier.info.bounds
    x = torch.rand(7, *classifier.info.input_shape, generator=torch.Generator().manual_seed(0)) * (high - low) + low
    runtime = Runtime(session, reading)
    scores = classifier.logits(x)
    assert np.array_equal(runtime.scores(x.numpy()), scores.numpy())
    assert runtime.labels(x.numpy()).tolist() == scores.argmax(1).tolist()
    assert file.sha256 == classifier.info.sha256


WRONG = {
    "no-reading": lambda r: r.clear(),
    "more": lambda r: r.update(extra=1),
    "less": lambda r: r.pop("output"),
    "name": lambda r: r.update(output=3),
    "type": lambda r: r.update(type="tensor(bool)"),
    "kind": lambda r: r.update(kind="score"),
    "scale": lambda r: r.update(scale="odds"),
    "truth": lambda r: r.update(one_score=1),
    "shape": lambda r: r.update(shape=[1, 6, 7]),
    "nested": lambda r: r.update(shape=[[1], 6, 6]),
    "huge": lambda r: r.update(shape=[2**40], file_shape=[2**40]),
    "classes": lambda r: r.update(classes=1),
    "text-classes": lambda r: r.update(classes="4"),
    "nan": lambda r: r.update(mean=[math.nan]),
    "infinite": lambda r: r.update(bounds=[0.0, math.inf]),
    "backwards": lambda r: r.update(bounds=[1.0, 0.0]),
    "std": lambda r: r.update(std=[0.0]),
    "channels": lambda r: r.update(mean=[0.1, 0.2]),
    "whole": lambda r: r.update(whole=[0.0, 255.0]),
    "batch": lambda r: r.update(batch=0),
    "axis": lambda r: r.update(batch_at=-1),
    "no-axis": lambda r: r.update(batch_at=None),
    "answers": lambda r: r.update(answers_at=None),
    "keys": lambda r: r.update(keys=["a"]),
    "one-score": lambda r: r.update(one_score=True),
    "labels": lambda r: r.update(scale="labels"),
    "external": lambda r: r.update(external=[1]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_reading_is_refused(name: str, tmp_path: Path) -> None:
    _, _, stored = loaded("plain", tmp_path)
    from_json(stored)
    WRONG[name](stored)
    with pytest.raises(RecordError):
        from_json(stored)


@pytest.mark.parametrize("stored", [None, 3, [], "x", {"input": []}])
def test_what_is_not_even_a_table_is_refused(stored: object) -> None:
    with pytest.raises(RecordError):
        from_json(stored)


FOREIGN: dict[str, tuple[str, dict[str, Any]]] = {
    "input": ("plain", {"input": "z"}),
    "type": ("plain", {"type": "tensor(double)"}),
    "output": ("plain", {"output": "z"}),
    "shape": ("plain", {"file_shape": [36, 1, 1]}),
    "batch": ("batch-4", {"batch": 2}),
    "any batch": ("batch-4", {"batch": None}),
    "kind": ("labels-first", {"output": "label"}),
    "order of labels": ("zipmap", {"keys": ["a", "b", "c", "d"]}),
    "other labels": ("zipmap", {"keys": [0, 1, 2, 3]}),
    "renumbered": ("labels-only", {"keys": [1, 0, 2, 3]}),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_reading_of_another_file_is_refused(name: str, tmp_path: Path) -> None:
    guise, change = FOREIGN[name]
    path, _, stored = loaded(guise, tmp_path)
    content = path.read_bytes()

    def check(said: dict[str, Any]) -> None:
        check_reading(from_json(said), open_session(content), label_lists(content))

    check(stored)
    with pytest.raises(RecordError):
        check(stored | change)


def test_the_largest_score_stays_the_largest_in_single_precision(tmp_path: Path) -> None:
    path, _, stored = loaded("double", tmp_path)
    runtime = Runtime(open_session(path.read_bytes()), from_json(stored))
    exact = np.array([[1.0, 1.0 + 1e-12, 0.0, -1.0], [2.0, 1.0, 0.0, 3.0], [np.nan, 1.0, 0.0, 0.0]])
    rounded = runtime.rounded(exact)
    assert rounded.dtype == np.float32
    assert rounded[:2].argmax(1).tolist() == [1, 3]
    assert not np.isfinite(rounded[2]).all()


def test_external_data_are_hashed_as_the_loader_does_and_nothing_else_is_read(tmp_path: Path) -> None:
    path, classifier, _ = loaded("external", tmp_path)
    assert outside(path.read_bytes()) == ["net.data"] == list(read_model(path).external)
    assert file_sha256(path) == classifier.info.sha256
    (tmp_path / "net.data").write_bytes((tmp_path / "net.data").read_bytes()[::-1])
    assert file_sha256(path) != classifier.info.sha256
    hidden = read_file(path)
    hidden.external.clear()
    with pytest.raises(ModelError):
        hidden.session()


@pytest.mark.parametrize("how", ["link", "missing", "above", "folder"])
def test_external_data_elsewhere_are_refused(how: str, tmp_path: Path) -> None:
    path, _ = write(GUISES["external"], tmp_path)
    data = tmp_path / "net.data"
    if how == "link":
        data.rename(tmp_path / "other")
        data.symlink_to(tmp_path / "other")
    elif how == "above":
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            next(e for e in tensor.external_data if e.key == "location").value = "../net.data"
        path.write_bytes(model.SerializeToString())
    else:
        data.unlink()
        if how == "folder":
            data.mkdir()
    with pytest.raises(ModelError):
        read_file(path)


@pytest.mark.parametrize("name", ["zipmap", "labels-only"])
def test_label_lists_are_those_of_the_onnx_package(name: str, tmp_path: Path) -> None:
    path, _ = write(GUISES[name], tmp_path)
    assert label_lists(path.read_bytes()) == ([("d", "b", "a", "c")] if name == "zipmap" else [])


@pytest.mark.parametrize("cut", [1, 7, 100, 1000])
def test_damaged_bytes_end_in_a_sentence(cut: int, tmp_path: Path) -> None:
    path, _ = write(GUISES["zipmap"], tmp_path)
    content = path.read_bytes()
    with pytest.raises(ModelError):
        label_lists(content[:-cut])
    with pytest.raises(ModelError):
        outside(b"\xff" * 40)


def test_neither_torch_nor_onnx_nor_pydantic_is_needed(tmp_path: Path) -> None:
    path, _, stored = loaded("plain", tmp_path)
    (tmp_path / "reading.json").write_text(json.dumps(stored))
    code = (
        "import sys, json, pathlib\n"
        "for name in ('torch', 'onnx', 'pydantic', 'scipy', 'google'): sys.modules[name] = None\n"
        "import numpy as np\n"
        "from robusteval.runtime.answers import Runtime\n"
        "from robusteval.runtime.files import read_file\n"
        "from robusteval.runtime.reading import from_json\n"
        "reading = from_json(json.loads(pathlib.Path(sys.argv[2]).read_text()))\n"
        "runtime = Runtime(read_file(pathlib.Path(sys.argv[1])).session(), reading)\n"
        "print(runtime.labels(np.zeros((2, 1, 6, 6), np.float32)).shape)\n"
    )
    words = [sys.executable, "-c", code, str(path), str(tmp_path / "reading.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "(2,)", done.stderr
