"""Files from scikit-learn, and third-party files where they are at hand."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robusteval.contracts.classifier import LoadOptions
from robusteval.loaders.onnx.classifier import OnnxClassifier, load_onnx
from tests.data import missing, needs


def converted(model: Any, path: Path, two: bool = False) -> tuple[OnnxClassifier, np.ndarray[Any, Any], Any]:
    """A fitted scikit-learn model through skl2onnx, with some digits and its own probabilities of them."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not trained to convergence
        model.fit(x[:800], y[:800] > 4 if two else y[:800])
        path.write_bytes(to_onnx(model, x[:1]).SerializeToString())
        want = model.predict_proba(x[800:840])
    return load_onnx(path, LoadOptions()), x[800:840], want


@pytest.mark.parametrize("two", [False, True])
def test_a_perceptron_with_labels_and_a_zipmap(two: bool, tmp_path: Path) -> None:
    from sklearn.neural_network import MLPClassifier

    perceptron = MLPClassifier((16,), max_iter=20, random_state=0)
    classifier, x, want = converted(perceptron, tmp_path / "m.onnx", two)
    info = classifier.info
    assert (info.rung, info.output, info.layout) == ("A", "probabilities", "flat")
    assert info.classes == (2 if two else 10)
    assert any("several outputs" in note for note in info.notes)
    assert np.allclose(classifier.logits(torch.from_numpy(x)).exp().numpy(), want, atol=1e-5)
    assert np.allclose(classifier.twin(torch.from_numpy(x)).exp().numpy(), want, atol=1e-5)


def test_a_scaled_linear_model_has_exact_gradients(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=100))
    classifier, x, want = converted(pipeline, tmp_path / "m.onnx")
    assert classifier.info.gradients == "exact"
    assert classifier.info.class_names == tuple("0123456789")
    assert np.allclose(classifier.logits(torch.from_numpy(x)).exp().numpy(), want, atol=1e-4)


def test_trees_are_a_black_box(tmp_path: Path) -> None:
    from sklearn.ensemble import RandomForestClassifier

    classifier, x, want = converted(RandomForestClassifier(8, random_state=0), tmp_path / "m.onnx")
    assert (classifier.info.rung, classifier.info.gradients) == ("E", "none")
    assert "TreeEnsembleClassifier" in classifier.info.gradients_reason
    assert np.allclose(classifier.logits(torch.from_numpy(x)).exp().numpy(), want, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "models/lenet.onnx",
        "models/fc.onnx",
        "models/conv4.onnx",
        "models/mnist-8.onnx",
        "models/resnet20-cifar10.onnx",
        "vnncomp/verivital/Convnet_avgpool.onnx",
        "vnncomp/verivital/Convnet_maxpool.onnx",
    ],
)
def test_third_party_files(name: str, shared_data: Path) -> None:
    if why := missing(name, original=False):
        pytest.skip(why)
    info = load_onnx(shared_data / name, LoadOptions()).info
    assert (info.rung, info.gradients, info.output) == ("A", "exact", "logits")
    assert float(info.parity["max_relative_gap"]) < 1e-5


@needs("cifar10_1380.npz", "models/resnet20-cifar10.onnx")
def test_a_real_classifier_is_as_good_as_it_should_be(shared_data: Path) -> None:
    with np.load(shared_data / "cifar10_1380.npz") as data:
        x, y = data["x"][:200], data["y"][:200]
    classifier = load_onnx(shared_data / "models/resnet20-cifar10.onnx", LoadOptions())
    pixels = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255
    right = (classifier.logits(pixels).argmax(1).numpy() == y).mean()
    assert right > 0.85
