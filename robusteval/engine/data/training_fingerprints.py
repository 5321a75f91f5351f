"""Marks of the images that a model was trained on, kept inside its file, so that nobody evaluates it on them unawares.

A mark is the first 6 bytes of the SHA-256 of an image rounded to 8 bits, whatever the range that a model reads it in.
60,000 marks take 480 kB; of 10,000 images that were not learnt one is taken for a learnt one with a chance of 2e-6.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import torch

from robusteval.contracts.classifier import ModelInfo
from robusteval.contracts.samples import Samples
from robusteval.errors import DataError, ModelError

_BYTES = 6
_LEVELS = 255


def marks(samples: Samples, before: str = "") -> str:
    """The marks of these images and of those that were learnt before, as text: sorted, base64, 8 characters each."""
    return base64.b64encode(b"".join(sorted(marks_of(samples) | _read(before)))).decode("ascii")


def check_not_trained_on(info: ModelInfo, evaluated: set[bytes], count: int) -> None:
    """Raises DataError where images to be evaluated are among those that the model's file says it was trained on.
    evaluated: their marks; count: how many images they are."""
    if not info.training_fingerprints:
        return
    shared = len(evaluated & _read(info.training_fingerprints))
    if shared:
        raise DataError(
            f"{info.name} was trained on {shared} of the {count} images to be evaluated, by the marks in its file.",
            "Give --data that it was not trained on; figures would look better than they are.",
        )


def trained_on(info: ModelInfo, samples: Samples) -> int | None:
    """How many of these images are among those that the model's file says it was trained on; None where it says
    nothing. Raises ModelError for marks that `marks` did not write."""
    if not info.training_fingerprints:
        return None
    return len(marks_of(samples) & _read(info.training_fingerprints))


def marks_of(samples: Samples) -> set[bytes]:
    """The marks of images."""
    low, high = samples.bounds
    levels = ((samples.x.detach().cpu().double() - low) / (high - low) * _LEVELS).round().clamp(0, _LEVELS)
    return {hashlib.sha256(row.numpy().tobytes()).digest()[:_BYTES] for row in levels.to(torch.uint8)}


def _read(text: str) -> set[bytes]:
    """Raises ModelError for text that `marks` did not write."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        content = b"?"
    if len(content) % _BYTES:
        raise ModelError(
            "The file's list of the images that it was trained on (robusteval.learnt) cannot be read.",
            "Train again, or remove the entry if you know what the model has seen.",
        )
    return {content[start : start + _BYTES] for start in range(0, len(content), _BYTES)}
