"""Our attacks beside those of other libraries, run through the adapters: the same models, images, steps and judge.

    pip install --no-deps -r benchmarks/requirements.txt
    python benchmarks/crosscheck.py --images 100 --out benchmarks/results/crosscheck.md

Theirs are plugins of `adapters/`, posed and judged as ours are, so a difference is the attack's. A library that is not
installed is left out, and the page says so. Of attacks that look for smallest distances the median over the samples
that are right when clean is compared, of others the share that is left at a budget. Theirs is marked where it is
stronger by more than 2 %. AutoAttack is the published composition, member by member on what the ones before left. ART's
Carlini-Wagner and elastic net are left out: of the first ten images took some thirty times as long as ours, and the
second, which asks for the gradient of one class at a time, was not done with fifty in a quarter of an hour.
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
from robusteval.engine.suite.suite import read

ROOT = Path(__file__).parents[1]
ADAPTERS = {
    "foolbox": "robusteval_foolbox",
    "torchattacks": "robusteval_torchattacks",
    "adv_lib": "robusteval_adv_lib",
    "art": "robusteval_art",
    "pyautoattack": "robusteval_pyautoattack",
}
BUDGETS = {
    "fashion-cnn": {"linf": 0.03, "l2": 0.5},
    "fashion-robust": {"linf": 0.1, "l2": 1.5},  # it was trained on linf 0.1
}
AUTOATTACK = "autoattack"  # ours is a cascade of a suite of that name
DEAR = 50  # images, at most, of attacks that take long
MARGIN = 0.02 + 1e-9  # by more than this share theirs counts as stronger; a share of 100 images is no exact number


@dataclass(frozen=True)
class Pair:
    """Ours and theirs, in one norm, with the same number of steps. searches: values of the loss's weight, with so many
    steps each; theirs_steps: of an attack that looks for no weight, as many as all searches of ours together have."""

    ours: str
    theirs: str
    norm: str
    steps: int
    searches: int = 0
    theirs_steps: int = 0
    images: int = 0  # the most that are attacked; 0: all

    def params(self, kind: Any, steps: int) -> dict[str, int]:
        """Those of these numbers that are parameters of an attack."""
        stated = {"steps": steps, "searches": self.searches}
        return {name: value for name, value in stated.items() if value and name in kind.__dataclass_fields__}

    @property
    def effort(self) -> str:
        """Steps, in words."""
        return f"{self.searches} x {self.steps}" if self.searches else f"{self.steps}" if self.steps else "as published"


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
    Pair("carlini-wagner", "foolbox.carlini-wagner", "l2", 100, 9, images=DEAR),
    Pair("carlini-wagner", "torchattacks.cw", "l2", 100, 9, theirs_steps=900, images=DEAR),
    Pair("ead", "foolbox.ead", "l1", 100, 9, images=DEAR),
    Pair(AUTOATTACK, "pyautoattack.standard", "linf", 0, images=DEAR),
    Pair(AUTOATTACK, "pyautoattack.standard", "l2", 0, images=DEAR),
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


def rows(
    name: str, images: Any, labels: Any, adapters: dict[str, Any], only: str
) -> Iterator[tuple[Pair, float, float, float, float]]:
    """(pair, our figure, their figure, our seconds, theirs): median distances, or shares left at the budget."""
    model = load_model(ROOT / "examples" / f"{name}.onnx")
    for pair in PAIRS:
        if pair.theirs not in adapters or only not in pair.theirs:
            continue
        count = min(pair.images, len(images)) if pair.images else len(images)
        x, y, eps = images[:count], labels[:count], BUDGETS[name].get(pair.norm)
        started = time.perf_counter()
        if pair.ours == AUTOATTACK:
            ours = left_by_ours(model, x, y, pair.norm, eps)
        else:
            kind = discover().get("attack", pair.ours)
            ours = figure(kind, pair.params(kind, pair.steps), model, x, y, pair.norm, eps)
        between, kind = time.perf_counter(), adapters[pair.theirs]
        theirs = figure(kind, pair.params(kind, pair.theirs_steps or pair.steps), model, x, y, pair.norm, eps)
        yield pair, ours, theirs, between - started, time.perf_counter() - between


def figure(kind: Any, params: dict[str, int], model: Any, x: Any, y: Any, norm: str, eps: float | None) -> float:
    """The median distance of an attack that looks for the smallest; else the share of the samples that it leaves."""
    minimal = kind.info.budget == "minimal"
    found = SingleAttack(make(kind, params, kind.info.name))(model, x, y, norm=norm, eps=None if minimal else eps)
    right = found.distance > 0
    return float(np.median(found.distance[right])) if minimal else float(np.mean(~found.success))


def left_by_ours(model: Any, x: Any, y: Any, norm: str, eps: float | None) -> float:
    """The share of the samples that our AutoAttack leaves."""
    (cascade,) = read(AUTOATTACK, discover()).cascades
    rows = np.arange(len(x))
    for member in cascade.members:
        if len(rows):
            attack = SingleAttack(make(discover().get("attack", member.plugin), member.params, member.name))
            rows = rows[~attack(model, x[rows], y[rows], norm=norm, eps=eps).success]
    return len(rows) / len(x)


def said(pair: Pair, ours: float, other: float) -> str:
    """Which is stronger, and by how much: distances as a ratio, shares as a difference."""
    minimal = pair.ours != AUTOATTACK and discover().get("attack", pair.ours).info.budget == "minimal"
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
    parser.add_argument("--only", default="", help="pairs whose name of theirs holds this")
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
    lines += [
        "Steps: 9 x 100 are 100 steps for each of nine weights of the loss; torchattacks looks for no weight, and has",
        f"all of them. Where an attack takes long (carlini-wagner, ead, autoattack) it is the first {DEAR} images.",
        "",
    ]
    lines += [f"Left out: {name} ({why})." for name, why in missing.items()]
    lines += ["", "| model | norm | steps | ours | | theirs | | stronger |", "|---|---|---:|---|---:|---|---:|---|"]
    for name in asked.models:
        for pair, ours, other, spent, theirs_spent in rows(name, x, y, adapters, asked.only):
            figures = f"{pair.ours} | {ours:.4g} | {pair.theirs} | {other:.4g}"
            lines.append(f"| {name} | {pair.norm} | {pair.effort} | {figures} | {said(pair, ours, other)} |")
            print(lines[-1], f"{spent:.0f} s, {theirs_spent:.0f} s", flush=True)
    if asked.out:
        asked.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
