"""Our attacks beside those of other libraries, run through the adapters: the same models, images, steps and judge.

    pip install --no-deps -r benchmarks/requirements.txt
    python benchmarks/crosscheck.py --images 100 --out benchmarks/results/crosscheck.md

Theirs are plugins of `adapters/`, posed and judged as ours are, so a difference is the attack's. A library that is not
installed is left out, and the page says so. Of attacks that look for smallest distances the median over the samples
that are right when clean is compared, of others the share that is left at a budget. Theirs is marked where it is
stronger by more than 2 %.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from setting import machine

from robusteval.api import load_model
from robusteval.attacks.single import SingleAttack
from robusteval.contracts.params import make
from robusteval.engine.catalogue.catalogue import discover

ROOT = Path(__file__).parents[1]
ADAPTERS = {
    "foolbox": "robusteval_foolbox",
    "torchattacks": "robusteval_torchattacks",
    "adv_lib": "robusteval_adv_lib",
    "art": "robusteval_art",
}
BUDGETS = {
    "fashion-cnn": {"linf": 0.03, "l2": 0.5},
    "fashion-robust": {"linf": 0.1, "l2": 1.5},  # it was trained on linf 0.1
}
MARGIN = 0.02 + 1e-9  # by more than this share theirs counts as stronger; a share of 100 images is no exact number


@dataclass(frozen=True)
class Pair:
    """Ours and theirs, in one norm, with the same number of steps."""

    ours: str
    theirs: str
    norm: str
    steps: int


PAIRS = (
    Pair("ddn", "foolbox.ddn", "l2", 100),
    Pair("ddn", "adv-lib.ddn", "l2", 100),
    Pair("fmn", "foolbox.fmn", "l2", 100),
    Pair("fmn", "adv-lib.fmn", "l2", 100),
    Pair("fmn", "foolbox.fmn", "linf", 100),
    Pair("fmn", "adv-lib.fmn", "linf", 100),
    Pair("fmn", "adv-lib.fmn", "l1", 100),
    Pair("deepfool", "art.deepfool", "l2", 50),
    Pair("pgd", "foolbox.pgd", "linf", 40),
    Pair("pgd", "torchattacks.pgd", "linf", 40),
    Pair("pgd", "art.pgd", "linf", 40),
    Pair("pgd", "foolbox.pgd", "l2", 40),
    Pair("mim", "foolbox.mim", "linf", 16),
    Pair("apgd", "torchattacks.apgd", "linf", 40),
)


def theirs() -> tuple[dict[str, Any], dict[str, str]]:
    """Every attack of the adapters by name, and why an adapter is left out."""
    found: dict[str, Any] = {}
    missing = {}
    for folder, module in ADAPTERS.items():
        sys.path.insert(0, str(ROOT / "adapters" / folder))
        try:
            found |= {kind.info.name: kind for kind in importlib.import_module(module).robusteval_attacks()}
        except ImportError as error:
            missing[folder] = str(error)
    return found, missing


def rows(name: str, x: Any, y: Any, adapters: dict[str, Any]) -> Iterator[tuple[Pair, float, float, float]]:
    """(pair, our figure, their figure, seconds): median distances, or shares that are left at the budget."""
    model = load_model(ROOT / "examples" / f"{name}.onnx")
    for pair in PAIRS:
        if pair.theirs not in adapters:
            continue
        started, figures = time.perf_counter(), list[float]()
        for kind in (discover().get("attack", pair.ours), adapters[pair.theirs]):
            steps = {"steps": pair.steps} if "steps" in kind.__dataclass_fields__ else {}
            minimal = kind.info.budget == "minimal"
            attack = SingleAttack(make(kind, steps, kind.info.name))
            found = attack(model, x, y, norm=pair.norm, eps=None if minimal else BUDGETS[name][pair.norm])
            right = found.distance > 0
            left = float(np.mean(~found.success))
            figures.append(float(np.median(found.distance[right])) if minimal else left)
        yield pair, figures[0], figures[1], time.perf_counter() - started


def said(pair: Pair, ours: float, other: float) -> str:
    """Which is stronger, and by how much: distances as a ratio, shares as a difference."""
    minimal = discover().get("attack", pair.ours).info.budget == "minimal"
    if np.isinf(other) or np.isinf(ours):
        if ours == other:
            return "alike"
        return "ours; theirs found fewer than half" if np.isinf(other) else "**theirs; ours found fewer than half**"
    ahead = 1 - other / ours if minimal else ours - other
    return f"**theirs, by {ahead:.1%}**" if ahead > MARGIN else f"ours, by {-ahead:.1%}" if ahead < -MARGIN else "alike"


def said_of_machine() -> str:
    """Processor, cores and versions, in words."""
    return ", ".join(f"{name} {value}" for name, value in machine().items())


def main() -> None:
    """Prints the page, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--models", nargs="+", default=list(BUDGETS), choices=list(BUDGETS))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    adapters, missing = theirs()
    with (files("robusteval.data") / "fashion_mnist.npz").open("rb") as file:
        data = np.load(file)
        x, y = data["x_test"][: asked.images], data["y_test"][: asked.images].astype(np.int64)
    lines = ["# Ours beside theirs", ""]
    lines += [f"`python benchmarks/crosscheck.py --images {asked.images}` on {said_of_machine()}.", ""]
    budgets = "; ".join(
        f"{name}: {', '.join(f'{norm} {eps:g}' for norm, eps in each.items())}" for name, each in BUDGETS.items()
    )
    lines += [
        "Median distances of attacks that look for the smallest (smaller is stronger), shares of all samples that are"
    ]
    lines += [
        f"left by the others at a budget (fewer is stronger; {budgets}). Stronger is said from {MARGIN:.0%} on.",
        "",
    ]
    lines += [f"Left out: {name} ({why})." for name, why in missing.items()]
    lines += ["", "| model | norm | steps | ours | | theirs | | stronger |", "|---|---|---:|---|---:|---|---:|---|"]
    for name in asked.models:
        for pair, ours, other, seconds in rows(name, x, y, adapters):
            figures = f"{pair.ours} | {ours:.4g} | {pair.theirs} | {other:.4g}"
            lines.append(f"| {name} | {pair.norm} | {pair.steps} | {figures} | {said(pair, ours, other)} |")
            print(lines[-1], f"{seconds:.0f} s", flush=True)
    if asked.out:
        asked.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
