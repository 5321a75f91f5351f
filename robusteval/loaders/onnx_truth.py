"""ONNX Runtime on the untouched file: the answers that count."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from ..errors import ModelError
from .onnx_io import InputReading, OutputReading
from .onnx_session import DTYPES, Array, open_session, run_session


class Truth:
    """A session with what is known about its input and output. Not picklable: made anew from the bytes."""

    def __init__(
        self,
        blob: bytes,
        given: InputReading,
        taken: OutputReading,
        optimise: bool = True,
        session: onnxruntime.InferenceSession | None = None,
    ) -> None:
        self.session = session or open_session(blob, optimise=optimise)
        self.given, self.taken = given, taken
        self.provider = self.session.get_providers()[0]

    def raw(self, x: Tensor, batch: int | None = None) -> Tensor:
        """The file's own output for canonical x: [B, ...] real. `batch` forces a batch size, as the file itself may."""
        with torch.no_grad():
            feed = self.given.space.to_file(x.detach().float().cpu()).numpy()
        feed = np.ascontiguousarray(self._cast(feed))
        size = self.given.batch if self.given.batch is not None else batch
        rows = len(feed)
        if size is None:
            return self._checked(self._run(feed), rows)
        parts = []
        for start in range(0, rows, size):
            part = feed[start : start + size]
            short = size - len(part)
            full = np.concatenate([part, np.repeat(part[-1:], short, 0)]) if short else part
            parts.append(self._checked(self._run(full), size)[: len(part)])
        return torch.cat(parts)

    def _cast(self, feed: Array) -> Array:
        dtype: np.dtype[Any] = np.dtype(DTYPES[self.given.type])
        if dtype.kind in "iu":
            limits = np.iinfo(dtype.name)
            feed = np.clip(feed, float(limits.min), float(limits.max))
        return feed.astype(dtype)

    def _run(self, feed: Array) -> Tensor:
        if self.given.unbatched:
            feed = feed[0]
        value = run_session(self.session, [self.taken.name], {self.given.name: feed})[0]
        out = to_rows(value, self.taken)
        return out[None] if self.given.unbatched and (out.dim() == 1 or out.shape[0] != 1) else out

    def _checked(self, out: Tensor, rows: int) -> Tensor:
        if out.dim() == 0 or out.shape[0] != rows:
            raise ModelError(
                f"The model answers {rows} inputs with a result of shape {tuple(out.shape)}.",
                "Export it with a free batch axis, or with batch 1 declared in its input.",
            )
        return out


def to_rows(value: Any, taken: OutputReading) -> Tensor:
    """A raw output of ONNX Runtime as a tensor: a list of dictionaries becomes a matrix, labels become one-hot rows."""
    if taken.kind == "zipmap":
        return torch.tensor([[float(row[key]) for key in taken.labels] for row in value], dtype=torch.float32)
    if taken.kind == "labels":
        flat = np.asarray(value).reshape(-1).tolist()
        place = {str(key): i for i, key in enumerate(taken.labels)}
        hot = torch.zeros(len(flat), len(taken.labels))
        for row, label in enumerate(flat):
            if str(label) not in place:
                raise ModelError(f"The model answers with an unknown label {label!r}.", "Export its class scores too.")
            hot[row, place[str(label)]] = 1.0
        return hot
    return torch.from_numpy(np.asarray(value, dtype=np.float32))
