"""Evaluates the adversarial robustness of image classifiers and writes a report that an auditor can check."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("robusteval")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0"

if TYPE_CHECKING:
    from robusteval.evaluation import compare as compare
    from robusteval.evaluation import evaluate as evaluate
    from robusteval.record.opened import load as load

__all__ = ["__version__", "compare", "evaluate", "load"]


def __getattr__(name: str) -> Any:
    # torch is imported only when it is needed: `robusteval --help` must answer at once
    if name in ("compare", "evaluate"):
        from robusteval import evaluation

        return getattr(evaluation, name)
    if name == "load":
        from robusteval.record.opened import load

        return load
    raise AttributeError(f"module 'robusteval' has no attribute {name!r}")
