"""ONNX Runtime sessions: quiet, and single-threaded on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import onnxruntime

from robusteval.cage.page import Asking
from robusteval.errors import ModelError

Array = np.ndarray[Any, Any]
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
CPU = ("CPUExecutionProvider",)
T = TypeVar("T")


def open_session(
    source: bytes | str, threads: int = 1, optimise: bool = True, providers: Sequence[Any] = CPU
) -> onnxruntime.InferenceSession:
    """A session on the model's bytes, or on a file. It never changes its provider by itself, as numbers of two would
    meet in one record. Raises ModelError with ONNX Runtime's own reason."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.use_deterministic_compute = True
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(source, options, providers=list(providers), enable_fallback=0)
        session.disable_fallback()  # for versions that do not know the argument
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        reason = (str(error).splitlines() or ["no reason given"])[0][:300]
        raise ModelError(
            f"ONNX Runtime does not accept the model: {reason}", "Export it for an opset that ONNX Runtime knows."
        ) from error
    return session


def run_session(session: onnxruntime.InferenceSession, names: Sequence[str], feed: dict[str, Array]) -> list[Any]:
    """One run. Raises ModelError with ONNX Runtime's own reason."""
    shapes = [value.shape for value in feed.values()]
    results: list[Any] = _asked(session, shapes, lambda options: session.run(list(names), feed, options))
    return results


def run_bound(session: onnxruntime.InferenceSession, binding: onnxruntime.IOBinding, shape: tuple[int, ...]) -> None:
    """One run on an input of this shape that is bound where it lies, as are the outputs. Raises ModelError likewise."""
    _asked(session, [shape], lambda options: session.run_with_iobinding(binding, options))


def _asked(
    session: onnxruntime.InferenceSession,
    shapes: Sequence[tuple[int, ...]],
    run: Callable[[onnxruntime.RunOptions], T],
) -> T:
    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    try:
        with Asking("ONNX Runtime", session, max((shape[0] for shape in shapes if shape), default=1)):
            return run(options)
    except Exception as error:  # see above
        reason = (str(error).splitlines() or ["no reason given"])[0][:300]
        raise ModelError(
            f"ONNX Runtime fails on an input of shape {list(shapes)}: {reason}",
            "It asks for more memory than it may have (--memory, or what the machine has)."
            if "alloc" in reason.lower()
            else "Check --shape and --layout against what the model was exported with.",
        ) from error
