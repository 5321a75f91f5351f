"""The stored images of a finished run: clean ones, and the nearest adversarial of each sample."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robusteval.assessment.evidence.pictures import levels, png
from robusteval.assessment.evidence.shown import pictured
from robusteval.errors import RecordError
from robusteval.record.run import Record
from robusteval.verify.parts.evidence import CLEAN, inside, read_tensors

_GIVE = "Give the folder that the run wrote."


@dataclass
class Images:
    """Pictures of a run's samples, read from its witness file when the first is asked for.

    Raises RecordError where the file is not the run's.
    """

    record: Record
    folder: Path
    _tensors: dict[str, NDArray[Any]] = field(default_factory=dict)

    def clean(self, sample: int) -> bytes | None:
        """A PNG file of the clean sample; None where samples of this shape are no pictures."""
        return self._png(CLEAN, sample)

    def nearest(self, sample: int, norm: str, defense: str = "none") -> bytes | None:
        """A PNG file of the nearest adversarial of a sample; None where there is none, or no picture of it."""
        rows = self._rows.get((sample, norm, defense))
        return None if rows is None else self._png(*rows)

    @functools.cached_property
    def _rows(self) -> dict[tuple[int, str, str], tuple[str, int]]:
        entries = self.record.witnesses.entries if self.record.witnesses is not None else []
        return {(entry.sample, entry.norm, entry.defense): (entry.tensor, entry.row) for entry in entries}

    def _png(self, name: str, row: int) -> bytes | None:
        if not pictured(self.record.model.input_shape):
            return None
        tensor = self._read().get(name)
        if tensor is None or not 0 <= row < len(tensor) or list(tensor.shape[1:]) != self.record.model.input_shape:
            raise RecordError(f"The witness file does not hold what the record says of {name[:80]}.", _GIVE)
        low, high = self.record.model.bounds
        pixels = levels(((np.nan_to_num(tensor[row]) - np.float32(low)) / np.float32(high - low)).astype(np.float32))
        return None if pixels is None else png(pixels)

    def _read(self) -> dict[str, NDArray[Any]]:
        if not self._tensors:
            witnesses = self.record.witnesses
            if witnesses is None:
                raise RecordError("This run stored no images.", _GIVE)
            self._tensors, digest = read_tensors(self.folder / inside(witnesses.file))
            if digest != witnesses.sha256:
                raise RecordError(f"The hash of {witnesses.file} differs, so it is not the run's.", _GIVE)
        return self._tensors
