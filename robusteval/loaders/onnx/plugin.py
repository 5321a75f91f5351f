"""The loader plugin for ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.contracts.plugins import LoaderInfo
from robusteval.errors import ModelError
from robusteval.hooks import hookimpl


class OnnxLoader:
    """ONNX files: ONNX Runtime answers, a differentiable twin gives gradients."""

    info: ClassVar[LoaderInfo] = LoaderInfo(
        "onnx", "1", (".onnx",), "ONNX files: ONNX Runtime is the truth, our own twin gives exact input gradients."
    )

    def load(self, path: Path, options: LoadOptions) -> Classifier:
        """The classifier in the file. Raises ModelError."""
        from robusteval.loaders.onnx.classifier import load_onnx

        try:
            return load_onnx(path, options)
        except UnicodeDecodeError as error:  # names of tensors, operators, graphs: wherever they are read first
            raise ModelError(f"{path.name} holds names that are no text (UTF-8).", "Export it again.") from error


@hookimpl
def robusteval_loaders() -> list[type[OnnxLoader]]:
    """The loader of this module."""
    return [OnnxLoader]
