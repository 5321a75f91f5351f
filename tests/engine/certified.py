"""A small net with certificates, for whoever asks what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from robusteval.contracts.classifier import LoadOptions
from robusteval.engine.catalogue.catalogue import Catalogue, discover
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.runner import run
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.record.run import Record
from tests.loaders.exports import export

SUITE = """
name = "bracket"
version = "1"
norms = ["linf", "l2"]
probe_samples = 0
certify = { samples = 6, seconds = 60, halvings = 5, certifiers = ["ibp", "crown"] }
[[attack]]
plugin = "fgsm"
search = 3
[[attack]]
plugin = "pgd"
params = { steps = 8 }
search = 4
"""


def small(folder: Path) -> Path:
    """A perceptron of one layer on 6 x 6 pixels with three classes."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        module = nn.Sequential(nn.Flatten(), nn.Linear(36, 10), nn.ReLU(), nn.Linear(10, 3))
    return export(module, folder / "net.onnx", (1, 6, 6))


def answered(net: Path) -> tuple[np.ndarray, np.ndarray]:
    """Nine images with the net's own answers."""
    x = torch.rand(9, 1, 6, 6, generator=torch.Generator().manual_seed(4))
    return x.numpy(), load_onnx(net, LoadOptions()).logits(x).argmax(1).numpy()


def made(
    net: Path, data: tuple[np.ndarray, np.ndarray], folder: Path, catalogue: Catalogue | None = None, suite: str = SUITE
) -> Record:
    """The record of a run of the suite on the net, in the folder `run` of this one."""
    folder.mkdir(exist_ok=True)
    (folder / "suite.toml").write_text(suite)
    options = RunOptions(suite=str(folder / "suite.toml"), data=data)
    job = prepare_job(load_onnx(net, LoadOptions()), catalogue or discover(), options, model_path=net)
    return run(replace(job, folder=folder / "run"))
