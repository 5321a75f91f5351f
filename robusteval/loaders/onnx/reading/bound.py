"""ONNX Runtime asked about tensors where they lie: on a GPU nothing goes through the host's memory, in or out.

It is `runtime.answers.Runtime` in torch, step for step; `tests/loaders/test_bound.py` holds the two together on every
kind of file, on the processor, where the same code runs. The input is bound by its address. It is always a copy that
nobody else holds: ONNX Runtime does not write into what it is given, but that is its word, and the caller's pixels need
not rest on it. Outputs are ONNX Runtime's own, since what shape a stranger's file gives them is known when they are
there; they are copied before it may use their memory again.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from robusteval.errors import ModelError
from robusteval.runtime.answers import LOG_ZERO, TINY, Runtime, row_axis, rows_of
from robusteval.runtime.reading import Reading
from robusteval.runtime.session import DTYPES, run_bound

GPU = "CUDAExecutionProvider"
_TORCH = {name: getattr(torch, np.dtype(dtype).name) for name, dtype in DTYPES.items()}


def device_of(session: onnxruntime.InferenceSession) -> torch.device | None:
    """The GPU that a session computes on; None where that is the processor: there it reads numpy's memory in place."""
    if session.get_providers()[0] != GPU:
        return None
    return torch.device("cuda", int(session.get_provider_options()[GPU].get("device_id", 0)))


class Bound:
    """A session and how it is read, for tensors on the session's own device. Not picklable."""

    def __init__(self, session: onnxruntime.InferenceSession, reading: Reading, device: torch.device) -> None:
        self.session, self.reading, self.device = session, reading, device
        self._plain = Runtime(session, reading)

    def scores(self, x: Tensor) -> Tensor:
        """float32 [B, K] on x's device; probabilities in logarithms. Their argmax is the file's own even where float32
        is too coarse. Raises ModelError."""
        raw = self.raw(x)
        self._plain.expected_width(raw.shape)
        return rounded(self.exact(raw))

    def raw(self, x: Tensor) -> Tensor:
        """The file's own numbers for canonical x [B, *shape]: [B, K]. Raises ModelError."""
        one = self.reading
        if not len(x):
            return torch.zeros((0, 1 if one.one_score else one.classes), device=self.device)
        feed = self.feed(x)
        if one.batch is None:
            return self._rows(feed)
        parts = []
        for start in range(0, len(feed), one.batch):
            part = feed[start : start + one.batch]
            short = one.batch - len(part)
            full = torch.cat([part, part[-1:].expand(short, *part.shape[1:])]) if short else part
            parts.append(self._rows(full)[: len(part)])
        return torch.cat(parts)

    def feed(self, x: Tensor) -> Tensor:
        """Canonical x [B, *shape] as the file's own numbers, [B, *file_shape], in memory of its own on the session's
        device, whose addresses alone it can read."""
        one, dtype = self.reading, _TORCH[self.reading.type]
        x = x.detach().to(self.device).float().to(torch.float64 if dtype == torch.float64 else torch.float32)
        tail = (1,) * (len(one.shape) - 1)
        for values, apply in ((one.mean, torch.sub), (one.std, torch.div)):
            if values:
                x = apply(x, torch.tensor(values, dtype=x.dtype, device=x.device).reshape(-1, *tail))
        if one.whole is not None:
            low, high = one.bounds
            first, last = one.whole
            if one.whole != one.bounds:
                x = (x - low) * ((last - first) / (high - low)) + first
            x = x.round()
        if not dtype.is_floating_point:
            limits = torch.iinfo(dtype)
            x = x.clamp(float(limits.min), float(limits.max))
        if one.channels_last:
            x = x.permute(0, 2, 3, 1)
        own = torch.empty((len(x), *one.file_shape), dtype=dtype, device=x.device)
        return own.copy_(x.reshape(own.shape))

    def exact(self, raw: Tensor) -> Tensor:
        """Scores [B, K] in float64 from the file's own numbers."""
        one, raw = self.reading, raw.double()
        if one.scale == "probabilities":
            raw = torch.cat([1 - raw, raw], 1) if one.one_score else raw
            return raw.clamp_min(TINY).log()  # NaN stays NaN
        if one.scale == "log-probabilities":
            return raw.masked_fill(raw.isneginf(), LOG_ZERO)
        return torch.cat([torch.zeros_like(raw), raw], 1) if one.one_score else raw

    def _rows(self, feed: Tensor) -> Tensor:
        """One run on a batch of the size that the file takes: [n, ...] -> [n, K]."""
        one, count = self.reading, len(feed)
        given = feed[0] if one.batch_at is None else feed.movedim(0, one.batch_at)
        given = given.contiguous()  # it lives until the run is over: a binding holds an address, and no tensor
        here = (self.device.type, self.device.index or 0)
        binding = self.session.io_binding()
        binding.bind_input(one.input, *here, DTYPES[one.type], tuple(given.shape), given.data_ptr())
        binding.bind_output(one.output, *(here if one.kind == "tensor" else ("cpu", 0)))
        self._wait()
        run_bound(self.session, binding, tuple(given.shape))
        binding.synchronize_outputs()
        if one.kind == "tensor":
            answer = _copied(binding.get_outputs()[0], self.device)
            at = row_axis(answer.shape, count, one)
            rows = (answer if at is None else answer.movedim(at, 0)).reshape(count, answer.numel() // count)
        else:  # labels and dictionaries are made on the processor
            rows = torch.from_numpy(rows_of(binding.copy_outputs_to_cpu()[0], count, one)).to(self.device)
        self._wait()
        self._plain.same_width(rows.shape[1], count)
        return rows

    def _wait(self) -> None:
        """Until what torch was told to do here is done: ONNX Runtime has a stream of its own."""
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()


def rounded(exact: Tensor) -> Tensor:
    """float64 scores [B, K] as float32, with the largest kept the largest where all are finite."""
    scores = exact.float()
    labels = exact.argmax(1)
    swallowed = (scores.isfinite().all(1) & (scores.argmax(1) != labels)).nonzero().squeeze(1)
    top = scores[swallowed].amax(1)
    scores[swallowed, labels[swallowed]] = torch.nextafter(top, torch.full_like(top, torch.inf))
    return scores


class _Memory:
    """Memory of a GPU as torch takes it: the CUDA array interface, version 3."""

    def __init__(self, address: int, shape: tuple[int, ...], dtype: Any) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": np.dtype(dtype).str, "data": (address, False), "version": 3,
        }  # fmt: skip


def _copied(value: onnxruntime.OrtValue, device: torch.device) -> Tensor:
    """A copy of an output, on the device. Raises ModelError for what torch has no type for."""
    kind, shape = value.data_type(), tuple(value.shape())
    if kind not in _TORCH:
        raise ModelError(f"The model's scores are a {kind}, not numbers.", "Export it with scores in float32.")
    dtype, numbers = _TORCH[kind], math.prod(shape)
    if numbers == 0:
        return torch.empty(shape, dtype=dtype, device=device)
    if value.device_name() != "cpu":
        return torch.as_tensor(_Memory(value.data_ptr(), shape, DTYPES[kind]), device=device).clone()
    buffer = (ctypes.c_char * (numbers * dtype.itemsize)).from_address(value.data_ptr())
    return torch.frombuffer(buffer, dtype=dtype).reshape(shape).clone().to(device)
