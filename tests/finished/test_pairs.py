"""Two versions of a model on the same images: a regression is found, another training is none, and what cannot be
compared is not."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from robusteval.errors import RecordError
from robusteval.finished.paired import statistics
from robusteval.finished.paired.compare import compare
from robusteval.finished.paired.document import DOCUMENT, Pair
from robusteval.finished.paired.page import figures
from robusteval.finished.paired.pairs import pair, worse
from robusteval.finished.paired.runs import of
from robusteval.record.run import Record, Verdict
from tests.finished.made import EPS, N, derived, run, shuffled, version


def said(first: Record, second: Record) -> Pair:
    return pair(run("old", first), run("new", second))


def test_five_points_of_five_hundred_images_are_found() -> None:
    made = said(version(1), version(2, lost=25))
    assert made.outcome == "worse"
    assert worse(made)
    test = next(row for row in made.tests if row.norm == "linf" and row.decides)
    assert test.eps == pytest.approx(EPS)
    assert test.difference == pytest.approx(-0.05, abs=0.02)
    assert test.p < 0.05
    assert test.p_adjusted is not None
    assert test.p_adjusted < 0.05
    assert test.low < test.difference < test.high < 0
    assert made.sentence.startswith("new is worse than old")
    back = said(version(2, lost=25), version(1))
    assert (back.outcome, worse(back)) == ("better", False)


def test_two_trainings_of_the_same_model_are_told_apart_no_oftener_than_chance_has_it() -> None:
    """The level is 5 %: of 24 pairs one or two may be, and five would be odd (p < .01)."""
    outcomes = [said(version(training), version(training + 100)).outcome for training in range(24)]
    assert outcomes[0] == "no difference found"
    assert set(outcomes) <= {"no difference found", "worse", "better", "mixed"}
    assert sum(outcome != "no difference found" for outcome in outcomes) <= 4


def test_a_run_beside_itself_has_no_difference_at_all() -> None:
    made = said(version(1), version(1))
    assert made.outcome == "no difference found"
    assert all((test.lost, test.won, test.p, test.difference) == (0, 0, 1.0, 0.0) for test in made.tests)
    assert all(test.low < 0 < test.high for test in made.tests)
    assert made.changed == []
    assert made.findings == []
    assert [(row.norm, row.low, row.high) for row in made.medians] == [("l2", 0.0, 0.0), ("linf", 0.0, 0.0)]


def test_counts_by_hand() -> None:
    first, second = version(1), version(2, lost=25)
    made = said(first, second)
    held = [all((cell.distance[n] or 0) > EPS for cell in first.cells[:3]) for n in range(N)]
    holds = [all((cell.distance[n] or 0) > EPS for cell in second.cells[:3]) for n in range(N)]
    test = next(row for row in made.tests if row.norm == "linf" and row.decides)
    assert (test.first, test.second) == (sum(held) / N, sum(holds) / N)
    assert test.lost == sum(a and not b for a, b in zip(held, holds, strict=True))
    assert test.won == sum(b and not a for a, b in zip(held, holds, strict=True))
    listed = [image for image in made.changed if image.norm == "linf" and image.went == "lost"]
    assert {image.sample for image in listed} == {n for n in range(N) if held[n] and not holds[n]}
    assert all(image.name == f"{image.sample}.png" for image in listed)
    rows = [row for row in made.classes if row.norm == "linf"]
    assert sum(row.images for row in rows) == N
    assert sum(row.first * row.images for row in rows) == pytest.approx(sum(held))
    falls = [row.second - row.first for row in rows]
    assert falls == sorted(falls)


def test_images_in_another_order_are_the_same_images() -> None:
    straight, turned = said(version(1), version(2, lost=25)), said(version(1), shuffled(version(2, lost=25)))
    assert turned.tests == straight.tests
    assert turned.changed == straight.changed
    assert turned.medians == straight.medians


def _other_images(record: Record) -> None:
    record.data.hashes[0] = "0" * 32


def _other_labels(record: Record) -> None:
    record.data.hashes, record.data.labels[0] = [], 9 - record.data.labels[0]


def _other_attacks(record: Record) -> None:
    record.suite.attacks_sha256 = "ee" * 32


def _no_hash(record: Record) -> None:
    record.suite.attacks_sha256 = ""


def _other_suite(record: Record) -> None:
    record.suite.attacks_sha256, record.suite.name = "ee" * 32, "standard"


def _other_shape(record: Record) -> None:
    record.model.input_shape = [1, 8, 8]


@pytest.mark.parametrize(
    ("change", "why", "clean"),
    [
        (_other_images, "They saw other images", False), (_other_labels, "They saw other images or labels", False),
        (_other_attacks, "Both ran the suite quick 1, with other attacks", True),
        (_no_hash, "does not say by a hash which attacks", True),
        (_other_suite, "by the suite quick 1, and by standard 1", True),
        (_other_shape, "take other inputs", True),
    ],
)  # fmt: skip
def test_what_is_not_comparable_is_refused_with_the_nearest_that_can_be_said(
    change: Callable[[Record], None], why: str, clean: bool
) -> None:
    second = version(2, lost=25)
    change(second)
    made = said(version(1), second)
    assert made.outcome == "not comparable"
    assert any(why in reason for reason in made.reasons)
    assert not any(test.what == "robust" for test in made.tests)
    assert [test.what for test in made.tests] == (["clean"] if clean else [])
    assert made.nearest[0].startswith("old: clean accuracy 9")
    assert "at linf 8/255" in made.nearest[1]


def test_two_runs_that_do_not_say_what_attacked_them_are_not_of_the_same_attacks() -> None:
    first, second = version(1), version(2)
    _no_hash(first)
    _no_hash(second)
    assert said(first, second).outcome == "not comparable"


def test_nothing_is_decided_on_an_evaluation_that_is_no_good() -> None:
    for verdict in (None, Verdict("inconclusive", "D", "", [])):
        second = version(2, lost=200)
        second.verdict = verdict
        made = said(version(1), second)
        assert made.outcome == "undecided"
        assert made.reasons == ["The evaluation of new is inconclusive."]


def test_an_attack_that_only_one_run_finished_does_not_count() -> None:
    """It may be the strongest: then the other model would look better for an attack that crashed."""
    second = version(1)
    second.cells[2].status = "failed"
    made = said(version(1), second)
    assert all(test.lost == test.won == 0 for test in made.tests)
    assert "Only old finished apgd in linf, so it does not count." in made.notes
    for cell in second.cells:
        cell.status = "failed"
    second.verdict = version(1).verdict
    assert said(version(1), second).outcome == "undecided"


def test_where_all_images_are_lost_at_the_usual_budget_the_most_telling_one_decides() -> None:
    first, second = version(1), version(2, lost=25)
    for record in (first, second):
        for cell in record.cells:
            cell.distance = [value and value / 8 for value in cell.distance]
        derived(record)
    made = said(first, second)
    (test,) = [row for row in made.tests if row.decides and row.norm == "linf"]
    assert test.eps == pytest.approx(1 / 255)
    assert made.outcome == "worse"


def test_ranges_of_other_width_are_the_same_shares() -> None:
    second = version(2, lost=25)
    second.model.bounds = [0.0, 255.0]
    for cell in second.cells:
        cell.distance = [value and 255 * value for value in cell.distance]
        cell.eps = cell.eps and 255 * cell.eps
    straight, wide = said(version(1), version(2, lost=25)), said(version(1), derived(second))
    assert [dataclasses.replace(test, eps=0) for test in wide.tests] == [
        dataclasses.replace(test, eps=0) for test in straight.tests
    ]


def test_findings_and_checks_that_came_or_went() -> None:
    second = version(1)
    for cell in second.cells[:3]:
        cell.zero_gradients, cell.blind = 10 * N, [10] * N
    made = said(version(1), derived(second))
    assert {row.kind for row in made.findings} == {"finding", "check"}
    assert all(row.first != row.second for row in made.findings)
    assert [row.kind for row in said(second, second).findings] == []


def test_the_document_fits_its_schema_and_holds_a_line_a_run_and_norm() -> None:
    other = version(3)
    other.suite.attacks_sha256 = "ee" * 32
    runs = [run("old", version(1)), run("new", version(2)), run("odd", other)]
    paired = compare(runs)
    assert DOCUMENT.schema == DOCUMENT.build_schema(), "make schemas"
    assert DOCUMENT.misfit(dataclasses.asdict(paired)) is None
    assert [(curve.label, curve.group) for curve in paired.curves] == [
        ("old", "l2"), ("new", "l2"), ("old", "linf"), ("new", "linf"),
    ]  # fmt: skip
    assert [pair.second for pair in paired.pairs] == ["new", "odd"]
    assert compare(runs) == paired, "the bootstrap is seeded"
    with pytest.raises(RecordError):
        compare(runs[:1])


def test_six_models_are_drawn_over_each_other() -> None:
    paired = compare([run(f"m{training}", version(training, samples=60)) for training in range(6)])
    assert len(paired.pairs) == 5
    drawn = figures(paired)
    assert [figure.title for figure in drawn] == ["All runs, L2", "All runs, L\u221e"]
    assert all({f"m{n}" for n in range(6)} <= set(re.findall(r"m\d", str(figure.spec))) for figure in drawn)


def test_a_run_without_clean_answers_is_refused() -> None:
    record = version(1)
    record.pipelines[0].prediction = []
    with pytest.raises(RecordError, match="no clean answers"):
        of("old", Path("old"), record)


def test_mcnemar_is_the_binomial_test_on_what_changed() -> None:
    assert statistics.mcnemar(0, 0) == 1
    assert statistics.mcnemar(5, 5) == 1
    assert statistics.mcnemar(0, 5) == pytest.approx(2 / 32)
    assert statistics.mcnemar(9, 1) == pytest.approx(2 * 11 / 1024)
    assert statistics.mcnemar(1, 9) == statistics.mcnemar(9, 1)


def test_the_interval_of_a_difference_is_that_of_agresti_and_min() -> None:
    low, high = statistics.difference_interval(16, 6, 100)  # by their formula: (b + .5, c + .5, n + 2)
    middle, spread = -10 / 102, 1.959963984540054 * np.sqrt(23 - 100 / 102) / 102
    assert (low, high) == pytest.approx((middle - spread, middle + spread))
    assert statistics.difference_interval(3, 0, 3)[0] == -1
    wide = statistics.difference_interval(0, 0, 500)
    assert wide == pytest.approx((-0.0039, 0.0039), abs=1e-4)


def test_the_interval_covers_the_truth() -> None:
    """Of 400 draws 95 % are expected inside, and 91 % would be odd (p < .001)."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(500, [0.08, 0.05, 0.87], size=400)
    inside = [low <= -0.03 <= high for lost, won, _ in counts for low, high in
              [statistics.difference_interval(int(lost), int(won), 500)]]  # fmt: skip
    assert np.mean(inside) > 0.91


def test_holm_by_hand() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert statistics.holm([]) == []


def test_a_paired_bootstrap_is_narrower_than_two_of_their_own() -> None:
    rng = np.random.default_rng(0)
    first = rng.lognormal(0, 1, 400)
    second = first + 0.1 + 0.01 * rng.normal(size=400)
    bounds = statistics.median_change(first, second, np.random.default_rng(1))
    assert bounds is not None
    assert bounds[0] > 0.05
    assert bounds[1] < 0.15
    never = np.full(400, np.inf)
    assert statistics.median_change(first, never, np.random.default_rng(1)) is None
    assert statistics.median_change(never, never, np.random.default_rng(1)) is None
    assert statistics.median_change(first[:1], second[:1], np.random.default_rng(1)) is None
