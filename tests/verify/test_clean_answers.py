"""The clean samples and the bare model's answers to them: what is right is confirmed, each lie alone is told of."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import struct
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robusteval.record.run import Record
from robusteval.verify.parts import clean as module
from robusteval.verify.parts.clean import CONFIDENCE, check_clean, contents
from robusteval.verify.parts.evidence import Evidence
from robusteval.verify.parts.result import Verification
from tests.sure import sure
from tests.verify.tiny import LABELS, clean, counted, tiny


def cleaned(record: Record, evidence: Evidence) -> Verification:
    result = Verification()
    check_clean(record, evidence, result)
    return result


def test_clean_samples_and_answers_as_they_are() -> None:
    record, evidence, _ = tiny()
    result = cleaned(record, evidence)
    assert result.failures == []
    assert (result.claims, result.confirmed, result.left) == (1 + 5 * 6, 1 + 5 * 6, {})


def test_hashes_of_samples_do_not_depend_on_the_range() -> None:
    x, labels = clean(), np.asarray(LABELS)
    one = contents(x, labels, [0.0, 1.0])
    assert one == contents(x * 255, labels, [0.0, 255.0]) == contents(x * 2 - 1, labels, [-1.0, 1.0])
    assert len(set(one)) == 4  # three of them are the same image of one class
    assert all(re.fullmatch("[0-9a-f]{32}", text) for text in one)
    assert contents(x, labels + 1, [0.0, 1.0])[0] != one[0]
    assert contents(x + np.float32(2 / 65535), labels, [0.0, 1.0])[0] != one[0]
    with pytest.raises(ValueError, match="argument"):
        contents(x, labels[:-1], [0.0, 1.0])


@pytest.mark.parametrize("label", [3, -1])
def test_the_hash_of_a_sample_is_that_of_its_levels_and_its_label(label: int) -> None:
    """Two bytes a level, 65536 levels, the lower byte first; what lies outside the range is at its ends."""
    x = np.array([[-0.1, 0.0, 0.5, 0.75, 1.0, 1.2]], np.float32)
    told = struct.pack("<6Hq", 0, 0, 32768, 49151, 65535, 65535, label)
    assert contents(x, np.asarray([label]), [0.0, 1.0]) == [hashlib.sha256(told).hexdigest()[:32]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r, e: e.tensors.update(clean=clean()[:-1]), "The stored clean samples: they are of shape (5, 1, 2, 2)"),
        (lambda r, e: e.tensors.update(clean=clean().astype(np.float64)), "they are of shape"),
        (lambda r, e: e.tensors.update(clean=clean() + np.float32(1e-6)), "hash differs"),
        (lambda r, e: e.tensors.update(labels=np.zeros(6, np.int64)), "hash differs"),
        (lambda r, e: e.tensors.update(labels=np.zeros(6, np.int64)), "labels are not those"),
        (lambda r, e: e.tensors.update(clean=clean() + np.float32(0.5)), "outside the box"),
        (lambda r, e: e.tensors.update(clean=clean() - np.float32(0.5)), "outside the box"),
        (lambda r, e: e.tensors.update(clean=clean() * np.float32(np.inf)), "outside the box"),
        (lambda r, e: setattr(r.data, "sha256", "00"), "hash differs"),
        (lambda r, e: setattr(r.model, "bounds", [0.0, 2.0]), "hash differs"),
        (lambda r, e: r.data.labels.__setitem__(0, 2), "labels are not those"),
        (lambda r, e: r.data.l2.__setitem__(2, 0.9), "data.l2[2] is 0.9"),
        (lambda r, e: r.data.l2.__setitem__(2, r.data.l2[2] + 5e-9), "data.l2[2] is 0.866025"),
        (lambda r, e: r.data.hashes.__setitem__(3, "x"), "data.hashes[3] is x"),
        (lambda r, e: r.pipelines[0].prediction.__setitem__(5, 1),
         "pipelines[none].prediction[5] is 1, and 2 is right"),
        (lambda r, e: r.pipelines[0].label.__setitem__(4, 1), "pipelines[none].label[4] is 1, and 0 is right"),
        (lambda r, e: r.pipelines[0].confidence.__setitem__(1, 0.5 + 2 * CONFIDENCE), "pipelines[none].confidence[1]"),
        (lambda r, e: setattr(r.model, "classes", 4), "model.classes is 4: the model has 3"),
        (lambda r, e: setattr(r.pipelines[0], "status", "failed"), "no answers of the bare model"),
        (lambda r, e: setattr(r.pipelines[0], "defense", "x"), "no answers of the bare model"),
    ],
)  # fmt: skip
def test_a_lie_about_the_clean_samples(change: Callable[..., Any], said: str) -> None:
    record, evidence, _ = tiny()
    change(record, evidence)
    result = cleaned(record, evidence)
    assert said in "\n".join(result.failures)
    assert result.confirmed < result.claims


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r, e: setattr(r.data, "sha256", "00"),
         "The stored clean samples or labels: their hash differs, so they are not the evaluated ones."),
        (lambda r, e: setattr(r.pipelines[0], "status", "failed"),
         "pipelines: the record has no answers of the bare model."),
    ],
)  # fmt: skip
def test_what_is_said_of_a_lie(change: Callable[..., Any], said: str) -> None:
    record, evidence, _ = tiny()
    change(record, evidence)
    assert cleaned(record, evidence).failures == [said]


def test_the_ends_of_the_range_are_in_the_box() -> None:
    record, evidence, _ = tiny()
    evidence.tensors["clean"][0, 0, 0] = [0.0, 1.0]
    assert "outside the box" not in "\n".join(cleaned(record, evidence).failures)


def test_as_many_hashes_as_samples() -> None:
    record, evidence, _ = tiny()
    record.data.hashes.pop()
    with pytest.raises(ValueError, match="argument"):
        cleaned(record, evidence)


def test_scores_as_far_apart_as_numbers_go(monkeypatch: pytest.MonkeyPatch) -> None:
    record, evidence, _ = tiny()
    far = np.where(np.arange(3) == counted(clean())[:, None], 1.5e308, -1.5e308)
    monkeypatch.setattr(sure(evidence.model), "scores", lambda x: far)
    record.pipelines[0].confidence = [1.0] * 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cleaned(record, evidence).failures == []


def test_a_probability_may_differ_by_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    record, evidence, _ = tiny()
    record.pipelines[0].confidence = [0.5 + 0.9 * CONFIDENCE, 0.5 - 0.9 * CONFIDENCE, 0.5, 0.5, 0.5, 0.5]
    assert cleaned(record, evidence).failures == []
    assert CONFIDENCE == 2e-3
    record.pipelines[0].confidence[1] = 0.5 - 1.1 * CONFIDENCE
    assert len(cleaned(record, evidence).failures) == 1
    monkeypatch.setattr(module, "CONFIDENCE", 0.25)
    half = np.array([0.0, 0.0, -np.inf], np.float32)
    monkeypatch.setattr(sure(evidence.model), "scores", lambda x: np.tile(half, (len(x), 1)))
    record.pipelines[0].confidence = [0.25] * 6  # one half by the scores, to the bit
    assert cleaned(record, evidence).failures == []


def test_what_a_record_does_not_hold_is_left() -> None:
    record, evidence, _ = tiny()
    record.pipelines[0].confidence = []
    result = cleaned(record, evidence)
    assert (result.failures, result.left) == ([], {"the record holds no confidence for the clean answers": 6})
    record.pipelines[0].label = []
    record.data.hashes = []
    result = cleaned(record, evidence)
    assert (result.failures, result.claims) == ([], 1 + 3 * 6)
    result = cleaned(record, dataclasses.replace(evidence, model=None, without="why"))
    assert (result.failures, result.left) == ([], {"why": 6})


def test_scores_that_are_not_finite_are_no_answer_and_need_no_class(monkeypatch: pytest.MonkeyPatch) -> None:
    record, evidence, _ = tiny()
    model = sure(evidence.model)
    monkeypatch.setattr(model, "labels", lambda x: np.where(np.arange(len(x)) == 4, -1, counted(x)))
    scores, none = model.scores, np.float32(np.inf)
    monkeypatch.setattr(model, "scores", lambda x: np.where((np.arange(len(x)) == 4)[:, None], none, scores(x)))
    assert "pipelines[none].prediction[4] is 0, and -1 is right" in cleaned(record, evidence).failures[0]
    record.pipelines[0].prediction[4] = -1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cleaned(record, evidence).failures == []


def test_many_wrong_entries_are_counted_not_listed() -> None:
    record, evidence, _ = tiny()
    result = Verification()
    module._column(result, "c", np.zeros(25, bool), list(range(25)), [9] * 25)
    assert (result.claims, result.confirmed, len(result.failures)) == (25, 0, 21)
    assert result.failures[-1] == "c: 5 more are wrong."
    result = Verification()
    module._column(result, "c", np.arange(21) == 0, list(range(21)), [9] * 21)
    assert (result.claims, result.confirmed, len(result.failures)) == (21, 1, 20)
    assert cleaned(record, evidence).failures == []
