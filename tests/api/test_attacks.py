"""Attacks by themselves: their names, what they take and give, and that a run finds the same."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

import robusteval
from robusteval import attacks
from robusteval.attacks import offered, stub
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.chunks import CHUNK
from robusteval.errors import DataError, RobustEvalError, SuiteError
from tests.api.models import images, linear, smallest_l2

SUITE = """
name = "two"
version = "1"
norms = ["l2", "linf"]
probe_samples = 0
[[attack]]
plugin = "ddn"
norms = ["l2"]
params = {steps = 30}
[[attack]]
plugin = "pgd"
norms = ["linf"]
params = {steps = 5}
"""


def test_every_installed_attack_has_a_function_and_a_class() -> None:
    for entry in discover().of("attack"):
        function, kind = (getattr(attacks, name) for name in (offered.function_name(entry), offered.class_name(entry)))
        assert function.__doc__ == kind.__doc__ == offered.document(entry)
        names = list(inspect.signature(function).parameters)
        assert names[:4] == ["model", "x", "y", "norm"]
        assert set(inspect.signature(kind).parameters) <= set(names)
    assert {"pgd", "PGD", "carlini_wagner", "CarliniWagner", "Adversarials"} <= set(dir(attacks))
    assert robusteval.attacks is attacks


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"did you mean .*deepfool"):
        _ = attacks.deepfol
    with pytest.raises(SuiteError, match=r"ddn has no parameter 'stepz' \(did you mean 'steps'\?\)"):
        attacks.DDN(stepz=3)  # type: ignore[call-arg]  # the fault


def test_a_minimal_attack_comes_near_the_closed_form() -> None:
    x, y = images()
    found = attacks.DDN()(linear(), x, y)
    assert bool(found.success.all())
    ratio = found.distance / smallest_l2(x, y)
    assert bool((ratio >= 1 - 1e-6).all())
    assert float(ratio.median()) < 1.2
    assert torch.equal(linear()(found.x).argmax(1), found.prediction)
    assert torch.allclose((found.x - x).double().flatten(1).norm(dim=1), found.distance, rtol=1e-6)
    assert bool((found.backwards > 0).all())
    assert "100.0% of 12 lost" in repr(found)


def test_a_fixed_attack_keeps_its_budget_and_searches_without_one() -> None:
    x, y = images()
    within = attacks.pgd(linear(), x, y, norm="linf", eps=0.03, steps=5)
    searched = attacks.pgd(linear(), x, y, norm="linf", steps=5)
    assert float((within.x - x).abs().max()) <= 0.03 * (1 + 1e-5)
    assert 0 < int(within.success.sum()) < len(x)  # the budget is one that some samples survive
    assert bool(searched.success.all())
    assert torch.equal(searched.distance <= 0.03 * (1 + 1e-6), within.success)
    each = attacks.pgd(linear(), x, y, norm="linf", eps=torch.linspace(0, 0.2, len(x)), steps=5)
    assert not bool(each.success[0])
    assert bool(each.success[-1])


def test_numpy_goes_in_and_comes_out() -> None:
    x, y = images()
    found = attacks.ddn(linear(), x.numpy(), y.numpy(), steps=20)
    assert all(isinstance(part, np.ndarray) for part in (found.x, found.success, found.distance, found.prediction))
    tensors = attacks.ddn(linear(), x, y, steps=20)
    np.testing.assert_array_equal(found.x, tensors.x.numpy())
    np.testing.assert_array_equal(np.asarray(tensors), found.x)
    bytes_ = attacks.ddn(linear(), (x * 255).round().to(torch.uint8).numpy(), y.numpy(), steps=20)
    assert bytes_.x.dtype == np.float32
    assert 0 <= bytes_.x.min() <= bytes_.x.max() <= 1


def test_a_minimal_attack_may_be_held_to_a_budget() -> None:
    x, y = images()
    free = attacks.ddn(linear(), x, y, steps=20)
    eps = float(free.distance.median())
    within = attacks.ddn(linear(), x, y, steps=20, eps=eps)
    assert torch.equal(within.success, free.distance <= eps)
    assert torch.equal(within.distance[within.success], free.distance[within.success])
    assert bool(torch.isinf(within.distance[~within.success]).all())
    assert torch.equal(within.x[~within.success], x[~within.success])


def test_many_samples_are_cut_as_a_run_cuts_them() -> None:
    x, y = images(140)
    whole, first = attacks.ddn(linear(), x, y, steps=5), attacks.ddn(linear(), x[:CHUNK], y[:CHUNK], steps=5)
    assert len(whole) == len(whole.x) == 140
    assert torch.equal(whole.distance[:CHUNK], first.distance)
    assert torch.equal(whole.x[:CHUNK], first.x)


def test_a_target_is_reached() -> None:
    x, y = images()
    goals = (y + 1) % 3
    found = attacks.ddn(linear(), x, y, target=goals, steps=60)
    assert bool((found.prediction == goals)[found.success].all())
    assert int(found.success.sum()) >= len(x) - 1
    free = attacks.ddn(linear(), x, y, steps=60)
    assert bool((found.distance >= free.distance * 0.9).all())
    assert attacks.ddn(linear(), x, y, target=2, steps=60).prediction[y != 2].tolist().count(2) >= 1


def test_what_is_lost_already_is_at_distance_0() -> None:
    x, y = images()
    wrong = (y + 1) % 3
    found = attacks.ddn(linear(), x, wrong, steps=5)
    assert bool(found.success.all())
    assert found.distance.tolist() == [0.0] * len(x)
    assert torch.equal(found.x, x)
    assert int(found.forwards.sum()) == 0


def test_a_run_finds_the_same(tmp_path: Path) -> None:
    x, y = images(10)
    path = tmp_path / "two.toml"
    path.write_text(SUITE)
    record = robusteval.evaluate(linear(), (x, y), suite=str(path))
    distances = {cell.attack: cell.distance for cell in record.cells}
    alone = {
        "ddn": attacks.ddn(linear(), x, y, steps=30).distance,
        "pgd": attacks.pgd(linear(), x, y, norm="linf", steps=5).distance,
    }
    for name, found in alone.items():
        np.testing.assert_allclose(np.array(distances[name], float), found.numpy(), rtol=1e-6)


def test_a_file_is_attacked_like_the_module(tmp_path: Path) -> None:
    from tests.e2e.models import export

    x, y = images(6)
    path = export(linear(), tmp_path / "linear.onnx", shape=(1, 4, 4))
    of_file, of_module = (attacks.ddn(model, x, y, steps=30).distance for model in (path, linear()))
    assert torch.allclose(of_file, of_module, rtol=1e-2)
    wide = attacks.ddn(path, 255 * x, y, steps=30, bounds=(0.0, 255.0))
    assert wide.x.max() > 1  # in the units that were stated


@pytest.mark.parametrize(
    ("ask", "kind", "words"),
    [
        (lambda x, y: attacks.pgd(linear(), x, y), SuiteError, "several norms"),
        (lambda x, y: attacks.DDN()(linear(), x, y, norm="linf"), SuiteError, "no 'linf' form"),
        (lambda x, y: attacks.ddn(linear(), x * 3, y), DataError, "beyond the bounds 0 to 1"),
        (lambda x, y: attacks.ddn(linear(), x, y[:3]), DataError, "12 images but 3 labels"),
        (lambda x, y: attacks.ddn(linear(), x, y, target=7), SuiteError, "no class of the model"),
        (lambda x, y: attacks.ddn(linear(), x, y, eps=[0.1, 0.2]), SuiteError, "2 budgets or targets for 12"),
        (lambda x, y: attacks.transfer(linear(), x, y, norm="linf"), SuiteError, "by way of other models"),
        (lambda x, y: attacks.ddn("nowhere.onnx", x, y), RobustEvalError, "no file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(ask: object, kind: type[RobustEvalError], words: str) -> None:
    with pytest.raises(kind, match=words):
        ask(*images())  # type: ignore[operator]


def test_sentences_name_arguments_and_not_flags() -> None:
    x, y = images()
    with pytest.raises(RobustEvalError) as caught:
        attacks.ddn(linear(), x[:, :, :2], y)
    assert "--" not in str(caught.value)


def test_the_stub_is_that_of_the_plugins() -> None:
    assert stub.PLACE.read_text(encoding="ascii") == stub.text(), "python -m robusteval.attacks.stub writes it anew"
