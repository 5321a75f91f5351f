"""Defences that train: what they do to robustness, how they go on after an interruption, and what they certify."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from robusteval_attacks.fgsm import FGSM
from robusteval_attacks.pgd import PGD
from robusteval_defenses._common.checkpoints import Store
from robusteval_defenses._common.training import Retrained
from robusteval_defenses.adversarial_training import AdversarialTraining
from robusteval_defenses.denoiser import Denoised, Denoiser
from robusteval_defenses.distillation import Distillation
from robusteval_defenses.hidden_space import HiddenSpace, features
from robusteval_defenses.ibp import Ibp
from robusteval_defenses.label_embedding import LabelEmbedding
from robusteval_defenses.lipschitz import Lipschitz
from torch import nn

from robusteval.api import Epoch, LoadOptions, RobustEvalError, Samples, parameters_of, trainable
from robusteval.contracts.classifier import Classifier
from robusteval.loaders.onnx.plugin import OnnxLoader
from robusteval.loaders.pytorch.classifier import TorchClassifier
from robusteval.testing import NoGradient, linear, pose, safe_labels
from tests.plugins.conftest import Trained
from tests.plugins.defenses.learning import seeded, some
from tests.sure import instance

EXAMPLES = Path(__file__).parents[3] / "examples"
ALL = (AdversarialTraining, Denoiser, Distillation, HiddenSpace, Ibp, LabelEmbedding, Lipschitz)


def robust(model: Classifier, samples: Samples, eps: float = 0.1, steps: int = 20) -> float:
    """Share that PGD in Linf leaves right."""
    problem = pose(model, samples.x, safe_labels(samples.y, 10), "linf", eps=eps)
    found = PGD(steps=steps, step=0.1, schedule="constant").run(problem)
    return right(model, Samples(found, samples.y))


def one_step(model: Classifier, samples: Samples, eps: float = 0.05) -> float:
    """Share that FGSM leaves right."""
    problem = pose(model, samples.x, safe_labels(samples.y, 10), "linf", eps=eps)
    return right(model, Samples(FGSM().run(problem), samples.y))


def right(model: Classifier, samples: Samples) -> float:
    return float((model.logits(samples.x).argmax(1) == samples.y).float().mean())


def network(seed: int = 0, norm: bool = False) -> TorchClassifier:
    """A small untrained CNN as a torch module."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        middle = [nn.BatchNorm2d(4)] if norm else []
        net = nn.Sequential(nn.Conv2d(1, 4, 5, 3, 1), *middle, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 81, 10))
    return TorchClassifier.from_module(net, (1, 28, 28))


@pytest.mark.parametrize("name", ["cnn", "vit", "int8"])
def test_the_copy_of_an_onnx_file_answers_like_it_and_learns_without_it(name: str) -> None:
    model = OnnxLoader().load(EXAMPLES / f"fashion-{name}.onnx", LoadOptions())
    x = torch.rand((5, 1, 28, 28), generator=seeded())
    before, module = model.twin(x).detach(), trainable(model)
    assert torch.equal(module(x), before)
    module(x)[:, 0].sum().backward()
    assert all(value.grad is not None for value in module.parameters())
    with torch.no_grad():
        for value in module.parameters():
            value.mul_(0.5)
    assert not torch.allclose(module(x), before, atol=1e-3)
    assert torch.equal(model.twin(x), before)
    assert torch.equal(trainable(model)(x), before)


def test_running_statistics_are_kept() -> None:
    model = network(norm=True)
    data = Samples(torch.rand((40, 1, 28, 28), generator=seeded()), torch.arange(40) % 10)
    made = AdversarialTraining(epochs=1, steps=1).fit(model, data, seeded()).model
    module = trainable(made)
    statistics = dict(module.named_buffers())
    original = dict(trainable(model).named_buffers())
    assert any("running_var" in name for name in statistics)
    assert all(torch.equal(value, original[name]) for name, value in statistics.items())
    assert "module.1.weight" in parameters_of(module)


def test_what_cannot_learn_is_refused_in_a_sentence(fashion: Trained) -> None:
    for defence in ALL:
        with pytest.raises(RobustEvalError, match="no differentiable copy"):
            defence().fit(NoGradient(fashion.model), some(fashion, 40), seeded())
        with pytest.raises(RobustEvalError, match="none were given"):
            defence().fit(fashion.model, None, seeded())


def test_adversarial_training_makes_a_net_robust(fashion: Trained) -> None:
    data, test = some(fashion, 1200), some(fashion, 150, 1500)
    made = AdversarialTraining(epochs=4, steps=3, step=0.5).fit(fashion.model, data, seeded()).model
    assert robust(made, test) >= robust(fashion.model, test) + 0.2
    assert right(made, test) > 0.6
    assert "adversarials (pgd" in made.info.notes[-1]
    assert made.info.sha256 != fashion.model.info.sha256


def test_one_step_and_ensemble_modes_learn_their_own_adversarials(fashion: Trained) -> None:
    data, test = some(fashion, 800), some(fashion, 150, 1500)
    bare = one_step(fashion.model, test)
    fast = AdversarialTraining(mode="fgsm", alpha=0.5, eps=0.05, epochs=4).fit(fashion.model, data, seeded()).model
    assert one_step(fast, test) >= bare + 0.2
    static = AdversarialTraining(mode="ensemble", eps=0.05, epochs=2, models=(str(EXAMPLES / "fashion-vit.onnx"),))
    assert one_step(static.fit(fashion.model, data, seeded()).model, test) >= bare + 0.1
    alone = AdversarialTraining(mode="ensemble", eps=0.05, epochs=4, alpha=0.5).fit(fashion.model, data, seeded()).model
    assert not torch.equal(alone.logits(test.x), fast.logits(test.x))


@pytest.mark.statistical
def test_distillation_gives_a_student_that_agrees_with_its_teacher_and_larger_scores(fashion: Trained) -> None:
    data, test = some(fashion, 600), some(fashion, 200, 1500)
    made = Distillation(epochs=3, temperature=10).fit(fashion.model, data, seeded()).model
    agreed = (made.logits(test.x).argmax(1) == fashion.model.logits(test.x).argmax(1)).float().mean()
    assert agreed > 0.85
    assert made.logits(test.x).abs().mean() > 1.3 * fashion.model.logits(test.x).abs().mean()
    assert "temperature 1." in made.info.notes[-1]


@pytest.mark.statistical
def test_label_embedding_targets_are_distributions_that_know_shirts_from_shoes(fashion: Trained) -> None:
    data = some(fashion, 600)
    targets = LabelEmbedding(weight=0.3).targets(fashion.model, data)
    assert torch.allclose(targets.sum(1), torch.ones(10))
    assert torch.allclose(targets.diagonal(), torch.full((10,), 0.7))
    shirt, top, boot = 6, 0, 9
    assert targets[shirt, top] > 3 * targets[shirt, boot]
    smooth = LabelEmbedding(weight=0.3, similarity="uniform").targets(fashion.model, data)
    assert torch.allclose(smooth[0, 1:], torch.full((9,), 0.3 / 9))
    made = LabelEmbedding(epochs=3, weight=0.3).fit(fashion.model, data, seeded()).model
    confidence = made.logits(data.x).softmax(1).amax(1).mean()
    assert confidence < fashion.model.logits(data.x).softmax(1).amax(1).mean() - 0.1


@pytest.mark.statistical
def test_hidden_space_gathers_features_of_a_class(fashion: Trained) -> None:
    data, test = some(fashion, 800), some(fashion, 200, 1500)

    def spread(model: Classifier) -> float:
        """Mean squared distance within classes over that of all."""
        _, found, seen = features(trainable(model).requires_grad_(False), test.x, 10)
        assert seen
        assert found.shape == (200, 64)
        inside = sum(found[test.y == k].var(0, unbiased=False).sum() * (test.y == k).sum() for k in range(10))
        return float(inside / len(found) / found.var(0, unbiased=False).sum())

    made = HiddenSpace(epochs=3).fit(fashion.model, data, seeded()).model
    assert spread(made) < 0.8 * spread(fashion.model)
    assert right(made, test) > 0.75


@pytest.mark.statistical
def test_the_denoiser_mends_noise_and_keeps_the_box(fashion: Trained) -> None:
    data, test = some(fashion, 600), some(fashion, 150, 1500)
    made = Denoiser(epochs=6, sigma=0.25).fit(fashion.model, data, seeded()).model
    noise = 0.25 * torch.randn(test.x.shape, generator=seeded(1))
    noisy = (test.x + noise).clamp(0, 1)
    cleaned = instance(made, Denoised).front(noisy).detach()
    assert (cleaned - test.x).square().mean() < 0.6 * (noisy - test.x).square().mean()
    assert cleaned.min() >= 0
    assert cleaned.max() <= 1
    assert right(made, Samples(noisy, test.y)) > right(fashion.model, Samples(noisy, test.y)) + 0.1


def test_the_denoiser_takes_flat_inputs() -> None:
    model = linear((12,), classes=3, bounds=(-1.0, 1.0))
    x = 2 * torch.rand((200, 12), generator=seeded()) - 1
    made = Denoiser(epochs=2).fit(model, Samples(x, model.logits(x).argmax(1), (-1.0, 1.0)), seeded()).model
    assert instance(made, Denoised).front(x).shape == x.shape
    assert right(made, Samples(x, model.logits(x).argmax(1))) > 0.8


class Interrupted(Exception):
    """Stands for Ctrl-C."""


@pytest.mark.parametrize(
    "defence", [AdversarialTraining(epochs=3, steps=1), Distillation(epochs=2), HiddenSpace(epochs=3), Ibp(epochs=3)]
)
def test_an_interrupted_training_ends_as_if_nothing_had_happened(
    defence: AdversarialTraining | Distillation | HiddenSpace | Ibp,
    fashion: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = some(fashion, 200)
    whole = instance(defence.fit(fashion.model, data, seeded(3)).model, Retrained)
    monkeypatch.setenv("ROBUSTEVAL_CACHE", str(tmp_path))
    said: list[Epoch] = []

    def stop(epoch: Epoch) -> None:
        said.append(epoch)
        if sum(not epoch.resumed for epoch in said) == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        defence.train(fashion.model, data, seeded(3), stop)
    again: list[Epoch] = []
    resumed = instance(defence.train(fashion.model, data, seeded(3), again.append).model, Retrained)
    assert all(torch.equal(value, whole.weights[name]) for name, value in resumed.weights.items())
    assert again[0].resumed
    assert again[0].done == 2
    assert sum(not epoch.resumed for epoch in again) == (2 if isinstance(defence, Distillation) else 1)
    third: list[Epoch] = []
    cached = defence.train(fashion.model, data, seeded(3), third.append).model
    assert all(epoch.resumed for epoch in third)
    assert torch.equal(cached.logits(data.x), whole.logits(data.x))


def test_other_data_parameters_or_seeds_are_other_trainings(
    fashion: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBUSTEVAL_CACHE", str(tmp_path))
    data = some(fashion, 60)
    spoilt = Samples(data.x, data.y.roll(1))
    variants = [(1e-3, data, 0), (2e-3, data, 0), (1e-3, spoilt, 0), (1e-3, data, 1)]
    for rate, given, seed in variants:
        fresh: list[Epoch] = []
        LabelEmbedding(epochs=1, rate=rate).train(fashion.model, given, seeded(seed), fresh.append)
        assert not any(epoch.resumed for epoch in fresh)
    assert len(list((tmp_path / "training").glob("*.json"))) == 4


@pytest.mark.parametrize("harm", ["truncate", "flip", "json", "other"])
def test_a_broken_cache_file_means_training_anew(
    harm: str, fashion: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBUSTEVAL_CACHE", str(tmp_path))
    data, defence = some(fashion, 60), LabelEmbedding(epochs=1)
    first = defence.fit(fashion.model, data, seeded()).model
    (tensors,) = (tmp_path / "training").glob("*.safetensors")
    (facts,) = (tmp_path / "training").glob("*.json")
    content = bytearray(tensors.read_bytes())
    if harm == "truncate":
        tensors.write_bytes(content[: len(content) // 2])
    elif harm == "flip":
        content[-3] ^= 1
        tensors.write_bytes(content)
    elif harm == "json":
        facts.write_text("{")
    else:
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"losses": []}))
    said: list[Epoch] = []
    again = defence.train(fashion.model, data, seeded(), said.append).model
    assert not said[0].resumed
    assert torch.equal(again.logits(data.x), first.logits(data.x))
    assert Store(tmp_path / "training", facts.stem).load() is not None


def test_a_trained_model_travels(fashion: Trained) -> None:
    made = LabelEmbedding(epochs=1).fit(fashion.model, some(fashion, 60), seeded()).model
    x = some(fashion, 5).x
    again = pickle.loads(pickle.dumps(made))
    assert torch.equal(again.logits(x), made.logits(x))
    assert not torch.allclose(again.logits(x), fashion.model.logits(x), atol=1e-2)
