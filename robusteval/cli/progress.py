"""Progress on the terminal, and libraries kept quiet."""

from __future__ import annotations

import os

from robusteval.live import Display

__all__ = ["Display", "quiet_libraries"]


def quiet_libraries() -> None:
    """ONNX Runtime floods stderr about devices that this machine lacks; its own errors still come as exceptions."""
    os.environ.setdefault("ORT_LOGGING_LEVEL", "4")
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
