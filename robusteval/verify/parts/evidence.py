"""What a run left to check with: the witness file's tensors, and the model's answers, each asked for once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robusteval.errors import RecordError
from robusteval.plain import in_words, read_plain
from robusteval.record.run import Record
from robusteval.verify.parts.asking import reopened

Array = NDArray[Any]
CLEAN, LABELS = "clean", "labels"
_BATCH = 128
MAX_BYTES = (
    16 << 30
)  # of a witness file; the wins that are kept take less than one, the nearest of each sample the rest


class Model(Protocol):
    """What is asked: canonical samples [B, *shape] to labels int64 [B] (-1: not finite) and scores float32 [B, K]."""

    def labels(self, x: Array) -> Array: ...

    def scores(self, x: Array) -> Array: ...


@dataclass
class Remembered:
    """A model that answers the same question once, so that a record can be checked again and again."""

    model: Model
    known: dict[str, Array] = field(default_factory=dict)

    def labels(self, x: Array) -> Array:
        """The classes, [B]."""
        return self._ask("labels", x)

    def scores(self, x: Array) -> Array:
        """The scores, [B, K]."""
        return self._ask("scores", x)

    def _ask(self, what: str, x: Array) -> Array:
        key = what + hashlib.sha256(repr(x.shape).encode() + np.ascontiguousarray(x).tobytes()).hexdigest()
        if key not in self.known:
            ask = getattr(self.model, what)
            parts = [ask(x[start : start + _BATCH]) for start in range(0, len(x), _BATCH)]
            self.known[key] = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        return self.known[key]


@dataclass
class Evidence:
    """tensors: of the witness file; sha256: of its bytes; model: None where it cannot be asked, for the reason
    `without`."""

    folder: Path
    tensors: dict[str, Array]
    sha256: str
    model: Model | None
    without: str = ""


def gather(record: Record, folder: Path, model: Path | None) -> Evidence:
    """Reads what there is. Raises RecordError where there is nothing to check with, or where the model is another
    one."""
    if record.witnesses is None:
        raise RecordError("This run stored no adversarials, so there is nothing to verify.")
    tensors, digest = read_tensors(folder / inside(record.witnesses.file))
    if CLEAN not in tensors or LABELS not in tensors:
        raise RecordError("The witness file has no clean samples.", "Give the folder that the run wrote.")
    if record.model.format != "onnx":
        return Evidence(folder, tensors, digest, None, "the model is no ONNX file, so its answers were not asked again")
    if model is None or not model.exists():
        raise RecordError(
            f"The model {record.model.file} is not where it was.", "Give its path: robusteval verify RUN --model MODEL."
        )
    return Evidence(folder, tensors, digest, Remembered(reopened(model, record)))


def read_tensors(path: Path) -> tuple[dict[str, Array], str]:
    """(the tensors of a safetensors file, the sha256 of its bytes). Raises RecordError."""
    import safetensors.numpy

    try:
        content = read_plain(path, MAX_BYTES, follow=False)
        tensors: dict[str, Array] = safetensors.numpy.load(content)
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise RecordError(f"Cannot read {path}: {in_words(error)}.", "Give the folder that the run wrote.") from None
    return tensors, hashlib.sha256(content).hexdigest()


def inside(name: str) -> str:
    """The name of a witness file, as long as it lies in the run's folder. Raises RecordError."""
    if Path(name).name != name or name in ("", ".."):
        raise RecordError(f"The witness file {name[:80]!r} is not in the run's folder.")
    return name
