"""The kit itself: good plugins pass every check, and for every check there is a bad one that it catches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from robusteval.engine.schedule.local import Processes, Serial
from robusteval.testing import (
    AttackSubject,
    CertifierSubject,
    DatasetSubject,
    DefenseSubject,
    ExecutorSubject,
    LoaderSubject,
    MetricSubject,
    Report,
    assert_conforms,
    check_attack,
    check_dataset,
    check_defense,
    check_executor,
    check_loader,
    check_metric,
    checks_for,
)
from robusteval.testing.checks import Check, bind, require
from tests.testing.bad_attacks import BAD_ATTACKS
from tests.testing.bad_certifiers import BAD_CERTIFIERS, Corners
from tests.testing.bad_datasets import BAD_DATASETS
from tests.testing.bad_defenses import BAD_DEFENSES
from tests.testing.bad_executors import BAD_EXECUTORS, Here
from tests.testing.bad_others import BAD_LOADERS, BAD_METRICS
from tests.testing.good import Count, Grey, Loud, Plain, RandomGrey, Step, Stripes, Walk

# Facts that a metric or loader need not have: no parameters, no frozen dataclass.
NOT_FOR_ALL = {"describes its parameters", "is frozen"}


@pytest.fixture
def plain_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.plain"
    rows = torch.randn((3, 8), generator=torch.Generator().manual_seed(0)).tolist()
    path.write_text("\n".join(" ".join(map(str, row)) for row in rows))
    return path


def pairs(table: dict[str, list[type]]) -> list[object]:
    return [
        pytest.param(name, plugin, id=f"{name}-{number}")
        for name, plugins in table.items()
        for number, plugin in enumerate(plugins)
    ]


def status(report: Report, name: str) -> str:
    return next(outcome.status for outcome in report.outcomes if outcome.check == name)


@pytest.mark.parametrize("plugin", [Walk, Step, Walk(steps=120)])
def test_good_attacks_pass(plugin: object) -> None:
    assert_conforms(plugin)


@pytest.mark.parametrize("plugin", [Grey, Loud, RandomGrey, Count])
def test_good_defences_and_metrics_pass(plugin: object) -> None:
    assert_conforms(plugin)


def test_a_good_loader_passes(plain_file: Path) -> None:
    report = check_loader(Plain, path=plain_file)
    assert_conforms(report)
    assert not [
        outcome for outcome in report.outcomes if outcome.check.startswith("has a twin") and outcome.status != "passed"
    ]


@pytest.mark.parametrize(("name", "plugin"), pairs(BAD_ATTACKS))
def test_bad_attacks_are_caught(name: str, plugin: type) -> None:
    assert _caught(AttackSubject(plugin), name)


@pytest.mark.parametrize(("name", "plugin"), pairs(BAD_DEFENSES))
def test_bad_defences_are_caught(name: str, plugin: type) -> None:
    assert _caught(DefenseSubject(plugin), name)


@pytest.mark.parametrize(("name", "plugin"), pairs(BAD_METRICS))
def test_bad_metrics_are_caught(name: str, plugin: type) -> None:
    assert _caught(MetricSubject(plugin), name)


@pytest.mark.parametrize(("name", "plugin"), pairs(BAD_LOADERS))
def test_bad_loaders_are_caught(name: str, plugin: type, plain_file: Path) -> None:
    assert _caught(LoaderSubject(plugin, plain_file), name)


def test_a_good_data_set_passes() -> None:
    assert_conforms(check_dataset(Stripes))


@pytest.mark.parametrize(("name", "plugin"), pairs(BAD_DATASETS))
def test_bad_data_sets_are_caught(name: str, plugin: type) -> None:
    assert _caught(DatasetSubject(plugin), name)


@pytest.mark.parametrize("plugin", [Here, Serial, Processes])
def test_good_executors_pass(plugin: type) -> None:
    report = check_executor(plugin)
    assert_conforms(report)
    assert status(report, "survives a dead process") == ("passed" if plugin is Processes else "not applicable")


@pytest.mark.parametrize(("name", "plugin"), pairs(BAD_EXECUTORS))
def test_bad_executors_are_caught(name: str, plugin: type) -> None:
    assert _caught(ExecutorSubject(plugin), name)


@pytest.mark.parametrize(("name", "plugin"), pairs(BAD_CERTIFIERS))
def test_bad_certifiers_are_caught(name: str, plugin: type) -> None:
    assert _caught(CertifierSubject(plugin), name)


def test_a_good_certifier_passes() -> None:
    assert_conforms(Corners)


def _caught(subject: object, name: str) -> bool:
    """Whether that very check fails, with a sentence."""
    (check,) = [check for check in checks_for(subject) if check.name == name]
    outcome = check.outcome()
    return outcome.status == "failed" and len(outcome.sentence) > 15


@pytest.mark.parametrize(
    ("good", "table", "spared"),
    [
        (Walk, BAD_ATTACKS, set()),
        (Grey, BAD_DEFENSES, set()),
        (Count, BAD_METRICS, NOT_FOR_ALL),
        (Plain, BAD_LOADERS, NOT_FOR_ALL),
        (Stripes, BAD_DATASETS, NOT_FOR_ALL),
        (Here, BAD_EXECUTORS, set()),
    ],
)
def test_every_check_has_a_bad_subject_and_says_what_it_promises(
    good: type, table: dict[str, list[type]], spared: set[str]
) -> None:
    checks = checks_for(good)
    assert {check.name for check in checks} - spared == set(table)
    assert all(check.promise.endswith(".") for check in checks)
    assert len({check.name for check in checks}) == len(checks) >= 11


def test_the_summary_says_how_many_ran() -> None:
    report = check_attack(Step)
    applied = sum(outcome.status == "passed" for outcome in report.outcomes)
    assert report.summary() == f"test.step: 33 checks: {applied} passed, {33 - applied} not applicable, 0 failed"
    assert report.summary() in str(report)
    assert status(report, "finds small perturbations") == "not applicable"


def test_a_check_says_on_how_many_cases_it_ran() -> None:
    report = check_dataset(Stripes)
    cases = {outcome.check: outcome.cases for outcome in report.outcomes if outcome.status == "passed"}
    assert cases["gives images"] == 6  # three questions to each of the two parts
    assert all(cases.values())
    assert "gives images: Each part has images" in str(report)
    assert "(6 cases)" in str(report)


def test_a_check_that_ran_on_nothing_fails() -> None:
    def looks_at_nothing(subject: object) -> None:
        """All of none are good."""
        for _ in ():
            require(False, "never")

    (check,) = bind([looks_at_nothing], None)
    outcome = check.outcome()
    assert (outcome.status, outcome.cases) == ("failed", 0)
    assert "no case" in outcome.sentence


def test_a_plugin_of_which_nothing_was_checked_does_not_conform() -> None:
    report = Report("nothing", ())
    assert not report.ok
    with pytest.raises(AssertionError, match="0 checks"):
        assert_conforms(report)


def test_the_failures_are_in_the_assertion(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError, match="finds small perturbations: In l2 its median distance"):
        assert_conforms(check_attack(Walk(steps=3), ratio=1.01))
    assert "1 failed" in capsys.readouterr().out


def test_a_looser_ratio_is_a_setting() -> None:
    assert status(check_attack(Walk(steps=3), ratio=100.0), "finds small perturbations") == "passed"


def test_false_alarms_are_a_setting() -> None:
    assert status(check_defense(Loud(share=0.3)), "raises few false alarms") == "failed"
    assert status(check_defense(Loud(share=0.3), false_alarms=0.3), "raises few false alarms") == "passed"


def test_records_of_the_callers_are_tried_too() -> None:
    from robusteval.testing.records import empty_record

    assert check_metric(Count, records=[empty_record()]).ok


def test_what_is_no_plugin_is_refused() -> None:
    with pytest.raises(TypeError, match="no attack, defence, metric, loader, data set, executor or certifier"):
        checks_for(object())


@pytest.mark.parametrize("check", checks_for(Step), ids=str)
def test_checks_can_be_parametrised(check: Check) -> None:
    check()
