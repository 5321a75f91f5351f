"""Every way to lose the gradients ends inconclusive, and every way that something was not measured leaves the gate
shut."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from robusteval.assessment import verdict
from robusteval.assessment.checks import run_checks
from robusteval.assessment.evidence.white_box import bare_share, blind_norms, steered
from robusteval.assessment.findings import examine
from robusteval.assessment.gates.every_norm import gate_met
from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.plan.fingerprint import attacks_sha256
from robusteval.engine.plan.plan import make_plan
from robusteval.engine.suite.suite import applicable, names, parse, read
from robusteval.record.run import Cell, Planted, Record
from tests.engine.test_findings import N, cell, honest
from tests.sure import sure

Spoil = Callable[[Record], None]


def judged(record: Record) -> Record:
    """The record with everything derived from its columns."""
    record.checks, record.findings = examine(record, False)
    record.verdict = verdict.write(record)
    return record


def _white(record: Record) -> list[Cell]:
    return [cell for cell in record.cells if cell.needs == "gradient"]


def _status(status: Any) -> Spoil:
    def spoil(record: Record) -> None:
        for attacked in _white(record):
            attacked.status = status

    return spoil


def _none(record: Record) -> None:
    record.model.gradients = "none"


def _unheard_of(record: Record) -> None:
    record.model.gradients = "wishful"


def _only_black(record: Record) -> None:
    record.cells = [cell for cell in record.cells if cell.needs != "gradient"]


def _useless(name: str) -> Spoil:
    def spoil(record: Record) -> None:
        for attacked in _white(record):
            setattr(attacked, name, 9 * N)

    return spoil


def _blind_samples(record: Record) -> None:
    """A quarter of the samples, by every attack; a tenth of all answers at most would be told of the cells."""
    for attacked in _white(record):
        attacked.blind = [10 if index % 4 == 0 else 0 for index in range(N)]


def _never_asked(record: Record) -> None:
    for attacked in _white(record):
        attacked.backwards = [0] * N


def _surrogate_alone(record: Record) -> None:
    record.model.gradients, record.cells = "surrogate", _white(record)


def _surrogate_beaten(record: Record) -> None:
    """At one budget the black box takes an eighth more of the samples."""
    record.model.gradients = "surrogate"
    record.cells[3].distance = [0.1 if index % 8 == 0 else 0.9 for index in range(N)]


LOST: dict[str, Spoil] = {
    "the model gives none": _none,
    "the loader says what nobody knows": _unheard_of,
    "the suite has none": _only_black,
    "failed": _status("failed"),
    "skipped": _status("skipped"),
    "excluded": _status("excluded"),
    "zero": _useless("zero_gradients"),
    "not finite": _useless("bad_gradients"),
    "useless on a quarter of the samples": _blind_samples,
    "never asked for": _never_asked,
    "a surrogate that nothing confirms": _surrogate_alone,
    "a surrogate that a black box beats": _surrogate_beaten,
}


@pytest.mark.parametrize("how", LOST)
def test_every_way_to_lose_the_gradients_ends_inconclusive(how: str) -> None:
    record = honest()
    LOST[how](record)
    judged(record)
    assert sure(record.verdict).status == "inconclusive"
    assert sure(record.verdict).sentences[0].startswith("INCONCLUSIVE: ")
    assert not gate_met(record, 0.0)
    said = [sentence for sentence in sure(record.verdict).sentences if "half of the samples" in sentence]
    assert said
    assert all(sentence.startswith("An upper bound") for sentence in said)


@pytest.mark.parametrize("how", list(LOST)[:10])
def test_the_verdict_needs_no_check_to_see_it(how: str) -> None:
    """Checks could be lost on the way: what was measured speaks for itself."""
    record = honest()
    LOST[how](record)
    assert how == "the loader says what nobody knows" or blind_norms(record) == ["l2"]
    if blind_norms(record):
        assert verdict.write(record).grade == "D"
        assert "An upper bound from black-box attacks only: in L2" in " ".join(verdict.write(record).sentences)


def test_an_attack_that_worked_where_others_did_not_is_enough() -> None:
    record = honest()
    record.cells[0].blind = record.cells[1].blind = [10] * N
    record.cells[2].blind = [4] * N
    assert bare_share(record, "l2") == 1.0
    record.cells[2].blind = [6] * N
    assert bare_share(record, "l2") == 0.0
    assert steered(record.cells[3]) == [False] * N


@pytest.mark.parametrize(("share", "outcome"), [(1.0, "pass"), (0.96, "pass"), (0.9, "warn"), (0.79, "fail")])
def test_the_share_of_samples_on_which_gradients_worked(share: float, outcome: str) -> None:
    record = honest()
    for attacked in _white(record):
        attacked.blind = [0 if index < share * N else 10 for index in range(N)]
    rows = {check.id: check for check in run_checks(record)[0]}
    assert rows["gradients-worked"].outcome == outcome
    assert rows["gradients-worked"].value == pytest.approx(share)


def test_what_a_cascade_lost_within_its_budget_is_settled() -> None:
    record = honest()
    record.cells = [cell("c", [0.1 if index % 2 else None for index in range(N)], threat="budget", family="cascade")]
    record.cells[0].backwards = [10 if index < 4 else 0 for index in range(N)]
    assert bare_share(record, "l2") == pytest.approx(0.5 + 2 / N)
    record.cells[0].backwards = [0] * N
    assert bare_share(record, "l2") == 0.0  # nobody followed a gradient anywhere


@pytest.mark.parametrize("gradients", ["straight-through", "surrogate"])
def test_gradients_of_another_kind_need_something_beside_them(gradients: str) -> None:
    def outcome(record: Record) -> str:
        return next(check.outcome for check in run_checks(record)[0] if check.id == "gradients-available")

    record = honest()
    record.model.gradients = gradients
    expected = ("pass", "warn") if gradients == "straight-through" else ("warn", "fail")
    assert outcome(record) == expected[0]
    record.cells[3] = cell("noise", 0.9, "decision")
    assert outcome(record) == expected[1]
    found = {name: [True] * 20 for name in ("pgd", "ddn")}
    record.planted = [
        Planted("l2", 1.0, {}, "done", "", list(range(20)), [False] * 20, found, dict.fromkeys(found, "gradient"))
    ]
    assert outcome(record) == expected[0]


@pytest.mark.parametrize(("blind", "outcome"), [(0.1, "pass"), (0.3, "warn"), (0.6, "fail")])
def test_a_claim_about_a_defence_that_hides_its_gradient_is_marked(blind: float, outcome: str) -> None:
    record = honest()
    record.pipelines.append(dataclasses.replace(record.pipelines[0], defense="d", plugin="d", kind="preprocessor"))
    record.cells.append(cell("pgd", 0.8, defense="d", knowledge="adaptive", id="d/pgd/l2/adaptive"))
    record.cells[-1].blind = [10 if index < blind * N else 0 for index in range(N)]
    judged(record)
    assert next(check.outcome for check in record.checks if check.id == "gradients-adaptive") == outcome
    (said,) = [
        sentence
        for sentence in sure(record.verdict).sentences
        if "Against an attacker who knows it" in sentence.capitalize() or "who knows it, d" in sentence
    ]
    assert ("an upper bound of its worth" in said) == (outcome != "pass")


SUITE = """
name = "s"
version = "1"
norms = ["linf"]
probe_samples = 0
[[attack]]
plugin = "pgd"
[[attack]]
plugin = "hopskipjump"
when = "no-gradients"
[[defense]]
plugin = "bit-depth"
"""


@pytest.mark.parametrize(
    ("gradients", "joins"), [("exact", False), ("straight-through", False), ("surrogate", True), ("none", True)]
)
def test_attacks_for_models_without_gradients_are_no_part_of_the_suite_for_others(gradients: str, joins: bool) -> None:
    catalogue = discover()
    info = ModelInfo("m", "test", "0" * 64, (1, 8, 8), 10, gradients=gradients)
    suite = parse(SUITE, "s", catalogue)
    plan = make_plan(suite, catalogue, info, "untargeted", {})
    assert ("none/hopskipjump/linf" in {cell.id for cell in plan.cells}) == joins
    assert not any("bit-depth/hopskipjump" in cell.id for cell in plan.cells)
    plain = parse(SUITE.replace('[[attack]]\nplugin = "hopskipjump"\nwhen = "no-gradients"\n', ""), "s", catalogue)
    same = attacks_sha256(applicable(suite, info), catalogue, "", (1, 4, 4)) == attacks_sha256(
        plain, catalogue, "", (1, 4, 4)
    )
    assert same != joins


@pytest.mark.parametrize("name", ["smoke", "standard", "full", "defenses"])
def test_shipped_suites_have_something_for_scores_and_for_labels_alone(name: str) -> None:
    assert name in names(discover())
    suite = read(name, discover())
    made = {spec.plugin for spec in suite.attacks if spec.when}
    assert made == {"square", "hopskipjump"}
