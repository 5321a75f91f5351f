"""Makes the certified example with `robusteval train ibp`, and measures what interval bounds prove of such files."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from robusteval_certifiers.ibp import Ibp
from torch import Tensor, arange, float64, full, nn

from robusteval.api import NotCoveredError, Statement, graph_of, load_model, proved, trainable

PARAMS = {"eps": 0.1, "epochs": 12, "batch": 128, "rate": 0.008}


def command(base: Path, source: Path, out: Path) -> list[str]:
    """The command that trains it, beginning from the plain network."""
    params = [word for name, value in PARAMS.items() for word in ("--param", f"{name}={value:g}")]
    return ["train", "ibp", str(base), "--fit-data", str(source), *params, "--out", str(out)]


def trained(base: Path, source: Path) -> onnx.ModelProto:
    """What the command writes, on one thread. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "certified.onnx"
        words = [sys.executable, "-m", "robusteval", *command(base, source, out)]
        subprocess.run(words, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})  # noqa: S603 - our own command
        return onnx.load(out)


def origin(model: onnx.ModelProto) -> dict[str, str]:
    """What the file says of its training: how it was trained, and the marks of the images that it has seen."""
    return {entry.key: entry.value for entry in model.metadata_props if entry.key.startswith("robusteval.")}


def network(path: Path) -> nn.Module:
    """The file as a differentiable network."""
    return trainable(load_model(path))


def certified_accuracy(path: Path, x: Tensor, y: Tensor, eps: float) -> float | None:
    """Share of images [N, 1, 28, 28] of which interval bounds prove that nothing within Linf `eps` is answered
    otherwise than the label. None where the file has operators that are not covered."""
    try:
        graph = graph_of(load_model(path))
    except NotCoveredError:
        return None
    held = []
    for images, labels in zip(x.split(200), y.split(200), strict=True):
        right = labels[:, None] == arange(graph.classes)
        radii = full((len(images),), eps, dtype=float64)
        asked = Statement(graph, images.double(), labels, right, "linf", radii, (0.0, 1.0))
        held.append(proved(asked, Ibp().bound(asked)).numpy())
    share: NDArray[np.float64] = np.concatenate(held).mean()
    return float(share)
