"""Trains and measures the example networks: plain, and against projected gradient descent (Madry et al. 2018)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Perturb = Callable[[nn.Module, Tensor, Tensor, float], Tensor]
"""(network, images, labels, share of the training that is done) to the images to train on."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train. `lr` is the peak of a one-cycle schedule for AdamW."""

    epochs: int
    lr: float
    weight_decay: float
    batch: int = 128
    mirror: bool = True  # mirror half of the images
    shift: int = 2  # move each image by up to so many pixels


@dataclass(frozen=True)
class Pgd:
    """Projected gradient ascent in the Linf ball of radius `eps`, from a random start."""

    eps: float
    steps: int
    step_size: float


def augment(x: Tensor, schedule: Schedule, rng: torch.Generator) -> Tensor:
    """Images [B, 1, 28, 28], each moved by up to `shift` pixels (zeros come in), half of them mirrored."""
    size, most = x.shape[-1], schedule.shift
    if most:
        corner = torch.randint(0, 2 * most + 1, (2, len(x), 1), generator=rng)
        rows, columns = corner + torch.arange(size)
        padded = F.pad(x[:, 0], (most,) * 4)
        x = padded[torch.arange(len(x))[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]
    if schedule.mirror:
        flip = torch.rand(len(x), 1, 1, 1, generator=rng) < 0.5
        x = torch.where(flip, x.flip(-1), x)
    return x


def train(
    network: nn.Module, x: Tensor, y: Tensor, schedule: Schedule, rng: torch.Generator, perturb: Perturb | None = None
) -> None:
    """Fits `network` in place to images [N, 1, 28, 28] in [0, 1] with labels [N]; prints one line an epoch."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay)
    per_epoch = len(x) // schedule.batch
    total = per_epoch * schedule.epochs
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=schedule.lr, total_steps=total, pct_start=0.2)
    done = 0
    for epoch in range(schedule.epochs):
        order, loss_sum = torch.randperm(len(x), generator=rng), 0.0
        for rows in order[: per_epoch * schedule.batch].split(schedule.batch):
            images, labels = augment(x[rows], schedule, rng), y[rows]
            if perturb is not None:
                images = perturb(network, images, labels, done / total)
            loss = F.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
            loss_sum += loss.item()
            done += 1
        print(f"  epoch {epoch + 1}/{schedule.epochs}  loss {loss_sum / per_epoch:.4f}", flush=True)


def saturation_free_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Per sample [B]: logsumexp of the other classes minus the true logit. Climbs as cross-entropy, never saturates."""
    others = logits.scatter(1, y[:, None], -torch.inf)
    return others.logsumexp(dim=1) - logits.gather(1, y[:, None])[:, 0]


def input_gradient(network: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [B, 10] and the gradient [B, 1, 28, 28] of the summed loss with respect to the images alone."""
    x = x.detach().requires_grad_()
    logits = network(x)
    (gradient,) = torch.autograd.grad(saturation_free_loss(logits, y).sum(), x)
    return logits.detach(), gradient


def random_start(x: Tensor, eps: float, rng: torch.Generator) -> Tensor:
    """Uniform in the Linf ball around `x` and in [0, 1]."""
    return (x + (2 * torch.rand(x.shape, generator=rng) - 1) * eps).clamp(0, 1)


def ascend(attack: Pgd, network: nn.Module, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:
    """The images after all steps of `attack`, whether or not they fool the network."""
    low, high = (x - attack.eps).clamp(min=0), (x + attack.eps).clamp(max=1)
    current = random_start(x, attack.eps, rng)
    for _ in range(attack.steps):
        _, gradient = input_gradient(network, current, y)
        current = (current + attack.step_size * gradient.sign()).clamp(low, high)
    return current


def adversarial(attack: Pgd, warm_share: float, rng: torch.Generator) -> Perturb:
    """Trains on `attack`; in the first `warm_share` on one step of 1.25 eps, while eps grows from 0 to the full radius.

    That step is FGSM with a random start (Wong et al. 2020): it costs a fraction and gets most of the way.
    """

    def perturb(network: nn.Module, x: Tensor, y: Tensor, done: float) -> Tensor:
        for parameter in network.parameters():
            parameter.requires_grad_(False)  # only the images' gradient is wanted here: about a third of the time
        if done < warm_share:
            eps = attack.eps * min(1.0, 2 * done / warm_share)
            images = ascend(Pgd(eps, 1, 1.25 * eps), network, x, y, rng)
        else:
            images = ascend(attack, network, x, y, rng)
        for parameter in network.parameters():
            parameter.requires_grad_(True)
        return images

    return perturb


def accuracy(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of images [N, 1, 28, 28] that the network classifies as labelled."""
    with torch.no_grad():
        hits = [(network(a).argmax(dim=1) == b) for a, b in zip(x.split(500), y.split(500), strict=True)]
    return torch.cat(hits).float().mean().item()


def robust_accuracy(network: nn.Module, x: Tensor, y: Tensor, attack: Pgd, rng: torch.Generator) -> float:
    """Share of images that no iterate of `attack` gets classified wrongly. Lost images leave the batch."""
    network.requires_grad_(False)
    survivors = 0
    for images, answers in zip(x.split(500), y.split(500), strict=True):
        with torch.no_grad():
            right = network(images).argmax(dim=1) == answers
        clean, labels = images[right], answers[right]
        current = random_start(clean, attack.eps, rng)
        for step in range(attack.steps + 1):  # the last pass only judges the last iterate
            logits, gradient = input_gradient(network, current, labels)
            right = logits.argmax(dim=1) == labels
            clean, labels, current, gradient = clean[right], labels[right], current[right], gradient[right]
            if step == attack.steps or not len(clean):
                break
            low, high = (clean - attack.eps).clamp(min=0), (clean + attack.eps).clamp(max=1)
            current = (current + attack.step_size * gradient.sign()).clamp(low, high)
        survivors += len(clean)
    return survivors / len(x)
