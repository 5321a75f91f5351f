"""The report: pure functions of the record. `render` gives one HTML file that works offline."""

from robusteval.report.html import render

__all__ = ["render"]
