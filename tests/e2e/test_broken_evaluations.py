"""A zoo of broken evaluations, each caught by the check that is made for it, and a sound one on which none fires."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robusteval.api import AttackInfo, ModelInfo, Problem, per_sample
from robusteval.contracts.classifier import LoadOptions
from robusteval.engine.prepare import prepare_job
from robusteval.engine.runner import run
from robusteval.engine.verdict import gate_met
from robusteval.loaders.torch_module import TorchClassifier
from robusteval.record.document import Record
from tests.e2e.models import EXAMPLES, example_cnn
from tests.engine.toys import catalogue

SOUND = """
name = "sound"
version = "1"
norms = ["linf"]
planted = { samples = 12, inner = 50 }
noise_draws = { samples = 4, draws = 500 }
probe_samples = 16
keep_strengths = true
[[attack]]
plugin = "noise"
search = 3
[[attack]]
plugin = "fgsm"
search = 4
[[attack]]
plugin = "pgd"
params = { steps = 20 }
search = 4
[[attack]]
plugin = "fmn"
params = { steps = 40 }
[[attack]]
plugin = "square"
params = { queries = 100 }
search = 3
"""


def suite(*attacks: str, extra: str = "", norms: str = '["linf"]') -> str:
    """A suite of these [[attack]] bodies, and whatever else it is to ask for."""
    head = f'name = "broken"\nversion = "1"\nnorms = {norms}\nprobe_samples = 0\n{extra}\n'
    return head + "".join(f"[[attack]]\n{attack}\n" for attack in attacks)


PGD = 'plugin = "pgd"\nparams = { steps = 20 }\nsearch = 4'
SQUARE = 'plugin = "square"\nparams = { queries = 100 }\nsearch = 3'
PLANTED = "planted = { samples = 16, inner = 50 }"


class Gate(nn.Module):
    """The network behind a staircase; its exact gradient is zero almost everywhere."""

    def __init__(self, inner: nn.Module, steps: int) -> None:
        super().__init__()
        self.inner, self.steps = inner, steps

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(torch.round(x * self.steps) / self.steps + 0 * x)


@dataclass
class Forced:
    """A classifier that swears to exact gradients. truth and twin: modules; noise: size of what is added to the scores at
    every call; crowd: how much of the batch's mean is taken off."""

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
        return scores - self.crowd * scores.mean(0, keepdim=True)

    def twin(self, x: Tensor) -> Tensor:
        return (self.truth if self.other is None else self.other)(x)


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


PLUGINS = tuple(("attack", plugin) for plugin in (Crashes, Idle, Backwards, Forgets, Aimed, Shrinks))


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    archive = np.load(EXAMPLES.parent / "robusteval" / "data" / "fashion_mnist.npz")
    return archive["x_test"], archive["y_test"]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return example_cnn()


def classifier(module: nn.Module) -> TorchClassifier:
    return TorchClassifier.from_module(module, (1, 28, 28), LoadOptions())


@pytest.fixture
def evaluate(images, tmp_path):
    def evaluate(model, toml: str, samples: int = 100, data=None) -> Record:
        (tmp_path / "suite.toml").write_text(toml)
        source = images if data is None else data
        job = prepare_job(model, catalogue(*PLUGINS), str(tmp_path / "suite.toml"), data=source, samples=samples)
        return run(dataclasses.replace(job, folder=tmp_path / "run"))

    return evaluate


def outcomes(record: Record) -> dict[str, str]:
    return {check.id: check.outcome for check in record.checks}


def inconclusive(record: Record) -> bool:
    assert record.verdict is not None
    return record.verdict.status == "inconclusive" and not gate_met(record, 0.0)


def test_nothing_fires_on_a_sound_evaluation(evaluate, network):
    record = evaluate(classifier(network), SOUND)
    loud = [(one.id, one.outcome, one.measured) for one in record.checks if one.outcome in ("warn", "fail")]
    assert loud == []
    asked = {one.id for one in record.checks if one.outcome == "pass"}
    assert asked >= {
        "planted", "noise-draws", "bigger-budget", "black-box", "one-step", "random-search", "silent-success", "unbounded",
        "optimisation-complete", "twice-steps", "other-start", "predictions-batch", "predictions-repeat", "transfer",
    }  # fmt: skip
    assert (record.verdict.grade, record.verdict.status) == ("A", "conclusive")
    assert gate_met(record, 0.001)
    assert not gate_met(record, 0.5)


def test_a_staircase_hides_the_gradient(evaluate, network):
    record = evaluate(Forced(Gate(network, 8)), suite(PGD, SQUARE, extra=PLANTED))
    found = outcomes(record)
    assert (found["gradients-zero"], found["black-box"], found["planted"]) == ("fail", "fail", "fail")
    planted = next(check for check in record.checks if check.id == "planted")
    assert planted.value is not None
    assert planted.value <= 0.5
    assert inconclusive(record)


def test_the_twin_is_another_model(evaluate, network):
    other = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    with torch.no_grad():
        other[1].weight.copy_(torch.randn(10, 784, generator=torch.Generator().manual_seed(0)) * 0.1)
    record = evaluate(Forced(network, other), suite(PGD.replace("search = 4", "search = 1")))
    assert outcomes(record)["transfer"] == "fail"
    assert inconclusive(record)


def test_answers_change_from_call_to_call(evaluate, network):
    record = evaluate(Forced(network, noise=2.0), suite(PGD))
    assert outcomes(record)["predictions-repeat"] == "fail"
    assert inconclusive(record)


def test_answers_depend_on_the_batch(evaluate, network):
    record = evaluate(Forced(network, crowd=1.0), suite(PGD))
    assert outcomes(record)["predictions-repeat"] == "pass"
    assert outcomes(record)["predictions-batch"] == "fail"
    assert inconclusive(record)


@pytest.mark.parametrize(
    ("body", "check", "expected"),
    [
        ('plugin = "test.crashes"', "attacks-completed", "fail"),
        ('plugin = "test.crashes"', "norms-attacked", "fail"),
        ('plugin = "test.idle"\nsearch = 2', "unbounded", "fail"),
        ('plugin = "test.forgets"\nsearch = 3', "silent-success", "fail"),
        ('plugin = "pgd"\nparams = { steps = 2 }\nsearch = 3', "optimisation-complete", "fail"),
    ],
)
def test_an_attack_that_does_not_work(evaluate, network, body, check, expected):
    record = evaluate(classifier(network), suite(body))
    assert outcomes(record)[check] == expected
    assert inconclusive(record)


def test_two_steps_are_too_few(evaluate, network):
    toml = suite('plugin = "pgd"\nparams = { steps = 2 }\nsearch = 4').replace(
        "probe_samples = 0", "probe_samples = 64"
    )
    assert outcomes(evaluate(classifier(network), toml))["twice-steps"] == "warn"


@pytest.mark.parametrize(
    ("bodies", "check"),
    [
        (('plugin = "test.backwards"\nsearch = 2', 'plugin = "noise"\nsearch = 3'), "random-search"),
        (('plugin = "test.backwards"\nsearch = 2', SQUARE), "black-box"),
        (('plugin = "test.backwards"\nsearch = 2', 'plugin = "test.aimed"\nsearch = 3'), "targeted"),
        (
            ('plugin = "fgsm"\nsearch = 3', 'plugin = "pgd"\nparams = { steps = 1, step = 0.01 }\nsearch = 2'),
            "one-step",
        ),
    ],
)
def test_an_attack_that_should_be_stronger_is_weaker(evaluate, network, bodies, check):
    record = evaluate(classifier(network), suite(*bodies))
    assert outcomes(record)[check] == "fail"
    assert inconclusive(record)


def test_a_bigger_budget_does_not_help(evaluate, network):
    record = evaluate(
        classifier(network), suite('plugin = "test.shrinks"\nsearch = 2', PGD, extra="keep_strengths = true")
    )
    assert outcomes(record)["bigger-budget"] == "fail"
    assert inconclusive(record)


def test_noise_finds_what_the_attack_did_not(evaluate, network):
    """Noise of a quarter of the largest budget, where the attack found nothing at all."""
    record = evaluate(
        classifier(network),
        suite(
            'plugin = "test.idle"\nsearch = 0',
            extra="noise_draws = { samples = 6, draws = 1000 }\neps = { linf = 2.0 }",
        ),
    )
    assert outcomes(record)["noise-draws"] == "fail"
    assert inconclusive(record)


def test_labels_are_shuffled(evaluate, network, images):
    x, y = images
    record = evaluate(classifier(network), suite(PGD), data=(x, np.random.default_rng(0).permutation(y)))
    assert "near-chance" in {finding.code for finding in record.findings}
    assert inconclusive(record)


@pytest.mark.parametrize("way", ["range", "normalisation"])
def test_the_model_sees_other_pixels_than_it_was_trained_on(evaluate, network, way):
    """Stated in 0 to 1 what was trained on 0 to 255; and mean and std left outside."""
    scale, shift = (1 / 255, 0.0) if way == "range" else (0.08, 0.31)
    record = evaluate(classifier(nn.Sequential(_Affine(scale, shift), network)), suite(PGD))
    assert {finding.code for finding in record.findings} & {"near-chance", "clean-accuracy-low"}
    assert way == "normalisation" or inconclusive(record)


class _Affine(nn.Module):
    """Undoes a mean and a std that nobody applied."""

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def test_twenty_samples_prove_little(evaluate, network):
    record = evaluate(classifier(network), suite(PGD), samples=20)
    assert outcomes(record)["samples"] == "fail"
    assert inconclusive(record)


def test_a_gate_is_not_met_by_a_norm_in_which_nothing_was_measured(evaluate, network):
    record = evaluate(classifier(network), suite(PGD + '\nnorms = ["linf"]', norms='["linf", "l2"]'))
    assert record.verdict.grade == "F"
    assert not gate_met(record, 0.0)


def test_a_gate_beyond_what_was_tried_is_not_met(evaluate, network):
    """Nothing was lost within the budget, so nothing is known beyond it."""
    record = evaluate(classifier(network), suite(PGD, extra="eps = { linf = 1e-4 }"))
    record.verdict.status = "conclusive"
    assert gate_met(record, 1e-4)
    assert not gate_met(record, 2e-4)
