"""What breaks the model, what would help, how sure that is, what the slider shows, and what is left without marks."""

from __future__ import annotations

import copy

import pytest

from robusteval.assessment.answers.breaks import what_breaks
from robusteval.assessment.answers.helps import Worth, what_helps
from robusteval.assessment.answers.robust import how_robust
from robusteval.assessment.answers.sure import how_sure
from robusteval.assessment.answers.sweep import sweep
from robusteval.assessment.answers.without import without
from robusteval.record.run import Check, Record, Strength
from tests import records
from tests.assessment.answers import made
from tests.sure import sure


def beside(record: Record, attack: str, needs: str, lost: int) -> None:
    """One more attack in Linf."""
    cell = made.attack(record.cells[0], "linf", lost, 100, 100)
    cell.id, cell.attack, cell.needs = f"none/{attack}", attack, needs
    record.cells.append(cell)


def test_what_leaves_least_breaks_it_and_less_access_is_told() -> None:
    record = made.run({"linf": 80})
    beside(record, "FGSM", "gradient", 60)
    beside(record, "Square", "scores", 40)
    beside(record, "Noise", "decision", 0)
    made.derived(record)
    broken = sure(what_breaks(record, how_robust(record).weakest))
    assert (broken.first.attack, broken.first.kept.value, broken.first.passes) == ("PGD linf", 0.2, 18.0)
    assert [easier.attack for easier in broken.easier] == ["Square"], "noise takes nothing"


def test_nothing_breaks_what_no_attack_takes() -> None:
    record = made.run({"linf": 0})
    assert what_breaks(record, how_robust(record).weakest) is None
    assert what_breaks(record, None) is None


def defended(adaptive: int | None, oblivious: int | None = None, blind: bool = False) -> Record:
    """A model that loses 60 of 100, and a defence that loses so many."""
    record = made.run({"linf": 60})
    row = copy.deepcopy(record.pipelines[0])
    row.defense, row.kind = "JPEG", "preprocessor"
    record.pipelines.append(row)
    if adaptive is not None:
        cell = made.attack(record.cells[0], "linf", adaptive, 100, 100)
        cell.id, cell.defense, cell.knowledge = "JPEG/adaptive", "JPEG", "adaptive"
        cell.blind = [9 if blind else 0] * 100
        record.cells.append(cell)
    if oblivious is not None:
        cell = made.attack(record.cells[0], "linf", 0, 100, 100)
        cell.id, cell.defense, cell.knowledge, cell.family = "JPEG/oblivious", "JPEG", "oblivious", "fixed"
        cell.distance, cell.prediction = [], []
        answers = [2] * oblivious + [1] * (100 - oblivious)
        cell.strengths = [Strength(0.01, 0.1, 0.01, [True] * 100, answers)]
        record.cells.append(cell)
    return made.derived(record)


@pytest.mark.parametrize(
    ("record", "worth", "why"),
    [
        (defended(20), "helps", ""),
        (defended(55), "no", ""),
        (defended(90), "harms", ""),
        (defended(None), "unknown", "nobody who knows it attacked it in Linf"),
        (defended(20, blind=True), "unknown", "no attack that knows it had working gradients"),
        (defended(20, oblivious=40), "unknown", "attacks that do not know it reach further"),
        (defended(20, oblivious=10), "helps", ""),
    ],
)
def test_only_the_adaptive_figure_says_what_helps(record: Record, worth: Worth, why: str) -> None:
    (found,) = what_helps(record, how_robust(record).weakest)
    assert (found.worth, found.reason[: len(why)] if why else found.reason) == (worth, why)
    assert (found.kept is None) == (worth == "unknown")


def test_a_defence_that_failed_is_no_help() -> None:
    record = defended(0)
    record.pipelines[1].status, record.pipelines[1].reason = "failed", "the loss became NaN"
    (found,) = what_helps(record, how_robust(record).weakest)
    assert (found.worth, found.reason) == ("unknown", "failed: the loss became NaN")


def test_a_defence_that_was_attacked_by_half_is_no_help() -> None:
    record = defended(0)
    record.cells[1].status = "done"
    again = copy.deepcopy(record.cells[1])
    again.id, again.status = "JPEG/adaptive/2", "skipped"
    record.cells.append(again)
    (found,) = what_helps(record, how_robust(record).weakest)
    assert (found.worth, found.reason) == ("unknown", "not all attacks that know it finished")


@pytest.mark.parametrize(("agreement", "worth"), [(0.979, "unknown"), (0.98, "helps"), (None, "helps")])
def test_a_defence_whose_form_answers_otherwise_is_no_help(agreement: float | None, worth: Worth) -> None:
    record = defended(0)
    record.pipelines[1].surrogate_agreement = agreement
    (found,) = what_helps(record, how_robust(record).weakest)
    assert found.worth == worth


def test_nothing_is_known_to_help_where_nothing_was_measured() -> None:
    (found,) = what_helps(defended(0), None)
    assert found.worth == "unknown"


def test_how_sure_counts_checks() -> None:
    record = made.run({"linf": 3})
    assert how_sure(record).checks == "no check was made"
    for outcome in ("pass", "pass", "warn", "not-applicable"):
        record.checks.append(Check("a", "", "", "", "", "", outcome, ""))
    found = how_sure(record)
    assert found.checks == "2 checks pass, 1 warns, none fails"
    assert (found.grade, found.conclusive, found.left_out) == ("A", True, 1)
    record.verdict = None
    assert (how_sure(record).grade, how_sure(record).conclusive) == ("", False)


def test_the_slider_agrees_with_the_figures_at_their_budgets() -> None:
    record = records.with_results(records.make(200))
    for norm in ("l2", "linf"):
        found = sure(sweep(record, norm, range(10)))
        assert list(found.stops) == sorted(set(found.stops))
        assert all(before.value >= after.value for before, after in zip(found.worst, found.worst[1:], strict=False))
        compared = 0
        for result in record.results:
            if result.tags.get("norm") != norm or result.tags.get("defense") != "none":
                continue
            eps = result.tags.get("eps")
            if eps in found.stops and result.tags.get("measure") == "robust-accuracy":
                share = found.worst[found.stops.index(eps)]
                assert (share.value, share.low, share.high) == (result.value, result.low, result.high)
                compared += 1
                if result.tags.get("reference"):
                    assert found.stops[found.start] == eps
                    assert found.classes.keys() == set(record.data.labels)
        assert compared > 2


def test_the_slider_asks_no_attack_beyond_its_reach() -> None:
    record = made.run({"linf": 3}, far=0.2)
    beside(record, "short", "gradient", 1)
    record.cells[1].eps = 0.1
    beside(record, "cascade", "gradient", 2)
    record.cells[2].threat, record.cells[2].eps, record.cells[2].family = "budget", 8 / 255, "cascade"
    found = sure(sweep(made.derived(record), "linf", []))
    for stop, short, cascade in zip(
        found.stops, found.attacks["none/short"], found.attacks["none/cascade"], strict=True
    ):
        assert (short is None) == (stop > 0.1 * (1 + 1e-6))
        assert (cascade is None) == (abs(stop - 8 / 255) > 1e-8)
    assert found.stops[-1] > 0.1


def test_without_a_search_there_are_only_the_budgets_of_the_run() -> None:
    record = made.run({"linf": 3})
    record.cells[0].threat, record.cells[0].eps = "budget", 8 / 255
    assert sure(sweep(made.derived(record), "linf", [])).stops == (8 / 255,)
    assert sweep(record, "l2", []) is None


def test_marked_samples_count_neither_way() -> None:
    record = made.run({"linf": 20}, right=90)
    found = sure(without(record, "linf", {0, 1, 2, 3, 4}))
    assert (found.all.value, found.rest.value) == (0.7, 70 / 95)
    assert (found.left_out, found.samples) == (5, 100)
    assert found.curve_of_rest[0].y == 85 / 95
    assert without(record, "linf", set()) is None
    assert without(record, "linf", range(100)) is None
    assert without(record, "l2", {1}) is None
