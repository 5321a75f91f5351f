"""The odds are odd: how log-odds move under noise, compared with how they move for clean samples of the same class."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, RobustEvalError, Samples, hookimpl, param
from robusteval_defenses._fitting import batched, clean_samples, few_samples, threshold_at

_SEED = 0  # of the noise where nobody draws any
_ENOUGH = 2  # clean samples of a class below which it has no spread of its own


@dataclass(frozen=True)
class OddsDetector:
    """max over z of the z-score of log-odds (y, z), less tau[y, z]; y is the predicted class.

    mean, spread, tau: [K, K], by predicted class and other class. draws = 0: the log-odds themselves, without noise.
    """

    model: Classifier
    mean: Tensor
    spread: Tensor
    tau: Tensor
    threshold: float
    sigma: float  # in units of the pixels
    draws: int
    seed: int = _SEED

    def score(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self._excess(self.model.logits(x), [self.model.logits(noisy) for noisy in self._noisy(x)])

    def twin(self, x: Tensor) -> Tensor:
        return self._excess(self.model.twin(x), [self.model.twin(noisy) for noisy in self._noisy(x)])

    def standard(self, clean: Tensor, noisy: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Predicted classes [B] and z-scores [B, K] of scores `clean` [B, K] and those under each draw of noise."""
        label = clean.argmax(1)
        moved = _movement(clean, noisy, label)
        return label, (moved - self.mean.to(moved)[label]) / self.spread.to(moved)[label]

    def _excess(self, clean: Tensor, noisy: list[Tensor]) -> Tensor:
        label, z = self.standard(clean, noisy)
        own = torch.nn.functional.one_hot(label, clean.shape[1]).bool()
        return (z - self.tau.to(z)[label]).masked_fill(own, -math.inf).amax(1)

    def _noisy(self, x: Tensor) -> list[Tensor]:
        # One noise for all samples: a sample's score must not depend on what else is in its batch.
        rng = Generator().manual_seed(self.seed)
        shape = x.shape[1:]
        return [x + self.sigma * torch.randn(shape, generator=rng).to(x.device, x.dtype) for _ in range(self.draws)]


def _movement(clean: Tensor, noisy: list[Tensor], label: Tensor) -> Tensor:
    """Mean over the draws of f_yz(x + n) - f_yz(x), where f_yz = f_z - f_y; f_yz(x) itself without draws: [B, K]."""
    odds = clean - clean.gather(1, label[:, None])
    if not noisy:
        return odds
    under = torch.stack(noisy).mean(0)
    return under - under.gather(1, label[:, None]) - odds


@dataclass(frozen=True)
class LogitOdds:
    """Detects inputs whose log-odds move under noise as no clean sample's do, by pair of classes."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="logit-odds",
        version="1",
        kind="detector",
        needs_data=True,
        summary="Rejects inputs whose log-odds, or their change under noise, are odd for the predicted class.",
        reference="Roth, Kilcher, Hofmann: The odds are odd, a statistical test for detecting adversarial examples, 2019",
        stochastic=True,
        known_breaks="Tramer, Carlini, Brendel, Madry: On adaptive attacks to adversarial example defenses, 2020: 0.0 % "
        "on CIFAR-10 when the attack averages over 40 draws.",
    )
    statistic: Literal["noise", "margin"] = param(
        "noise", "The change of the log-odds under noise, or the log-odds themselves.", choices=["noise", "margin"]
    )
    sigma: float = param(8 / 255, "Standard deviation of the noise, as a share of the range.", minimum=0.0, maximum=1.0)
    draws: int = param(16, "Draws of noise per decision.", minimum=1, maximum=1000)
    tau: float | None = param(None, "Fixed threshold of the z-scores; without one it follows from false_alarm.")
    false_alarm: float = param(0.01, "Share of the clean samples that may be rejected.", minimum=0.0, maximum=1.0)
    per_pair: bool = param(False, "Whether false_alarm holds for each pair of classes, instead of overall.")

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        clean = clean_samples(model, data, self.info.name)
        if model.info.classes < 2:
            raise RobustEvalError("The defence logit-odds compares classes, and the model has only one.")
        low, high = model.info.bounds
        sigma = self.sigma * (high - low)
        draws = self.draws if self.statistic == "noise" else 0
        scores = batched(model.logits, clean.x)
        under = [batched(partial(_disturbed, model, sigma, rng), clean.x) for _ in range(draws)]
        mean, spread, poor = _statistics(_movement(scores, under, scores.argmax(1)), scores.argmax(1))
        detector = OddsDetector(model, mean, spread, torch.zeros_like(mean), 0.0, sigma, draws)
        label, z = detector.standard(scores, under)
        if self.tau is not None:
            detector = replace(detector, threshold=self.tau)
        elif self.per_pair:
            detector = replace(detector, tau=_pair_thresholds(label, z, self.false_alarm))
        else:
            detector = replace(detector, threshold=threshold_at(detector._excess(scores, under), self.false_alarm))
        notes = (*few_samples(len(clean), self.false_alarm), *_poor_note(poor))
        draw = Draw(model, detector, notes) if draws else None
        return Defended(model, detector, draw=draw, notes=notes)


@dataclass(frozen=True)
class Draw:
    """Gives the pipeline with fresh noise; a class, because closures cannot travel to worker processes."""

    model: Classifier
    detector: OddsDetector
    notes: tuple[str, ...]

    def __call__(self, rng: Generator) -> Defended:
        seed = int(torch.randint(2**62, (1,), generator=rng))
        return Defended(self.model, replace(self.detector, seed=seed), notes=self.notes)


def _disturbed(model: Classifier, sigma: float, rng: Generator, x: Tensor) -> Tensor:
    """Scores of x [B, *shape] with noise of its own for each sample."""
    return model.logits(x + sigma * torch.randn(x.shape, generator=rng).to(x.device, x.dtype))


def _statistics(moved: Tensor, label: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """Mean and spread [K, K] of `moved` [N, K] by predicted class `label` [N], and the classes with too few samples.

    The spread is that of the mean over the draws, which is what is tested, so the result is a z-score indeed.
    """
    classes, moved = moved.shape[1], moved.double()
    mean, spread = moved.new_zeros(classes, classes), moved.new_ones(classes, classes)
    # A class without samples of its own borrows the statistics of all the others' pairs.
    pooled = moved[~torch.nn.functional.one_hot(label, classes).bool()]
    poor = []
    for y in range(classes):
        mine = moved[label == y]
        if len(mine) < _ENOUGH:
            poor.append(y)
            mean[y], spread[y] = pooled.mean(), pooled.std(correction=0)
        else:
            mean[y], spread[y] = mine.mean(0), mine.std(0, correction=0)
    return mean.float(), spread.clamp_min(1e-6).float(), poor


def _pair_thresholds(label: Tensor, z: Tensor, false_alarm: float) -> Tensor:
    """tau [K, K] that the share `false_alarm` of the clean samples of class y exceeds, pair by pair."""
    classes = z.shape[1]
    tau = z.new_empty(classes, classes)
    for y in range(classes):
        mine = z[label == y]
        for other in range(classes):
            tau[y, other] = threshold_at(mine[:, other] if len(mine) >= _ENOUGH else z.flatten(), false_alarm)
    return tau


def _poor_note(poor: list[int]) -> tuple[str, ...]:
    if not poor:
        return ()
    names = ", ".join(str(y) for y in poor[:10]) + (" and more" if len(poor) > 10 else "")
    return (f"Too few clean samples of class {names}: statistics of all the other classes stand in.",)


@hookimpl
def robusteval_defenses() -> list[type[LogitOdds]]:
    return [LogitOdds]
