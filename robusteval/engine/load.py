"""Opening a model file with the loader that its ending asks for."""

from __future__ import annotations

from pathlib import Path

from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.contracts.guard import guarded
from robusteval.engine.catalogue import Catalogue
from robusteval.errors import ModelError


def load_model(path: Path, options: LoadOptions, catalogue: Catalogue) -> Classifier:
    """The classifier in the file. Raises ModelError with one clear sentence and a hint."""
    if not path.exists():
        raise ModelError(f"There is no file {path}.", "Give the path of a model, such as model.onnx.")
    if path.is_dir():
        raise ModelError(f"{path} is a folder, not a model file.", "Give the path of a model, such as model.onnx.")
    known: list[str] = []
    for entry in catalogue.of("loader"):
        if path.suffix.lower() in entry.plugin.info.suffixes:
            model: Classifier = entry.plugin().load(path, options)
            return guarded(model)
        known += entry.plugin.info.suffixes
    raise ModelError(
        f"No loader reads files that end in {path.suffix or 'nothing'!r}.", f"Known endings: {', '.join(known)}."
    )
