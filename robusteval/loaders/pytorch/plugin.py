"""The loader plugin for PyTorch files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.contracts.plugins import LoaderInfo
from robusteval.hooks import hookimpl


class TorchLoader:
    """State dicts with a known architecture; TorchScript and .pt2 behind --trust."""

    info: ClassVar[LoaderInfo] = LoaderInfo(
        "torch",
        "1",
        (".pt", ".pth", ".th", ".safetensors", ".pt2", ".ckpt", ".bin", ".tar", ".pkl"),
        "safetensors and weights-only state dicts with --arch module:factory; TorchScript and .pt2 behind --trust.",
    )

    def load(self, path: Path, options: LoadOptions) -> Classifier:
        """The classifier in the file. Raises ModelError."""
        from robusteval.loaders.pytorch.classifier import load_torch

        return load_torch(path, options)


@hookimpl
def robusteval_loaders() -> list[type[TorchLoader]]:
    """The loader of this module."""
    return [TorchLoader]
