"""What PGD, DeepFool and DDN cost as samples, image size, classes and model size grow, on generated networks.

    python benchmarks/scaling.py --out benchmarks/results

The networks are small convolutional ones with random weights, and the labels are their own answers: what is measured is
cost, not strength. Each axis is varied alone. Prints CPU seconds and passes per image, and the share of the time that
is not the model's (1 - passes x the cost of a pass in a plain loop over the same batch, in the same memory layout).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from metering import timed
from ours import Arena
from robusteval_attacks.ddn import DDN
from robusteval_attacks.deepfool import DeepFool
from robusteval_attacks.pgd import PGD
from setting import machine
from torch import Tensor, nn

_NEVER = 1e-7  # a budget at which nothing falls, so that PGD takes all its steps
_REPEATS = 2


@dataclass(frozen=True)
class Size:
    """One point: samples in the batch, side of the image (three channels), classes, channels of the first layer."""

    samples: int = 64
    side: int = 32
    classes: int = 10
    width: int = 16


AXES: dict[str, tuple[int, ...]] = {
    "samples": (1, 8, 64, 256),
    "side": (16, 32, 64),
    "classes": (2, 10, 100, 1000),
    "width": (8, 16, 32),
}
ATTACKS: dict[str, Callable[[Arena], Tensor]] = {
    "pgd, 20 steps": lambda arena: arena.cascade([PGD(steps=20)], "linf", _NEVER),
    "deepfool": lambda arena: arena.nearest(DeepFool(), "l2", 1.0, 0).x,
    "ddn, 50 steps": lambda arena: arena.nearest(DDN(steps=50), "l2", 1.0, 0).x,
}


def network(size: Size) -> nn.Module:
    """Three convolutions, each followed by ReLU and pooling, and one linear layer; random weights, seed 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        channels = 3
        for factor in (1, 2, 4):
            layers += [nn.Conv2d(channels, factor * size.width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            channels = factor * size.width
        layers += [nn.Flatten(), nn.Linear(channels * (size.side // 8) ** 2, size.classes)]
        return nn.Sequential(*layers).eval().requires_grad_(False)


def plain_cost(module: nn.Module, x: Tensor) -> tuple[float, float]:
    """CPU seconds of a forward and of a backward pass for one sample, in a plain loop: the best of some."""
    forward = both = float("inf")
    for _ in range(5):
        started = time.process_time()
        with torch.no_grad():
            module(x)
        forward = min(forward, time.process_time() - started)
        leaf = x.detach().requires_grad_(True)
        started = time.process_time()
        torch.autograd.grad(module(leaf).sum(), leaf)
        both = min(both, time.process_time() - started)
    return forward / len(x), (both - forward) / len(x)


def measure(axis: str, size: Size) -> list[dict[str, Any]]:
    """One row an attack."""
    module = network(size)
    x = torch.rand(size.samples, 3, size.side, size.side, generator=torch.Generator().manual_seed(1))
    arena = Arena.of(module, x, module(x).argmax(1))
    inner = arena.classifier.module
    forward, backward = plain_cost(inner, x)
    weights = sum(p.numel() for p in module.parameters())
    rows = []
    for name, call in ATTACKS.items():
        runs = [timed(lambda call=call: call(arena), inner) for _ in range(_REPEATS)]  # type: ignore[misc]
        best = min(runs, key=lambda run: run.seconds)
        passes = best.passes
        model = passes.forwards * forward + passes.backwards * backward
        rows.append(
            {
                "axis": axis,
                **asdict(size),
                "weights": weights,
                "attack": name,
                "seconds": best.seconds / len(x),
                "forwards": passes.forwards / len(x),
                "backwards": passes.backwards / len(x),
                "own share": max(0.0, 1 - model / best.seconds),
            }
        )
    return rows


def markdown(result: dict[str, Any]) -> str:
    """One table an axis."""
    lines = ["# Cost against size", "", "Machine: " + ", ".join(f"{k} {v}" for k, v in result["machine"].items()) + "."]
    lines += ["", "Where an axis is not varied: " + ", ".join(f"{k} {v}" for k, v in asdict(Size()).items()) + ".", ""]
    for axis in AXES:
        lines += [f"## {axis}", "", f"| {axis} | weights | attack | ms / image | passes | share not the model's |"]
        lines.append("|---:|---:|---|---:|---:|---:|")
        for row in result["rows"]:
            if row["axis"] == axis:
                passes = f"{row['forwards']:.0f} + {row['backwards']:.0f}"
                lines.append(
                    f"| {row[axis]} | {row['weights']:,} | {row['attack']} | {1e3 * row['seconds']:.2f} "
                    f"| {passes} | {row['own share']:.0%} |"
                )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for scaling.json and scaling.md")
    parser.add_argument("--axes", default=",".join(AXES), help="axes to vary, separated by commas")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for axis in options.axes.split(","):
        for value in AXES[axis]:
            rows += measure(axis, replace(Size(), **{axis: value}))
    result = {"machine": machine(), "rows": rows}
    print(markdown(result))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "scaling.json").write_text(json.dumps(result, indent=1) + "\n")
        (options.out / "scaling.md").write_text(markdown(result))


if __name__ == "__main__":
    main()
