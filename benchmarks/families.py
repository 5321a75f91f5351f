"""Six models of different families, trained on the same images, compared: each under every attack, all under PGD.

    ROBUSTEVAL_TEST_DATA=... python benchmarks/families.py --out benchmarks/results

Trains a softmax regression, a perceptron, a LeNet, a residual net, a vision transformer and a convolutional net on
PGD examples, each on the same 10,000 MNIST images and with one seed; runs the suite on each by the command line, then
`robusteval compare` on the six runs; and writes families.md with their figures. The runs and the page are kept in
benchmarks/out/families.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from setting import OUT, load_images, machine, new_lenet
from torch import Tensor, nn
from train_robust_lenet import perturb

from robusteval.assessment.standards.figures import figures
from robusteval.record import store

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from networks import VisionTransformer, cnn

PLACE = OUT / "families"
TRAINED_ON, TESTED_ON, BATCH = 10_000, 1_000, 100
ADVERSARIAL = "PGD-trained CNN"
EPS, STEPS = 0.2, 7


class Residual(nn.Module):
    """x + what two convolutions make of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


FAMILIES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "softmax regression": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), 6),
    "perceptron": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 10)), 6),
    "LeNet": (new_lenet, 6),
    "residual net": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), Residual(16), nn.MaxPool2d(2), Residual(16),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
        ),
        6,
    ),
    "vision transformer": (lambda: VisionTransformer(dim=32, depth=2), 8),
    ADVERSARIAL: (lambda: cnn(16, 64), 8),
}  # fmt: skip


def trained(name: str, x: Tensor, y: Tensor) -> nn.Module:
    """The model after its epochs: Adam, one seed; the last one sees PGD examples of the model as it is."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        make, epochs = FAMILIES[name]
        model, rng = make(), torch.Generator().manual_seed(0)
        steps = epochs * (len(x) // BATCH)
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
        for epoch in range(epochs):
            order = torch.randperm(len(x), generator=rng)
            for start in range(0, len(x) - BATCH + 1, BATCH):
                rows = order[start : start + BATCH]
                images, labels = x[rows], y[rows]
                if name == ADVERSARIAL:  # with a budget that grows: with all of it from the start nothing is learnt
                    share = min(1.0, 2 * (epoch * len(x) + start) / (epochs * len(x)))
                    images = perturb(model, images, labels, EPS * share, STEPS, rng)
                loss = nn.functional.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return model.eval()


def exported(name: str, model: nn.Module) -> Path:
    """The model's file."""
    path = PLACE / f"{name.replace(' ', '-')}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its own successor
        torch.onnx.export(
            model, (torch.zeros(2, 1, 28, 28),), str(path), dynamo=False, input_names=["x"], output_names=["y"],
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, opset_version=17,
        )  # fmt: skip
    return path


def called(*words: object) -> None:
    """One command, to its end. Raises SystemExit where it fails."""
    command = [sys.executable, "-m", "robusteval", *map(str, words)]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - our own command
        raise SystemExit(f"failed: {' '.join(command)}")


def row(name: str, run: Path) -> str:
    """A line of the table: what may be quoted of the run."""
    cells = {figure.id: figure for figure in figures(store.load(run))}
    shown = [name]
    for kind in ("clean-accuracy", "robust-accuracy/linf@8/255", "median-distance/linf", "median-distance/l2"):
        figure = cells.get(kind)
        value = None if figure is None else figure.value
        shown.append("-" if value is None else f"{value:.1%}" if "accuracy" in kind else f"{value:.3f}")
    return "| " + " | ".join(shown) + " |"


def main() -> None:
    """Trains, runs, compares, writes."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--out", type=Path, default=PLACE)
    ask.add_argument("--suite", default="smoke")
    ask.add_argument("--samples", type=int, default=100)
    given = ask.parse_args()
    PLACE.mkdir(parents=True, exist_ok=True)
    x, y = load_images("train")
    test_x, test_y = load_images("test")
    np.savez(PLACE / "test.npz", x=test_x[:TESTED_ON].numpy(), y=test_y[:TESTED_ON].numpy())
    runs = []
    for name in FAMILIES:
        model = exported(name, trained(name, x[:TRAINED_ON], y[:TRAINED_ON]))
        runs.append(model.with_suffix(""))
        words = ("--data", PLACE / "test.npz", "--suite", given.suite, "--samples", given.samples)
        called("run", model, *words, "--out", runs[-1], "--overwrite")
    called("compare", *runs, "--out", PLACE / "families.html")
    about = ", ".join(f"{key} {value}" for key, value in machine().items())
    lines = [
        "# Six models of different families",
        "",
        f"    python benchmarks/families.py --suite {given.suite} --samples {given.samples}",
        "",
        f"Each trained on the same {TRAINED_ON:,} MNIST images, attacked on the first {given.samples} test images.",
        f"Machine: {about}.",
        "",
        "| model | right when clean | right at Linf 8/255 | median Linf | median L2 |",
        "|---|---:|---:|---:|---:|",
        *(row(name, run) for name, run in zip(FAMILIES, runs, strict=True)),
    ]
    (given.out / "families.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
