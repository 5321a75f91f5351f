"""Every stored distance against its adversarial: what is right is confirmed, each lie alone is told of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

from robusteval.assessment.evidence import proof
from robusteval.record.run import TITLES_ONLY, Record
from robusteval.verify.parts.columns import DEFENDED, OLD, ROOM, check_columns, wins
from robusteval.verify.parts.evidence import Evidence
from robusteval.verify.parts.result import Verification
from robusteval.verify.parts.stored import Key, stored
from tests.sure import instance, sure
from tests.verify.tiny import Counting, clean, stored_for, tiny

DDN, PGD, LINF, L1, BEHIND = "none/ddn/l2", "none/pgd/l2", "none/pgd/linf", "none/pgd/l1", "d/pgd/l2"


def checked(record: Record, evidence: Evidence) -> Verification:
    result = Verification()
    check_columns(record, evidence, stored(record, evidence, result), result)
    return result


def faults(record: Record, evidence: Evidence) -> str:
    result = checked(record, evidence)
    assert result.claims - result.confirmed >= bool(result.failures)
    return "\n".join(result.failures)


def test_what_is_right_is_confirmed_and_counted() -> None:
    result = checked(*tiny()[:2])
    assert result.failures == []
    # 20 wins, 5 samples that were wrong when clean, and the witness file's hash
    assert (result.claims, result.confirmed) == (4 + 3 + 4 + 5 + 4 + 5 + 1, 4 + 3 + 4 + 5 + 4 + 5 + 1)
    assert result.left == {DEFENDED: 4}
    assert result.notes[0].startswith("5 entries say")


def test_which_images_stand_where() -> None:
    record, evidence, images = tiny()
    there = stored(record, evidence, Verification())
    assert set(there.images) == {Key(number, sample) for number, kept in images.items() for sample in kept}
    assert all(np.array_equal(image, images[key.cell][key.sample]) for key, image in there.images.items())
    assert all(found == [] for found in there.faults.values())
    assert set(there.faults) == {Key(entry.cell, entry.sample) for entry in sure(record.witnesses).entries}
    assert there.left == {}


def column(record: Record, cell: str, name: str) -> Any:
    return getattr(next(found for found in record.cells if found.id == cell), name)


@pytest.mark.parametrize(
    ("cell", "name", "sample", "value", "said"),
    [
        (DDN, "distance", 0, 0.376, "its distance is 0.375, not 0.376"),
        (DDN, "distance", 0, 0.375 * (1 + 1e-7), "its distance"),
        (PGD, "distance", 0, 0.51, "its distance is 0.5"), (LINF, "distance", 1, 0.49, "its distance"),
        (DDN, "l2", 0, 0.376, "L2 distance is 0.375, not 0.376"), (LINF, "l2", 1, 0.49, "L2 distance"),
        (BEHIND, "distance", 0, 0.49, "its distance"), (L1, "distance", 4, 0.51, "its distance"),
        (DDN, "prediction", 0, 2, "answers 1, not 2"), (DDN, "prediction", 0, 0, "not 0"),
        (PGD, "distance", 5, 0.1, "clean sample is answered wrong"), (PGD, "l2", 5, None, "its l2 is that of a win"),
        (L1, "survives_8bit", 0, False, "fools the model after all"), (PGD, "distance", 5, None, "answered wrong"),
        (PGD, "distance", 0, 0.0, "clean sample is answered right"), (BEHIND, "l2", 0, 0.6, "L2 distance"),
        (PGD, "l2", 4, 0.1, "its l2 is that of a win"), (PGD, "prediction", 4, 1, "its prediction goes not"),
        (PGD, "survives_8bit", 4, True, "its survives_8bit goes"), (PGD, "prediction", 0, None, "its prediction goes"),
    ],
)  # fmt: skip
def test_a_changed_column_is_told_of(cell: str, name: str, sample: int, value: float | bool | None, said: str) -> None:
    record, evidence, _ = tiny()
    column(record, cell, name)[sample] = value
    assert said in faults(record, evidence)
    assert f"{cell}, sample {sample}" in faults(record, evidence)


@pytest.mark.parametrize("name", ["l2", "survives_8bit"])
def test_a_missing_column_is_told_of(name: str) -> None:
    record, evidence, _ = tiny()
    setattr(record.cells[0], name, [])
    assert f"there is no column {name}" in faults(record, evidence)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x + 0.9, "outside the box"), (lambda x: x - 0.3, "outside the box"),
        (lambda x: x * np.nan, "outside the box"), (lambda x: x * 0 + 0.25, "right answer"),
        (lambda x: x + np.float32(1e-3), "its distance is"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("tensor", ["none.l2", "wins.0"])
def test_a_changed_image_is_told_of(tensor: str, change: Callable[..., Any], said: str) -> None:
    record, evidence, _ = tiny()
    evidence.tensors[tensor] = evidence.tensors[tensor].copy()
    evidence.tensors[tensor][0] = change(evidence.tensors[tensor][0])
    found = faults(record, evidence)
    assert said in found
    assert ("its bytes changed" in found) is (tensor == "none.l2")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("tensor", "none.linf", "said to be row"), ("row", 1, "said to be row"), ("label", 1, "its label is 0"),
        ("defense", "d", "another pipeline or norm"), ("norm", "linf", "another pipeline or norm"),
        ("distance", 0.3751, "entry says distance 0.3751"), ("prediction", 2, "have another answer"),
        ("sha256", "00", "its bytes changed"),
    ],
)  # fmt: skip
def test_a_changed_entry_is_told_of(field: str, value: str | float, said: str) -> None:
    record, evidence, _ = tiny()
    entry = next(entry for entry in sure(record.witnesses).entries if (entry.cell, entry.sample) == (DDN, 0))
    setattr(entry, field, value)
    assert said in faults(record, evidence)


def test_entries_are_there_once_all_of_them_and_in_order() -> None:
    record, evidence, _ = tiny()
    kept = sure(record.witnesses).entries
    for change, said in (
        (kept[1:], "is not there as the columns need it"),
        ([*kept, kept[0]], "one of them twice"),
        ([*kept, dataclasses.replace(kept[0], sample=4)], "entries that no column needs"),
        ([kept[1], kept[0], *kept[2:]], "another order"),
        ([], "is not there as the columns need it"),
    ):
        sure(record.witnesses).entries = list(change)
        assert said in faults(record, evidence), said


def test_missing_and_surplus_tensors_are_told_of() -> None:
    changes: tuple[tuple[Callable[[Any], object], str], ...] = (
        (lambda kept: kept.pop("none.l2"), "is not there as the columns need it"),
        (lambda kept: kept.update({"none.l2": kept["none.l2"][:-1]}), "is not there as the columns need it"),
        (lambda kept: kept.update({"none.l2": kept["none.l2"].astype(float)}), "is not there as the columns need it"),
        (lambda kept: kept.update({"none.l2": kept["none.l2"].reshape(-1, 4)}), "is not there as the columns need it"),
        (lambda kept: kept.update({"none.l2": np.concatenate([kept["none.l2"]] * 2)}), "8 rows for 4 lost samples"),
        (lambda kept: kept.pop("wins.0"), "0 stored adversarials for"),
        (lambda kept: kept.update({"wins.0": kept["wins.0"][:-1]}), "stored adversarials for"),
        (lambda kept: kept.update({"more": kept["wins.0"]}), "holds more, which the record does not mention"),
    )
    for change, said in changes:
        record, evidence, _ = tiny()
        change(evidence.tensors)
        assert said in faults(record, evidence), said


def test_the_file_s_hash_is_that_of_the_record() -> None:
    record, evidence, _ = tiny()
    assert "hash differs" in faults(record, dataclasses.replace(evidence, sha256="cd" * 32))


def test_the_list_of_other_wins_is_the_rule_s() -> None:
    changes: tuple[Any, ...] = (lambda kept: kept.pop(), lambda kept: kept.append(kept[0]), lambda kept: kept.reverse())
    for change in changes:
        record, evidence, _ = tiny()
        assert len(sure(record.witnesses).wins) > 1
        change(sure(record.witnesses).wins)
        assert "not of the cells that have such wins" in faults(record, evidence)
    record, evidence, _ = tiny()
    sure(record.witnesses).limit = 7
    assert "witnesses.limit is 7" in faults(record, evidence)


def test_wins_that_older_runs_did_not_keep_are_counted_as_left() -> None:
    record, evidence, _ = tiny()
    record.schema, sure(record.witnesses).limit, sure(record.witnesses).wins = TITLES_ONLY, 0, []
    for name in [name for name in evidence.tensors if name.startswith("wins")]:
        del evidence.tensors[name]
    result = checked(record, evidence)
    assert result.failures == []
    others = 20 - len(sure(record.witnesses).entries)
    assert result.left[OLD] == others
    assert ROOM not in result.left
    assert result.claims == len(sure(record.witnesses).entries) + 5 + 1


def test_wins_for_which_there_is_no_room_are_counted_as_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "LIMIT", 16)
    record, _, images = tiny()
    evidence = stored_for(record, images)
    result = checked(record, evidence)
    assert result.failures == []
    assert result.left[ROOM] == 2


def test_a_model_that_cannot_be_asked_leaves_its_answers() -> None:
    record, evidence, _ = tiny()
    result = checked(record, dataclasses.replace(evidence, model=None, without="no ONNX file"))
    assert result.failures == []
    assert result.left == {"no ONNX file": 16, DEFENDED: 4}
    column(record, DDN, "prediction")[0] = 2
    assert "another answer" in faults(record, dataclasses.replace(evidence, model=None))
    column(record, DDN, "distance")[1] = 0.6
    assert "its distance" in faults(record, dataclasses.replace(evidence, model=None))


def test_each_image_is_asked_about_once() -> None:
    record, evidence, _ = tiny()
    checked(record, evidence)
    # two cells in l2 and one in linf; l1 twice, as it keeps no 8-bit images
    assert instance(evidence.model, Counting).asked == [4, 3, 4, 5, 5]
    record.suite.levels = 64  # the saved image is asked as it is, on whatever grid the suite has its own
    instance(evidence.model, Counting).asked.clear()
    checked(record, evidence)
    assert instance(evidence.model, Counting).asked == [4, 3, 4, 5, 5]


def test_a_pipeline_without_clean_answers_has_no_distances() -> None:
    changes: tuple[Any, ...] = (lambda row: setattr(row, "status", "failed"), lambda row: setattr(row, "defense", "e"))
    for change in changes:
        record, evidence, _ = tiny()
        change(record.pipelines[1])
        assert f"{BEHIND}: its pipeline has no clean answers" in faults(record, evidence)


@pytest.mark.parametrize(("levels", "fits"), [(0, True), (4, True), (8, True), (5, False), (255, False)])
def test_the_grid(levels: int, fits: bool) -> None:
    """Quarters and eighths; five levels and 255 have none of them."""
    record, evidence, _ = tiny()
    record.suite.levels = levels
    for cell in record.cells[1:2]:
        cell.distance[0:3], cell.l2[0:3] = cell.distance[0:3], cell.l2[0:3]
    found = faults(record, evidence)
    assert (f"not on the grid of {levels + 1} levels" not in found) is (fits and levels != 4)


@pytest.mark.parametrize(
    ("eps", "threat", "levels", "told"),
    [
        (0.5, "curve", 0, False), (0.5 / (1 + 0.9e-5), "curve", 0, False), (0.5 / (1 + 1.1e-5), "curve", 0, True),
        (0.49, "curve", 0, True), (0.49, "budget", 0, True), (None, "curve", 0, False), (0.49, "curve", 8, False),
        (0.49, "budget", 8, True),
    ],
)  # fmt: skip
def test_the_budget_of_a_cell(eps: float | None, threat: Literal["curve", "budget"], levels: int, told: bool) -> None:
    record, evidence, _ = tiny()
    one = next(cell for cell in record.cells if cell.id == L1)
    one.eps, one.threat, record.suite.levels = eps, threat, levels
    assert ("farther than the cell's budget" in faults(record, evidence)) is told


@pytest.mark.parametrize(
    ("answer", "label", "target", "aimed", "won"),
    [
        (1, 0, "untargeted", None, True), (0, 0, "untargeted", None, False), (-1, 0, "untargeted", None, False),
        (2, 0, "all", 1, True), (2, 0, "class 2", None, True), (1, 0, "class 2", 1, False), (2, 2, "class 2", 2, False),
        (1, 0, "least-likely", 1, True), (1, 0, "least-likely", 2, False), (-1, 0, "least-likely", -1, False),
    ],
)  # fmt: skip
def test_what_is_a_win(answer: int, label: int, target: str, aimed: int | None, won: bool) -> None:
    assert wins(answer, label, target, aimed) is won


def test_a_target_binds_the_answers() -> None:
    record, evidence, _ = tiny()
    for cell in record.cells:
        cell.target = "class 1"
    found = faults(record, evidence)
    assert "no win for the target class 1" in found  # of the sample whose label is 1
    assert f"{DDN}, sample 0:" not in found


def test_the_nearest_of_each_class_is_the_distance() -> None:
    for values, said in (([None, 0.375, 0.5], False), ([0.1, 0.375, 0.5], False), ([None, 0.5, 0.375], False),
                         ([None, 0.4, 0.5], True), ([None, None, None], True), ([None, 0.375, 0.3], True)):  # fmt: skip
        record, evidence, _ = tiny()
        one = record.cells[1]
        one.by_target = [
            list(values),
            *([one.distance[n], 0.0 if n != 3 else None, one.distance[n]] for n in range(1, 6)),
        ]
        one.by_target[1] = [0.0, one.distance[1], None]
        found = faults(record, evidence)
        assert (f"{DDN}, sample 0: its nearest class" in found) is said, values


def test_who_won_in_a_cascade_is_one_of_its_members() -> None:
    record, evidence, _ = tiny()
    one = record.cells[1]
    one.params, one.member = {"fab": {}, "apgd": {}}, ["fab", "apgd", "fab", None, None, None]
    assert faults(record, evidence) == ""
    one.member[0] = "square"
    assert "there is no attack square in it" in faults(record, evidence)
    one.member = ["fab", "apgd", "fab", "fab", None, None]
    assert "its member goes not with its distance" in faults(record, evidence)
    one.member = [None, "apgd", "fab", None, None, None]
    assert "its member goes not with its distance" in faults(record, evidence)


def test_clean_samples_are_those_that_distances_are_measured_from() -> None:
    record, evidence, _ = tiny()
    evidence.tensors["clean"] = clean() + np.float32(0.01)
    assert "its distance is" in faults(record, evidence)
