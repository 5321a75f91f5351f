"""Data onto a model's terms: range, layout, labels and choice of samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robusteval.contracts.classifier import ModelInfo
from robusteval.contracts.samples import Samples
from robusteval.engine.data.find import RawData, prepare
from robusteval.engine.data.labels import balanced_rows
from robusteval.errors import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 4, 5), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])
INFO = ModelInfo("m", "onnx", "", (1, 4, 5), 3)


def refused(call: Callable[[], Any], *words: str, hint: str = "") -> None:
    """Checks that the call ends in a DataError: one sentence that says these words, and a hint with that part."""
    with pytest.raises(DataError) as caught:
        call()
    error = caught.value
    assert error.message.endswith(".")
    assert error.hint.endswith(".")
    assert hint in error.hint, error.hint
    for word in words:
        assert word in error.message, (word, error.message)


def info(shape: tuple[int, ...], **facts: Any) -> ModelInfo:
    return replace(INFO, input_shape=shape, **facts)


def ready(images: np.ndarray, model: ModelInfo = INFO, labels: np.ndarray = LABELS, **options: Any) -> Samples:
    return prepare(RawData(images, labels), model, **options)[0]


class TestRange:
    def test_bytes_onto_the_usual_range_are_what_everybody_computes(self) -> None:
        every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
        x = ready(every, info((1, 16, 16)), np.array([0])).x
        assert torch.equal(x.flatten(), torch.arange(256, dtype=torch.uint8, device="cpu").float().div(255))

    @pytest.mark.parametrize("bounds", [(0.0, 255.0), (-1.0, 1.0), (-128.0, 127.0), (0.1, 0.7)])
    def test_bytes_onto_any_range(self, bounds: tuple[float, float]) -> None:
        samples, note = prepare(RawData(GREY, LABELS), info((1, 4, 5), bounds=bounds))
        wanted = bounds[0] + GREY.astype(np.float64) / 255 * (bounds[1] - bounds[0])
        assert samples.x.dtype == torch.float32
        assert samples.bounds == bounds
        assert np.allclose(samples.x[:, 0].numpy(), wanted, rtol=0, atol=1e-6 * (bounds[1] - bounds[0]))
        assert float(samples.x.min()) >= np.float32(bounds[0])
        assert float(samples.x.max()) <= np.float32(bounds[1])
        assert note.startswith(f"Uint8 pixels from {GREY.min()} to {GREY.max()}, taken as 0..255")

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
    def test_floats_are_taken_as_they_are(self, dtype: Any) -> None:
        images = (GREY / 256).astype(dtype)  # such values are exact in 16 bits
        assert np.array_equal(ready(images).x[:, 0].numpy(), (GREY / 256).astype(np.float32))

    def test_stated_range_of_the_data(self) -> None:
        samples, note = prepare(RawData(GREY.astype(np.float64), LABELS), INFO, data_range=(0, 255))
        assert torch.equal(samples.x, ready(GREY).x)
        assert "stated to be in 0..255 and mapped onto the model's 0..1" in note

    def test_inverted_range(self) -> None:
        assert torch.allclose(ready(GREY, data_range=(255, 0)).x, 1 - ready(GREY).x, rtol=0, atol=1e-6)

    def test_bits_need_a_stated_range(self) -> None:
        refused(lambda: ready(GREY > 99), "type bool", hint="--data-range 0,255")
        assert torch.equal(ready(GREY > 99, data_range=(0, 1)).x[:, 0], torch.from_numpy(GREY > 99).float())

    @pytest.mark.parametrize(
        ("low", "high", "hint"),
        [
            (0, 255, "--data-range 0,255"),
            (-1, 1, "--data-range -1,1"),
            (-2.4, 2.8, "standardised"),
            (0, 9e4, "standardised"),
        ],
    )
    def test_values_outside(self, low: float, high: float, hint: str) -> None:
        images = np.linspace(low, high, GREY.size).reshape(GREY.shape)
        refused(lambda: ready(images), f"run from {low:g} to {high:g}", "outside the stated 0..1", hint=hint)

    def test_the_model_may_be_the_one_to_mend(self) -> None:
        refused(lambda: ready(GREY.astype(np.float32)), hint="--range 0,255 says so")

    def test_stated_range_that_is_too_small(self) -> None:
        refused(
            lambda: ready(GREY, data_range=(0, 1)), "outside the stated 0..1", hint="--data-range 0,255 would hold them"
        )

    def test_rounding_is_clipped_and_said(self) -> None:
        images = np.full(GREY.shape, 1 + 1e-6, np.float32)
        samples, note = prepare(RawData(images, LABELS), INFO)
        assert float(samples.x.max()) == 1
        assert "rounding beyond the range was clipped" in note

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
    def test_not_finite(self, bad: float) -> None:
        images = GREY / 255
        images[1, 2, 3] = images[4, 0, 0] = bad
        with np.errstate(over="ignore"):
            refused(lambda: ready(images), "2 pixel values are not finite")

    @pytest.mark.parametrize("stated", [(1.0, 1.0), (0.0, float("nan")), (0.0, float("inf"))])
    def test_a_range_that_is_none(self, stated: tuple[float, float]) -> None:
        refused(lambda: ready(GREY, data_range=stated), "is not a range", hint="--data-range 0,255")

    def test_the_data_stay_as_they_were(self) -> None:
        images = (GREY / 255).astype(np.float32)
        before = images.copy()
        ready(images, info((1, 4, 5), bounds=(0.0, 255.0)), data_range=(0, 1))
        assert np.array_equal(images, before)


class TestLayout:
    @pytest.mark.parametrize("stored", [GREY, GREY[:, None], GREY[..., None], GREY.reshape(6, 20)])
    @pytest.mark.parametrize("wanted", [(1, 4, 5), (20,)])
    def test_grey(self, stored: np.ndarray, wanted: tuple[int, ...]) -> None:
        x = ready(stored, info(wanted)).x
        assert x.shape == (6, *wanted)
        assert torch.equal(x.flatten(1), torch.from_numpy(GREY).float().div(255).flatten(1))

    @pytest.mark.parametrize("stored", [COLOUR, COLOUR.transpose(0, 3, 1, 2)])
    def test_colour(self, stored: np.ndarray) -> None:
        x = ready(stored, info((3, 4, 5))).x
        assert torch.equal(x, torch.from_numpy(COLOUR).float().div(255).permute(0, 3, 1, 2))
        assert x.is_contiguous()

    def test_the_note_says_what_was_moved(self) -> None:
        assert "images of shape 4x5x3 read as NHWC into 3x4x5" in prepare(RawData(COLOUR, LABELS), info((3, 4, 5)))[1]

    @pytest.mark.parametrize(
        ("stored", "wanted", "hint"),
        [
            ((4, 5), (1, 5, 4), "never resized"),
            ((8, 8), (1, 4, 5), "never resized"),
            ((4, 5), (3, 4, 5), "give colour images"),
            ((4, 5, 1), (3, 4, 5), "give colour images"),
            ((4, 5, 4), (3, 4, 5), "alpha"),
            ((4, 5), (19,), "never resized"),
            ((2, 2, 4, 5), (4, 4, 5), "never resized"),
        ],
    )
    def test_does_not_fit(self, stored: tuple[int, ...], wanted: tuple[int, ...], hint: str) -> None:
        shapes = ["x".join(map(str, shape)) for shape in (stored, wanted)]
        refused(lambda: ready(np.zeros((6, *stored), np.uint8), info(wanted)), *shapes, "do not fit", hint=hint)

    def test_ambiguous_cube(self) -> None:
        cube = RNG.integers(0, 256, (6, 3, 3, 3), dtype=np.uint8)
        refused(lambda: ready(cube, info((3, 3, 3))), "several ways: NCHW or NHWC", hint="layout='NHWC'")
        moved = prepare(RawData(cube, LABELS, layout="NHWC"), info((3, 3, 3)))[0].x
        kept = prepare(RawData(cube, LABELS, layout="NCHW"), info((3, 3, 3)))[0].x
        assert torch.equal(moved, kept.permute(0, 3, 1, 2))

    def test_flat_colour_is_ambiguous(self) -> None:
        refused(lambda: ready(COLOUR.reshape(6, 60), info((3, 4, 5))), "several ways: NCHW or NHWC")
        x = prepare(RawData(COLOUR.reshape(6, 60), LABELS, layout="NHWC"), info((3, 4, 5)))[0].x
        assert torch.equal(x, ready(COLOUR, info((3, 4, 5))).x)

    @pytest.mark.parametrize("layout", ["", "NHWC"])
    def test_colour_for_a_flat_model_is_ambiguous_whatever_is_stored(self, layout: str) -> None:
        raw = RawData(COLOUR, LABELS, layout=layout)
        refused(lambda: prepare(raw, info((60,))), "4x5x3", "60", "several ways", hint="Store them flat")

    def test_a_stated_layout_that_cannot_be(self) -> None:
        raw = RawData(COLOUR, LABELS, layout="NCHW")
        refused(lambda: prepare(raw, info((3, 4, 5))), "do not fit")


class TestLabels:
    @pytest.mark.parametrize(
        "labels", [LABELS.astype(np.uint8), LABELS.astype(float), LABELS[:, None], np.eye(3)[LABELS]]
    )
    def test_forms(self, labels: np.ndarray) -> None:
        y = ready(GREY, labels=labels).y
        assert y.dtype == torch.int64
        assert y.tolist() == LABELS.tolist()

    def test_one_hot_is_noted(self) -> None:
        assert "one-hot labels read as class indices" in prepare(RawData(GREY, np.eye(3)[LABELS]), INFO)[1]

    @pytest.mark.parametrize(
        ("labels", "words", "hint"),
        [
            (LABELS + 1, ("run from 1 to 3", "0 to 2"), "subtract 1"),
            (LABELS - 1, ("run from -1 to 1",), "counted from 0"),
            (LABELS * 5, ("run from 0 to 10",), "counted from 0"),
            (LABELS + 0.5, ("6 labels are not whole",), "indices"),
            (np.where(LABELS == 1, np.nan, 0.0), ("2 labels are not whole",), "indices"),
            (np.eye(3)[LABELS] * 0.9, ("6 rows of the labels are not one-hot",), "one class index"),
            (np.eye(4)[LABELS], ("(6, 4)", "3 classes"), "one-hot"),
            (np.array(list("abcabc")), ("<U1",), "indices"),
            (LABELS[:5], ("6 images but 5 labels",), "one label for each"),
        ],
    )
    def test_refuses(self, labels: np.ndarray, words: tuple[str, ...], hint: str) -> None:
        refused(lambda: ready(GREY, labels=labels), *words, hint=hint)

    def test_names_decide_the_order_where_both_sides_have_them(self) -> None:
        raw = RawData(GREY, LABELS, class_names=("ape", "bee", "cat"))
        samples, note = prepare(raw, replace(INFO, class_names=("cat", "ape", "bee")))
        assert samples.y.tolist() == [1, 2, 0, 1, 2, 0]
        assert samples.class_names == ("cat", "ape", "bee")
        assert "matched to the model's classes by their names" in note

    def test_a_part_of_the_classes(self) -> None:
        raw = RawData(GREY, LABELS % 2, class_names=("bee", "cat"))
        samples, _ = prepare(raw, replace(INFO, class_names=("cat", "ape", "bee")))
        assert samples.y.tolist() == [2, 0, 2, 2, 0, 2]

    def test_other_names_are_taken_by_position_and_noted(self) -> None:
        raw = RawData(GREY, LABELS, class_names=("a", "b", "c"))
        samples, note = prepare(raw, replace(INFO, class_names=("x", "y", "z")))
        assert samples.y.tolist() == LABELS.tolist()
        assert "class names differ" in note

    def test_fewer_names_than_classes(self) -> None:
        raw = RawData(GREY, LABELS % 2, class_names=("bee", "cat"))
        refused(lambda: prepare(raw, INFO), "name 2 classes", "the model has 3")

    def test_more_labels_than_names(self) -> None:
        raw = RawData(GREY, LABELS, class_names=("bee", "cat"))
        refused(lambda: prepare(raw, INFO), "label 2 but only 2 class names")


class TestArrays:
    def test_no_samples(self) -> None:
        refused(lambda: ready(GREY[:0], labels=LABELS[:0]), "no samples", "(0, 4, 5)")

    def test_no_pixels(self) -> None:
        refused(lambda: ready(GREY[:, :0]), "no samples")

    def test_no_numbers(self) -> None:
        refused(lambda: ready(GREY.astype(complex)), "complex128")

    def test_no_axis_of_samples(self) -> None:
        refused(lambda: ready(GREY[0, 0], labels=LABELS[:4]), "no axis of samples")


class TestChoice:
    @given(
        counts=st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any),
        share=st.integers(1, 100),
        seed=st.integers(-(2**63), 2**63 - 1),
    )
    @settings(max_examples=100, deadline=None)
    def test_even_sorted_and_repeatable(self, counts: list[int], share: int, seed: int) -> None:
        labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
        rows = balanced_rows(labels, share, seed)
        assert len(rows) == min(share, len(labels))
        assert (np.diff(rows) > 0).all()
        assert np.array_equal(rows, balanced_rows(labels, share, seed))
        taken = np.bincount(labels[rows], minlength=len(counts))
        short = [took for took, there in zip(taken, counts, strict=True) if took < there]
        # A class that could give more never trails another by more than one.
        assert not short or min(short) >= taken.max() - 1

    def test_the_seed_matters(self) -> None:
        labels = np.arange(100) % 10
        assert not np.array_equal(balanced_rows(labels, 50, 0), balanced_rows(labels, 50, 1))

    def test_no_class_is_favoured_when_there_are_fewer_samples_than_classes(self) -> None:
        labels = np.arange(100) % 10
        chosen = {tuple(sorted(labels[balanced_rows(labels, 3, seed)])) for seed in range(20)}
        assert len(chosen) > 10

    def test_images_stay_with_their_labels(self) -> None:
        images = np.tile(np.arange(60, dtype=np.uint8)[:, None, None], (1, 4, 5))
        samples, note = prepare(RawData(images, np.arange(60) % 3), INFO, samples=7, seed=5)
        assert (samples.x[:, 0, 0, 0].mul(255).round().long() % 3).tolist() == samples.y.tolist()
        assert "7 of the 60 samples" in note

    def test_more_than_there_are_is_said(self) -> None:
        samples, note = prepare(RawData(GREY, LABELS), INFO, samples=99)
        assert len(samples) == 6
        assert "all 6 samples, though 99 were asked for" in note

    def test_none_at_all(self) -> None:
        refused(lambda: ready(GREY, samples=0), "0 samples cannot be evaluated")
