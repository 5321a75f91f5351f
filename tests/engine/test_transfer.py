"""The transfer matrix on linear models, where who fools whom is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from robusteval.contracts.classifier import Classifier
from robusteval.contracts.samples import Samples
from robusteval.engine.comparison.comparison import check_comparable, keys
from robusteval.engine.comparison.transfer_matrix import FILE, Fighter, moved, transfer
from robusteval.engine.plan.job import Job
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.suite.options import Transfer
from robusteval.engine.suite.suite import parse
from robusteval.errors import DataError, ModelError, PluginError, SuiteError
from tests.engine import toys

CATALOGUE = toys.catalogue(*toys.TOYS)
SUITE = replace(parse(toys.SUITE, "toy", CATALOGUE), transfer=Transfer("pgd", "linf", 0.2))


def wide(model: toys.Linear) -> toys.Linear:
    """The same model on pixels from 0 to 255."""
    made = toys.Linear(model.weight / 255, model.bias)
    made.info = replace(made.info, bounds=(0.0, 255.0), sha256="wide")
    return made


def fighter(key: str, model: toys.Linear, samples: Samples) -> Fighter:
    x = moved(samples.x, (0.0, 1.0), model.info.bounds)
    return Fighter(key, model, replace(samples, x=x, bounds=model.info.bounds))


def run(tmp_path: Path, fighters: Any, suite: Any = SUITE, catalogue: Any = CATALOGUE) -> Any:
    return transfer(fighters, suite, catalogue, 0, tmp_path)


def wrong(made: Any, samples: Samples, source: int, target: int) -> list[bool]:
    return [answer != int(y) for answer, y in zip(made.sources[source].answers[target], samples.y, strict=True)]


def test_twins_fool_each_other_and_what_looks_elsewhere_is_not_fooled(tmp_path: Path) -> None:
    half = torch.zeros(20, 1)
    half[:10] = 1
    base = toys.linear()
    first = toys.Linear(base.weight * half, -0.5 * (base.weight * half).sum(0))
    other = toys.Linear(base.weight * (1 - half), -0.5 * (base.weight * (1 - half)).sum(0))
    samples = toys.samples(first)
    steady = '[[attack]]\nplugin = "pgd"\nparams = { random_start = false }\n[[defense]]'
    suite = parse(toys.SUITE.replace("[[defense]]", steady, 1), "toy", CATALOGUE)
    made = run(
        tmp_path, [fighter(name, model, samples) for name, model in (("a", first), ("b", first), ("c", other))], suite
    )
    assert made.params["random_start"] is False  # the suite's own, as its transfer attack goes by its name
    assert all(wrong(made, samples, 0, 0))
    assert made.sources[0].answers[0] == made.sources[0].answers[1]
    assert made.sources[0].answers[2] == [int(value) for value in other.logits(samples.x).argmax(1)]


@pytest.mark.statistical
def test_the_whole_budget_is_spent_and_never_more(tmp_path: Path) -> None:
    """An attack that stopped at its first win would sit just beyond its own boundary and carry over to nothing."""
    model = toys.linear()
    samples = toys.samples(model)
    made = run(tmp_path, [fighter("a", model, samples)])
    x = safetensors.torch.load_file(tmp_path / FILE)["a"]
    size = (x - samples.x).abs()
    assert float(size.max()) <= 0.2 * (1 + 1e-5)
    assert float(size.mean()) > 0.95 * 0.2  # the random start alone has half of it
    assert all(wrong(made, samples, 0, 0))
    assert made.sources[0].unlawful == 0


def test_the_range_of_the_pixels_does_not_matter(tmp_path: Path) -> None:
    model = toys.linear()
    samples = toys.samples(model)
    made = run(tmp_path, [fighter("narrow", model, samples), fighter("wide", wide(model), samples)])
    rows = [wrong(made, samples, source, target) for source in (0, 1) for target in (0, 1)]
    assert rows[0] == rows[1] == rows[2] == rows[3]
    assert made.right[0] == made.right[1]


def test_the_order_of_the_models_does_not_matter(tmp_path: Path) -> None:
    samples = toys.samples(toys.linear())
    one, two, three = (fighter(f"m{seed}", toys.linear(seed=seed), samples) for seed in range(3))
    first, second = run(tmp_path, [one, two, three]), run(tmp_path, [three, one, two])
    for place, at in enumerate((1, 2, 0)):
        assert first.right[place] == second.right[at]
        for target, target_at in enumerate((1, 2, 0)):
            assert first.sources[place].answers[target] == second.sources[at].answers[target_at]


def test_samples_that_are_wrong_when_clean_are_left_as_they_are(tmp_path: Path) -> None:
    model = toys.linear()
    samples = toys.samples(model)
    samples.y[:5] = (samples.y[:5] + 1) % 4
    run(tmp_path, [fighter("a", model, samples)])
    x = safetensors.torch.load_file(tmp_path / FILE)["a"]
    assert torch.equal(x[:5], samples.x[:5])
    assert bool((x[5:] != samples.x[5:]).flatten(1).any(1).all())


@pytest.mark.parametrize(
    ("broken", "status"), [("raise", "failed"), ("shape", "failed"), ("nan", "done"), ("outside", "done")]
)
def test_a_bad_plugin_costs_its_row_or_its_candidates(tmp_path: Path, broken: str, status: str) -> None:
    class Bad(toys.Walk):
        info = replace(toys.Walk.info, name="test.bad", budget="fixed")

    suite = parse(toys.SUITE.replace("[[defense]]", '[[attack]]\nplugin = "test.bad"\nname = "bad"\n'
                                     f'params = {{ broken = "{broken}" }}\n[[defense]]', 1),
                  "toy", toys.catalogue(*toys.TOYS, ("attack", Bad)))  # fmt: skip
    model = toys.linear()
    samples = toys.samples(model)
    suite = replace(suite, transfer=Transfer("bad", "linf", 0.2))
    made = run(tmp_path, [fighter("a", model, samples)], suite, toys.catalogue(*toys.TOYS, ("attack", Bad)))
    assert made.sources[0].status == status
    if status == "done":
        assert made.sources[0].unlawful == len(samples)
        assert not any(wrong(made, samples, 0, 0))


def test_a_model_without_gradients_is_no_source_but_a_target(tmp_path: Path) -> None:
    model, blind = toys.linear(), toys.linear(seed=4)
    blind.info = replace(blind.info, gradients="none", gradients_reason="a tree")
    samples = toys.samples(model)
    made = run(tmp_path, [fighter("a", model, samples), fighter("b", blind, samples)])
    assert (made.sources[1].status, made.sources[1].answers) == ("excluded", [])
    assert "a tree" in made.sources[1].reason
    assert len(made.sources[0].answers[1]) == len(samples)


@pytest.mark.parametrize(
    ("wanted", "error"),
    [(Transfer("deepfool", "linf"), SuiteError), (Transfer("pgd", "l0"), SuiteError), (Transfer("pdg"), PluginError)],
)
def test_a_transfer_attack_that_does_not_fit_is_refused(
    tmp_path: Path, wanted: Transfer, error: type[SuiteError | PluginError]
) -> None:
    model = toys.linear()
    with pytest.raises(error):
        run(tmp_path, [fighter("a", model, toys.samples(model))], replace(SUITE, transfer=wanted))


def job(tmp_path: Path, model: Classifier, samples: Samples, **options: Any) -> Job:
    (tmp_path / "toy.toml").write_text(toys.SUITE)
    data_range = options.pop("data_range", None)
    return prepare_job(
        model,
        CATALOGUE,
        RunOptions(suite=str(tmp_path / "toy.toml"), data=(samples.x, samples.y), data_range=data_range, **options),
    )


def test_models_that_differ_are_refused_in_one_sentence(tmp_path: Path) -> None:
    one, two = toys.linear(), toys.linear(classes=5)
    samples = toys.samples(one)
    with pytest.raises(ModelError, match=r"4 classes, .* 5 classes"):
        check_comparable([job(tmp_path, one, samples), job(tmp_path, two, samples)])
    with pytest.raises(DataError, match="model"):
        check_comparable([job(tmp_path, one, samples, labels_from_model=True) for _ in range(2)])


def test_the_same_floats_in_two_ranges_are_other_images_unless_the_data_range_is_stated(tmp_path: Path) -> None:
    one = toys.linear()
    two = wide(one)
    samples = toys.samples(one)
    with pytest.raises(DataError, match="different samples"):
        check_comparable([job(tmp_path, model, samples) for model in (one, two)])
    check_comparable([job(tmp_path, model, samples, data_range=(0.0, 1.0)) for model in (one, two)])


def test_keys_are_safe_short_and_unique() -> None:
    made = keys(["a/m.onnx", "b/m.onnx", "../..", ".x.onnx", "M.onnx", "a b/c<d>.onnx", "x" * 200 + ".onnx"])
    assert made[:2] == ["m", "m-2"]
    assert len({name.lower() for name in made}) == len(made)
    assert all(name[0] not in ".-" and len(name) < 70 and "/" not in name for name in made)


def test_on_a_grid_the_adversarials_lie_on_it_and_stay_in_the_budget(tmp_path: Path) -> None:
    model = toys.linear()
    samples = toys.samples(model)
    samples = replace(samples, x=(samples.x * 255).round() / 255)
    run(tmp_path, [fighter("a", model, samples)], replace(SUITE, levels=255, transfer=Transfer("pgd", "linf", 0.0999)))
    x = safetensors.torch.load_file(tmp_path / FILE)["a"]
    assert float((x * 255 - (x * 255).round()).abs().max()) < 1e-3
    assert 0.09 < float((x - samples.x).abs().max()) <= 0.0999
