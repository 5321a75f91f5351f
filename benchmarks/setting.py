"""Where the benchmarks' data and models come from, and the machine they ran on."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from robusteval.engine.schedule.environment import environment
from robusteval.errors import DataError

OUT = Path(__file__).parent / "out"


def data_folder() -> Path:
    """The folder that ROBUSTEVAL_TEST_DATA names. Raises DataError where it is not set."""
    folder = os.environ.get("ROBUSTEVAL_TEST_DATA")
    if not folder:
        raise DataError(
            "ROBUSTEVAL_TEST_DATA is not set.",
            "It names a folder with mnist/mnist.npz and models/lenet.pt, fc.pt, conv4.pt, models.py.",
        )
    return Path(folder)


def load_images(split: str) -> tuple[Tensor, Tensor]:
    """MNIST's "train" or "test" images, float32 [N, 1, 28, 28] in [0, 1], and labels, int64 [N]."""
    with np.load(data_folder() / "mnist" / "mnist.npz") as arrays:
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
    return torch.from_numpy(x).reshape(-1, 1, 28, 28).float() / 255, torch.from_numpy(y).long()


def architecture(name: str) -> nn.Module:
    """A new model of that class ("LeNet", "FC", "Conv4") of models/models.py, with random weights."""
    path = data_folder() / "models" / "models.py"
    spec = importlib.util.spec_from_file_location("benchmark_models", path)
    if spec is None or spec.loader is None:
        raise DataError(f"{path} cannot be read.", "It defines the models' architectures.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model: nn.Module = getattr(module, name)()
    return model


def new_lenet() -> nn.Module:
    """LeNet with random weights."""
    return architecture("LeNet")


def load_lenet(name: str) -> nn.Module:
    """One of "lenet" (plain) and "robust" (from train_robust_lenet.py), evaluation mode, parameters frozen."""
    path = data_folder() / "models" / "lenet.pt" if name == "lenet" else OUT / "robust-lenet.pt"
    if not path.exists():
        raise DataError(f"{path} is missing.", "Run benchmarks/train_robust_lenet.py first.")
    model = new_lenet()
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval().requires_grad_(False)


def machine() -> dict[str, str]:
    """What a reader needs to compare seconds: processor, cores, versions."""
    return {**environment("torch"), "threads": str(torch.get_num_threads())}
