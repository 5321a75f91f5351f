"""Galleries of runs of before, which showed fewer samples, are the rule's too."""

from __future__ import annotations

import pytest

from robusteval.assessment.evidence.shown import shown
from robusteval.verify.parts import gallery as module
from tests.verify.test_gallery import checked, whole


def test_a_gallery_of_the_first_samples_of_each_norm_is_one_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    record, evidence, there = whole()
    first = {(sample, cell.id) for sample, cell in shown(record, 2)}
    kept = [picture for picture in record.gallery if (picture.sample, picture.cell) in first]
    assert 0 < len(kept) < len(record.gallery)
    record.gallery = kept
    said = "gallery: it shows other samples or attacks than the rule picks."
    assert checked(record, evidence, there).failures == [said]
    monkeypatch.setattr(module, "EARLIER", 2)  # the tiny run has no more than the six that were shown
    assert checked(record, evidence, there).failures == []
    record.gallery = kept[:-1]
    assert checked(record, evidence, there).failures == [said]
