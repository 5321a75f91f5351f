"""AdvGAN: a generator learns to perturb, against the attacked model and against a discriminator of clean samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from robusteval.api import AttackInfo, Passes, Problem, hookimpl, margin, param, per_sample, size
from robusteval_attacks._common.surrogate import Substitute, conv, dense, fit, small_network

_MEMORY = "advgan"
_REFERENCE = "Xiao, Li, Zhu, He, Liu, Song: Generating adversarial examples with adversarial networks, 2018"

# x [B, *shape] -> (gradient of the adversarial loss [B, *shape], margin [B], won [B]) at x
Query = Callable[[Problem, Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class _Settings:
    """Parameters that both forms have in common, and the training of the networks."""

    epochs: int = param(60, "Steps of training per budget; each is one pass over the samples.", minimum=1)
    rate: float = param(2e-3, "Learning rate of Adam for both networks.", minimum=1e-6, maximum=1.0)
    width: int = param(16, "Channels of the networks' first layers.", minimum=1, maximum=1024)
    gan: float = param(0.001, "Weight of the discriminator's loss.", minimum=0.0, maximum=1e3)
    hinge: float = param(
        0.01,
        "Weight of the hinge on the size beyond the budget, in l2; linf output is bounded.",
        minimum=0.0,
        maximum=1e3,
    )

    def train(self, problem: Problem, query: Query) -> Tensor:
        """Trains on the problem's samples; the perturbed sample of largest margin, winning ones first, [B, *shape]."""
        nets = problem.memory.setdefault(_MEMORY, None) or _Networks.new(problem, self.width, self.rate)
        problem.memory[_MEMORY] = nets
        best, value = problem.x.clone(), torch.full_like(problem.budget, -torch.inf)
        left = torch.arange(len(best), device=best.device)
        for _ in range(self.epochs):
            if len(left) == 0:
                break
            with torch.enable_grad():
                raw = nets.perturb(problem)
            x = problem.project(problem.x + _scaled(raw.detach(), problem))
            grad, gain, won = query(problem, x)
            gain = gain.masked_fill(won, torch.inf)
            better = gain > value[left]
            best[left[better]], value[left[better]] = x[better], gain[better]
            problem.note(margin=gain, won=won.float())
            nets.learn(problem, raw, x, grad, self)
            if bool(won.any()):  # what is won needs no better perturbation; the others go on
                problem, left = problem[~won], left[~won]
        return best


@dataclass(frozen=True)
class AdvGAN(_Settings):
    """The white-box form: the loss of the attacked model itself trains the generator."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="advgan",
        version="1",
        norms=("linf", "l2"),
        budget="fixed",
        needs="gradient",
        summary="A generator is trained to perturb the samples so that the model errs and a discriminator does not "
        "notice.",
        reference=_REFERENCE,
        stochastic=True,
        strengths="Once trained a generator perturbs in one pass; finds what many samples have in common.",
        limits="Trained on the attacked samples of one unit alone; gradient attacks on each sample come nearer.",
    )

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(self.epochs, self.epochs, own=15 * self.epochs)

    def run(self, problem: Problem) -> Tensor:
        return self.train(problem, _ask) if len(problem) else problem.x.clone()


@dataclass(frozen=True)
class AdvGANBlackBox(_Settings):
    """The black-box form: a copy distilled from the oracle's labels, refreshed with labels of what fools it."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="advgan-blackbox",
        version="1",
        norms=("linf", "l2"),
        budget="fixed",
        needs="decision",
        summary="As advgan, but against a copy of the model that is distilled from its labels.",
        reference=_REFERENCE,
        stochastic=True,
        strengths="Needs labels alone, a few per sample.",
        limits="Only as good as the copy; a unit's samples are few to distil a model from.",
    )
    distil: int = param(30, "Passes over the labelled points in each distillation.", minimum=1, maximum=10_000)
    rounds: int = param(3, "Distillations, each followed by training of the generator.", minimum=1, maximum=100)
    noise: float = param(0.1, "Noise around the clean samples of the first set, as a share of the range.", minimum=0.0)

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(2 + self.rounds, own=self.rounds * (15 * self.epochs + 25 * self.distil))

    def run(self, problem: Problem) -> Tensor:
        best = problem.x.clone()
        left = torch.arange(len(best), device=best.device)
        for _ in range(self.rounds):
            if len(left) == 0:
                break
            part = problem[left]
            copy = self._copy(part)
            x = self.train(part, lambda now, at, copy=copy: _ask_copy(copy, now, at))  # type: ignore[misc]
            labels = part.labels(x)
            best[left] = x
            points, answers = part.memory["advgan.points"]
            part.memory["advgan.points"] = (torch.cat([points, x]), torch.cat([answers, labels]))
            left = left[part.safe.gather(1, labels[:, None]).squeeze(1)]
        return best

    def _copy(self, problem: Problem) -> Substitute:
        """The copy, trained on; it is made with the first problem of the unit, from clean and from noisy samples."""
        if "advgan.copy" not in problem.memory:
            span = problem.bounds[1] - problem.bounds[0]
            noise = torch.randn(problem.x.shape, generator=problem.rng, device=problem.rng.device).to(
                problem.x.device, problem.x.dtype
            )
            noisy = problem.clip(problem.x + self.noise * span * noise)
            labels = torch.cat([problem.labels(problem.x), problem.labels(noisy)])
            net = small_network(problem.x, problem.classes, self.width, problem.rng)
            problem.memory["advgan.copy"] = Substitute(net, problem.bounds)
            problem.memory["advgan.points"] = (torch.cat([problem.x, noisy]), labels)
        copy: Substitute = problem.memory["advgan.copy"]
        points, labels = problem.memory["advgan.points"]
        fit(copy, points, labels, self.distil, 1e-3, problem.rng)
        problem.note(agreement=float((copy.labels(points) == labels).double().mean()))
        return copy


def _ask(problem: Problem, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    grad, loss, _, won = problem.grad(x, "margin")
    return grad, loss, won


def _ask_copy(copy: Substitute, problem: Problem, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    leaf = x.detach().requires_grad_(True)
    with torch.enable_grad():
        scores = copy(leaf)
        value = margin(scores, problem.safe)
        (grad,) = torch.autograd.grad(value.sum(), leaf)
    # The copy's word is not the oracle's: nothing counts as won before that is asked.
    return grad, value.detach(), torch.zeros(len(x), dtype=torch.bool, device=x.device)


@dataclass(frozen=True)
class _Networks:
    """Generator, discriminator and their optimisers; they learn on from budget to budget."""

    generator: nn.Module
    discriminator: nn.Module
    optimisers: tuple[torch.optim.Optimizer, torch.optim.Optimizer]

    @classmethod
    def new(cls, problem: Problem, width: int, rate: float) -> _Networks:
        generator = _generator(problem.x, width, problem.rng)
        discriminator = small_network(problem.x, 1, width, problem.rng)
        adam = torch.optim.Adam(generator.parameters(), lr=rate), torch.optim.Adam(discriminator.parameters(), lr=rate)
        return cls(generator, discriminator, adam)

    def perturb(self, problem: Problem) -> Tensor:
        """Raw perturbations in (-1, 1), differentiable in the generator's weights: [B, *shape]."""
        raw: Tensor = self.generator(_centred(problem, problem.x)).reshape(problem.x.shape)
        return raw.tanh()

    def learn(self, problem: Problem, raw: Tensor, x: Tensor, grad: Tensor, settings: _Settings) -> None:
        """One step of each network, given the gradient [B, *shape] of the adversarial loss at the candidates x."""
        generator, discriminator = self.optimisers
        with torch.enable_grad():
            discriminator.zero_grad()
            clean = self.discriminator(_centred(problem, problem.x)) - 1
            fake = self.discriminator(_centred(problem, x))
            (clean.square().mean() + fake.square().mean()).backward()  # least squares, as the authors train it
            discriminator.step()
            generator.zero_grad()
            delta = _scaled(raw, problem)
            looks = self.discriminator(_centred(problem, problem.x + delta)) - 1
            # The model's gradient, of one length for all samples: gradients of raw margins differ by orders.
            steepness = size(grad, "l2").clamp_min(1e-30) * size(delta.detach(), "l2").clamp_min(1e-30)
            fools = -(delta * grad / per_sample(steepness, grad)).flatten(1).sum(1).mean()
            loss = fools + settings.gan * looks.square().mean()
            if problem.norm == "l2":
                over = size(raw, "l2") * _span(problem) / problem.budget.to(raw.dtype).clamp_min(1e-12) - 1
                loss = loss + settings.hinge * over.clamp(0, 10).mean()
            loss.backward()
            generator.step()


def _span(problem: Problem) -> float:
    return problem.bounds[1] - problem.bounds[0]


def _centred(problem: Problem, x: Tensor) -> Tensor:
    low, high = problem.bounds
    return (2 * x - low - high) / (high - low)


def _scaled(raw: Tensor, problem: Problem) -> Tensor:
    """The generator's output in the budget: times eps for linf, times the range and at most eps long for l2."""
    eps = per_sample(problem.budget.to(raw.dtype), raw)
    if problem.norm == "linf":
        return raw * eps
    delta = raw * _span(problem)
    return delta * (eps / per_sample(size(delta, "l2").clamp_min(1e-12), raw)).clamp_max(1)


def _generator(x: Tensor, width: int, rng: Generator) -> nn.Module:
    """Images: convolutions with a wider middle at half the size where that is even; others: a perceptron."""
    if x.dim() != 4:
        count = x[0].numel()
        layers = [nn.Flatten(), dense(count, 8 * width, rng), nn.ReLU(), dense(8 * width, count, rng)]
        return nn.Sequential(*layers).to(x.device)
    channels, height, side = x.shape[1:]
    halves = height % 2 == 0 and side % 2 == 0
    down: list[nn.Module] = [nn.AvgPool2d(2)] if halves else []
    up: list[nn.Module] = [nn.Upsample(scale_factor=2)] if halves else []
    layers = [conv(channels, width, rng), nn.ReLU(), *down, conv(width, 2 * width, rng), nn.ReLU()]
    layers += [conv(2 * width, 2 * width, rng), nn.ReLU(), *up, conv(2 * width, width, rng), nn.ReLU()]
    return nn.Sequential(*layers, conv(width, channels, rng)).to(x.device)


@hookimpl
def robusteval_attacks() -> list[type[AdvGAN | AdvGANBlackBox]]:
    return [AdvGAN, AdvGANBlackBox]
