"""The checks of how strong the attacks are beside each other and beside chance: both sides of every limit."""

from __future__ import annotations

import math

import pytest

from robusteval.assessment.checks.cross_attack import gap
from robusteval.record.measured import Cell
from robusteval.record.run import Search
from tests.assessment.asking import SEVERITY, about, ask, numbers, one, says
from tests.engine.test_findings import N, cell, honest

INF = math.inf


def split(count: int, near: float | None, far: float | None) -> list[float | None]:
    """The first samples are at `near`, the others at `far`."""
    return [near] * count + [far] * (N - count)


@pytest.mark.parametrize(
    ("strong", "weak", "expected"),
    [
        ([], [], 0.0), ([0.0], [1.0], 0.0), ([1.0], [0.0], 0.0), ([INF], [1.0], 0.0), ([INF, INF], [INF, INF], 0.0),
        ([1.0], [1.05], 0.0), ([1.0], [1.0501], 1.0), ([1.0], [1.2], 1.0),
        ([1.0, 3.0], [2.0, 4.0], 0.5), ([1.0, 1.5], [2.0, 4.0], 1.0), ([1.0, 1.0, 9.0, 9.0], [2.0, 2.0, 1.0, 1.0], 0.0),
        ([1.0, 2.0], [0.5, INF], 0.5), ([1.0, 1.0], [2.0, 0.5], 0.5), ([2.0, 2.0], [1.0, 1.0], -1.0 / 2 + 0.5),
        ([1.0, 2.0, 0.0, 5.0], [INF, INF, 0.1, 0.0], 1.0),
    ],
)  # fmt: skip
def test_the_largest_gap_between_two_curves(strong: list[float], weak: list[float], expected: float) -> None:
    assert gap(strong, weak) == pytest.approx(expected)


def test_curves_of_different_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        gap([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "pass"), (20, "pass"), (21, "warn"), (50, "warn"), (51, "fail"), (N, "fail")]
)
def test_a_black_box_that_takes_more_samples(count: int, expected: str) -> None:
    record = honest()
    record.cells[3].distance = split(count, 0.1, 0.9)
    check, found = ask(record, "black-box")
    assert (check.outcome, check.value) == (expected, count / N)
    assert says(check.measured, "none", "l2")
    assert numbers(check.measured) == [about(count / N), about(count / N)]
    if expected in SEVERITY:
        (finding,) = found
        assert (finding.code, finding.severity) == ("black-box-stronger", SEVERITY[expected])
        assert finding.evidence == {"share": count / N, "nearer": count / N}
        assert numbers(finding.sentence) == [about(count / N)]
        assert says(finding.sentence, "none", "l2")
        assert finding.cells == [f"none/{name}/l2" for name in ("fgsm", "pgd", "ddn", "square")]
    else:
        assert found == []


@pytest.mark.parametrize(("count", "told"), [(0, False), (20, False), (21, True), (100, True)])
def test_a_black_box_that_is_nearer_on_single_samples(count: int, told: bool) -> None:
    """Near on some, far on as many others, so that no budget is better."""
    record = honest()
    record.cells = [cell("pgd", split(count, 0.3, 0.2)), cell("square", split(count, 0.26, 0.9), "scores")]
    check, found = ask(record, "black-box")
    assert (check.outcome, check.value) == ("pass", 0.0)
    assert numbers(check.measured) == [0, about(count / N)]
    if told:
        (finding,) = found
        assert (finding.code, finding.severity) == ("black-box-nearer", "info")
        assert finding.evidence == {"share": 0.0, "nearer": count / N}
        assert numbers(finding.sentence) == [about(count / N), 0]
        assert says(finding.sentence, "none", "l2")
        assert says(check.measured, "none", "l2")
    else:
        assert found == []


@pytest.mark.parametrize(("distance", "nearer"), [(0.27, 0.0), (0.2699, 0.2)])
def test_nearer_is_by_a_tenth(distance: float, nearer: float) -> None:
    record = honest()
    record.cells = [
        cell("pgd", [0.0, *split(N // 5, 0.3, 0.1)[1:]]),
        cell("square", split(N // 5, distance, 0.9), "scores"),
    ]
    share = nearer * (39 / 40 * N) / (N - 1) if nearer else 0.0  # the sample that was wrong when clean does not count
    assert numbers(ask(record, "black-box")[0].measured)[1] == pytest.approx(100 * share, abs=0.5)


@pytest.mark.parametrize(("wrong", "count"), [(0, 1), (3, 1), (100, 100)])
def test_samples_that_were_wrong_when_clean_are_not_counted(wrong: int, count: int) -> None:
    record = honest()
    clean: list[float | None] = [0.0] * wrong
    record.cells = [cell("pgd", clean + [0.3] * count), cell("square", clean + [0.1] * count, "scores")]
    assert one(record, "black-box")[1].evidence == {"share": 1.0, "nearer": 1.0}


def test_pipelines_and_norms_are_compared_each_on_its_own() -> None:
    record = honest()
    record.cells = [
        cell("pgd", 0.4), cell("square", 0.1, "scores", norm="linf"), cell("pgd", 0.4, norm="linf"),
        cell("square", 0.5, "scores"), cell("square", 0.1, "scores", defense="d", knowledge="adaptive"),
    ]  # fmt: skip
    check, finding = one(record, "black-box")
    assert (check.outcome, check.value) == ("fail", 1.0)
    assert says(finding.sentence, "none", "linf")
    record.cells[1].distance = [0.5] * N
    assert ask(record, "black-box")[0].outcome == "pass"  # the defence has no white-box attack
    record.cells.append(cell("pgd", 0.4, defense="d", knowledge="adaptive"))
    assert says(one(record, "black-box")[1].sentence, "d", "l2")
    for change in ({"knowledge": "oblivious"}, {"threat": "budget"}, {"status": "failed"}):
        record.cells[-1] = cell("pgd", 0.4, **({"defense": "d", "knowledge": "adaptive"} | change))
        assert ask(record, "black-box")[0].outcome == "pass", change
    record.cells = [cell("square", 0.1, "scores"), cell("noise", 0.1, "decision")]
    assert ask(record, "black-box")[0].outcome == "not-applicable"
    record.cells = [cell("pgd", 0.1, threat="budget"), cell("square", 0.1, "scores", threat="budget")]
    assert ask(record, "black-box")[0].outcome == "not-applicable"
    record.cells = [cell("pgd", 0.4), cell("noise", 0.1, "decision")]
    assert ask(record, "black-box")[0].outcome == "fail"
    record.cells = [cell("pgd", [0.0] * N), cell("square", [0.0] * N, "scores")]
    assert numbers(ask(record, "black-box")[0].measured) == [0, 0]
    # a group without a white-box attack does not end the search
    record.cells = [cell("square", 0.1, "scores", norm="l1"), cell("pgd", 0.4), cell("square", 0.1, "scores")]
    assert ask(record, "black-box")[0].outcome == "fail"


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "pass"), (20, "pass"), (21, "warn"), (60, "warn"), (61, "fail"), (N, "fail")]
)
@pytest.mark.parametrize("many", ["pgd", "apgd", "bim"])
def test_one_step_that_beats_many(many: str, count: int, expected: str) -> None:
    record = honest()
    record.cells = [cell("fgsm", split(count, 0.3, 0.5)), cell(many, 0.4), cell("ddn", 0.1)]
    check, found = ask(record, "one-step")
    assert (check.outcome, check.value) == (expected, count / N)
    assert numbers(check.measured) == [about(count / N), N]
    assert says(check.measured, "l2")
    if expected in SEVERITY:
        (finding,) = found
        assert (finding.code, finding.severity) == ("one-step-stronger", SEVERITY[expected])
        assert numbers(finding.sentence) == [about(count / N)]
        assert says(finding.sentence, "l2")
        assert finding.cells == ["none/fgsm/l2", f"none/{many}/l2"]
        assert finding.evidence == {"share": count / N}


@pytest.mark.parametrize(("distance", "outcome"), [(0.45, "pass"), (0.4499, "fail")])
def test_one_step_is_nearer_by_a_tenth(distance: float, outcome: str) -> None:
    record = honest()
    record.cells = [cell("fgsm", distance), cell("pgd", 0.5)]
    assert ask(record, "one-step")[0].outcome == outcome


def test_one_step_on_a_single_sample() -> None:
    record = honest()
    record.cells = [cell("fgsm", [0.1]), cell("pgd", [0.4])]
    assert ask(record, "one-step")[0].value == 1.0


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([cell("fgsm", 0.1)], "not-applicable"), ([cell("pgd", 0.4)], "not-applicable"),
        ([cell("fgsm", 0.1), cell("ddn", 0.4)], "not-applicable"),
        ([cell("fgsm", 0.1), cell("pgd", 0.4, norm="linf")], "not-applicable"),
        ([cell("fgsm", 0.1), cell("pgd", 0.4, knowledge="adaptive")], "not-applicable"),
        ([cell("fgsm", 0.1), cell("apgd", 0.4), cell("pgd", 0.1)], "pass"),  # pgd goes before apgd
        ([cell("fgsm", 0.1), cell("bim", 0.4), cell("apgd", 0.1)], "pass"),
        ([cell("pgd", 0.4, norm="l1"), cell("fgsm", 0.1), cell("pgd", 0.4)], "fail"),
        ([cell("fgsm", [None] * N), cell("pgd", [None] * N)], "pass"),
    ],
)  # fmt: skip
def test_which_attacks_are_one_step_and_many(cells: list[Cell], expected: str) -> None:
    record = honest()
    record.cells = cells
    assert ask(record, "one-step")[0].outcome == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "pass"), (4, "pass"), (5, "warn"), (20, "warn"), (21, "fail"), (N, "fail")]
)
def test_noise_that_takes_more_samples_than_the_attacks(count: int, expected: str) -> None:
    record = honest()
    record.cells = [cell("pgd", 0.4), cell("noise", split(count, 0.1, 0.9), "decision"), cell("square", 0.01, "scores")]
    check, found = ask(record, "random-search")
    assert (check.outcome, check.value) == (expected, count / N)
    assert numbers(check.measured) == [about(count / N)]
    assert says(check.measured, "none", "l2")
    if expected in SEVERITY:
        (finding,) = found
        assert (finding.code, finding.severity) == ("random-search-wins", SEVERITY[expected])
        assert numbers(finding.sentence) == [about(count / N)]
        assert says(finding.sentence, "none", "l2")
        assert finding.cells == ["none/noise/l2", "none/pgd/l2"]
        assert finding.evidence == {"share": count / N}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([cell("noise", 0.1, "decision")], "not-applicable"), ([cell("pgd", 0.1)], "not-applicable"),
        ([cell("noise", 0.1, "decision"), cell("square", 0.4, "scores")], "fail"),  # where no attack has gradients
        ([cell("noise", 0.4, "decision"), cell("square", 0.1, "scores")], "pass"),
        ([cell("pgd", 0.4, norm="l1"), cell("noise", 0.1, "decision"), cell("pgd", 0.4)], "fail"),
    ],
)  # fmt: skip
def test_what_noise_is_measured_by(cells: list[Cell], expected: str) -> None:
    record = honest()
    record.cells = cells
    assert ask(record, "random-search")[0].outcome == expected


@pytest.mark.parametrize(
    ("hits", "expected"),
    [([0] * 10, "pass"), ([1] + [0] * 9, "warn"), ([7, 2] + [0] * 8, "warn"), ([1, 1, 1] + [0] * 7, "fail")],
)
def test_many_draws_of_noise(hits: list[int], expected: str) -> None:
    record = honest()
    record.searches = [
        Search("l1", 500, [], [], []),
        Search("l2", 10_000, list(range(10)), [0.1] * 10, hits),
        Search("linf", 900, [0, 1], [0.1] * 2, [0, 0]),
    ]
    check, found = ask(record, "noise-draws")
    share = sum(hit > 0 for hit in hits) / 10
    assert (check.outcome, check.value) == (expected, share)
    if expected in SEVERITY:
        assert numbers(check.measured) == [10 * share, 10, 10_000]
        assert says(check.measured, "l2")
        (finding,) = found
        assert (finding.code, finding.severity) == ("noise-finds", SEVERITY[expected])
        assert finding.evidence == {"share": share, "draws": 10_000}
        assert numbers(finding.sentence) == [10, 10_000, about(share)]
        assert says(finding.sentence, "l2")
    record.searches = record.searches[:1]
    assert ask(record, "noise-draws")[0].outcome == "not-applicable"
