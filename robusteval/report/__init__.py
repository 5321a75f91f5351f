"""The report: pure functions of the record. `render` gives one HTML file that works offline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robusteval.report.page import render as render

__all__ = ["render"]


def __getattr__(name: str) -> Any:
    # the page needs jinja2 and altair; `verify` compares the tables where neither is installed
    if name == "render":
        from robusteval.report.page import render

        return render
    raise AttributeError(f"module 'robusteval.report' has no attribute {name!r}")
