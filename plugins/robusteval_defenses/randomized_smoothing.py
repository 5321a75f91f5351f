"""Randomized smoothing: the vote of the model over Gaussian noise, with a certified L2 radius for each sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor

from robusteval.api import (
    JUDGE_DRAWS,
    Classifier,
    Defended,
    DefenseInfo,
    ModelInfo,
    Samples,
    clip,
    hookimpl,
    param,
    statistics,
)
from robusteval_defenses._common.input_transform import described, fresh_seed
from robusteval_defenses._common.thresholds import BATCH

_TIE = 0.1  # of a vote: weight of the mean probabilities, which break ties and give score attacks a slope
_LEAST = 1e-12  # share of votes, so that logarithms are finite


@dataclass(frozen=True)
class Smoothed:
    """The base model under one set of noises, the same for every sample.

    Scores are the logarithms of the shares of votes; the twin's are those of the mean probabilities over fewer noises,
    which unlike votes have a gradient. sigma: in units of the pixels.
    """

    base: Classifier
    info: ModelInfo
    sigma: float
    votes: int
    steer: int
    seed: int = 0

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            total = x.new_zeros((len(x), self.info.classes), dtype=torch.float32)
            for noise in self._noises(x, self.votes):
                scores = self.base.logits(clip(x + noise, self.info.bounds))
                total += one_hot(scores) + _TIE / self.votes * scores.softmax(1)
            return (total / (self.votes + _TIE)).clamp_min(_LEAST).log()

    def twin(self, x: Tensor) -> Tensor:
        parts = [
            self.base.twin(clip(x + noise, self.info.bounds)).log_softmax(1) for noise in self._noises(x, self.steer)
        ]
        return torch.stack(parts).logsumexp(0)

    def _noises(self, x: Tensor, count: int) -> list[Tensor]:
        rng = Generator().manual_seed(self.seed)
        return [
            self.sigma * torch.randn(x.shape[1:], generator=rng, device=rng.device).to(x.device, x.dtype)
            for _ in range(count)
        ]


def one_hot(scores: Tensor) -> Tensor:
    """The vote of each row of scores [B, K]: [B, K]."""
    return torch.nn.functional.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype)


@dataclass(frozen=True)
class Redraw:
    """Gives the pipeline with fresh noises; a class, because closures cannot travel to worker processes."""

    model: Smoothed
    certify: Certificate
    notes: tuple[str, ...]

    def __call__(self, rng: Generator) -> Defended:
        return Defended(replace(self.model, seed=fresh_seed(rng)), certify=self.certify, notes=self.notes)


@dataclass(frozen=True)
class Certificate:
    """Cohen's CERTIFY: a guess of the top class from n0 draws, and a lower bound of its probability from n others.

    Clipping to the bounds after the noise is part of the base model, so the certificate covers it.
    """

    base: Classifier
    sigma: float  # in units of the pixels
    n0: int
    n: int
    alpha: float
    seed: int
    margin: float = 0.0  # see vote_margin

    def __call__(self, x: Tensor) -> Tensor:
        """Certified L2 radius [B] of x [B, *shape], 0 where it abstains; each holds with probability 1 - alpha."""
        rng = Generator().manual_seed(self.seed)
        return torch.tensor([self._radius(image, rng) for image in x], dtype=torch.float64, device="cpu")

    def _radius(self, x: Tensor, rng: Generator) -> float:
        guess = int(self._votes(x, self.n0, rng).argmax())
        hits = int(self._votes(x, self.n, rng)[guess])
        return radius(hits, self.n, self.sigma, self.alpha, self.margin)

    def _votes(self, x: Tensor, count: int, rng: Generator) -> Tensor:
        """Votes [K] of `count` draws of noise on one sample."""
        total = x.new_zeros(self.base.info.classes, dtype=torch.float32)
        for start in range(0, count, BATCH):
            noise = torch.randn((min(BATCH, count - start), *x.shape), generator=rng, device=rng.device)
            noisy = clip(x + self.sigma * noise.to(x.device, x.dtype), self.base.info.bounds)
            with torch.no_grad():
                total += one_hot(self.base.logits(noisy)).sum(0)
        return total


def radius(hits: int, draws: int, sigma: float, alpha: float, margin: float = 0.0) -> float:
    """sigma times the normal quantile of the Clopper-Pearson lower bound of hits / draws, less the margin; at least
    0."""
    from scipy import stats  # slow to import, and every command looks at every plugin

    low = statistics.lower_bound(hits, draws, alpha)
    return 0.0 if low <= 0.5 else sigma * max(float(stats.norm.ppf(low)) - margin, 0.0)


def vote_margin(votes: int, alpha: float) -> float:
    """Normal quantile of the probability at which a decision, JUDGE_DRAWS answers of `votes` each, is right but for
    alpha.

    Cohen's radius is that of infinitely many votes: at its edge the top class has half of them, and a finite vote errs
    every other time.
    """
    from scipy import optimize, stats

    def wrong(share: float) -> float:
        answer = float(stats.binom.sf(votes // 2, votes, share))  # a tie counts as wrong
        return float(stats.binom.cdf(JUDGE_DRAWS // 2, JUDGE_DRAWS, answer)) - alpha

    return float(stats.norm.ppf(optimize.brentq(wrong, 0.5, 1.0)))


@dataclass(frozen=True)
class RandomizedSmoothing:
    """Answers by vote over Gaussian noise. No perturbation smaller than the certified radius changes the vote."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="randomized-smoothing",
        version="1",
        kind="preprocessor",
        needs_data=False,
        summary="Answers by a vote over Gaussian noise, and certifies an L2 radius within which the vote does not "
        "change.",
        reference="Cohen, Rosenfeld, Kolter: Certified adversarial robustness via randomized smoothing, 2019",
        stochastic=True,
        known_breaks="None of the certificate, which holds for each sample with probability 1 - alpha and in L2 only. "
        "Beyond it, Salman et al.: Provably robust deep learning via adversarially trained smoothed classifiers, 2019, "
        "attack through the mean of probabilities over draws, as the adaptive attacks here do.",
    )
    sigma: float = param(0.12, "Standard deviation of the noise, as a share of the range.", minimum=1e-6, maximum=10.0)
    votes: int = param(25, "Draws that one answer is voted from; random pipelines are judged by 11 answers.", minimum=1)
    steer: int = param(8, "Draws that one gradient of an adaptive attack is averaged over.", minimum=1)
    n0: int = param(100, "Draws from which the certificate guesses the top class.", minimum=1)
    n: int = param(1000, "Draws from which it bounds that class's probability.", minimum=1)
    alpha: float = param(0.001, "Probability that a certificate is wrong.", minimum=1e-12, maximum=0.4)
    settled: bool = param(
        True,
        "Whether radii are reduced by what a finite vote gets wrong near their edge; without it they are Cohen's, "
        "which hold for infinitely many votes.",
    )

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        low, high = model.info.bounds
        sigma = self.sigma * (high - low)
        note = f"Answers are votes over Gaussian noise of standard deviation {self.sigma:g} of the range."
        margin = vote_margin(self.votes, self.alpha) if self.settled else 0.0
        largest = radius(self.n, self.n, sigma, self.alpha, margin)
        notes = (
            (
                f"Certificates: {self.n} draws, each wrong with probability {self.alpha:g} at most; none can exceed "
                f"{largest:.3g}."
            ),
        )
        smoothed = Smoothed(model, described(model.info, note), sigma, self.votes, self.steer)
        certify = Certificate(model, sigma, self.n0, self.n, self.alpha, fresh_seed(rng), margin)
        return Defended(smoothed, certify=certify, draw=Redraw(smoothed, certify, notes), notes=notes)


@hookimpl
def robusteval_defenses() -> list[type[RandomizedSmoothing]]:
    return [RandomizedSmoothing]
