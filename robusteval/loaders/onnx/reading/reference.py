"""ONNX Runtime on the untouched file: the answers that count, as tensors."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from robusteval.loaders.onnx.reading.bound import Bound, device_of
from robusteval.loaders.onnx.reading.inputs import InputReading, OutputReading, reading_of
from robusteval.loaders.onnx.reading.session import open_session
from robusteval.loaders.output_head import Head
from robusteval.runtime.answers import Runtime
from robusteval.runtime.session import Array


class Truth:
    """A session with what is known about its input and output. Not picklable: made anew from the bytes."""

    def __init__(
        self,
        blob: bytes,
        input_reading: InputReading,
        output_reading: OutputReading,
        optimise: bool = True,
        session: onnxruntime.InferenceSession | None = None,
    ) -> None:
        self.session = session or open_session(blob, optimise=optimise)
        self.input_reading, self.output_reading = input_reading, output_reading
        self.provider = self.session.get_providers()[0]
        self._device = device_of(self.session)
        self._runtime = Runtime(self.session, reading_of(input_reading, output_reading))

    def raw(self, x: Tensor, batch: int | None = None) -> Tensor:
        """The file's own numbers for canonical x: [B, K] real. `batch` forces a batch size, as the file itself may."""
        raw = self._runtime.raw(_array(x), batch)
        return torch.from_numpy(raw.astype(np.float64 if raw.dtype == np.float64 else np.float32))

    def feed(self, x: Tensor) -> Array:
        """Canonical x as the file's own numbers: [B, *file_shape]."""
        return self._runtime.feed(_array(x))

    def scores(self, x: Tensor, head: Head, batch: int | None = None) -> Tensor:
        """Scores of canonical x: float32 [B, K], on the device where ONNX Runtime computes. An x that lies on that GPU
        is asked about there."""
        reading = reading_of(self.input_reading, self.output_reading, head, batch)
        if x.device == self._device:
            return Bound(self.session, reading, x.device).scores(x)
        return torch.from_numpy(Runtime(self.session, reading).scores(_array(x)))


def _array(x: Tensor) -> Array:
    array: Array = x.detach().float().cpu().numpy()
    return array
