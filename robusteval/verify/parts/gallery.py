"""The gallery: each picture is of a stored adversarial, and what is written under it is what the columns say."""

from __future__ import annotations

import base64
import binascii
import functools
import struct
import zlib

import numpy as np

from robusteval.assessment.evidence.shown import EARLIER, PER_NORM, pictured, shown
from robusteval.record.run import Picture, Record
from robusteval.verify.parts.clean import CONFIDENCE
from robusteval.verify.parts.evidence import CLEAN, Array, Evidence
from robusteval.verify.parts.measures import softmax
from robusteval.verify.parts.result import Verification
from robusteval.verify.parts.stored import Key, Stored

UNPROVED = "pictures of wins whose adversarial was not kept"
_LARGEST = 1 << 26  # bytes of a decoded picture


def check_gallery(record: Record, evidence: Evidence, there: Stored, result: Verification) -> None:
    """Words and pixels of every picture."""
    cells = {cell.id: cell for cell in record.cells}
    bare = record.pipeline("none")
    pictures = [(picture.sample, picture.cell) for picture in record.gallery]
    # runs of before showed the first six of what is shown now
    rules = [shown(record, most) if pictured(record.model.input_shape) else [] for most in (PER_NORM, EARLIER)]
    same = any(pictures == [(sample, cell.id) for sample, cell in rule] for rule in rules)
    result.judge([] if same else ["it shows other samples or attacks than the rule picks"], "gallery")
    for index, picture in enumerate(record.gallery):
        cell = cells.get(picture.cell)
        image = there.images.get(Key(picture.cell, picture.sample))
        if cell is None or cell.status != "done" or cell.knowledge != "none" or not cell.distance[picture.sample]:
            result.judge(["it is of no win"], f"gallery[{index}]")
            continue
        faults = []
        printed = (
            picture.attack,
            picture.defense,
            picture.norm,
            picture.distance,
            picture.label,
            picture.clean_prediction,
            picture.clean_confidence,
        )
        sample = picture.sample
        confidence = bare.confidence[sample] if bare.confidence else picture.clean_confidence
        columns = (cell.attack, cell.defense, cell.norm, cell.distance[sample], record.data.labels[sample])
        if printed != (*columns, bare.prediction[sample], confidence):
            faults.append("what is written under it is not what the columns say")
        if picture.prediction != cell.prediction[sample]:
            faults.append(f"it is answered {cell.prediction[sample]}, not {picture.prediction}")
        if image is None:
            result.leave(UNPROVED)
        else:
            clean = evidence.tensors[CLEAN][sample]
            faults += _pixels(picture, clean, image, record.model.bounds)
            if evidence.model is not None:
                top = float(softmax(evidence.model.scores(image[None])).max())
                if abs(top - picture.confidence) > CONFIDENCE:
                    faults.append(f"its confidence is {top:.3f}, not {picture.confidence:.3f}")
        result.judge(faults, f"gallery[{index}]")


def _pixels(one: Picture, clean: Array, image: Array, bounds: list[float]) -> list[str]:
    """The three pictures against the samples, to a grey level."""
    low, high = bounds
    width = np.float32(high - low)
    delta = image - clean
    peak = max(float(np.abs(delta).max()) / (high - low), 1e-9)
    faults = []
    if not np.isclose(one.perturbation_gain, 1 / peak, rtol=1e-4):
        faults.append(f"its perturbation is stretched {1 / peak:.4g} times, not {one.perturbation_gain:.4g}")
    shown = {
        "clean_png": (clean - np.float32(low)) / width,
        "perturbation_png": 0.5 + 0.5 * delta / width / np.float32(peak),
        "adversarial_png": (image - np.float32(low)) / width,
    }
    for name, values in shown.items():
        found = decode_png(getattr(one, name))
        expected = _shown(np.clip(values, 0, 1) * 255)
        if found is None or found.shape != expected.shape or np.abs(found - expected).max() > 1:
            faults.append(f"its {name} is another picture")
    return faults


def _shown(x: Array) -> Array:
    """[C, H, W] as [H, W, C]; flat samples as the square that they are shown as."""
    if x.ndim == 3:
        return x.transpose(1, 2, 0)
    side = round(x.size**0.5)
    return x.reshape(side, side, 1)


@functools.lru_cache(maxsize=256)  # a record's pictures are few
def decode_png(text: str) -> Array | None:
    """float64 [H, W, C] of a base64 PNG of 8-bit grey or colour, not interlaced; None where it is none."""
    try:
        content = base64.b64decode(text, validate=True)
        if content[:8] != b"\x89PNG\r\n\x1a\n":
            return None
        head, data, at = b"", b"", 8
        while at + 12 <= len(content):
            (size,) = struct.unpack(">I", content[at : at + 4])
            kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
            if zlib.crc32(kind + body) != struct.unpack(">I", content[at + 8 + size : at + 12 + size])[0]:
                return None
            head, data, at = (
                body if kind == b"IHDR" else head,
                data + (body if kind == b"IDAT" else b""),
                at + 12 + size,
            )
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", head)
        channels = {0: 1, 2: 3}.get(colour, 0)
        if depth != 8 or not channels or interlaced or width * height * channels > _LARGEST:
            return None
        raw = zlib.decompressobj().decompress(data, height * (1 + width * channels))
        return _unfilter(raw, width, height, channels)
    except (binascii.Error, struct.error, zlib.error, ValueError):
        return None


def _unfilter(raw: bytes, width: int, height: int, channels: int) -> Array:
    """The five filters of PNG, byte by byte."""
    stride = width * channels
    rows = np.frombuffer(raw, np.uint8).reshape(height, stride + 1)
    pixels = np.zeros((height, stride), np.int64)
    for y in range(height):
        kind, line = int(rows[y, 0]), rows[y, 1:].astype(np.int64)
        above = pixels[y - 1] if y else np.zeros(stride, np.int64)
        if kind in (0, 2):
            pixels[y] = (line + (above if kind == 2 else 0)) & 255
            continue
        for x in range(stride):
            left = int(pixels[y, x - channels]) if x >= channels else 0
            up, corner = int(above[x]), int(above[x - channels]) if x >= channels else 0
            pixels[y, x] = (int(line[x]) + _guess(kind, left, up, corner)) & 255
    return pixels.reshape(height, width, channels).astype(np.float64)


def _guess(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 1:
        return left
    if kind == 3:
        return (left + up) // 2
    if kind != 4:
        raise ValueError(f"there is no filter {kind}")
    base = left + up - corner
    return min((abs(base - left), 0, left), (abs(base - up), 1, up), (abs(base - corner), 2, corner))[2]
