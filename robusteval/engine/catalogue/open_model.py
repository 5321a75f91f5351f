"""Opening a model file with the loader that its ending asks for."""

from __future__ import annotations

from pathlib import Path

from robusteval.cage.page import opening
from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.contracts.guard import guarded
from robusteval.engine.catalogue.catalogue import OURS, Catalogue, Entry
from robusteval.engine.settings import check_options
from robusteval.errors import ModelError, RobustEvalError
from robusteval.foreign import ForeignExit, foreign, words
from robusteval.plain import odd


def load_model(path: Path, options: LoadOptions, catalogue: Catalogue) -> Classifier:
    """The classifier in the file. Raises ModelError with one clear sentence and a hint."""
    if not path.exists():
        raise ModelError(f"There is no file {path}.", "Give the path of a model, such as model.onnx.")
    if path.is_dir():
        raise ModelError(f"{path} is a folder, not a model file.", "Give the path of a model, such as model.onnx.")
    if what := odd(path):
        raise ModelError(f"{path} is {what}, not a model file.", "Give the path of a model, such as model.onnx.")
    check_options(options)
    return _loaded(_chosen(path, options.loader, catalogue), path, options)


def _chosen(path: Path, name: str, catalogue: Catalogue) -> Entry:
    """The loader that the user names, else the one that reads files of this ending. Raises PluginError, ModelError."""
    if name:
        return catalogue.entry("loader", name)
    rows = catalogue.of("loader")
    claims = [entry for entry in rows if path.suffix.lower() in entry.plugin.info.suffixes]
    own = [entry for entry in claims if entry.distribution == OURS]
    if own or len(claims) == 1:
        return (own or claims)[0]
    if claims:
        names = ", ".join(entry.name for entry in claims)
        raise ModelError(
            f"Several loaders read files that end in {path.suffix!r}: {names}.", "Choose one with --loader."
        )
    known = dict.fromkeys(suffix for entry in rows for suffix in entry.plugin.info.suffixes)
    raise ModelError(
        f"No loader reads files that end in {path.suffix or 'nothing'!r}.", f"Known endings: {', '.join(known)}."
    )


def shared_endings(entry: Entry, catalogue: Catalogue) -> list[str]:
    """The endings of an outside loader that another one reads too, so that it has to be named to be used for them."""
    if entry.kind != "loader" or entry.broken or entry.distribution == OURS:
        return []
    others = [other for other in catalogue.of("loader") if other is not entry]
    claimed = {suffix for other in others for suffix in other.plugin.info.suffixes}
    return [suffix for suffix in entry.plugin.info.suffixes if suffix in claimed]


def _loaded(entry: Entry, path: Path, options: LoadOptions) -> Classifier:
    """What the loader makes of the file. Whatever an outside loader raises is one sentence, as is a sys.exit of any."""
    try:
        with foreign(), opening(path.name):
            model: Classifier = entry.plugin().load(path, options)
    except RobustEvalError:
        raise
    except Exception as error:
        if entry.distribution == OURS and not isinstance(error, ForeignExit):
            raise  # a bug of ours keeps its traceback
        raise ModelError(
            f"The loader {entry.name} of {entry.distribution} failed on {path.name}: {words(error)}.",
            "Tell its author; `robusteval plugins list` shows what is installed.",
        ) from error
    if not isinstance(model, Classifier):
        raise ModelError(
            f"The loader {entry.name} of {entry.distribution} gave a {type(model).__name__} for {path.name}, not a "
            "Classifier.",
            "Tell its author: robusteval.api.Classifier says what one is.",
        )
    return guarded(model)
