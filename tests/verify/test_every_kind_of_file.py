"""Every kind of file that is read: run, then verify. All that an honest run claims is confirmed, and nothing is
accused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import robusteval
from robusteval.contracts.classifier import LoadOptions
from robusteval.engine.run.new_record import model_of
from robusteval.errors import RecordError
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.loaders.onnx.reading.bound import Bound
from robusteval.record import store
from robusteval.runtime.answers import Runtime
from robusteval.runtime.files import read_file
from robusteval.runtime.reading import Reading, from_json
from robusteval.verify.parts.asking import reading_in
from robusteval.verify.run import verify
from tests.verify.guises import CLASSES, GUISES, PIXELS, weights, write

SUITE = """
name = "two"
version = "1"
norms = ["l2", "linf"]
samples = 20
probe_samples = 0
[[attack]]
plugin = "fgsm"
search = 1
[[attack]]
plugin = "pgd"
params = { steps = 4 }
search = 1
"""
BLACK_BOX = SUITE.split("[[attack]]", maxsplit=1)[0] + '[[attack]]\nplugin = "noise"\n'


def attacked(model: Any, images: tuple[object, object], folder: Path, options: LoadOptions, suite: str) -> Path:
    (folder / "two.toml").write_text(suite)
    out = folder / "run"
    robusteval.evaluate(model, images, str(folder / "two.toml"), options=options, out=out)
    return out


def _check_bound(path: Path, reading: Reading, x: Any) -> None:
    """That tensors which are read where they lie have the answers of arrays."""
    session = read_file(path).session()
    plain = Runtime(session, reading).scores(x)
    there = Bound(session, reading, torch.device("cpu")).scores(torch.from_numpy(x))
    if reading.scale == "probabilities":  # logarithms of two libraries
        assert np.allclose(there.numpy(), plain, rtol=3e-7, atol=1e-9)
        assert np.array_equal(there.numpy().argmax(1), plain.argmax(1))
    else:
        assert np.array_equal(there.numpy(), plain)


@pytest.mark.parametrize("name", GUISES)
def test_a_run_is_confirmed(name: str, tmp_path: Path) -> None:
    guise = GUISES[name]
    path, (x, y) = write(guise, tmp_path, one_score=name.startswith("one-"))
    np.savez(tmp_path / "images.npz", x=x, y=y)
    options = LoadOptions(bounds=guise.bounds, **guise.options)
    suite = BLACK_BOX if name.startswith("labels-") and name != "labels-first" else SUITE
    out = attacked(path, (x, y), tmp_path, options, suite)
    record = store.load(out)
    (pipeline,) = record.pipelines
    right = np.mean(np.asarray(pipeline.prediction) == y)
    assert right >= 0.9, "The file is read otherwise than the network was written."
    assert record.model.reading == json.loads(json.dumps(record.model.reading))
    assert not any("depend on the other rows" in note for note in record.model.notes)
    _check_bound(path, from_json(record.model.reading), x)
    result = verify(record, out, path)
    assert result.failures == []
    assert not any("answer" in reason for reason in result.left), result.left  # every label was asked again
    assert result.claims == result.confirmed > 0


def test_a_torch_module_is_confirmed_as_far_as_can_be(tmp_path: Path) -> None:
    w = {name: torch.tensor(value, dtype=torch.float32) for name, value in weights().items()}
    first, second = torch.nn.Linear(PIXELS, 12), torch.nn.Linear(12, CLASSES)
    net = torch.nn.Sequential(torch.nn.Flatten(), first, torch.nn.ReLU(), second)
    with torch.no_grad():
        first.weight.copy_(w["w1"].T), first.bias.copy_(w["b1"])
        second.weight.copy_(w["w2"].T), second.bias.copy_(w["b2"])
    _, images = write(GUISES["plain"], tmp_path)
    out = attacked(net, images, tmp_path, LoadOptions(), SUITE)
    record = store.load(out)
    result = verify(record, out, None)
    assert record.model.reading == {}
    assert result.failures == []
    assert result.claims == result.confirmed > 0
    wins = sum(value is not None and value > 0 for cell in record.cells for value in cell.distance)
    assert sum(count for reason, count in result.left.items() if "not ONNX" in reason or "again" in reason) >= wins


OLD = (
    "plain",
    "half",
    "int8-half",
    "uint16-wide",
    "normalised",
    "channels-last",
    "batch-4",
    "one-score",
    "labels-first",
)


@pytest.mark.parametrize("name", OLD)
def test_a_record_from_before_readings_is_still_asked(name: str, tmp_path: Path) -> None:
    guise = GUISES[name]
    path, (x, _) = write(guise, tmp_path, one_score=name.startswith("one-"))
    classifier = load_onnx(path, LoadOptions(bounds=guise.bounds, **guise.options))
    model = model_of(classifier.info, str(path))
    inputs = torch.from_numpy(x).reshape(-1, *classifier.info.input_shape)
    file = read_file(path)
    session = file.session()
    want = classifier.logits(inputs).argmax(1).tolist()
    for info in (model, dataclasses.replace(model, reading={})):
        reading = reading_in(info, session, file)
        assert Runtime(session, reading).labels(inputs.numpy()).tolist() == want


@pytest.mark.parametrize("field", ["bounds", "mean", "classes", "output", "input_shape"])
def test_a_record_that_says_two_things_is_refused(field: str, tmp_path: Path) -> None:
    path, _ = write(GUISES["plain"], tmp_path)
    model = model_of(load_onnx(path, LoadOptions()).info, str(path))
    other: dict[str, Any] = {
        "bounds": [0.0, 2.0],
        "mean": [0.5],
        "classes": 5,
        "output": "probabilities",
        "input_shape": [36],
    }
    file = read_file(path)
    with pytest.raises(RecordError, match="two things"):
        reading_in(dataclasses.replace(model, **{field: other[field]}), file.session(), file)
