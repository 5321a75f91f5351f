"""The checks of whether the attacks did what they were asked to: both sides of every limit, and every figure."""

from __future__ import annotations

import pytest

from robusteval.assessment.checks.attacks import slope
from tests.assessment.asking import SEVERITY, about, ask, numbers, one, says
from tests.engine.test_findings import N, cell, honest

INF = float("inf")


def test_failed_cells():
    record = honest()
    check, found = ask(record, "attacks-completed")
    assert (check.outcome, check.value, found) == ("pass", 0.0, [])
    assert numbers(check.measured) == [0, 4]
    record.cells[1].status, record.cells[1].reason = "failed", "MemoryError"
    record.cells[3].status, record.cells[3].reason = "failed", "later"
    check, finding = one(record, "attacks-completed")
    assert (check.outcome, check.value) == ("fail", 0.5)
    assert (finding.code, finding.severity) == ("cells-failed", "alarm")
    assert numbers(finding.sentence) == numbers(check.measured) == [2, 4]
    assert finding.evidence == {"first": "none/pgd/l2", "reason": "MemoryError"}
    assert finding.cells == ["none/pgd/l2", "none/square/l2"]
    record.cells = []
    assert ask(record, "attacks-completed")[0].value == 0.0


def test_every_norm_that_was_asked_about_needs_an_attack_on_the_bare_model():
    record = honest()
    check, found = ask(record, "norms-attacked")
    assert (check.outcome, check.value, found) == ("pass", 4.0, [])
    assert numbers(check.measured) == [4]
    record.cells.append(cell("pgd", 0.1, norm="linf", id="x"))
    check, found = ask(record, "norms-attacked")
    assert (check.outcome, check.value) == ("pass", 1.0)  # the norm with the fewest is told of
    assert says(check.measured, "linf")
    for change in ({"status": "failed"}, {"knowledge": "adaptive"}):
        record.cells[-1] = cell("pgd", 0.1, norm="linf", id="x", **change)
        check, finding = one(record, "norms-attacked")
        assert (check.outcome, check.value) == ("fail", 0.0)
        assert (finding.code, finding.severity, finding.evidence) == ("nothing-attacked", "alarm", {"norm": "linf"})
        assert says(finding.sentence, "linf")
    record = honest()
    record.suite.norms = ["l0", "l2"]
    check, finding = one(record, "norms-attacked")
    assert (check.outcome, finding.evidence) == ("fail", {"norm": "l0"})
    record.suite.norms, record.cells = [], []
    check, finding = one(record, "norms-attacked")
    assert (check.outcome, check.value, finding.code, finding.severity) == ("fail", 0.0, "nothing-attacked", "alarm")


def test_excluded_cells():
    record = honest()
    check, found = ask(record, "attacks-excluded")
    assert (check.outcome, check.value, found) == ("pass", 0.0, [])
    assert numbers(check.measured) == [0, 4]
    for place in (3, 1, 1):
        record.cells[place].status, record.cells[place].reason = "excluded", f"reason {place}"
    check, finding = one(record, "attacks-excluded")
    assert (check.outcome, check.value) == ("warn", 2.0)
    assert numbers(check.measured) == [2, 4]
    assert (finding.code, finding.severity) == ("attacks-excluded", "warning")
    assert numbers(finding.sentence)[0] == 2
    assert "pgd, square" in finding.sentence
    assert finding.evidence == {"first": "none/pgd/l2", "reason": "reason 1"}
    assert finding.cells == ["none/pgd/l2", "none/square/l2"]


@pytest.mark.parametrize(
    ("count", "expected", "points"),
    [
        (0, "fail", 98),
        (1, "fail", 98),
        (29, "fail", 18),
        (30, "warn", 18),
        (99, "warn", 10),
        (100, "pass", 10),
        (400, "pass", 5),
    ],
)
def test_few_samples(count, expected, points):
    record = honest()
    record.data.samples = count
    check, found = ask(record, "samples")
    assert check.outcome == expected
    assert check.value == pytest.approx(0.98 / max(count, 1) ** 0.5)
    assert numbers(check.measured) == [count, 50, points]
    if expected == "pass":
        assert found == []
    else:
        (finding,) = found
        assert (finding.code, finding.severity, finding.evidence) == (
            "few-samples",
            SEVERITY[expected],
            {"samples": count},
        )
        assert numbers(finding.sentence) == [count, 50, points]


def never(count: int) -> list[float | None]:
    return [None] * count + [0.3] * (N - count)


@pytest.mark.parametrize(
    ("left", "expected"), [(0, "pass"), (4, "pass"), (5, "warn"), (40, "warn"), (41, "fail"), (N, "fail")]
)
def test_an_unbounded_attack_that_does_not_win(left, expected):
    record = honest()
    record.cells = [cell("ddn", never(left)), cell("noise", 0.1, "decision"), cell("pgd", never(left))]
    check, found = ask(record, "unbounded")
    assert (check.outcome, check.value) == (expected, left / N)
    assert numbers(check.measured)[1] == N
    if expected != "pass":
        (finding,) = found
        assert (finding.code, finding.severity) == ("unbounded-not-zero", SEVERITY[expected])
        assert numbers(finding.sentence) == [100 * left / N]
        assert says(finding.sentence, "l2")
        assert finding.cells == ["none/ddn/l2", "none/pgd/l2"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([cell("pgd", never(N))], "not-applicable"),  # a budget
        ([cell("pgd", never(N), norm="linf", eps=0.5)], "fail"),  # that allows a grey image
        ([cell("pgd", never(N), norm="linf", eps=0.49)], "not-applicable"),
        ([cell("pgd", never(N), norm="linf", eps=None)], "not-applicable"),
        ([cell("pgd", never(N), norm="linf", eps=0.1), cell("apgd", never(N), norm="linf", eps=0.6)], "fail"),
        ([cell("pgd", never(N), norm="l1", eps=0.9)], "not-applicable"),
        ([cell("ddn", never(N), "decision")], "not-applicable"),
        ([cell("ddn", never(N), target="class 3")], "not-applicable"),
        ([cell("ddn", never(N), target="least-likely"), cell("pgd", never(N))], "not-applicable"),
        ([cell("ddn", never(N), target="all")], "fail"),
        ([cell("ddn", never(N)), cell("deepfool", 0.4, "scores")], "pass"),
        ([cell("ddn", never(N), status="failed")], "not-applicable"),
        ([cell("ddn", never(N), knowledge="adaptive")], "not-applicable"),
        ([cell("ddn", never(N)), cell("ddn", 0.2, norm="linf")], "fail"),  # every norm on its own
        ([cell("ddn", 0.2, norm="l1"), cell("ddn", never(N))], "fail"),
        ([cell("pgd", 0.3, norm="l1"), cell("ddn", never(N))], "fail"),  # one without a wide attack before it
    ],
)
def test_which_attacks_are_unbounded(cells, expected):
    record = honest()
    record.cells = cells
    assert ask(record, "unbounded")[0].outcome == expected


def test_a_grey_image_is_half_of_the_range_away():
    record = honest()
    record.model.bounds = [-1.0, 1.0]
    record.cells = [cell("pgd", never(N), norm="linf", eps=0.99)]
    assert ask(record, "unbounded")[0].outcome == "not-applicable"
    record.cells[0].eps = 1.0
    assert ask(record, "unbounded")[0].outcome == "fail"
    record.cells = [cell("ddn", [])]
    assert ask(record, "unbounded")[0].value == 0.0


@pytest.mark.parametrize(
    ("met", "lost", "expected"),
    [
        (19, 19, "not-applicable"), (20, 20, "fail"), (100, 0, "pass"), (100, 2, "pass"), (100, 3, "warn"), (100, 20, "warn"),
        (100, 21, "fail"),
    ],
)  # fmt: skip
def test_wins_met_and_lost(met, lost, expected):
    record = honest()
    record.cells[1].watched = {"met": met, "lost": lost}
    check, found = ask(record, "silent-success")
    assert check.outcome == expected
    if expected != "not-applicable":
        assert check.value == lost / met
        assert numbers(check.measured) == [lost, met]
        assert says(check.measured, "pgd", "l2")
    if expected in SEVERITY:
        (finding,) = found
        assert (finding.code, finding.severity) == ("silent-success", SEVERITY[expected])
        assert finding.evidence == {"share": lost / met, "met": met, "lost": lost}
        assert numbers(finding.sentence) == [met, lost]
        assert says(finding.sentence, "pgd", "l2")
        assert finding.cells == ["none/pgd/l2"]


def test_wins_of_each_attack_on_the_bare_model_are_counted():
    record = honest()
    record.cells[0].watched = {"met": 5, "lost": 5}
    record.cells[1].watched = {"met": 100, "lost": 50}
    record.cells[2].watched = {"met": 100}
    check, found = ask(record, "silent-success")
    assert (check.outcome, check.value, len(found)) == ("fail", 0.5, 1)
    record.cells[1].knowledge = "adaptive"
    assert ask(record, "silent-success")[0].value == 0.0
    record.cells[2].watched = {"lost": 100}
    assert ask(record, "silent-success")[0].outcome == "not-applicable"


@pytest.mark.parametrize(
    ("fooled", "short", "expected"),
    [
        (19, 19, "not-applicable"), (20, 20, "fail"), (100, 0, "pass"), (100, 20, "pass"), (100, 21, "warn"), (100, 60, "warn"),
        (100, 61, "fail"),
    ],
)  # fmt: skip
def test_what_fools_the_twin_only(fooled, short, expected):
    record = honest()
    record.cells[1].watched = {"fooled": fooled, "not_carried": short}
    check, found = ask(record, "transfer")
    assert check.outcome == expected
    if expected != "not-applicable":
        assert check.value == short / fooled
        assert numbers(check.measured) == [short, fooled]
        assert says(check.measured, "pgd", "l2")
    if expected in SEVERITY:
        (finding,) = found
        assert (finding.code, finding.severity) == ("transfer-failure", SEVERITY[expected])
        assert finding.evidence == {"share": short / fooled, "fooled": fooled}
        assert numbers(finding.sentence) == [about(short / fooled)]
        assert says(finding.sentence, "pgd", "l2", "none")
        assert finding.cells == ["none/pgd/l2"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "fail"), ({"needs": "scores"}, "not-applicable"), ({"knowledge": "oblivious"}, "not-applicable"),
        ({"knowledge": "adaptive", "defense": "d"}, "fail"), ({"status": "failed"}, "not-applicable"),
        ({"watched": {"not_carried": 90}}, "not-applicable"), ({"watched": {"fooled": 90}}, "pass"),
    ],
)  # fmt: skip
def test_which_attacks_are_asked_about_their_twin(change, expected):
    record = honest()
    record.cells = [
        cell("a", 0.1), cell("pgd", 0.4, **({"watched": {"fooled": 90, "not_carried": 90}} | change)), cell("b", 0.1),
    ]  # fmt: skip
    assert ask(record, "transfer")[0].outcome == expected


# Traces


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
def test_the_slope_of_the_last_tenth(points, steepness):
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
def test_short_and_flat_traces(values, expected):
    found = slope(cell("pgd", 0.4, trace=trace(values)))
    assert found == (None if expected is None else pytest.approx(expected))


def test_the_last_tenth_is_rounded_to_whole_steps():
    """Sixteen points: two steps, of which the first stands still."""
    values = [0.9 * place / 13 for place in range(14)] + [0.9, 1.0]
    assert slope(cell("pgd", 0.4, trace=trace(values))) == pytest.approx(0.1 / (2 / 15))
    left = [*trace(ending(0.4, 11)), *trace([2.0], samples=9.0)]
    assert slope(cell("pgd", 0.4, trace=left)) is None  # a sample left at the last step


def test_only_the_stretch_counts_in_which_no_sample_left():
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


def test_the_median_over_the_runs_counts():
    runs = [point for run, how in enumerate((0.9, 0.1, 0.2), 1) for point in trace(ending(how), run=float(run))]
    assert slope(cell("pgd", 0.4, trace=runs)) == pytest.approx(0.2)
    short = [*trace([1.0], run=1.0), *trace(ending(0.9), run=2.0), *trace(ending(0.3), run=3.0)]
    assert slope(cell("pgd", 0.4, trace=short)) == pytest.approx(0.6)
    unnamed = [*trace(ending(0.9), run=None), *trace(ending(0.3), run=1.0)]  # the first run carries no number
    assert slope(cell("pgd", 0.4, trace=unnamed)) == pytest.approx(0.6)


def test_margin_goes_before_distance_and_distance_before_loss():
    both = [
        {**one, **two, **three}
        for one, two, three in zip(
            trace(ending(0.2)), trace(ending(0.5), "distance"), trace(ending(0.9), "loss"), strict=True
        )
    ]
    assert slope(cell("pgd", 0.4, trace=both)) == pytest.approx(0.2)
    for point in both:
        del point["margin"]
    assert slope(cell("pgd", 0.4, trace=both)) == pytest.approx(0.5)
    assert slope(cell("pgd", 0.4, trace=trace(ending(0.7), "loss"))) == pytest.approx(0.7)
    assert slope(cell("pgd", 0.4, trace=trace(ending(0.7), "other"))) is None
    gaps = trace(ending(0.4, 11))
    gaps.insert(3, {"run": 1.0, "samples": 10.0})  # a point without the value
    assert slope(cell("pgd", 0.4, trace=gaps)) == pytest.approx(0.4)


def test_a_run_in_which_all_were_won_is_left_out():
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
        (0.49, 21, "pass"), (0.51, 21, "warn"), (0.79, 21, "warn"), (0.81, 21, "fail"), (0.49, 4, "pass"), (0.51, 4, "fail"),
        (0.51, 5, "warn"), (0.79, 5, "warn"), (0.81, 5, "fail"),
    ],
)  # fmt: skip
def test_an_attack_that_had_not_come_to_rest(steepness, points, expected):
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


def test_a_run_that_is_long_anywhere_is_not_short():
    record = honest()
    record.cells[1].trace = [*trace(ending(0.6, 4), run=1.0), *trace(ending(0.6, 5), run=2.0)]
    assert ask(record, "optimisation-complete")[0].outcome == "warn"
    record.cells[1].trace = [*trace(ending(0.6, 4), run=1.0), *trace(ending(0.6, 4), run=2.0)]
    assert ask(record, "optimisation-complete")[0].outcome == "fail"
    record.cells[1].trace = [*trace(ending(0.6, 4), run=None), *trace(ending(0.6, 4), run=1.0)]
    assert ask(record, "optimisation-complete")[0].outcome == "fail"


def test_which_attacks_have_to_come_to_rest():
    steep = trace(ending(0.9))
    for change in ({"needs": "scores"}, {"knowledge": "adaptive"}, {"status": "failed"}, {"trace": []}):
        record = honest()
        record.cells[1] = cell("pgd", 0.4, **({"trace": steep} | change))
        assert ask(record, "optimisation-complete")[0].outcome == "not-applicable", change
    record = honest()
    record.cells = [
        cell("pgd", 0.4, norm="l1"), cell("pgd", 0.4, trace=steep), cell("pgd", 0.4, norm="linf", trace=trace(ending(0.1))),
    ]  # fmt: skip
    check, found = ask(record, "optimisation-complete")
    assert (check.outcome, len(found)) == ("fail", 1)  # each norm on its own; one without a trace says nothing
