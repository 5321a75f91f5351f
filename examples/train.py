"""Trains the example models on the full Fashion-MNIST set and writes them as ONNX, with their measured figures.

    python examples/train.py [--source /usr/share/datasets/fashion-mnist] [--out examples] [cnn certified int8 ...]

One thread and fixed seeds: on the same processor type and the same torch the same files come out. The models named are
rebuilt (all, when none is named); the figures of the others stay in `models.json` as they are.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from certified import certified_accuracy, network, origin, trained
from export import accuracy, export, forget_origin, quantize, save
from fit import Pgd, Schedule, adversarial, robust_accuracy, train
from idx import DEFAULT_FOLDER, DatasetMissing, load_split
from make_data import BUNDLED
from networks import VisionTransformer, cnn
from tables import Row, read_rows, row_of, write_rows
from torch import nn

EPS = 0.1
MEASURE = Pgd(eps=EPS, steps=40, step_size=0.00625)
ATTACK = f"PGD, linf {MEASURE.eps}, {MEASURE.steps} steps of {MEASURE.step_size}, one random start, any iterate counts"
CALIBRATION_IMAGES = 500
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Recipe:
    """How one network is made: its shape, how it is trained, and the attack it is trained on, if any."""

    seed: int
    build: Callable[[], nn.Module]
    schedule: Schedule
    attack: Pgd | None = None
    warm_share: float = 0.0  # share of the training that runs on the one-step attack


RECIPES = {
    "cnn": Recipe(1, lambda: cnn(16, 64), Schedule(epochs=15, lr=4e-3, weight_decay=1e-2, shift=1)),
    "robust": Recipe(
        2,
        lambda: cnn(16, 64),
        Schedule(epochs=16, lr=4e-3, weight_decay=1e-3, shift=0),
        attack=Pgd(eps=EPS, steps=7, step_size=0.025),
        warm_share=0.25,
    ),
    "vit": Recipe(3, VisionTransformer, Schedule(epochs=15, lr=3e-3, weight_decay=5e-2, shift=1)),
}
FROM_CNN = ("int8", "certified")  # made from the cnn, so they come after it
PROOF = f"interval bounds of the certifier ibp, linf {EPS}"


@dataclass(frozen=True)
class Images:
    """One set of images, float32 [N, 1, 28, 28] in [0, 1], with its labels int64 [N]."""

    x: torch.Tensor
    y: torch.Tensor

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> "Images":
        return cls(torch.tensor(x, dtype=torch.float32)[:, None] / 255, torch.tensor(y, dtype=torch.int64))


@dataclass(frozen=True)
class Sets:
    """The 60,000 training images, the 10,000 test images, and the two bundled parts of them."""

    train: Images
    test: Images
    bundled_train: Images
    bundled_test: Images


def load_sets(source: Path) -> Sets:
    with np.load(BUNDLED) as bundled:
        parts = [Images.of(bundled[f"x_{name}"], bundled[f"y_{name}"]) for name in ("train", "test")]
    return Sets(Images.of(*load_split(source, "train")), Images.of(*load_split(source, "t10k")), *parts)


def fit(recipe: Recipe, data: Images) -> nn.Module:
    """A trained network. Weights, order, augmentation and attack starts come from the recipe's seed alone."""
    torch.manual_seed(recipe.seed)  # layers draw their first weights from torch's own generator
    network = recipe.build()
    rng = torch.Generator().manual_seed(recipe.seed)
    perturb = None if recipe.attack is None else adversarial(recipe.attack, recipe.warm_share, rng)
    train(network, data.x, data.y, recipe.schedule, rng, perturb)
    return network


def write(model: onnx.ModelProto, path: Path, sets: Sets, more: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Saves the file; returns its accuracy on the 10,000 test images and on the bundled 1,000, by ONNX Runtime."""
    on_test, on_bundled = (accuracy(model, part.x.numpy(), part.y.numpy()) for part in (sets.test, sets.bundled_test))
    save(model, path, on_test, more)
    return on_test, on_bundled


def make_network(name: str, folder: Path, sets: Sets) -> Row:
    """Trains one network, writes its file and measures it."""
    recipe, start = RECIPES[name], time.perf_counter()
    network = fit(recipe, sets.train)
    seconds = time.perf_counter() - start
    path = folder / f"fashion-{name}.onnx"
    accuracies = write(export(network), path, sets)
    rng = torch.Generator().manual_seed(recipe.seed)
    robust = robust_accuracy(network, sets.test.x, sets.test.y, MEASURE, rng)
    count = sum(parameter.numel() for parameter in network.parameters())
    return row_of(path, accuracies, count, robust, proved_of(path, sets), seconds)


def make_int8(folder: Path, sets: Sets, cnn_row: Row) -> Row:
    """Quantises the cnn that lies in `folder`. Robustness is not measured: gradients of the rounded graph are zero."""
    start = time.perf_counter()
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(len(sets.bundled_train.x), CALIBRATION_IMAGES, replace=False))
    model = quantize(onnx.load(folder / "fashion-cnn.onnx"), sets.bundled_train.x.numpy()[chosen])
    seconds = time.perf_counter() - start
    path = folder / "fashion-int8.onnx"
    return row_of(path, write(model, path, sets), cnn_row.parameters, None, proved_of(path, sets), seconds)


def make_certified(folder: Path, sets: Sets, cnn_row: Row, source: Path) -> Row:
    """Trains a copy of the cnn that lies in `folder` for certificates, as anybody would."""
    start = time.perf_counter()
    model = trained(folder / "fashion-cnn.onnx", source)
    seconds = time.perf_counter() - start
    path = folder / "fashion-certified.onnx"
    more = origin(model)
    forget_origin(model)
    accuracies = write(model, path, sets, more)
    rng = torch.Generator().manual_seed(0)
    robust = robust_accuracy(network(path), sets.test.x, sets.test.y, MEASURE, rng)
    return row_of(path, accuracies, cnn_row.parameters, robust, proved_of(path, sets), seconds)


def proved_of(path: Path, sets: Sets) -> float | None:
    """The certified accuracy of a file on the 10,000 test images."""
    return certified_accuracy(path, sets.test.x, sets.test.y, EPS)


def main() -> int:
    names = ["cnn", "int8", "robust", "certified", "vit"]
    parser = argparse.ArgumentParser(description="Train the example models.")
    parser.add_argument("models", nargs="*", default=names, help=f"which ones: {', '.join(names)}")
    parser.add_argument("--source", type=Path, default=DEFAULT_FOLDER, help="folder of the four .gz files")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the .onnx files, models.json and README.md")
    options = parser.parse_args()
    if unknown := set(options.models) - set(names):
        parser.error(f"unknown model {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        sets = load_sets(options.source)
    except DatasetMissing as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    rows = read_rows(options.out)
    for name in (name for name in names if name in options.models):
        print(name, flush=True)
        if name in FROM_CNN and "cnn" not in rows:
            parser.error(f"{name} is made from the cnn, which {options.out} does not hold: name cnn too")
        if name == "int8":
            rows[name] = make_int8(options.out, sets, rows["cnn"])
        elif name == "certified":
            rows[name] = make_certified(options.out, sets, rows["cnn"], options.source)
        else:
            rows[name] = make_network(name, options.out, sets)
        print(f"  {rows[name]}", flush=True)
        write_rows(options.out, {name: rows[name] for name in names if name in rows}, ATTACK, PROOF)
    return 0


if __name__ == "__main__":
    sys.exit(main())
