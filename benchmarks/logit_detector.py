"""What the logit detector finds obliviously, by statistic, noise, attack and strength, on MNIST and CIFAR-10 models.

    ROBUSTEVAL_TEST_DATA=... python benchmarks/logit_detector.py [--images 1000] [--out benchmarks/results]

Statistics are learnt from clean training images; adversarials are made against the bare model, which does not know of
the detector, and only those that fool it count. Printed: true positives at 1 % false alarms and the area under the ROC.
What an attack through the class "rejected" leaves of it is in the reports of suites `seeds` and `seeds-colour`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from robusteval_attacks.bim import BIM
from robusteval_attacks.newtonfool import NewtonFool
from robusteval_defenses.confidence import Confidence
from robusteval_defenses.logit_odds import LogitOdds
from setting import data_folder, load_images, machine
from torch import Tensor

from robusteval.api import Attack, Classifier, Defended, Defense, LoadOptions, Problem, Samples, load_model, per_sample
from robusteval.engine.schedule.pass_timing import applied, measure
from robusteval.metrics._common.statistics import roc
from robusteval.ops import Norm
from robusteval.testing import pose, safe_labels

REACH = 14  # steps of BIM's 20 that would reach the budget in a line; the others go on, which makes strong ones odd
PART = 100  # images at a time


class PlainNewtonFool(NewtonFool):
    """NewtonFool by the gradient of the probability p itself, as one writes it down first.

    Where p rounds to 1 in float32, the true class drops out of that gradient, and the first steps lead elsewhere: the
    adversarials of confident samples lie a little further out, which the detector notices.
    """

    def run(self, problem: Problem) -> Tensor:
        def doubt(scores: Tensor) -> Tensor:
            return -(scores.softmax(1) * problem.safe).sum(1)

        x, most = problem.x, self.eta * problem.x.flatten(1).norm(dim=1)
        for _ in range(self.steps):
            grad, loss, _, won = problem.grad(x, doubt)
            if bool(won.all()):
                break
            steep = grad.flatten(1).norm(dim=1).clamp_min(1e-20)
            # -loss is p
            length = torch.minimum(most, (-loss - 1 / problem.classes) / steep).masked_fill(won, 0)
            x = problem.clip(x + per_sample(length / steep, x) * grad)
        return x


@dataclass(frozen=True)
class Setting:
    """A model with the images to try and those to learn from, and the detectors and attacks that meet on it."""

    name: str
    model: Classifier
    test: Samples
    fit: Samples
    attacks: dict[str, tuple[Attack, Norm, float | None]]
    detectors: dict[str, Defense]


def mnist(name: str, images: int, bim: BIM) -> Setting:
    """Statistics from 4,000 training images, tried on the first test images."""
    test, learnt = _first("test", images), _first("train", 4000)
    attacks: dict[str, tuple[Attack, Norm, float | None]] = {
        "BIM linf .2": (bim, "linf", 0.2),
        "BIM linf .3": (bim, "linf", 0.3),
        "BIM l2 3": (bim, "l2", 3.0),
        "BIM l2 5": (bim, "l2", 5.0),
        "NewtonFool": (NewtonFool(), "l2", None),
        "NewtonFool, plain float32": (PlainNewtonFool(), "l2", None),
    }
    detectors: dict[str, Defense] = {
        "noise, sigma .1, 16 draws": LogitOdds(sigma=0.1, draws=16),
        "margin": LogitOdds(statistic="margin"),
        "one minus top softmax": Confidence(),
    }
    model = load_model(data_folder() / "models" / f"{name}.onnx", LoadOptions())
    return Setting(name, model, test, learnt, attacks, detectors)


def colour(images: int, bim: BIM) -> Setting:
    """Statistics from the last 1,080 of the 1,380 images, tried on the first 300."""
    with np.load(data_folder() / "cifar10_1380.npz") as stored:
        x = torch.from_numpy(np.ascontiguousarray(stored["x"].transpose(0, 3, 1, 2), dtype=np.float32) / 255)
        both = Samples(x, torch.from_numpy(stored["y"].astype(np.int64)))
    attacks: dict[str, tuple[Attack, Norm, float | None]] = {
        "BIM linf 2/255": (bim, "linf", 2 / 255),
        "BIM linf 8/255": (bim, "linf", 8 / 255),
        "BIM l2 .5": (bim, "l2", 0.5),
        "BIM l2 2": (bim, "l2", 2.0),
        "NewtonFool": (NewtonFool(), "l2", None),
        "NewtonFool, plain float32": (PlainNewtonFool(), "l2", None),
    }
    detectors: dict[str, Defense] = {
        "noise, sigma 8/255, 24 draws": LogitOdds(sigma=8 / 255, draws=24),
        "noise, sigma 4/255, 24 draws": LogitOdds(sigma=4 / 255, draws=24),
        "margin": LogitOdds(statistic="margin"),
        "one minus top softmax": Confidence(),
    }
    model = load_model(data_folder() / "models" / "resnet20-cifar10.onnx", LoadOptions())
    return Setting("resnet20-cifar10", model, both[: min(images, 300)], both[300:], attacks, detectors)


def measured(setting: Setting) -> Iterator[str]:
    """A row of the table for every detector and attack."""
    right = setting.test[setting.model.logits(setting.test.x).argmax(1) == setting.test.y]
    fitted = {name: plugin.fit(setting.model, setting.fit, _rng(0)) for name, plugin in setting.detectors.items()}
    clean = {name: _score(defended, right.x) for name, defended in fitted.items()}
    tuning = measure(setting.model, right.x[:64]).tuning
    for attack, (plugin, norm, eps) in setting.attacks.items():
        started = time.perf_counter()
        with applied(tuning):
            found = torch.cat([_attack(setting.model, part, plugin, norm, eps) for part in _parts(right)])
        took = time.perf_counter() - started
        fools = setting.model.logits(found).argmax(1) != right.y
        size = float((found - right.x)[fools].flatten(1).double().norm(dim=1).median())
        print(f"{setting.name}: {attack} took {took:.0f} s", file=sys.stderr)
        for name, defended in fitted.items():
            curve = roc(clean[name].numpy(), _score(defended, found[fools]).numpy())
            if curve is None:
                raise ValueError(f"{attack} fooled {setting.name} on no image, so that there is no ROC.")
            yield (
                f"| {setting.name} | {name} | {attack} | {size:.2f} | {int(fools.sum())} of {len(right)} "
                f"| {curve.true_at(0.01):.2f} | {curve.area():.3f} |"
            )


def _first(split: str, count: int) -> Samples:
    x, y = load_images(split)
    return Samples(x[:count], y[:count])


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _parts(samples: Samples) -> Iterator[Samples]:
    for start in range(0, len(samples), PART):
        yield samples[torch.arange(start, min(start + PART, len(samples)))]


def _attack(model: Classifier, part: Samples, plugin: Attack, norm: Norm, eps: float | None) -> Tensor:
    return plugin.run(pose(model, part.x, safe_labels(part.y, model.info.classes), norm, eps=eps))


def _score(defended: Defended, x: Tensor) -> Tensor:
    """Suspicion of each image, with fresh draws where the detector draws: float64 [B]."""
    drawn = defended.draw(_rng(1)) if defended.draw else defended
    if drawn.detector is None:
        raise ValueError("Only detectors have a suspicion.")
    return torch.cat([drawn.detector.score(part) for part in torch.split(x, PART)]).double()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1000, help="test images of MNIST; at most 300 of CIFAR-10")
    parser.add_argument("--reach", type=int, default=REACH, help="BIM's steps are the budget divided by this")
    parser.add_argument("--models", default="conv4,lenet,resnet20-cifar10", help="names, separated by commas")
    parser.add_argument("--out", type=Path, help="folder for logit-detector.md")
    options = parser.parse_args()
    lines = [
        "| model | statistic | attack | median L2 | fooled | true positives at 1 % false alarms | AUC |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    bim = BIM(steps=20, step=1 / options.reach, stop=False)
    for name in options.models.split(","):
        setting = colour(options.images, bim) if "cifar" in name else mnist(name, options.images, bim)
        for line in measured(setting):
            print(line, flush=True)
            lines.append(line)
    if options.out:
        where = ", ".join(f"{key} {value}" for key, value in machine().items())
        head = (
            "# The logit detector against attacks that do not know it\n\n"
            f"`python benchmarks/logit_detector.py --images {options.images}`; {where}.\n\n"
        )
        (options.out / "logit-detector.md").write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
