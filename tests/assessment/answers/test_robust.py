"""How robust: the word and the sentence, by a table of records. What was not measured is never good news."""

from __future__ import annotations

import pytest

from robusteval.assessment.answers.robust import Level, beside, how_robust, word
from robusteval.assessment.answers.seen import change, who_sees
from robusteval.record.run import Finding, Record
from tests.assessment.answers import made
from tests.sure import sure


@pytest.mark.parametrize(
    ("lost", "right", "level"),
    [
        ({"linf": 0}, 100, "robust"),
        ({"linf": 11}, 100, "robust"),  # 89 of 100: from 81.2 %
        ({"linf": 13}, 100, "partly"),  # 87 of 100: from 78.8 %
        ({"linf": 50}, 100, "partly"),
        ({"linf": 51}, 100, "fragile"),
        ({"linf": 100}, 100, "fragile"),
        ({"linf": 0}, 10, "partly"),  # ten of ten say too little: from 69.2 %
        ({"linf": 0, "l2": 60}, 100, "fragile"),  # the weakest norm decides
        ({"linf": 30, "l2": 0}, 100, "partly"),
        ({"linf": 0, "l2": 0}, 100, "robust"),
    ],
)
def test_the_word(lost: dict[str, int], right: int, level: Level) -> None:
    assert how_robust(made.run(lost, right)).level == level


def failed(record: Record) -> None:
    record.cells.append(made.attack(record.cells[0], "linf", 0, 100, 100))
    record.cells[-1].status, record.cells[-1].reason = "failed", "out of memory"


def skipped(record: Record) -> None:
    failed(record)
    record.cells[-1].status = "skipped"


def shortened(record: Record) -> None:
    record.cells[0].without = {"fab-t": "no gradients"}


def unasked(record: Record) -> None:
    record.suite.norms.append("l2")


def aimed(record: Record) -> None:
    record.cells[0].target = "class 3"


@pytest.mark.parametrize("spoil", [failed, skipped, shortened, unasked, aimed])
def test_a_gap_is_never_robust(spoil: object) -> None:
    assert callable(spoil)
    record = made.run({"linf": 0})
    spoil(record)
    found = how_robust(record)
    assert found.level == "undecided"
    assert found.heading == "Not known to be robust"
    assert "It may be less robust than that: " in found.sentence
    broken = made.run({"linf": 90})
    spoil(broken)
    assert how_robust(broken).level == "fragile", "what attacks took is taken, whatever others would have done"


def no_verdict(record: Record) -> None:
    record.verdict = None


def inconclusive(record: Record) -> None:
    sure(record.verdict).status = "inconclusive"
    sure(record.verdict).sentences = ["INCONCLUSIVE: No attack with working gradients was made in Linf."]


def no_results(record: Record) -> None:
    record.results = []


def nothing_right(record: Record) -> None:
    record.pipelines[0].prediction = [2] * made.SAMPLES
    made.derived(record)


def half_a_figure(record: Record) -> None:
    for result in record.results:
        result.low = None


def another_length(record: Record) -> None:
    record.pipelines[0].prediction = record.pipelines[0].prediction[1:]


@pytest.mark.parametrize("spoil", [no_verdict, inconclusive, no_results, nothing_right, half_a_figure, another_length])
def test_inconclusive_says_no_figure(spoil: object) -> None:
    assert callable(spoil)
    record = made.run({"linf": 3})
    spoil(record)
    found = how_robust(record)
    assert (found.level, found.heading, found.figures) == ("inconclusive", "INCONCLUSIVE", "")
    assert found.sentence
    assert "97" not in found.sentence
    assert not found.sentence.startswith("INCONCLUSIVE")


def test_without_a_figure_a_sound_evaluation_is_not_called_unsound() -> None:
    record = made.run({"linf": 3})
    record.results = []
    assert how_robust(record).sentence.startswith("No attacked accuracy at a budget was worked out.")
    record.suite.metrics = ["acme.coverage"]
    assert "only the metrics that it names, and accuracy-curve is none of them" in how_robust(record).sentence
    record.suite.metrics = ["accuracy-curve"]
    inconclusive(record)
    assert how_robust(record).sentence == "No attack with working gradients was made in Linf."


def test_the_sentence_of_a_fragile_model_is_about_half_of_its_answers() -> None:
    found = how_robust(made.run({"linf": 70}))
    assert found.heading == "Fragile within Linf 8/255"
    assert found.sentence == (
        "A change of 2.6/255 in any value, which nobody sees, makes it err on half of the images that it gets right."
    )
    assert found.figures == (
        "Within Linf 8/255 the attacks leave 30.0 % of all 100 images right (95 %: 21.2 to 40.0 %); without an attack "
        "it is 100.0 %."
    )


def test_the_sentence_of_others_is_about_what_stays() -> None:
    found = how_robust(made.run({"linf": 25, "l2": 4}))
    assert found.heading == "Partly robust within Linf 8/255"
    assert found.sentence == (
        "A change of 8/255 in any value, which hardly anybody sees, leaves at most 75 of 100 right answers standing."
    )
    assert [standing.norm for standing in found.standings] == ["linf", "l2"]
    assert how_robust(made.run({"l2": 2, "linf": 1})).heading == "Robust within Linf 8/255 and L2 0.5"
    both = how_robust(made.run({"l2": 80, "linf": 60, "l1": 20}))
    assert both.heading == "Fragile within Linf 8/255 and L2 0.5"
    assert [standing.norm for standing in both.standings] == ["linf", "l2", "l1"]


@pytest.mark.parametrize(
    ("norm", "eps", "said"),
    [
        ("linf", 4.93 / 255, "A change of 5/255 in any value, which nobody sees,"),
        ("linf", 0.1, "A change of 26/255 in any value, which is seen when looked for,"),
        ("linf", 0.3, "A change of 77/255 in any value, which is plainly seen,"),
        ("l2", 0.5, "A change of L2 0.5 (spread evenly 4.6/255 a value), which nobody sees,"),
        ("l1", 10.0, "A change of L1 10 (spread evenly 3.3/255 a value), which nobody sees,"),
        ("l0", 3.0, "Changing 3 of 784 pixels"),
    ],
)
def test_changes_are_told_in_words(norm: str, eps: float, said: str) -> None:
    assert change(norm, eps, made.run({"linf": 0}).model) == said


def test_in_grey_levels_changes_are_grey_levels() -> None:
    model = made.run({"linf": 0}).model
    model.bounds = [0.0, 255.0]
    assert change("linf", 4.93, model) == "A change of 5 in any value, which nobody sees,"


def test_who_sees_it_is_told_by_limits() -> None:
    told = [who_sees(share) for share in (6 / 255, 6.1 / 255, 16 / 255, 16.1 / 255, 0.1, 0.11)]
    assert told == ["nobody sees", *["hardly anybody sees"] * 2, *["is seen when looked for"] * 2, "is plainly seen"]


def test_each_norm_has_a_word_of_its_own() -> None:
    record = made.run({"linf": 60, "l2": 20, "l1": 0})
    assert [word(record, row) for row in how_robust(record).standings] == ["fragile", "partly robust", "robust"]
    record.cells[2].without = {"fab-t": "no gradients"}
    assert word(record, how_robust(record).standings[2]) == "not known to be robust"


def test_too_few_images_are_told_of() -> None:
    assert "100 images are too few to call that robust" in how_robust(made.run({"linf": 13})).sentence
    assert "too few" not in how_robust(made.run({"linf": 30})).sentence
    assert "too few" not in how_robust(made.run({"linf": 3})).sentence


def test_known_models_stand_beside_at_the_same_budget() -> None:
    from tests import records, references

    record = records.with_results(references.beside(records.make(80)))
    weakest = sure(how_robust(record).weakest)
    known = dict(beside(record, weakest))
    assert len(known) == 3
    assert all(0 <= share <= 1 for share in known.values())
    assert not any("exact gradients" in name for name in known)
    record.findings = [Finding("labels-from-model", "warning", "said", {}, "do")]
    assert beside(record, weakest) == [], "its own answers are no measure of others"
