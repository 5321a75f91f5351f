"""Evaluates the adversarial robustness of image classifiers and writes a report that an auditor can check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from robusteval import attacks as attacks
    from robusteval.evaluation import compare as compare
    from robusteval.evaluation import evaluate as evaluate
    from robusteval.record.opened import load as load

__all__ = ["__version__", "attacks", "compare", "evaluate", "load"]


def __getattr__(name: str) -> Any:
    # torch is imported only when it is needed: `robusteval --help` must answer at once
    if name in ("compare", "evaluate"):
        from robusteval import evaluation

        return getattr(evaluation, name)
    if name == "attacks":
        import importlib

        return importlib.import_module("robusteval.attacks")
    if name == "load":
        from robusteval.record.opened import load

        return load
    if name == "__version__":  # children that try files import this package too, and need no metadata
        return _version()
    raise AttributeError(f"module 'robusteval' has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("robusteval")
    except PackageNotFoundError:  # a source tree that was never installed
        found = "0"
    globals()["__version__"] = found
    return found
