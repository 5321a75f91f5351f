"""All parts of a verification are asked, in order, each with what is its own; one that cannot be asked is a failure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robusteval.errors import RecordError
from robusteval.record.run import Record
from robusteval.verify import run as module
from robusteval.verify.parts.evidence import Evidence
from robusteval.verify.parts.facts import EARLIER
from robusteval.verify.parts.result import Verification
from tests.sure import sure
from tests.verify.tiny import clean, tiny

PARTS = ("check_facts", "check_clean", "check_columns", "check_gallery", "check_known", "check_derived")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The parts that were asked, with what they were given beside the result; each makes one claim and a note."""
    calls = []

    def part(name: str) -> Callable[..., Any]:
        def called(*given: object) -> None:
            (result,) = (argument for argument in given if isinstance(argument, Verification))
            result.judge([], name)
            result.notes.append(name)
            calls.append((name, *(argument for argument in given if argument is not result)))

        return called

    for name in PARTS:
        monkeypatch.setattr(module, name, part(name))
    monkeypatch.setattr(module, "built_in", lambda: {"here": None})
    return calls


def test_every_part_is_asked_with_what_is_its_own(asked: list[Any]) -> None:
    record, evidence, _ = tiny()
    metrics: Any = {"m": None}
    shipped: Any = ["s"]
    result = module.check(record, evidence, metrics, shipped)
    assert [call[0] for call in asked] == list(PARTS)
    given = {call[0]: call[1:] for call in asked}
    assert given["check_facts"] == (record,)
    assert given["check_clean"] == (record, evidence)
    assert given["check_columns"][:2] == given["check_gallery"][:2] == (record, evidence)
    there = given["check_columns"][2]
    assert there is given["check_gallery"][2]
    assert len(there.images) == 20
    assert given["check_known"] == (record, ["s"])
    assert given["check_derived"] == (record, {"m": None})
    # those, the witness file's hash, and eleven 8-bit images
    assert (result.failures, result.claims, result.confirmed) == ([], 6 + 1 + 11, 6 + 1 + 11)
    kinds = {"facts": 1, "clean answers": 1, "stored adversarials": 14, "known models": 1, "derived parts": 1}
    assert {name: count.confirmed for name, count in result.kinds.items()} == kinds
    assert result.notes[:3] == list(PARTS[:3])
    assert result.notes[6:] == list(PARTS[3:])  # between them one for each cell with 8-bit images
    asked.clear()
    module.check(record, evidence)
    assert asked[-2:] == [("check_known", record, None), ("check_derived", record, {"here": None})]
    asked.clear()
    module.check(record, evidence, {}, [])
    assert asked[-2:] == [("check_known", record, []), ("check_derived", record, {})]


def test_8_bit_images_that_fail_are_not_confirmed(asked: list[Any]) -> None:
    record, evidence, _ = tiny()
    record.cells[0].survives_8bit[0] = record.cells[0].survives_8bit[1] = False
    result = module.check(record, evidence)
    assert (result.claims, result.confirmed) == (18, 16)
    assert [failure.split(":")[0] for failure in result.failures] == [
        f"none/pgd/l2, sample {sample}, rounded to 8 bits" for sample in (0, 1)
    ]
    assert len(result.notes) == len(PARTS) + 2
    sure(record.witnesses).rounded = []  # nor are their tensors mentioned then
    result = module.check(record, evidence)
    assert (result.claims, result.confirmed, len(result.failures)) == (9, 7, 2)


def test_8_bit_images_need_the_model(asked: list[Any]) -> None:
    record, evidence, _ = tiny()
    result = module.check(record, dataclasses.replace(evidence, model=None))
    assert (result.failures, result.claims, result.notes) == ([], 7, list(PARTS))


def test_more_failures_than_images_confirm_nothing(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    record, evidence, _ = tiny()
    monkeypatch.setattr(module, "check_rounded", lambda *given: (1, ["a", "b", "c"], ["n"]))
    result = module.check(record, evidence)
    assert (result.claims, result.confirmed, result.failures) == (8, 7, ["a", "b", "c"])
    assert result.notes == [*PARTS[:3], "n", *PARTS[3:]]


def test_clean_samples_of_another_shape_prove_nothing(asked: list[Any]) -> None:
    changes: tuple[Callable[[Any], Any], ...] = (lambda x: x[:-1], lambda x: x.reshape(6, 4))
    for change in changes:
        record, evidence, _ = tiny()
        evidence.tensors["clean"] = change(clean())
        asked.clear()
        result = module.check(record, evidence)
        assert [call[0] for call in asked] == ["check_facts", "check_clean", "check_known", "check_derived"]
        said = "The stored clean samples: they are not as many, or not of the shape, that the record says."
        assert (result.failures, result.claims, result.confirmed) == ([said], 5, 4)
        assert result.kinds["stored adversarials"].failed == 1


def test_a_part_that_cannot_be_asked_is_a_failure(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["facts", "clean answers", "stored adversarials", "known models", "derived parts"]
    for name, part in zip(names, ("check_facts", "check_clean", "stored", "check_known", "check_derived"), strict=True):
        record, evidence, _ = tiny()

        def broken(*given: object) -> None:
            raise KeyError("x")

        with monkeypatch.context() as patch:
            patch.setattr(module, part, broken)
            result = module.check(record, evidence)
        assert result.failures == [f"{name}: they cannot be checked, as the record contradicts itself (KeyError: 'x')."]
        assert result.claims == result.confirmed + 1
        with monkeypatch.context() as patch:
            patch.setattr(module, part, lambda *given: refuse())
            with pytest.raises(RecordError, match="of its own"):
                module.check(record, evidence)


def refuse() -> None:
    raise RecordError("of its own")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: setattr(r, "witnesses", None), "This run stored no adversarials, so there is nothing to verify."),
        (lambda r: r.pipelines.pop(0),
         "The record has no clean answers of the bare model, so there is nothing to verify."),
        (lambda r: setattr(r.pipelines[0], "status", "failed"),
         "The record has no clean answers of the bare model, so there is nothing to verify."),
    ],
)  # fmt: skip
def test_nothing_to_verify(change: Callable[..., Any], said: str, asked: list[Any]) -> None:
    record, evidence, _ = tiny()
    change(record)
    with pytest.raises(RecordError) as error:
        module.check(record, evidence)
    assert error.value.message == said
    assert asked == []


@pytest.mark.parametrize("there", [True, False])
def test_a_run_s_folder(asked: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: bool) -> None:
    record, evidence, _ = tiny()
    found = evidence if there else dataclasses.replace(evidence, model=None)
    calls: list[Any] = []

    def gathered(*given: Any) -> Evidence:
        calls.append(given)
        return found

    def paged(record: Record, folder: Path, result: Verification) -> None:
        calls.append((record, folder))
        result.notes.append("page")
        result.judge([], "page")

    monkeypatch.setattr(module, "gather", gathered)
    monkeypatch.setattr(module, "check_page", paged)
    record.model.sha256 = "0123456789abcdef" * 4
    result = module.verify(record, tmp_path, tmp_path / "m.onnx")
    assert calls == [(record, tmp_path, tmp_path / "m.onnx"), (record, tmp_path)]
    assert result.notes[-1] == "page"
    assert result.kinds["page and tables"].confirmed == 1
    assert (result.notes[0] == "The model's hash agrees: 0123456789abcdef.") is there
    assert len(result.notes) == len(PARTS) + (5 if there else 1)
    assert np.array_equal(evidence.tensors["clean"], clean())
    record.tool["version"] = EARLIER[0]
    again = module.verify(record, tmp_path, tmp_path / "m.onnx")
    assert again.notes[-1].startswith(f"The run was made by robusteval {EARLIER[0]}, and this is ")
