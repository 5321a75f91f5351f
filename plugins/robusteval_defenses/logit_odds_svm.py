"""The odds detector as a corrector: what it flags is classified by a support vector machine on the logits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, ModelInfo, RobustEvalError, Samples, hookimpl, param
from robusteval_defenses._common.input_transform import fresh_seed
from robusteval_defenses._common.odds import LogitOdds, OddsDetector
from robusteval_defenses._common.thresholds import BATCH, batched, clean_samples

_WORST = -1e4  # score of a class that the machine never saw


@dataclass(frozen=True)
class Machine:
    """One support vector machine per class against the rest, with an RBF or a linear kernel.

    vectors: [V, K]; weights: [V, K], one column a class; offsets: [K]. gamma: 0 for the linear kernel.
    """

    vectors: Tensor
    weights: Tensor
    offsets: Tensor
    gamma: float

    def scores(self, logits: Tensor) -> Tensor:
        """Decision values [B, K] of logits [B, K], differentiable."""
        u, vectors = centred(logits), self.vectors.to(logits)
        if self.gamma:  # differences, not products: a row's score must not depend on the size of its batch
            apart = torch.cdist(u, vectors, compute_mode="donot_use_mm_for_euclid_dist")
            kernel = torch.exp(-self.gamma * apart.square())
        else:
            kernel = u @ vectors.T
        return kernel @ self.weights.to(logits) + self.offsets.to(logits)


def centred(logits: Tensor) -> Tensor:
    """Logits [B, K] less their mean: log-probabilities give the same."""
    return logits - logits.mean(1, keepdim=True)


@dataclass(frozen=True)
class Corrected:
    """The model's scores where the detector is silent, the machine's where it fires.

    An attacker who differentiates it goes through the branch that answers.
    """

    base: Classifier
    detector: OddsDetector
    machine: Machine
    scale: float  # puts the machine's margins in units of the logits
    info: ModelInfo

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self._answer(self.base.logits(x), self.detector.score(x))

    def twin(self, x: Tensor) -> Tensor:
        # which branch answers is a step without gradient, so the detector's twin is asked for its value only
        with torch.no_grad():
            detector_score = self.detector.twin(x.detach())
        return self._answer(self.base.twin(x), detector_score)

    def _answer(self, logits: Tensor, detector_score: Tensor) -> Tensor:
        fired = detector_score > self.detector.threshold
        return torch.where(fired[:, None], self.scale * self.machine.scores(logits), logits)


@dataclass(frozen=True)
class Redraw:
    """Gives the pipeline with fresh noise in its detector; a class, because closures cannot travel."""

    model: Corrected
    notes: tuple[str, ...]

    def __call__(self, rng: Generator) -> Defended:
        detector = replace(self.model.detector, seed=fresh_seed(rng))
        return Defended(replace(self.model, detector=detector), notes=self.notes)


@dataclass(frozen=True)
class LogitOddsSvm:
    """Corrects what logit-odds flags: a machine that learnt the logits of FGSM adversarials names their true class."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="logit-odds-svm",
        version="1",
        kind="corrector",
        needs_data=True,
        summary="Inputs that logit-odds flags are classified by an SVM fitted on logits of FGSM adversarials.",
        reference="Roth, Kilcher, Hofmann: The odds are odd, a statistical test for detecting adversarial examples, "
        "2019 (detection and correction); Cortes, Vapnik: Support-vector networks, 1995",
        stochastic=True,
        known_breaks="Tramer, Carlini, Brendel, Madry: On adaptive attacks to adversarial example defenses, 2020, for "
        "the detector. The machine learnt one step of FGSM and knows little of stronger attacks.",
    )
    statistic: Literal["noise", "margin"] = param("noise", "As in logit-odds.", choices=["noise", "margin"])
    sigma: float = param(8 / 255, "Standard deviation of the noise, as a share of the range.", minimum=0.0, maximum=1.0)
    draws: int = param(16, "Draws of noise per decision.", minimum=1, maximum=1000)
    tau: float | None = param(None, "Fixed threshold of the z-scores; without one it follows from false_alarm.")
    false_alarm: float = param(0.01, "Share of the clean samples that may be corrected.", minimum=0.0, maximum=1.0)
    eps: float = param(0.1, "Linf size of the FGSM adversarials, as a share of the range.", minimum=0.0, maximum=1.0)
    kernel: Literal["rbf", "linear"] = param("rbf", "Kernel of the machine.", choices=["rbf", "linear"])
    count: int = param(2000, "Samples that the machine learns from, at most.", minimum=10)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        odds = LogitOdds(self.statistic, self.sigma, self.draws, self.tau, self.false_alarm).fit(model, data, rng)
        if model.info.gradients == "none":
            raise RobustEvalError(
                f"The defence {self.info.name} learns from FGSM adversarials, and this model gives no gradients.",
                "Leave it out; the detector logit-odds alone needs none.",
            )
        detector = odds.detector
        if not isinstance(detector, OddsDetector):
            raise TypeError("logit-odds gave no odds detector")
        clean = clean_samples(model, data, self.info.name)
        clean = clean[torch.randperm(len(clean), generator=rng, device=rng.device)[: self.count].to(clean.x.device)]
        low, high = model.info.bounds
        adversarial = torch.cat([_fgsm(model, x, y, self.eps * (high - low)) for x, y in _parts(clean)])
        logits = batched(model.logits, adversarial)
        machine = fitted(logits, clean.y, self.kernel)
        right = float((machine.scores(logits).argmax(1) == clean.y.to(logits.device)).float().mean())
        scale = _gap(batched(model.logits, clean.x)) / max(_gap(machine.scores(logits)), 1e-6)
        note = f"The SVM learnt from {len(clean)} FGSM adversarials, of which it gets {right:.1%} right."
        info = replace(model.info, notes=(*model.info.notes, note))
        corrected = Corrected(model, detector, machine, scale, info)
        notes = (*odds.notes, note)
        return Defended(corrected, draw=Redraw(corrected, notes) if detector.draws else None, notes=notes)


def fitted(logits: Tensor, labels: Tensor, kernel: Literal["rbf", "linear"]) -> Machine:
    """A machine per class against the rest, fitted on logits [N, K] of adversarials with their true labels [N]."""
    from sklearn.svm import SVC  # a second of imports, and every command looks at every plugin

    u, y = centred(logits).double().cpu().numpy(), labels.cpu().numpy()
    variance = float(u.var())
    gamma = 1 / (u.shape[1] * variance) if kernel == "rbf" and variance > 0 else 0.0
    weights = np.zeros(u.shape)
    offsets = np.full(u.shape[1], _WORST)
    for label in np.unique(y):
        if (y == label).all():
            offsets[label] = 0.0  # the only class there is
            continue
        # the seed is never used without probabilities, but keeps scikit-learn off the global generator
        machine = SVC(
            kernel="rbf" if gamma else "linear", gamma=gamma or "scale", class_weight="balanced", random_state=0
        )
        machine.fit(u, y == label)
        weights[machine.support_, label] = machine.dual_coef_[0]
        offsets[label] = machine.intercept_[0]
    used = (weights != 0).any(axis=1)
    vectors = torch.from_numpy(u[used]).float()
    return Machine(vectors, torch.from_numpy(weights[used]).float(), torch.from_numpy(offsets).float(), gamma)


def _parts(samples: Samples) -> list[tuple[Tensor, Tensor]]:
    return list(zip(torch.split(samples.x, BATCH), torch.split(samples.y, BATCH), strict=True))


def _fgsm(model: Classifier, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """One step of size eps up the cross-entropy, within the bounds: [B, *shape]."""
    low, high = model.info.bounds
    leaf = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        loss = torch.nn.functional.cross_entropy(model.twin(leaf), y.to(leaf.device), reduction="sum")
        (grad,) = torch.autograd.grad(loss, leaf)
    return (x + eps * grad.sign()).clamp(low, high)


def _gap(scores: Tensor) -> float:
    """Median distance of the two largest scores."""
    top = scores.topk(2, dim=1).values
    return float((top[:, 0] - top[:, 1]).median())


@hookimpl
def robusteval_defenses() -> list[type[LogitOddsSvm]]:
    return [LogitOddsSvm]
