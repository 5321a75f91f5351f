"""The odds are odd: how log-odds move under noise, compared with how they move for clean samples of the same class."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, RobustEvalError, Samples, param
from robusteval_defenses._common.thresholds import BATCH, clean_samples, few_samples, threshold_at

_SEED = 0  # of the noise where nobody draws any
_FOLDS = 5
_PRECISION = 1e-5  # of scores, relative
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

    def _excess(self, clean: Tensor, noisy: list[Tensor]) -> Tensor:
        label = clean.argmax(1)
        moved = _movement(clean, noisy, label)
        z = (moved - self.mean.to(moved)[label]) / self.spread.to(moved)[label]
        return _largest(z - self.tau.to(z)[label], label)

    def _noisy(self, x: Tensor) -> list[Tensor]:
        # One noise for all samples: a sample's score must not depend on what else is in its batch.
        rng = Generator().manual_seed(self.seed)
        return [x + noise.to(x.device, x.dtype) for noise in _noises(x.shape[1:], self.sigma, self.draws, rng)]


def _noises(shape: torch.Size, sigma: float, draws: int, rng: Generator) -> list[Tensor]:
    """Gaussian noises [*shape], every other one the opposite of the one before.

    The mean over the draws then has no first-order part, which has no place in the expectation but would dominate a few
    draws, and would shift all samples alike where they share the noise.
    """
    halves = [sigma * torch.randn(shape, generator=rng, device=rng.device) for _ in range((draws + 1) // 2)]
    return [sign * noise for noise in halves for sign in (1, -1)][:draws]


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
        reference="Roth, Kilcher, Hofmann: The odds are odd, a statistical test for detecting adversarial examples, "
        "2019",
        stochastic=True,
        known_breaks="Tramer, Carlini, Brendel, Madry: On adaptive attacks to adversarial example defenses, 2020: 0.0 "
        "% on CIFAR-10 when the attack averages over 40 draws.",
    )
    statistic: Literal["noise", "margin"] = param(
        "noise", "The change of the log-odds under noise, or the log-odds themselves.", choices=["noise", "margin"]
    )
    sigma: float = param(8 / 255, "Standard deviation of the noise, as a share of the range.", minimum=0.0, maximum=1.0)
    draws: int = param(
        16, "Draws of noise per decision, every other one the opposite of the one before.", minimum=1, maximum=1000
    )
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
        scores, under = _scores(model, clean.x, sigma, draws, rng)
        label = scores.argmax(1)
        moved = _movement(scores, under, label)
        mean, spread, poor = _statistics(moved, label, scores)
        tau, threshold = torch.zeros_like(mean), 0.0
        z = _held_out(moved, label, scores, rng)
        if self.tau is not None:
            threshold = self.tau
        elif self.per_pair:
            tau = _pair_thresholds(label, z, self.false_alarm)
        else:
            threshold = threshold_at(_largest(z, label), self.false_alarm)
        detector = OddsDetector(model, mean, spread, tau, threshold, sigma, draws)
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
        seed = int(torch.randint(2**62, (1,), generator=rng, device=rng.device))
        return Defended(self.model, replace(self.detector, seed=seed), notes=self.notes)


def _scores(model: Classifier, x: Tensor, sigma: float, draws: int, rng: Generator) -> tuple[Tensor, list[Tensor]]:
    """Scores [N, K] of x and those under each draw; every sample has noise of its own."""
    scores, under = [], []
    with torch.no_grad():
        for part in torch.split(x, BATCH):
            noises = [noise.to(x.device, x.dtype) for noise in _noises(part.shape, sigma, draws, rng)]
            scores.append(model.logits(part))
            under.append([model.logits(part + noise) for noise in noises])
    return torch.cat(scores), [torch.cat(parts) for parts in zip(*under, strict=True)]


def _held_out(moved: Tensor, label: Tensor, scores: Tensor, rng: Generator) -> Tensor:
    """z-scores [N, K] of each sample by the statistics of the others, in folds: its own would flatter the threshold."""
    fold = (torch.randperm(len(moved), generator=rng, device=rng.device) % min(_FOLDS, len(moved))).to(moved.device)
    z = torch.zeros_like(moved)
    for part in range(_FOLDS):
        mine = fold == part
        rest = ~mine if bool((~mine).any()) else mine
        mean, spread, _ = _statistics(moved[rest], label[rest], scores)
        z[mine] = (moved[mine] - mean[label[mine]]) / spread[label[mine]]
    return z


def _largest(z: Tensor, label: Tensor) -> Tensor:
    """Largest z-score [B] of [B, K] over the classes other than the predicted one."""
    own = torch.nn.functional.one_hot(label, z.shape[1]).bool()
    return z.masked_fill(own, -math.inf).amax(1)


def _statistics(moved: Tensor, label: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, list[int]]:
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
    floor = _PRECISION * float(
        scores.abs().max()
    )  # scores that do not move but by rounding have no spread of their own
    return mean.float(), spread.clamp_min(max(floor, _PRECISION)).float(), poor


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
