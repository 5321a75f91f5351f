"""Pictures of stored adversarials: words are the columns', pixels the samples', and a PNG is read by hand."""

from __future__ import annotations

import base64
import dataclasses
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from robusteval.assessment.evidence.shown import shown
from robusteval.record.run import Picture, Record
from robusteval.verify.parts import gallery as module
from robusteval.verify.parts.clean import CONFIDENCE
from robusteval.verify.parts.evidence import Evidence
from robusteval.verify.parts.gallery import UNPROVED, check_gallery, decode_png
from robusteval.verify.parts.result import Verification
from robusteval.verify.parts.stored import Stored, stored
from tests.sure import sure
from tests.verify.tiny import clean, tiny

WORDS = "gallery[0]: what is written under it is not what the columns say."


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Decoded pictures are kept: each test decodes its own."""
    decode_png.cache_clear()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(levels: np.ndarray, filters: tuple[int, ...] = (0,), head: tuple[int, ...] = (), parts: int = 1) -> str:
    """A PNG of uint8 [H, W, C], its rows filtered in turn by these filters, as the standard (section 9) says."""
    height, width, channels = levels.shape
    rows = levels.reshape(height, -1).astype(int)
    data = b""
    for y, row in enumerate(rows):
        kind = filters[y % len(filters)]
        up = rows[y - 1] if y else np.zeros_like(row)
        left = np.concatenate([np.zeros(channels, int), row[:-channels]])
        corner = np.concatenate([np.zeros(channels, int), up[:-channels]])
        guess = (0 * row, left, up, (left + up) // 2, paeth(left, up, corner))[kind]
        data += bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()
    packed = zlib.compress(data)
    cut = -(-len(packed) // parts)
    body = struct.pack(">IIBBBBB", *(head or (width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)))
    idat = [chunk(b"IDAT", packed[start : start + cut]) for start in range(0, len(packed), cut)]
    made = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", body) + chunk(b"tEXt", b"IDAT") + b"".join(idat) + chunk(b"IEND", b"")
    return base64.b64encode(made).decode()


def paeth(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    near = [abs(left + up - corner - middle) for middle in (left, up, corner)]
    answer: np.ndarray = np.choose(np.argmin(near, axis=0), [left, up, corner])
    return answer


def grey(x: np.ndarray) -> str:
    """Of [1, H, W] in [0, 1]."""
    return png(np.round(np.clip(x, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))


def whole() -> tuple[Record, Evidence, Stored]:
    """(a record with its gallery, its evidence, what is stored)."""
    record, evidence, images = tiny()
    for sample, cell in shown(record):
        before, after = clean()[sample], images[cell.id][sample]
        delta = after - before
        peak = float(np.abs(delta).max())
        record.gallery.append(
            Picture(sample, cell.id, cell.attack, "none", cell.norm, sure(cell.distance[sample]),
                    record.data.labels[sample], record.pipelines[0].prediction[sample], 0.5,
                    sure(cell.prediction[sample]), 0.5, grey(before), grey(0.5 + 0.5 * delta / peak), grey(after),
                    1 / peak)
        )  # fmt: skip
    return record, evidence, stored(record, evidence, Verification())


def checked(record: Record, evidence: Evidence, there: Stored) -> Verification:
    result = Verification()
    check_gallery(record, evidence, there, result)
    return result


def test_a_gallery_as_it_should_be() -> None:
    record, evidence, there = whole()
    result = checked(record, evidence, there)
    assert result.failures == []
    assert len(record.gallery) > 3
    assert (result.claims, result.confirmed, result.left) == (1 + len(record.gallery), 1 + len(record.gallery), {})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("attack", "x", WORDS), ("defense", "d", WORDS), ("norm", "l0", WORDS), ("distance", 0.25, WORDS),
        ("label", 2, WORDS), ("clean_prediction", 2, WORDS), ("clean_confidence", 0.625, WORDS),
        ("prediction", 7, "gallery[0]: it is answered {}, not 7."),
        ("confidence", 0.5 + 1.1 * CONFIDENCE, "gallery[0]: its confidence is 0.500, not 0.502."),
        ("confidence", 0.5 - 1.1 * CONFIDENCE, "gallery[0]: its confidence is 0.500, not 0.498."),
        ("confidence", 0.5 + 0.9 * CONFIDENCE, ""), ("confidence", 0.5 - 0.9 * CONFIDENCE, ""),
        ("clean_png", grey(np.ones((1, 2, 2))), "gallery[0]: its clean_png is another picture."),
        ("perturbation_png", grey(np.ones((1, 2, 2))), "gallery[0]: its perturbation_png is another picture."),
        ("adversarial_png", grey(np.ones((1, 2, 2))), "gallery[0]: its adversarial_png is another picture."),
        ("adversarial_png", "", "gallery[0]: its adversarial_png is another picture."),
        ("adversarial_png", grey(np.ones((1, 4, 1))), "gallery[0]: its adversarial_png is another picture."),
    ],
)  # fmt: skip
def test_a_picture_that_lies(name: str, value: str | float, said: str) -> None:
    record, evidence, there = whole()
    one = record.gallery[0]
    setattr(one, name, value)
    result = checked(record, evidence, there)
    answer = next(cell for cell in record.cells if cell.id == one.cell).prediction[one.sample]
    assert result.failures == ([said.format(answer)] if said else [])
    assert result.claims - result.confirmed == bool(said)


def test_a_confidence_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    record, evidence, there = whole()
    monkeypatch.setattr(module, "CONFIDENCE", 0.25)
    half = np.array([[0.0, 0.0, -np.inf]], np.float32)  # to the bit
    monkeypatch.setattr(sure(evidence.model), "scores", lambda x: half)
    for picture in record.gallery:
        picture.confidence = 0.25
    assert checked(record, evidence, there).failures == []


def test_two_faults_of_one_picture() -> None:
    record, evidence, there = whole()
    record.gallery[1].prediction, record.gallery[1].attack = 7, "x"
    (said,) = checked(record, evidence, there).failures
    assert said.startswith("gallery[1]: what is written under it is not what the columns say and it is answered ")


@pytest.mark.parametrize(("by", "same"), [(0.9e-4, True), (-0.9e-4, True), (1.1e-4, False), (-1.1e-4, False)])
def test_how_far_the_perturbation_is_stretched(by: float, same: bool) -> None:
    record, evidence, there = whole()
    one = record.gallery[0]
    right = one.perturbation_gain
    one.perturbation_gain *= 1 + by
    said = f"gallery[0]: its perturbation is stretched {right:.4g} times, not {right * (1 + by):.4g}."
    assert checked(record, evidence, there).failures == ([] if same else [said])


@pytest.mark.parametrize(("by", "same"), [(0, True), (1, True), (-1, True), (2, False), (-2, False)])
@pytest.mark.parametrize("name", ["clean_png", "adversarial_png"])
def test_pixels_may_differ_by_a_level(by: int, same: bool, name: str) -> None:
    one = whole()[0].gallery[0]
    setattr(one, name, png(levels(64, 64, 64 + by, 64)))
    x = np.full((1, 2, 2), 64 / 255)
    assert (f"its {name} is another picture" in module._pixels(one, x, x, [0.0, 1.0])) is not same


def test_the_gallery_is_the_rule_s() -> None:
    record, evidence, there = whole()
    rule = "gallery: it shows other samples or attacks than the rule picks."
    changes: tuple[Any, ...] = (
        lambda kept: kept.pop(), lambda kept: kept.reverse(), lambda kept: kept.clear(),
        lambda kept: kept.append(kept[0]),
    )  # fmt: skip
    for change in changes:
        record, evidence, there = whole()
        change(record.gallery)
        assert checked(record, evidence, there).failures == [rule]
    record, evidence, there = whole()
    record.gallery[0], record.gallery[1] = record.gallery[1], record.gallery[0]
    assert checked(record, evidence, there).failures == [rule]


def test_samples_that_are_no_pictures_have_none() -> None:
    record, evidence, there = whole()
    record.model.input_shape = [2, 2, 1]
    assert checked(record, evidence, there).failures[0].startswith("gallery: it shows other samples")
    record.gallery = []
    assert checked(record, evidence, there).failures == []


def test_pictures_of_no_win() -> None:
    changes: tuple[Any, ...] = (
        lambda record, picture: setattr(picture, "cell", "gone"),
        lambda record, picture: setattr(picture, "sample", 5),  # wrong when clean
        lambda record, picture: setattr(picture, "cell", "d/pgd/l2"),
    )
    for change in changes:
        record, evidence, there = whole()
        change(record, record.gallery[0])
        failures = checked(record, evidence, there).failures
        assert failures[1:] == ["gallery[0]: it is of no win."]
    record, evidence, there = whole()
    name = record.gallery[0].cell
    next(cell for cell in record.cells if cell.id == name).status = "failed"
    wrong = [place for place, picture in enumerate(record.gallery) if picture.cell == name]
    assert checked(record, evidence, there).failures[1:] == [f"gallery[{place}]: it is of no win." for place in wrong]


def test_what_cannot_be_proved_is_left() -> None:
    record, evidence, there = whole()
    there.images.clear()
    result = checked(record, evidence, there)
    assert (result.failures, result.left) == ([], {UNPROVED: len(record.gallery)})
    assert result.claims == 1 + len(record.gallery)
    record, evidence, there = whole()
    for picture in record.gallery:
        picture.confidence = 0.25
    assert len(checked(record, evidence, there).failures) == len(record.gallery)
    assert checked(record, dataclasses.replace(evidence, model=None), there).failures == []
    record, evidence, there = whole()
    record.pipelines[0].confidence = []
    record.gallery[0].clean_confidence = 0.75  # nothing says otherwise
    assert checked(record, evidence, there).failures == []


# Pixels


@pytest.mark.parametrize(("low", "high"), [(0.25, 0.75), (-1.0, 3.0)])
def test_what_lies_outside_the_range_is_shown_at_its_ends(low: float, high: float) -> None:
    """As far as one: the perturbation is never stretched further than its peak."""
    x = np.array([[[low - 1, low], [high, high + 1]]])
    y = np.full((1, 2, 2), low)
    ends, black = png(levels(0, 0, 255, 255)), png(levels(0, 0, 0, 0))
    one = Picture(0, "", "", "", "", 0.0, 0, 0, 0.0, 0, 0.0, ends, "", black, 0.0)
    said = module._pixels(one, x, y, [low, high])
    assert not [sentence for sentence in said if "clean_png" in sentence or "adversarial_png" in sentence]


def test_pictures_of_another_range() -> None:
    x, y = np.array([[[-1.0, 1.0], [3.0, 0.0]]], np.float32), np.array([[[0.0, 1.0], [3.0, -1.0]]], np.float32)
    one = Picture(
        0, "", "", "", "", 0.0, 0, 0, 0.0, 0, 0.0, png(levels(0, 128, 255, 64)), png(levels(255, 128, 128, 0)),
        png(levels(64, 128, 255, 0)), 4.0,
    )  # fmt: skip
    assert module._pixels(one, x, y, [-1.0, 3.0]) == []
    assert len(module._pixels(one, x, y, [-2.0, 3.0])) == 3  # the perturbation is as it was
    one.perturbation_png = png(levels(128, 128, 128, 128))
    assert module._pixels(one, x, y, [-1.0, 3.0]) == ["its perturbation_png is another picture"]
    one.perturbation_gain = 1e9  # nothing changed: a billionth is the least that is stretched
    one.adversarial_png = one.clean_png
    assert module._pixels(one, x, x, [-1.0, 3.0]) == []
    # a small change is stretched to the whole range
    one.perturbation_png, one.perturbation_gain = png(levels(160, 128, 128, 0)), 32.0
    y = x + np.array([[[0.03125, 0.0], [0.0, -0.125]]], np.float32)
    one.adversarial_png = png(levels(2, 128, 255, 56))
    assert module._pixels(one, x, y, [-1.0, 3.0]) == []


def levels(*values: int) -> np.ndarray:
    return np.array(values, np.uint8).reshape(2, 2, 1)


def test_how_samples_are_shown() -> None:
    x = np.arange(12).reshape(3, 2, 2)
    assert module._shown(x)[1, 0].tolist() == [2, 6, 10]
    assert module._shown(np.arange(9)).tolist() == np.arange(9).reshape(3, 3, 1).tolist()


# PNG


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("filters", [(0,), (1,), (2,), (3,), (4,), (0, 1, 2, 3, 4), (4, 3, 2, 1)])
@pytest.mark.parametrize("parts", [1, 3])
def test_every_filter(channels: int, filters: tuple[int, ...], parts: int) -> None:
    x = np.random.default_rng(3).integers(0, 256, (6, 5, channels), np.uint8)
    text = png(x, filters, parts=parts)
    found = sure(decode_png(text))
    assert found.dtype == np.float64
    assert np.array_equal(found, x)
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        assert np.array_equal(np.asarray(image).reshape(x.shape), x)  # that the test writes PNGs


@pytest.mark.parametrize("rows", [[[5, 9, 200, 3]], [[1, 0], [1, 0], [2, 1]]])
def test_what_stands_before_the_first_row_and_column_is_0(rows: list[list[int]]) -> None:
    for kind in range(5):
        x = np.array(rows, np.uint8)[:, :, None]
        assert np.array_equal(sure(decode_png(png(x, (kind,)))), x)


@pytest.mark.parametrize(
    ("left", "up", "corner", "guess"),
    [(1, 2, 3, 1), (3, 1, 2, 2), (2, 8, 5, 5), (0, 0, 9, 0), (1, 3, 3, 1), (4, 6, 3, 6), (2, 8, 4, 8), (8, 2, 4, 8)],
)
def test_the_guesses(left: int, up: int, corner: int, guess: int) -> None:
    assert module._guess(4, left, up, corner) == guess
    assert module._guess(1, left, up, corner) == left
    assert module._guess(3, left, up, corner) == (left + up) // 2
    for kind in (0, 2, 5, 255):
        with pytest.raises(ValueError, match=f"there is no filter {kind}"):
            module._guess(kind, left, up, corner)
