"""Classifiers whose smallest adversarial distances are known in closed form, and awkward ones. All picklable."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from robusteval.contracts.classifier import Classifier, ModelInfo
from robusteval.errors import AccessError
from robusteval.ops import Norm

Bounds = tuple[float, float]


def oracle_info(name: str, shape: tuple[int, ...], classes: int, bounds: Bounds = (0.0, 1.0)) -> ModelInfo:
    """Facts of an oracle with exact gradients."""
    return ModelInfo(name, "oracle", "0" * 64, shape, classes, bounds, provider="torch cpu")


@dataclass(frozen=True)
class Linear:
    """Scores <weight_k, x> + bias_k: smallest distances are exact in all four norms, the box included.

    weight: [K, *shape]; bias: [K]. Each row is computed on its own, so answers do not depend on the batch.
    """

    info: ModelInfo
    weight: Tensor
    bias: Tensor

    def logits(self, x: Tensor) -> Tensor:
        return self.twin(x.detach()).detach()

    def twin(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.to(x.device), self.bias.to(x.device)
        return (x.flatten(1)[:, None, :] * weight.flatten(1)[None]).sum(2) + bias

    def smallest(self, x: Tensor, safe: Tensor, norm: Norm) -> Tensor:
        """Smallest distance to a win, float64 [B]; infinite where the box holds none, 0 where x is one already.

        Exact where safe [B, K] holds one class (or K = 2); a lower bound where it holds several (targeted).
        """
        scores = self.twin(x.double()).double()
        answer = torch.empty(len(x), dtype=torch.float64, device="cpu")
        for row in range(len(x)):
            kept = [k for k in range(self.info.classes) if safe[row, k]]
            reach = [
                max(self._gap(x[row], scores[row], k, other, norm) for k in kept)
                for other in range(self.info.classes)
                if not safe[row, other]
            ]
            answer[row] = min(reach, default=math.inf)
        return answer

    def _gap(self, x: Tensor, scores: Tensor, kept: int, other: int, norm: Norm) -> float:
        slope = (self.weight[other] - self.weight[kept]).double()
        low, high = self.info.bounds
        room = torch.where(slope > 0, high - x.double(), x.double() - low)
        if norm == "l0" and x.dim() == 3:
            gains = (slope.abs() * room).flatten(1).sum(0)
            return fewest(float(scores[kept] - scores[other]), gains)
        return smallest_step(float(scores[kept] - scores[other]), slope.abs().flatten(), room.flatten(), norm)


def linear(shape: tuple[int, ...] = (8,), classes: int = 3, bounds: Bounds = (0.0, 1.0), seed: int = 0) -> Linear:
    """A linear oracle with K decision regions that meet in the middle of the box."""
    weight = torch.randn((classes, *shape), generator=Generator().manual_seed(seed), device="cpu")
    middle = (bounds[0] + bounds[1]) / 2
    return Linear(oracle_info("linear", shape, classes, bounds), weight, -middle * weight.flatten(1).sum(1))


@dataclass(frozen=True)
class Rectified:
    """Two layers with ReLUs between them, made of a linear oracle; its distances are not known.

    Each value's share z of a linear score, counted from the middle of the box, goes through two hidden units, relu(z)
    and relu(-z); the second counts half.
    For defences that replace activations, or whose effect a linear model would hide.
    """

    inner: Linear

    @property
    def info(self) -> ModelInfo:
        """Facts of the inner oracle."""
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        return self.twin(x.detach()).detach()

    def twin(self, x: Tensor) -> Tensor:
        from_middle = x.flatten(1) - sum(self.info.bounds) / 2
        z = from_middle[:, None, :] * self.inner.weight.flatten(1)[None]
        return (torch.relu(z) - 0.5 * torch.relu(-z)).sum(2)


@dataclass(frozen=True)
class Sphere:
    """Class 0 inside a ball, class 1 outside: a curved boundary at radius - ||x - centre||_2."""

    info: ModelInfo
    centre: Tensor
    radius: float

    def logits(self, x: Tensor) -> Tensor:
        return self.twin(x.detach()).detach()

    def twin(self, x: Tensor) -> Tensor:
        depth = self.radius**2 - (x - self.centre).flatten(1).square().sum(1)
        return torch.stack([depth, -depth], dim=1) / (2 * self.radius)

    def smallest(self, x: Tensor, norm: Norm) -> Tensor:
        """Smallest distance from inside the ball to its surface, float64 [B]; 0 for a point outside.

        l1, l2 and linf suppose that the box is farther than the answer; for l0 the box is part of it. Flat inputs.
        """
        offset = (x.double() - self.centre.double()).flatten(1)
        length, missing = offset.norm(dim=1), self.radius**2 - offset.square().sum(1)
        if norm == "l2":
            depth: Tensor = (self.radius - length).clamp_min(0)
            return depth
        if norm == "l1":  # the farthest point of an L1 ball is a corner: all of it in the largest coordinate
            peak = offset.abs().amax(1)
            return torch.where(missing > 0, (peak.square() + missing.clamp_min(0)).sqrt() - peak, 0.0)
        if norm == "linf":  # every coordinate moves outwards: D e^2 + 2 e ||u||_1 = missing
            total, size = offset.abs().sum(1), offset.shape[1]
            return ((total.square() + size * missing.clamp_min(0)).sqrt() - total) / size
        low, high = self.info.bounds
        far = torch.maximum((high - self.centre.double()).abs(), (self.centre.double() - low).abs()).flatten()
        gains = far.square() - offset.square()
        return torch.tensor(
            [fewest(float(gap), row) for gap, row in zip(missing, gains, strict=True)], device="cpu"
        ).double()


def sphere(size: int = 8, bounds: Bounds = (0.0, 1.0), share: float = 0.8) -> Sphere:
    """A ball in the middle of the box; its radius is that share of half the range."""
    low, high = bounds
    centre = torch.full((size,), (low + high) / 2, device="cpu")
    return Sphere(oracle_info("sphere", (size,), 2, bounds), centre, share * (high - low) / 2)


@dataclass(frozen=True)
class Rescaled:
    """An affine preprocessing in front: inner(scale * x + shift); distances are the inner ones over |scale|."""

    inner: Linear
    scale: float
    shift: float

    @property
    def info(self) -> ModelInfo:
        low, high = sorted((edge - self.shift) / self.scale for edge in self.inner.info.bounds)
        return replace(self.inner.info, name="rescaled", bounds=(low, high))

    def logits(self, x: Tensor) -> Tensor:
        return self.inner.logits(x * self.scale + self.shift)

    def twin(self, x: Tensor) -> Tensor:
        return self.inner.twin(x * self.scale + self.shift)

    def smallest(self, x: Tensor, safe: Tensor, norm: Norm) -> Tensor:
        """As Linear.smallest, in units of x."""
        inner = self.inner.smallest(x * self.scale + self.shift, safe, norm)
        return inner if norm == "l0" else inner / abs(self.scale)


@dataclass(frozen=True)
class NoGradient:
    """The inner model without a twin: rung E of the ladder."""

    inner: Classifier

    @property
    def info(self) -> ModelInfo:
        return replace(self.inner.info, gradients="none", gradients_reason="The oracle has no twin.", rung="E")

    def logits(self, x: Tensor) -> Tensor:
        return self.inner.logits(x)

    def twin(self, x: Tensor) -> Tensor:  # noqa: ARG002 - as the contract has it
        raise AccessError("This model has no gradients.", "Use an attack that needs only scores or decisions.")


@dataclass(frozen=True)
class LabelsOnly:
    """The inner model's prediction as a one-hot answer, without gradients: all that a decision API tells."""

    inner: Classifier

    @property
    def info(self) -> ModelInfo:
        return replace(NoGradient(self.inner).info, output="labels")

    def logits(self, x: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(self.inner.logits(x).argmax(1), self.info.classes).float()

    def twin(self, x: Tensor) -> Tensor:
        return NoGradient(self.inner).twin(x)


@dataclass(frozen=True)
class Staircase:
    """The inner scores rounded to steps: right answers, gradient zero everywhere (gradient masking)."""

    inner: Classifier
    step: float = 0.05

    @property
    def info(self) -> ModelInfo:
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        return self.twin(x.detach()).detach()

    def twin(self, x: Tensor) -> Tensor:
        return torch.round(self.inner.twin(x) / self.step) * self.step


@dataclass(frozen=True)
class Blank:
    """Always the same scores [K], whatever the input: no path from input to output at all."""

    info: ModelInfo
    scores: Tensor

    def logits(self, x: Tensor) -> Tensor:
        return self.scores.expand(len(x), -1).clone()

    def twin(self, x: Tensor) -> Tensor:
        return self.logits(x)


@dataclass(frozen=True)
class NanRegion:
    """The inner model, but NaN wherever the mean of x exceeds `limit`; gradients there are NaN too."""

    inner: Classifier
    limit: float

    @property
    def info(self) -> ModelInfo:
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        return self.inner.logits(x) * self._factor(x)

    def twin(self, x: Tensor) -> Tensor:
        return self.inner.twin(x) * self._factor(x)

    def _factor(self, x: Tensor) -> Tensor:
        return torch.where(x.detach().flatten(1).mean(1, keepdim=True) > self.limit, torch.nan, 1.0)


def smallest_step(gap: float, slope: Tensor, room: Tensor, norm: Norm) -> float:
    """Size of the smallest d with 0 <= d <= room and <slope, d> >= gap; slope, room: float64 [D], not negative."""
    if gap <= 0:
        return 0.0
    if float((slope * room).sum()) < gap:
        return math.inf
    if norm == "l0":
        return fewest(gap, slope * room)
    if norm == "l1":
        order = slope.argsort(descending=True)
        gains = (slope * room)[order].cumsum(0)
        full = int((gains < gap).sum())
        before = float(gains[full - 1]) if full else 0.0
        return float(room[order][:full].sum()) + (gap - before) / float(slope[order][full])
    # The solution is min(t * direction, room); its gain grows with t.
    direction = slope if norm == "l2" else torch.ones_like(slope)
    low, high = 0.0, float((room / direction.clamp_min(1e-12)).max())
    for _ in range(200):
        middle = (low + high) / 2
        enough = float((slope * torch.minimum(middle * direction, room)).sum()) >= gap
        low, high = (low, middle) if enough else (middle, high)
    step = torch.minimum(high * direction, room)
    return float(step.norm() if norm == "l2" else step.max())


def fewest(gap: float, gains: Tensor) -> float:
    """How many of the largest gains are needed to cover the gap."""
    total = gains.sort(descending=True).values.cumsum(0)
    if gap <= 0:
        return 0.0
    return float((total < gap).sum() + 1) if float(total[-1]) >= gap else math.inf
