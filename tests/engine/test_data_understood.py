"""Data that are understood though they are stored otherwise: names in another spelling, grey in three channels."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from robusteval.engine.data.find import prepare
from robusteval.engine.data.npz import RawData
from tests.engine.test_data import GREY, INFO, LABELS, info, ready, refused


def test_names_may_be_spelt_as_folders_can_be() -> None:
    raw = RawData(GREY, LABELS, class_names=("Ankle boot", "T-shirt_top", "bag"))
    model = replace(INFO, class_names=("t-shirt/top", "ankle-boot", "Bag"))
    samples, note = prepare(raw, model)
    assert samples.y.tolist() == [(1, 0, 2)[label] for label in LABELS]
    assert "but for case and punctuation" in note
    _, note = prepare(raw, replace(INFO, class_names=("T-shirt/top", "T-shirt top", "bag")))  # two are spelt alike
    assert "class names differ" in note


def test_a_sample_without_a_file_is_named_by_its_place() -> None:
    samples, _ = prepare(RawData(GREY, LABELS), INFO, samples=3, seed=2)
    rows = [int(name.removeprefix("row ")) for name in samples.names]
    assert torch.equal(samples.x, ready(GREY, INFO).x[rows])


@pytest.mark.parametrize("axis", [1, 3])
def test_grey_that_was_stored_in_three_channels(axis: int) -> None:
    stored = np.stack([GREY] * 3, axis=axis)
    samples, note = prepare(RawData(stored, LABELS, layout="NHWC" if axis == 3 else ""), info((1, 4, 5)))
    assert torch.equal(samples.x, ready(GREY, info((1, 4, 5))).x)
    assert "grey of three equal channels" in note
    for place in ((5, 1, 2, 2), (0, 2, 0, 0)):
        other = stored.copy()
        other[place if axis == 1 else (place[0], *place[2:], place[1])] ^= 1
        refused(partial(ready, other, info((1, 4, 5))), "three that differ", hint="grey images")
