"""What the zoo of broken evaluations is made of: models, attacks and defences, each wrong in one way."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Generator, Tensor, nn

from robusteval.api import AttackInfo, Classifier, Defended, DefenseInfo, ModelInfo, Problem, Samples, per_sample
from robusteval.contracts.classifier import LoadOptions
from robusteval.engine.catalogue.open_model import load_model
from robusteval.loaders.onnx.classifier import OnnxClassifier
from tests.e2e.models import EXAMPLES
from tests.engine.toys import catalogue


class Gate(nn.Module):
    """The network behind a staircase; its exact gradient is zero almost everywhere."""

    def __init__(self, inner: nn.Module, steps: int) -> None:
        super().__init__()
        self.inner, self.steps = inner, steps

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.inner(torch.round(x * self.steps) / self.steps + 0 * x)
        return answer


@dataclass
class Forced:
    """A classifier that swears to exact gradients. truth and twin: modules; noise: size of what is added to the scores
    at every call; crowd: how much of the batch's mean is taken off."""

    truth: nn.Module
    other: nn.Module | None = None
    noise: float = 0.0
    crowd: float = 0.0
    info: ModelInfo = field(init=False)

    def __post_init__(self) -> None:
        self.info = ModelInfo("forced", "test", "f" * 64, (1, 28, 28), 10, provider="torch cpu")
        self._rng = torch.Generator().manual_seed(0)

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            scores = self.truth(x)
        scores = scores + self.noise * torch.randn(scores.shape, generator=self._rng)
        answer: Tensor = scores - self.crowd * scores.mean(0, keepdim=True)
        return answer

    def twin(self, x: Tensor) -> Tensor:
        answer: Tensor = (self.truth if self.other is None else self.other)(x)
        return answer


@dataclass(frozen=True)
class Broken:
    """A fixed-budget attack with gradients that goes wrong in the way of its subclass."""

    info: ClassVar[AttackInfo] = AttackInfo("test.broken", "1", ("linf",), "fixed", "gradient", "toy", "none")

    def run(self, problem: Problem) -> Tensor:
        raise RuntimeError("this plugin always fails")

    def climb(self, problem: Problem, sign: float = 1.0) -> Tensor:
        """Ten signed steps; the last point, whatever came before it."""
        x = problem.x
        for _ in range(10):
            grad = problem.grad(x, "margin").grad
            x = problem.project(x + sign * per_sample(0.2 * problem.budget, x) * grad.sign())
        return x


@dataclass(frozen=True)
class Crashes(Broken):
    info: ClassVar[AttackInfo] = dataclasses.replace(Broken.info, name="test.crashes")


@dataclass(frozen=True)
class Idle(Broken):
    """Returns its input."""

    info: ClassVar[AttackInfo] = dataclasses.replace(Broken.info, name="test.idle")

    def run(self, problem: Problem) -> Tensor:
        return problem.x


@dataclass(frozen=True)
class Backwards(Broken):
    """Goes down where it should go up."""

    info: ClassVar[AttackInfo] = dataclasses.replace(Broken.info, name="test.backwards")

    def run(self, problem: Problem) -> Tensor:
        return self.climb(problem, -1.0)


@dataclass(frozen=True)
class Forgets(Broken):
    """Finds adversarials, and returns a point on the way back on every other sample."""

    info: ClassVar[AttackInfo] = dataclasses.replace(Broken.info, name="test.forgets")

    def run(self, problem: Problem) -> Tensor:
        x = self.climb(problem)
        problem.won(x)
        odd = torch.arange(len(x), device=x.device) % 2 == 1
        return torch.where(per_sample(odd, x), 0.9 * problem.x + 0.1 * x, x)


@dataclass(frozen=True)
class Aimed(Broken):
    """The only attack that works, as targeted ones do when the untargeted loss is stuck."""

    info: ClassVar[AttackInfo] = dataclasses.replace(Broken.info, name="test.aimed")
    loss: str = "targeted"

    def run(self, problem: Problem) -> Tensor:
        return self.climb(problem)


@dataclass(frozen=True)
class Shrinks(Broken):
    """Wins at small budgets only, as an attack does whose gradient is masked further out."""

    info: ClassVar[AttackInfo] = dataclasses.replace(Broken.info, name="test.shrinks")

    def run(self, problem: Problem) -> Tensor:
        small = problem.budget < 0.15
        return torch.where(per_sample(small, problem.x), self.climb(problem), problem.x)


@dataclass(frozen=True)
class Quantised:
    """Four grey levels by numpy, which no gradient goes through."""

    inner: Classifier

    @property
    def info(self) -> ModelInfo:
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        return self.inner.logits(self.squash(x))

    def twin(self, x: Tensor) -> Tensor:
        return self.inner.twin(self.squash(x))

    def squash(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.round(x.detach().cpu().numpy() * 4) / 4).to(x)


@dataclass(frozen=True)
class NoSurrogate:
    """A preprocessor that nobody gave a differentiable form."""

    info: ClassVar[DefenseInfo] = DefenseInfo("test.no-surrogate", "1", "preprocessor", False, "toy", "none")

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return Defended(Quantised(model))


@dataclass(frozen=True)
class Always:
    """A detector that fires at everything."""

    threshold: float = 0.0

    def score(self, x: Tensor) -> Tensor:
        return 1 + x.flatten(1).mean(1)

    def twin(self, x: Tensor) -> Tensor:
        return self.score(x)


@dataclass(frozen=True)
class RejectsAll:
    info: ClassVar[DefenseInfo] = DefenseInfo("test.rejects-all", "1", "detector", False, "toy", "none")

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return Defended(model, Always())


class Affine(nn.Module):
    """Pixels that come in otherwise than in training: a scale and a shift that nobody undoes."""

    def __init__(self, inner: nn.Module, scale: float, shift: float) -> None:
        super().__init__()
        self.inner, self.scale, self.shift = inner, scale, shift

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.inner(x * self.scale + self.shift)
        return answer


class Hot(nn.Module):
    """Probabilities of a softmax at that temperature, which saturates."""

    def __init__(self, inner: nn.Module, temperature: float) -> None:
        super().__init__()
        self.inner, self.temperature = inner, temperature

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.temperature * self.inner(x), 1)


PLUGINS: tuple[tuple[str, Any], ...] = (
    *(("attack", plugin) for plugin in (Crashes, Idle, Backwards, Forgets, Aimed, Shrinks)),
    *(("defense", plugin) for plugin in (NoSurrogate, RejectsAll)),
)


def stranger() -> nn.Module:
    """Another model: a random line."""
    line = nn.Linear(784, 10)
    with torch.no_grad():
        line.weight.copy_(torch.randn(10, 784, generator=torch.Generator().manual_seed(0)) * 0.1)
        line.bias.zero_()
    return nn.Sequential(nn.Flatten(), line)


def int8_exact() -> OnnxClassifier:
    """The quantised example with the gradients that its graph has, which the loader would not take for gradients."""
    file = load_model(EXAMPLES / "fashion-int8.onnx", LoadOptions(), catalogue())
    assert isinstance(file, OnnxClassifier)
    return OnnxClassifier(
        file._file, file._input_reading, file._output_reading, file._head,
        dataclasses.replace(file._climbed, rung="A", straight=False),
        dataclasses.replace(file.info, gradients="exact", gradients_reason="", rung="A"),
    )  # fmt: skip
