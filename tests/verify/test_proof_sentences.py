"""Each fault of a stored adversarial, one by one: what is said of it, to the letter, and nothing about its
neighbours."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robusteval.assessment.evidence import proof
from robusteval.record.run import Record
from robusteval.verify.parts import columns
from robusteval.verify.parts.columns import DEFENDED, check_columns
from robusteval.verify.parts.evidence import Array, Evidence
from robusteval.verify.parts.result import Verification
from robusteval.verify.parts.stored import stored
from tests.sure import sure
from tests.verify.tiny import adversarial, clean, counted, tiny

DDN, BEHIND = "none/ddn/l2", "d/pgd/l2"


@dataclasses.dataclass
class Scored:
    """A model with the same scores for every image."""

    row: list[float]

    def scores(self, x: Array) -> Array:
        return np.tile(np.array(self.row, np.float32), (len(x), 1))

    def labels(self, x: Array) -> Array:
        return np.full(len(x), int(np.argmax(self.row)))


def kept(record: Record, evidence: Evidence) -> Verification:
    """What is said about the stored adversarials alone."""
    result = Verification()
    stored(record, evidence, result)
    return result


def checked(record: Record, evidence: Evidence) -> Verification:
    result = Verification()
    check_columns(record, evidence, stored(record, evidence, Verification()), result)
    return result


# Which adversarials there are


def test_a_run_that_stored_none() -> None:
    record, evidence, _ = tiny()
    record.witnesses = None
    with pytest.raises(ValueError, match="this run stored no adversarials"):
        kept(record, evidence)


def test_the_file_s_faults() -> None:
    record, evidence, _ = tiny()
    found = kept(record, dataclasses.replace(evidence, sha256="cd" * 32)).failures
    assert found == ["The witness file: it is not the file that the run wrote: its hash differs."]
    evidence.tensors |= {name: clean() for name in "gfedcb"}
    found = kept(record, evidence).failures
    assert found == ["The witness file: it holds b, c, d, e, f, which the record does not mention."]


def test_entries_that_are_too_many_or_in_another_order() -> None:
    record, evidence, _ = tiny()
    entries = sure(record.witnesses).entries
    sure(record.witnesses).entries = [entries[1], entries[0], *entries[2:]]
    assert kept(record, evidence).failures == ["witnesses.entries: they are in another order than the run writes."]
    more = [dataclasses.replace(entries[0], cell=name) for name in "abcd"]
    first = entries[0].sample
    sure(record.witnesses).entries = [*entries, *more]
    who = ", ".join(f"{name}, sample {first}" for name in "abc")
    assert kept(record, evidence).failures == [f"witnesses.entries: there are entries that no column needs ({who})."]
    sure(record.witnesses).entries = [*entries, entries[0]]
    said = "witnesses.entries: there are entries that no column needs (one of them twice)."
    assert kept(record, evidence).failures == [said]


def test_every_entry_that_is_missing_is_told_of() -> None:
    record, evidence, _ = tiny()
    sure(record.witnesses).entries = []
    unnamed = "it holds d.l2, none.l1, none.l2, none.linf, which the record does not mention"
    assert kept(record, evidence).failures == [
        *(f"{cell.id}, sample {sample}: the nearest adversarial in {cell.norm} is not there as the columns need it."
          for places in proof.nearest(record).values()
          for sample, cell in places),
        f"The witness file: {unnamed}.",
    ]  # fmt: skip


def test_rows_that_are_too_many() -> None:
    record, evidence, _ = tiny()
    rows = evidence.tensors["none.l2"]
    evidence.tensors["none.l2"] = np.concatenate([rows, rows[:1]])
    found = kept(record, evidence).failures
    assert found == [f"Tensor none.l2: it has {len(rows) + 1} rows for {len(rows)} lost samples."]


def test_other_wins_that_are_not_as_they_should_be() -> None:
    record, evidence, _ = tiny()
    sure(record.witnesses).wins.reverse()
    found = kept(record, evidence).failures[0]
    assert found == "witnesses.wins: they are not of the cells that have such wins, in their order."
    record, evidence, _ = tiny()
    wanted = proof.wins(record, proof.LIMIT)[0]
    (one, first), (two, second) = list(wanted.items())[:2]
    right = kept(record, evidence)
    changes: list[Callable[[Any], Any]] = [
        lambda rows: rows.astype(np.float64),
        lambda rows: rows.reshape(len(rows), -1),
    ]
    for change in changes:
        record, evidence, _ = tiny()
        evidence.tensors["wins.0"] = change(evidence.tensors["wins.0"])
        assert kept(record, evidence).failures == [
            f"{one}: {len(first)} stored adversarials for {len(first)} distances above 0."
        ]
    record, evidence, _ = tiny()
    evidence.tensors["wins.0"] = np.concatenate([evidence.tensors["wins.0"]] * 2)
    del evidence.tensors["wins.1"]
    result = kept(record, evidence)
    assert result.failures == [
        f"{one}: {2 * len(first)} stored adversarials for {len(first)} distances above 0.",
        f"{two}: 0 stored adversarials for {len(second)} distances above 0.",
    ]
    assert (result.claims, result.confirmed) == (right.claims + len(first) + len(second), right.confirmed)


# What each is


def lawful(record: Record, image: NDArray[Any], sample: int = 0) -> list[str]:
    return columns._feasibility(record, record.cells[1], image, clean()[sample], sample)


def test_the_box_and_its_ends() -> None:
    record, _, _ = tiny()
    image = adversarial(0, 0.375)
    assert lawful(record, image) == []
    for value, out in ((0.0, False), (1.0, False), (-1e-7, True), (1.0000001, True), (np.nan, True)):
        changed = image.copy()
        changed[0, 1, 1] = value
        found = lawful(record, changed)
        assert (found == ["it lies outside the box"]) is out
        assert found


@pytest.mark.parametrize(
    ("grid", "values"),
    [
        ([], 0), ([0.0, 1.0], 0), ([0.0, 1.0, 0.0], 0), ([0.0, 1.0, 8.0], 0), ([-1.0, 1.0, 16.0], 0),
        ([0.0, 1.0, 5.0], 6),
        ([0.1, 1.1, 8.0], 9), ([0.0, 1.0, 4.0], 5),
    ],
)  # fmt: skip
def test_the_grid_of_the_file(grid: list[float], values: int) -> None:
    record, _, _ = tiny()
    record.model.grid = grid
    said = [f"it is not on the grid of {values} values that the file takes"] if values else []
    assert lawful(record, adversarial(0, 0.375)) == said


@pytest.mark.parametrize(("name", "told"), [("distance", "distance"), ("l2", "L2 distance")])
@pytest.mark.parametrize(("more", "same"), [(0.0, True), (3e-10, True), (5e-9, False), (-5e-9, False), (1e-6, False)])
def test_distances_are_those_of_the_bytes(name: str, told: str, more: float, same: bool) -> None:
    record, _, _ = tiny()
    getattr(record.cells[1], name)[0] += more
    found = lawful(record, adversarial(0, 0.375))
    assert found == ([] if same else [f"its {told} is 0.375, not {0.375 + more}"])


def test_no_budget_at_all() -> None:
    record, _, _ = tiny()
    record.cells[1].eps = 0.0
    assert lawful(record, adversarial(0, 0.375)) == ["it is farther than the cell's budget of 0"]


def test_answers() -> None:
    record, _, _ = tiny()
    one = record.cells[1]  # of class 0, answered 1
    assert columns._answer(record, one, 0, 1) == []
    assert columns._answer(record, one, 0, 0) == ["ONNX Runtime gives the right answer"]
    assert columns._answer(record, one, 0, 2) == ["ONNX Runtime answers 2, not 1"]
    assert columns._answer(record, one, 0, -1) == ["ONNX Runtime answers -1, which is no win for the target untargeted"]
    one.target = "least-likely"
    assert columns._answer(record, one, 0, 1) == []
    said = ["ONNX Runtime answers 2, which is no win for the target least-likely"]
    assert columns._answer(record, one, 0, 2) == said


def test_the_least_likely_class_is_that_of_the_model() -> None:
    record, evidence, _ = tiny()
    one = record.cells[1]
    one.target, one.distance, one.prediction = "least-likely", [0.375, 0.0, 0.0, 0.0, 0.0, 0.0], [1, *[None] * 5]

    def rare(scores: list[float]) -> list[bool]:
        found: list[bool] = columns._least_likely(
            record, one, [0], dataclasses.replace(evidence, model=Scored(scores))
        ).tolist()
        return found

    assert rare([5.0, -1.0, 2.0]) == [True]
    assert rare([5.0, 2.0, -1.0]) == [False]
    assert rare([-9.0, 2.0, 2.0]) == [True], "the true class is aside, and a tie is none's fault"
    assert rare([5.0, -1.0, -1.0005]) == [True], "scores differ a little from one machine to another"
    assert columns._least_likely(record, one, [0], dataclasses.replace(evidence, model=None)).tolist() == [True]
    assert rare([0.0, -90.0, -100.0]) == [False]
    record.model.output = "probabilities"
    assert rare([0.0, -90.0, -100.0]) == [True], "neither probability has a digit that holds"


def test_a_win_at_another_class_than_the_least_likely_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    record, evidence, _ = tiny()
    record.cells[1].target = "least-likely"
    assert not any("least likely" in failure for failure in checked(record, evidence).failures), "here all tie"
    monkeypatch.setattr(sure(evidence.model), "scores", Scored([3, 2, 1]).scores)
    said = [failure for failure in checked(record, evidence).failures if "least likely" in failure]
    assert said[0].startswith(f"{DDN}, sample 0: the class 1 is not the one that the model finds least likely")


def test_distances_to_single_classes_beside_the_nearest_are_counted_as_left() -> None:
    record, evidence, _ = tiny()
    assert columns.CLASSES not in checked(record, evidence).left
    none: list[float | None] = [0.0, 0.0, 0.0]
    record.cells[1].by_target = [[0.0, 0.375, 0.9], [0.0, 0.7, None], *[none] * 4]
    assert checked(record, evidence).left[columns.CLASSES] == 1


def test_a_run_of_today_keeps_every_win() -> None:
    """Without the others' bytes their distances would stand unproved."""
    record, evidence, _ = tiny()
    sure(record.witnesses).limit, sure(record.witnesses).wins = 0, []
    assert any(failure.startswith("witnesses.limit is 0") for failure in kept(record, evidence).failures)


def test_what_survives() -> None:
    record, _, _ = tiny()
    one = record.cells[1]
    no, yes = (f"rounded to 8 bits it fools the model {word}" for word in ("no more", "after all"))
    assert columns._survives(record, one, 0, 1) == []
    assert columns._survives(record, one, 0, 0) == [no]
    one.survives_8bit[0] = False
    assert columns._survives(record, one, 0, 0) == []
    assert columns._survives(record, one, 0, 2) == [yes]
    one.target = "least-likely"
    assert columns._survives(record, one, 0, 1) == [yes]
    assert columns._survives(record, one, 0, 2) == []
    one.survives_8bit = []
    assert columns._survives(record, one, 0, 1) == [yes]


def test_class_0_is_a_win_where_it_is_not_the_label() -> None:
    assert columns.wins(0, 1, "untargeted", None)


def test_an_image_that_is_not_finite_says_nothing_about_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    record, evidence, _ = tiny()
    seen = []

    def labels(x: Array) -> Array:
        seen.append(x.copy())
        return counted(x)

    monkeypatch.setattr(sure(evidence.model), "labels", labels)
    evidence.tensors["none.linf"][1, 0, 0, 0] = np.nan
    record.model.bounds = [0.0, 1.0]
    result = checked(record, evidence)
    cell, sample = next((cell.id, n) for n, cell in proof.nearest(record)["none.linf"][1:2])
    assert [failure.split(":")[0] for failure in result.failures] == [f"{cell}, sample {sample}"]
    batch = next(x for x in seen if (x == 0.0).all(axis=(1, 2, 3)).any())
    assert (batch == 0.0).all(axis=(1, 2, 3)).tolist() == [False, True, False, False]
    assert all(np.isfinite(x).all() for x in seen)


def test_a_pipeline_with_a_defence_is_never_the_bare_model() -> None:
    record, evidence, _ = tiny()
    next(cell for cell in record.cells if cell.id == BEHIND).knowledge = "none"
    result = checked(record, evidence)
    assert (result.failures, result.left) == ([], {DEFENDED: 4})
