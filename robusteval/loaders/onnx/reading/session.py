"""ONNX Runtime sessions for the loader: on a GPU where that works."""

from __future__ import annotations

from typing import Any

import onnxruntime
import torch

from robusteval.runtime.session import DTYPES, Array, run_session
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
        return [("CUDAExecutionProvider", {"use_tf32": "0", "device_id": number or "0"}), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]


def open_session(
    blob: bytes, threads: int = 1, optimise: bool = True, device: str = "cpu"
) -> onnxruntime.InferenceSession:
    """A session on the model's bytes. Raises ModelError with ONNX Runtime's own reason."""
    return open_on(blob, threads, optimise, providers(device))
