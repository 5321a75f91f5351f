"""The checks of whether more effort would have found more: both sides of every limit, and every figure."""

from __future__ import annotations

from typing import Any

import pytest

from robusteval.record.measured import Cell
from robusteval.record.run import Strength
from tests.assessment.asking import SEVERITY, about, ask, numbers, one, says
from tests.engine.test_findings import N, cell, honest

# A bigger budget


def kept(*shares: float, order: tuple[int, ...] | None = None, wrong: int = 0) -> list[Strength]:
    """The attack's candidates at budgets 1, 2, ...; so many samples, the first ones, were wrong when clean."""
    rows = [
        Strength(place + 1.0, 0.0, 0.0, [number - wrong < round(share * (N - wrong)) for number in range(N)], [0] * N)
        for place, share in enumerate(shares)
    ]
    return [rows[place] for place in order or range(len(rows))]


@pytest.mark.parametrize(
    ("shares", "value", "expected"),
    [
        ((0.2, 0.9), 0.0, "pass"), ((1.0, 0.9), 0.1, "pass"), ((0.95, 0.84), 0.3, "warn"), ((0.95, 0.95), 0.0, "pass"),
        ((0.2, 0.9, 0.8, 0.95), 0.1, "pass"), ((0.2, 0.9, 0.79, 0.95), 0.11, "warn"),
        ((0.2, 0.9, 0.4, 0.95), 0.5, "warn"),
        ((0.2, 0.9, 0.39, 0.95), 0.51, "fail"), ((0.9, 0.1), 0.8, "fail"),
        ((0.2, 0.9, 0.85, 0.8, 0.79), 0.11, "warn"),  # falls add up
        ((0.5, 0.52), 0.0, "pass"), ((0.0, 0.02), 0.0, "pass"),  # two percent to the bit
        ((0.5, 0.7, 0.505), 0.3, "warn"), ((0.5, 0.5, 0.7), 0.0, "pass"),
        ((0.5, 0.515), 0.3, "warn"), ((0.5, 0.5), 0.3, "warn"), ((0.9, 0.9), 0.0, "pass"),
        ((0.895, 0.895), 0.3, "warn"), ((0.0, 0.0), 0.3, "warn"), ((0.9, 0.3), 0.6, "fail"),
    ],
)  # fmt: skip
def test_a_budget_that_grows(shares: tuple[float, ...], value: float, expected: str) -> None:
    record = honest()
    record.cells[1].strengths = kept(*shares)
    check, found = ask(record, "bigger-budget")
    assert check.outcome == expected
    assert check.value == pytest.approx(value, abs=1e-9)
    fall = max(max(shares[: n + 1]) - share for n, share in enumerate(shares))
    first, last = 100 * shares[0], 100 * shares[-1]
    said = [pytest.approx(first, abs=0.51), 1, pytest.approx(last, abs=0.51), len(shares)]
    assert numbers(check.measured) == [*said, pytest.approx(100 * fall, abs=0.51)]
    assert says(check.measured, "pgd", "l2")
    if expected in SEVERITY:
        (finding,) = found
        assert (finding.code, finding.severity) == ("bigger-budget-no-help", SEVERITY[expected])
        assert finding.evidence == {
            "first": pytest.approx(shares[0]), "last": pytest.approx(shares[-1]), "fall": pytest.approx(fall),
        }  # fmt: skip
        assert numbers(finding.sentence) == said
        assert says(finding.sentence, "pgd", "l2")
        assert finding.cells == ["none/pgd/l2"]


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("pgd", {}, "warn"), ("noise", {}, "not-applicable"), ("ddn", {}, "not-applicable"),
        ("pgd", {"knowledge": "adaptive"}, "not-applicable"), ("pgd", {"status": "failed"}, "not-applicable"),
        ("pgd", {"strengths": kept(0.5)}, "not-applicable"), ("pgd", {"strengths": []}, "not-applicable"),
        ("pgd", {"distance": [0.0] * N}, "not-applicable"), ("noise", {"strengths": kept(0.9, 0.7, 0.9)}, "warn"),
        ("pgd", {"strengths": kept(0.2, 0.9, order=(1, 0))}, "pass"),  # in the order of the budgets
    ],
)  # fmt: skip
def test_which_attacks_have_to_gain_by_a_bigger_budget(name: str, change: dict[str, Any], expected: str) -> None:
    record = honest()
    record.cells = [
        cell("first", 0.1), cell(name, 0.4, **({"strengths": kept(0.5, 0.5)} | change)),
        cell("last", 0.4, strengths=kept(0.1, 0.9), status="done" if expected == "pass" else "failed"),
    ]  # fmt: skip
    assert ask(record, "bigger-budget")[0].outcome == expected


def test_attacks_after_one_that_is_left_out_are_looked_at() -> None:
    record = honest()
    record.cells = [cell("noise", 0.4, strengths=kept(0.5, 0.5)), cell("pgd", 0.4, strengths=kept(0.9, 0.1))]
    assert ask(record, "bigger-budget")[0].outcome == "fail"


def test_samples_that_were_wrong_when_clean_do_not_count() -> None:
    record = honest()
    record.cells[1].distance = [*[0.0] * 100, *[0.4] * 100]
    record.cells[1].strengths = kept(0.5, 0.9, wrong=100)  # which fools all of those too
    check, _ = ask(record, "bigger-budget")
    assert numbers(check.measured)[:3] == [50, 1, 90]


def test_candidates_of_other_samples_are_refused() -> None:
    record = honest()
    record.cells[1].strengths = kept(0.5, 0.9)
    record.cells[1].strengths[0].fools_model.pop()
    with pytest.raises(ValueError, match="argument"):
        ask(record, "bigger-budget")


# Probes


@pytest.mark.parametrize("label", ["twice-steps", "other-start"])
@pytest.mark.parametrize(("count", "expected"), [(0, "pass"), (16, "pass"), (17, "warn"), (64, "warn")])
def test_a_probe_that_comes_nearer(label: str, count: int, expected: str) -> None:
    record = honest()
    distances = [0.1] * count + [0.5] * (64 - count)
    record.probes = [cell("pgd", distances, id=f"probe/{label}/none/pgd/l2")]
    check, found = ask(record, label)
    share = count / 64
    assert (check.outcome, check.value) == (expected, share)
    assert numbers(check.measured) == [about(share), 64]
    assert says(check.measured, "pgd", "l2")
    assert ask(record, "other-start" if label == "twice-steps" else "twice-steps")[0].outcome == "not-applicable"
    if expected in SEVERITY:
        (finding,) = found
        code = "steps-matter" if label == "twice-steps" else "start-matters"
        assert (finding.code, finding.severity) == (code, "warning")
        assert finding.evidence == {"share": share, "samples": 64, "than the attack itself": share}
        assert numbers(finding.sentence) == [about(share), 64, 15]
        assert says(
            finding.sentence, "pgd", "l2", "twice the steps" if code == "steps-matter" else "another random start"
        )
        assert finding.cells == ["none/pgd/l2"]


@pytest.mark.parametrize(
    ("distance", "share", "own"),
    [(0.255, 0.0, 1.0), (0.2549, 1.0, 1.0), (0.34, 0.0, 0.0), (0.3399, 0.0, 1.0), (None, 0.0, 0.0)],
)
def test_nearer_is_by_fifteen_hundredths_of_the_worst_case_and_of_the_attack(
    distance: float | None, share: float, own: float
) -> None:
    """The worst case is ddn's .3, the attack itself is at .4."""
    record = honest()
    probe = cell("pgd", [distance] * 60 + [0.0] * 4, id="probe/twice-steps/none/pgd/l2")
    record.cells = [cell("pgd", [0.4] * (N - 3) + [0.0] * 3), cell("ddn", 0.3)]
    record.probes = [probe]
    check, found = ask(record, "twice-steps")
    assert check.value == pytest.approx((60 * share + 4) / 64, abs=1e-9)
    for one_finding in found:
        assert one_finding.evidence["than the attack itself"] == pytest.approx((60 * own + 4) / 64)


@pytest.mark.parametrize(
    ("known", "probed", "share", "count"),
    [
        ([0.4, 0.4, 0.0, None], [0.1, 0.5, 0.1, None], 0.5, 2),  # wrong when clean, and never lost by either: not asked
        ([None, None, 0.4, 0.4], [0.1, None, 0.4, 0.4], 1 / 3, 3),
        ([0.0, 0.0], [0.1, 0.1], 0.0, 0),
        ([0.4, 0.4, 0.4], [0.1], 1.0, 1),
    ],
)
def test_which_samples_a_probe_is_compared_on(
    known: list[float | None], probed: list[float | None], share: float, count: int
) -> None:
    record = honest()
    record.cells = [cell("pgd", known)]
    record.probes = [cell("pgd", probed, id="probe/other-start/none/pgd/l2")]
    check, found = ask(record, "other-start")
    assert check.value == pytest.approx(share)
    assert numbers(check.measured)[1] == count
    for finding in found:
        assert finding.evidence["than the attack itself"] == pytest.approx(share)


def test_a_probe_is_compared_with_its_own_norm_on_the_bare_model() -> None:
    record = honest()
    record.cells += [
        cell("pgd", 0.01, norm="linf", id="other"), cell("pgd", 0.01, defense="d", knowledge="adaptive", id="behind"),
    ]  # fmt: skip
    record.probes = [cell("pgd", [0.1] * 30 + [0.34] * 34, id="probe/twice-steps/none/pgd/l2")]
    check, finding = one(record, "twice-steps")
    assert check.value == 30 / 64
    assert finding.evidence["than the attack itself"] == 30 / 64  # .34 is .85 of its .4, and no nearer


def test_which_probes_count() -> None:
    def value(probe: Cell, base: Cell | None = None) -> int:
        record = honest()
        record.cells[1] = base or cell("pgd", 0.4)
        later = cell("fgsm", 0.2, id="probe/twice-steps/none/fgsm/l2")
        record.probes = [probe, later]
        check, found = ask(record, "twice-steps")
        assert says(check.measured, "fgsm") or "pgd" in check.measured
        return len(found)

    assert value(cell("pgd", 0.2, id="probe/twice-steps/none/pgd/l2")) == 2
    assert value(cell("pgd", 0.2, id="probe/other-start/none/pgd/l2")) == 1
    assert value(cell("pgd", 0.2, id="probe/twice-steps/none/gone/l2")) == 1
    assert value(cell("pgd", 0.2, id="probe/twice-steps/none/pgd/l2", status="failed")) == 1
    assert value(cell("pgd", 0.2, id="probe/twice-steps/none/pgd/l2"), cell("pgd", [], status="failed")) == 1


# Targeted and untargeted


def test_targeted_attacks_that_take_more() -> None:
    for count, expected in ((0, "pass"), (20, "pass"), (21, "warn"), (50, "warn"), (51, "fail")):
        record = honest()
        record.cells = [cell("pgd", 0.4), cell("least-likely", [0.1] * count + [0.9] * (N - count))]
        check, found = ask(record, "targeted")
        assert (check.outcome, check.value) == (expected, count / N)
        assert numbers(check.measured) == [about(count / N)]
        assert says(check.measured, "l2")
        if expected in SEVERITY:
            (finding,) = found
            assert (finding.code, finding.severity) == ("targeted-disagrees", SEVERITY[expected])
            assert numbers(finding.sentence) == [about(count / N)]
            assert says(finding.sentence, "l2")
            assert finding.cells == ["none/least-likely/l2", "none/pgd/l2"]
            assert finding.evidence == {"share": count / N}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([cell("apgd", 0.1, params={"loss": "targeted"}), cell("pgd", 0.4)], "fail"),
        ([cell("apgd", 0.1, params={"loss": "dlr-targeted"}), cell("pgd", 0.4)], "fail"),
        ([cell("apgd", 0.1, params={"loss": "dlr"}), cell("pgd", 0.4)], "not-applicable"),
        ([cell("apgd", 0.1, params={}), cell("pgd", 0.4)], "not-applicable"),
        ([cell("least-likely", 0.1)], "not-applicable"),
        ([cell("least-likely", 0.1, "scores"), cell("pgd", 0.4)], "not-applicable"),
        ([cell("least-likely", 0.1), cell("pgd", 0.4, "scores")], "not-applicable"),
        ([cell("least-likely", 0.1), cell("pgd", 0.4, target="class 3")], "not-applicable"),
        ([cell("least-likely", 0.1, target="class 3"), cell("pgd", 0.4)], "not-applicable"),
        ([cell("least-likely", 0.1), cell("pgd", 0.4, threat="budget")], "not-applicable"),
        ([cell("least-likely", 0.1), cell("pgd", 0.4, knowledge="adaptive")], "not-applicable"),
        ([cell("least-likely", 0.1), cell("pgd", 0.4, norm="linf")], "not-applicable"),
        ([cell("pgd", 0.4, norm="l1"), cell("least-likely", 0.1), cell("pgd", 0.4)], "fail"),
        ([cell("least-likely", 0.9), cell("pgd", 0.4)], "pass"),
    ],
)  # fmt: skip
def test_which_attacks_are_targeted(cells: list[Cell], expected: str) -> None:
    record = honest()
    record.cells = cells
    assert ask(record, "targeted")[0].outcome == expected
