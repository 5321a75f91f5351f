"""The check of whether the optimisation came to rest: slopes of traces in closed form, and both sides of its limits."""

from __future__ import annotations

from typing import Any

import pytest

from robusteval.assessment.checks.completeness import slope
from tests.assessment.asking import SEVERITY, ask, numbers, says
from tests.engine.test_findings import cell, honest


def trace(
    values: list[float], key: str = "margin", run: float | None = 1.0, samples: float = 10.0
) -> list[dict[str, float]]:
    return [{**({} if run is None else {"run": run}), "samples": samples, key: value} for value in values]


def ending(steepness: float, points: int = 21) -> list[float]:
    """A curve from 0 to 1 whose last tenth is so steep beside its mean."""
    back = max(1, round(points / 10))
    end = steepness * back / (points - 1)
    middle = points - 1 - back
    return [(1 - end) * place / middle for place in range(middle + 1)] + [
        1 - end + end * place / back for place in range(1, back + 1)
    ]


@pytest.mark.parametrize("points", [5, 6, 14, 15, 16, 21, 40, 100])
@pytest.mark.parametrize("steepness", [0.0, 0.3, 1.0, 1.7])
def test_the_slope_of_the_last_tenth(points: int, steepness: float) -> None:
    assert slope(cell("pgd", 0.4, trace=trace(ending(steepness, points)))) == pytest.approx(steepness)
    falling = [-value for value in ending(steepness, points)]
    assert slope(cell("pgd", 0.4, trace=trace(falling))) == pytest.approx(steepness)
    shifted = [1000 + value for value in ending(steepness, points)]
    assert slope(cell("pgd", 0.4, trace=trace(shifted, "loss", None))) == pytest.approx(steepness, abs=1e-9)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0], None), ([0.0, 1.0], 1.0), ([0.0, 1.0, 1.0], 0.0), ([0.0, 0.5, 2.0], 1.5), ([0.0, 0.25, 0.5, 2.0], 2.25),
        ([3.0, 3.0], 0.0), ([1e6, 1e6 + 0.5, 1e6 + 1.0], 0.0), ([1e5, 1e5 + 1.0], 1.0), ([0.0, 0.0], 0.0),
        ([-1e6, -1e6 - 0.5, -1e6 - 1.0], 0.0), ([0.0, 0.0, 0.0, 0.0, 1e-5], 4.0),
    ],
)  # fmt: skip
def test_short_and_flat_traces(values: list[float], expected: float | None) -> None:
    found = slope(cell("pgd", 0.4, trace=trace(values)))
    assert found == (None if expected is None else pytest.approx(expected))


def test_the_last_tenth_is_rounded_to_whole_steps() -> None:
    """Sixteen points: two steps, of which the first stands still."""
    values = [0.9 * place / 13 for place in range(14)] + [0.9, 1.0]
    assert slope(cell("pgd", 0.4, trace=trace(values))) == pytest.approx(0.1 / (2 / 15))
    left = [*trace(ending(0.4, 11)), *trace([2.0], samples=9.0)]
    assert slope(cell("pgd", 0.4, trace=left)) is None  # a sample left at the last step


def test_only_the_stretch_counts_in_which_no_sample_left() -> None:
    early = trace([50.0, 40.0, 30.0], samples=20.0)
    assert slope(cell("pgd", 0.4, trace=early + trace(ending(0.4, 11)))) == pytest.approx(0.4)
    assert slope(cell("pgd", 0.4, trace=early + trace(ending(0.4, 5)))) == pytest.approx(0.4)
    assert slope(cell("pgd", 0.4, trace=early + trace([0.0, 0.1, 0.2, 0.3]))) is None  # four points say nothing
    changing = [*trace([0.0], samples=9.0), *trace([0.5, 2.0], samples=8.0)]
    assert slope(cell("pgd", 0.4, trace=changing)) == pytest.approx(1.5)  # of a short run all count
    four = [*trace([0.0, 0.25], samples=9.0), *trace([0.5, 2.0], samples=8.0)]
    assert slope(cell("pgd", 0.4, trace=four)) == pytest.approx(2.25)
    five = [*trace([0.0, 0.25], samples=9.0), *trace([0.5, 1.0, 2.0], samples=8.0)]
    assert slope(cell("pgd", 0.4, trace=five)) is None


def test_the_median_over_the_runs_counts() -> None:
    runs = [point for run, how in enumerate((0.9, 0.1, 0.2), 1) for point in trace(ending(how), run=float(run))]
    assert slope(cell("pgd", 0.4, trace=runs)) == pytest.approx(0.2)
    short = [*trace([1.0], run=1.0), *trace(ending(0.9), run=2.0), *trace(ending(0.3), run=3.0)]
    assert slope(cell("pgd", 0.4, trace=short)) == pytest.approx(0.6)
    unnamed = [*trace(ending(0.9), run=None), *trace(ending(0.3), run=1.0)]  # the first run carries no number
    assert slope(cell("pgd", 0.4, trace=unnamed)) == pytest.approx(0.6)


def test_margin_goes_before_distance_and_distance_before_loss() -> None:
    both = [
        {**first, **two, **three}
        for first, two, three in zip(
            trace(ending(0.2)), trace(ending(0.5), "distance"), trace(ending(0.9), "loss"), strict=True
        )
    ]
    assert slope(cell("pgd", 0.4, trace=both)) == pytest.approx(0.2)
    for point in both:
        del point["margin"]
    assert slope(cell("pgd", 0.4, trace=both)) == pytest.approx(0.5)
    assert slope(cell("pgd", 0.4, trace=trace(ending(0.7), "loss"))) == pytest.approx(0.7)
    assert slope(cell("pgd", 0.4, trace=trace(ending(0.7), "other"))) is None
    late = trace(ending(0.4, 11))
    late[-2] = {"run": 1.0, "samples": 10.0}  # only the last point has to have the value
    assert slope(cell("pgd", 0.4, trace=late)) is not None
    gaps = trace(ending(0.4, 11))
    gaps.insert(3, {"run": 1.0, "samples": 10.0})  # a point without the value
    assert slope(cell("pgd", 0.4, trace=gaps)) == pytest.approx(0.4)


def test_a_run_in_which_all_were_won_is_left_out() -> None:
    done = trace(ending(0.9))
    done[-1]["won"] = 1.0
    assert slope(cell("pgd", 0.4, trace=done)) is None
    done[-1]["won"] = 0.99
    assert slope(cell("pgd", 0.4, trace=done)) == pytest.approx(0.9)
    loss = trace(ending(0.9), "loss")
    loss[-1]["won"] = 1.0
    assert slope(cell("pgd", 0.4, trace=loss)) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("steepness", "points", "expected"),
    [
        (0.49, 21, "pass"), (0.51, 21, "warn"), (0.79, 21, "warn"), (0.81, 21, "fail"), (0.49, 4, "pass"),
        (0.51, 4, "fail"),
        (0.51, 5, "warn"), (0.79, 5, "warn"), (0.81, 5, "fail"),
    ],
)  # fmt: skip
def test_an_attack_that_had_not_come_to_rest(steepness: float, points: int, expected: str) -> None:
    record = honest()
    record.cells[1].trace = trace(ending(steepness, points))
    record.cells[0].trace = trace(ending(0.99))
    check, found = ask(record, "optimisation-complete")
    assert check.outcome == expected
    assert check.value == pytest.approx(steepness)
    assert numbers(check.measured) == [pytest.approx(steepness, abs=0.005)]
    assert says(check.measured, "pgd", "l2")
    assert "fgsm, pgd" in check.measured
    if expected in SEVERITY:
        (finding,) = found
        assert (finding.code, finding.severity) == ("incomplete-optimisation", SEVERITY[expected])
        assert finding.evidence == {"slope": check.value}
        assert numbers(finding.sentence) == [pytest.approx(steepness, abs=0.005)]
        assert says(finding.sentence, "pgd", "l2")
        assert finding.cells == ["none/fgsm/l2", "none/pgd/l2"]


def test_a_run_that_is_long_anywhere_is_not_short() -> None:
    record = honest()
    record.cells[1].trace = [*trace(ending(0.6, 4), run=1.0), *trace(ending(0.6, 5), run=2.0)]
    assert ask(record, "optimisation-complete")[0].outcome == "warn"
    record.cells[1].trace = [*trace(ending(0.6, 4), run=1.0), *trace(ending(0.6, 4), run=2.0)]
    assert ask(record, "optimisation-complete")[0].outcome == "fail"
    record.cells[1].trace = [*trace(ending(0.6, 4), run=None), *trace(ending(0.6, 4), run=1.0)]
    assert ask(record, "optimisation-complete")[0].outcome == "fail"


def test_which_attacks_have_to_come_to_rest() -> None:
    steep = trace(ending(0.9))
    changes: list[dict[str, Any]] = [
        {"needs": "scores"}, {"knowledge": "adaptive"}, {"status": "failed"}, {"trace": []},
    ]  # fmt: skip
    for change in changes:
        record = honest()
        record.cells[1] = cell("pgd", 0.4, **({"trace": steep} | change))
        assert ask(record, "optimisation-complete")[0].outcome == "not-applicable", change
    record = honest()
    record.cells = [
        cell("pgd", 0.4, norm="l1"), cell("pgd", 0.4, trace=steep),
        cell("pgd", 0.4, norm="linf", trace=trace(ending(0.1))),
    ]  # fmt: skip
    check, found = ask(record, "optimisation-complete")
    assert (check.outcome, len(found)) == ("fail", 1)  # each norm on its own; one without a trace says nothing


def test_of_equally_steep_attacks_the_first_is_named() -> None:
    record = honest()
    record.cells[0].trace = record.cells[1].trace = trace(ending(0.3))
    check, _ = ask(record, "optimisation-complete")
    assert check.outcome == "pass"
    assert "(fgsm, l2; the flattest of fgsm, pgd)" in check.measured
