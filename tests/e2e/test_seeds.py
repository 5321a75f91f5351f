"""Figures of the sources that need no suite: the logistic regression on 3 against 7, and rho_adv of the dense net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import robusteval
from tests.data import FOLDER, needs

FGSM = """
name = "one-step"
version = "1"
norms = ["linf"]
probe_samples = 0
[[cascade]]
name = "fgsm"
eps = { linf = [0.25] }
[[cascade.member]]
plugin = "fgsm"
"""
DEEPFOOL = """
name = "rho"
version = "1"
norms = ["l2"]
probe_samples = 0
[[attack]]
plugin = "deepfool"
"""


def mnist() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "mnist" / "mnist.npz") as file:
        return {name: file[name] for name in file.files}


@needs("mnist/mnist.npz")
def test_logistic_regression_of_3_and_7_falls_to_one_step_of_a_quarter(tmp_path: Path) -> None:
    """Goodfellow, Shlens, Szegedy 2014, figure 2: 1.6 % error on clean digits, 99 % under FGSM with eps 0.25."""
    data = mnist()
    split = {}
    for name in ("train", "test"):
        x, y = data[f"x_{name}"].reshape(-1, 784).astype(np.float32), data[f"y_{name}"]
        rows = (y == 3) | (y == 7)
        split[name] = (x[rows] / (255 if x.max() > 1 else 1), (y[rows] == 7).astype(np.int64))
    x, y = split["train"]
    fitted = LogisticRegression(max_iter=200).fit(x[:6000], y[:6000])
    layer = nn.Linear(784, 2)
    layer.weight.data = torch.from_numpy(np.concatenate([-fitted.coef_, fitted.coef_]) / 2).float()
    layer.bias.data = torch.from_numpy(np.concatenate([-fitted.intercept_, fitted.intercept_]) / 2).float()
    suite = tmp_path / "fgsm.toml"
    suite.write_text(FGSM)
    x, y = split["test"]
    record = robusteval.evaluate(layer, (x[:500], y[:500]), str(suite))
    (cell,) = record.done()
    wrong = np.mean([value == 0 for value in cell.distance])
    lost = np.mean([value is not None for value in cell.distance])
    assert wrong < 0.05
    assert lost > 0.95


@needs("models/fc.onnx", "mnist/test1000.npz")
def test_rho_adv_of_the_dense_net_is_the_papers(tmp_path: Path) -> None:
    """Moosavi-Dezfooli et al. 2016: 0.11 for FC500-150-10 on MNIST."""
    suite = tmp_path / "rho.toml"
    suite.write_text(DEEPFOOL)
    folder = FOLDER
    record = robusteval.evaluate(
        folder / "models" / "fc.onnx", folder / "mnist" / "test1000.npz", str(suite), samples=200
    )
    (rho,) = [
        result
        for result in record.results
        if result.metric == "rho-adv" and result.kind == "scalar" and "deepfool" in result.name
    ]
    assert rho.value is not None
    assert 0.08 <= rho.value <= 0.13
