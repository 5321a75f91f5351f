"""Every broken evaluation of the zoo is caught by the check that is made for it; on a sound one none fires."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from robusteval.assessment.gates.every_norm import gate_met
from tests.e2e.broken import CASES, PGD, SOUND, Case, classifier, evaluate, inconclusive, outcomes, suite
from tests.e2e.broken_parts import Affine
from tests.e2e.models import example_cnn
from tests.sure import sure


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return example_cnn()


def test_nothing_fires_on_a_sound_evaluation(tmp_path: Path, network: nn.Module) -> None:
    record = evaluate(classifier(network), SOUND, tmp_path)
    loud = [(check.id, check.outcome, check.measured) for check in record.checks if check.outcome in ("warn", "fail")]
    assert loud == []
    asked = {check.id for check in record.checks if check.outcome == "pass"}
    assert asked >= {
        "planted", "noise-draws", "bigger-budget", "black-box", "one-step", "random-search", "silent-success",
        "unbounded",
        "optimisation-complete", "twice-steps", "other-start", "predictions-batch", "predictions-repeat", "transfer",
    }  # fmt: skip
    assert (sure(record.verdict).grade, sure(record.verdict).status) == ("A", "conclusive")
    assert gate_met(record, 0.001)
    assert not gate_met(record, 0.5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_broken_evaluation_is_caught(tmp_path: Path, network: nn.Module, case: Case) -> None:
    record = evaluate(case.model(network), case.toml, tmp_path, case.samples, case.data())
    found = outcomes(record)
    assert {check: found[check] for check in case.checks} == case.checks
    assert set(case.codes) <= {finding.code for finding in record.findings}
    assert inconclusive(record)
    planted = next(check for check in record.checks if check.id == "planted")
    assert planted.outcome != "fail" or sure(planted.value) <= 0.5


def test_two_steps_are_too_few(tmp_path: Path, network: nn.Module) -> None:
    toml = suite('plugin = "pgd"\nparams = { steps = 2 }\nsearch = 4').replace(
        "probe_samples = 0", "probe_samples = 64"
    )
    assert outcomes(evaluate(classifier(network), toml, tmp_path))["twice-steps"] == "warn"


def test_the_model_sees_another_range_than_it_was_trained_on(tmp_path: Path, network: nn.Module) -> None:
    """Stated in 0 to 1 what was trained on 0 to 255: all but black, and not always at chance."""
    record = evaluate(classifier(Affine(network, 1 / 255, 0.0)), suite(PGD), tmp_path)
    assert {finding.code for finding in record.findings} & {"near-chance", "clean-accuracy-low"}


def test_a_gate_is_not_met_by_a_norm_in_which_nothing_was_measured(tmp_path: Path, network: nn.Module) -> None:
    toml = suite(PGD + '\nnorms = ["linf"]', norms='["linf", "l2"]')
    record = evaluate(classifier(network), toml, tmp_path)
    assert sure(record.verdict).grade == "F"
    assert not gate_met(record, 0.0)


def test_a_gate_beyond_what_was_tried_is_not_met(tmp_path: Path, network: nn.Module) -> None:
    """Nothing was lost within the budget, so nothing is known beyond it."""
    record = evaluate(classifier(network), suite(PGD, extra="eps = { linf = 1e-4 }"), tmp_path)
    sure(record.verdict).status = "conclusive"
    assert gate_met(record, 1e-4)
    assert not gate_met(record, 2e-4)
