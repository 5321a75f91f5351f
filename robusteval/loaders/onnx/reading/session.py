"""ONNX Runtime sessions for the loader: on a GPU where that works."""

from __future__ import annotations

import contextlib
from typing import Any

import onnxruntime
import torch

from robusteval.errors import ModelError
from robusteval.runtime.session import CPU, DTYPES, Array, run_session
from robusteval.runtime.session import open_session as open_on

__all__ = ["DTYPES", "Array", "open_session", "providers", "run_session"]


def providers(device: str = "cpu") -> list[Any]:
    """CUDA on that GPU where it works, without its reduced-precision products; the CPU otherwise."""
    kind, _, number = device.partition(":")
    if (
        kind == "cuda"
        and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        and torch.cuda.is_available()
    ):
        # convolutions by a rule: the fastest of some tries would be another one another time, and round otherwise
        options = {"use_tf32": "0", "device_id": number or "0", "cudnn_conv_algo_search": "HEURISTIC"}
        return [("CUDAExecutionProvider", options), *CPU]
    return [*CPU]


def open_session(
    blob: bytes, threads: int = 1, optimise: bool = True, device: str = "cpu"
) -> onnxruntime.InferenceSession:
    """A session on the model's bytes; on the processor where the GPU's provider is there and does not start. Raises
    ModelError with ONNX Runtime's own reason."""
    wanted = providers(device)
    if len(wanted) > 1:
        with contextlib.suppress(ModelError):  # where the file is at fault, the processor says so
            return open_on(blob, threads, optimise, wanted)
    return open_on(blob, threads, optimise, CPU)
