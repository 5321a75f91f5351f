"""Attacks by way of other networks: substitute, transfer and advgan."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from robusteval_attacks.advgan import AdvGAN
from robusteval_attacks.noise import Noise
from robusteval_attacks.substitute import SubstituteAttack
from robusteval_attacks.transfer import Transfer

from robusteval.api import ModelError, Norm, PluginError
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.plugins import Attack
from robusteval.contracts.problem import Problem
from robusteval.testing.oracles import NoGradient, linear
from robusteval.testing.problems import inputs, pose, safe_labels
from tests.plugins.attacks.decision_models import EXAMPLES, distances, right_samples, shipped
from tests.sure import sure

CNN, VIT = str(EXAMPLES / "fashion-cnn.onnx"), str(EXAMPLES / "fashion-vit.onnx")


def posed(name: str, attack: Any, norm: Norm, eps: float, count: int = 32) -> tuple[Classifier, Problem]:
    model = shipped(name)
    x, y = right_samples(model, count)
    view = model if attack.info.needs == "gradient" else NoGradient(model)
    return model, pose(view, x, safe_labels(y, 10), norm, eps=eps, needs=attack.info.needs)


def share_won(name: str, attack: Attack, norm: Norm, eps: float, count: int = 32) -> float:
    model, problem = posed(name, attack, norm, eps, count)
    found = attack.run(problem)
    assert bool((problem.distance(found).double() <= problem.budget.double() * (1 + 1e-5)).all())
    return float(distances(problem, found, model).isfinite().float().mean())


def test_the_substitute_agrees_with_its_oracle() -> None:
    model, problem = posed("cnn", SubstituteAttack(), "linf", 0.1, count=128)
    attack = SubstituteAttack(rounds=3)
    attack.run(problem)
    noted = [point["agreement"] for point in sure(problem.trace).points if "agreement" in point]
    assert len(noted) == 4
    assert noted[-1] > 0.7
    x, _ = right_samples(model, 300)
    fresh = x[128:]  # never shown to the substitute
    agreement = (problem.memory["substitute"].labels(fresh) == model.logits(fresh).argmax(1)).float().mean()
    assert float(agreement) > 0.65


def test_the_substitute_is_trained_once_and_its_queries_are_counted() -> None:
    _, problem = posed("cnn", SubstituteAttack(), "linf", 0.1)
    attack = SubstituteAttack(rounds=2, epochs=2, per_class=3)
    first = attack.run(problem)
    _, start = posed("cnn", attack, "linf", 0.1)
    attack.train(start)
    few = int(sure(start.trace).points[0]["points"])
    assert int(problem.meter.forwards.sum()) == 32 + 3 * few  # clean labels, then two doublings
    assert torch.equal(attack.run(problem), first)
    assert int(problem.meter.forwards.sum()) == 32 + 3 * few


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.2), ("l2", 4.0), ("l0", 60.0)])
def test_what_fools_the_substitute_often_fools_the_oracle(norm: Norm, eps: float) -> None:
    won = share_won("cnn", SubstituteAttack(rounds=2), norm, eps, count=64)
    assert won > 0.15
    if norm != "l0":
        assert won > share_won("cnn", Noise(repeats=1), norm, eps, count=64)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 2.0), ("l1", 30.0), ("l0", 30.0)])
def test_adversarials_transfer_from_another_model(norm: Norm, eps: float) -> None:
    assert share_won("cnn", Transfer(models=(VIT,)), norm, eps) > 0.25


def test_adversarials_transfer_best_to_the_same_weights() -> None:
    assert share_won("int8", Transfer(models=(CNN,)), "linf", 0.1) > 0.9


def test_transfer_asks_the_attacked_model_nothing() -> None:
    _, problem = posed("cnn", Transfer(), "linf", 0.1, count=2)
    Transfer(models=(VIT, CNN), steps=2).run(problem)
    assert int(problem.meter.forwards.sum()) == 0


def test_transfer_without_models_or_with_strange_ones_is_refused() -> None:
    _, problem = posed("cnn", Transfer(), "linf", 0.1, count=2)
    with pytest.raises(PluginError, match="no models"):
        Transfer().run(problem)
    oracle = linear((8,), 3)
    x = inputs(oracle.info, 2)
    other = pose(oracle, x, safe_labels(oracle.logits(x).argmax(1), 3), "linf", eps=0.1, needs="decision")
    with pytest.raises(ModelError, match="cannot use"):
        Transfer(models=(CNN,)).run(other)
    with pytest.raises(ModelError, match="no file"):
        Transfer(models=("missing.onnx",)).run(pose(oracle, x, other.safe, "linf", eps=0.1, needs="decision"))


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.2), ("l2", 3.0)])
def test_the_generator_learns_to_fool(norm: Norm, eps: float) -> None:
    before = share_won("cnn", AdvGAN(epochs=1), norm, eps)
    after = share_won("cnn", AdvGAN(epochs=40), norm, eps)
    assert after > 0.5
    assert after > before + 0.2
