"""Trained models and their data, for the plugins' tests."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from robusteval.api import LoadOptions, ModelInfo, Samples
from robusteval.contracts.classifier import Classifier
from robusteval.loaders.onnx.plugin import OnnxLoader
from tests.data import FOLDER, missing
from tests.plugins.linear_models import Module
from tests.sure import sure

ROOT = Path(__file__).parents[2]


@dataclass
class Trained:
    """A classifier with samples that it gets right, and samples that it has not been attacked with."""

    model: Classifier
    samples: Samples
    fit: Samples


def right(model: Classifier, samples: Samples) -> Samples:
    return samples[model.logits(samples.x).argmax(1) == samples.y]


def _images(x: np.ndarray) -> Tensor:
    return torch.from_numpy(x.astype(np.float32)).reshape(-1, 1, 28, 28) / (255 if x.max() > 1 else 1)


@pytest.fixture(scope="session")
def fashion() -> Trained:
    """The small CNN that the repository ships, with 60 samples that it gets right."""
    model = OnnxLoader().load(ROOT / "examples" / "fashion-cnn.onnx", LoadOptions())
    with np.load(ROOT / "robusteval" / "data" / "fashion_mnist.npz") as data:
        test = Samples(_images(data["x_test"][:80]), torch.from_numpy(data["y_test"][:80].astype(np.int64)))
        fit = Samples(_images(data["x_train"]), torch.from_numpy(data["y_train"].astype(np.int64)))
    return Trained(model, right(model, test)[torch.arange(60)], fit)


def reference(name: str, architecture: str, count: int) -> Trained:
    """A reference model on MNIST, with the first `count` test images that it gets right."""
    if why := missing("mnist/mnist.npz", "mnist/test1000.npz", "models/models.py", f"models/{name}.pt"):
        pytest.skip(why)
    folder = FOLDER
    spec = sure(importlib.util.spec_from_file_location("reference_models", folder / "models" / "models.py"))
    models = importlib.util.module_from_spec(spec)
    sure(spec.loader).exec_module(models)
    net = getattr(models, architecture)()
    net.load_state_dict(torch.load(folder / "models" / f"{name}.pt"))
    for weight in net.eval().parameters():
        weight.requires_grad_(False)
    model = Module(net, ModelInfo(name, "torch", "0" * 64, (1, 28, 28), 10))
    with np.load(folder / "mnist" / "test1000.npz") as data:
        test = Samples(_images(data["x"][: count + 50]), torch.from_numpy(data["y"][: count + 50].astype(np.int64)))
    with np.load(folder / "mnist" / "mnist.npz") as data:
        fit = Samples(_images(data["x_train"][:2000]), torch.from_numpy(data["y_train"][:2000].astype(np.int64)))
    return Trained(model, right(model, test)[torch.arange(count)], fit)


@pytest.fixture(scope="session")
def lenet() -> Trained:
    return reference("lenet", "LeNet", 50)


@pytest.fixture(scope="session")
def conv4() -> Trained:
    return reference("conv4", "Conv4", 300)
