"""Words of ours as Markdown: tables, code, and texts that are to be read as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"([\\`*_\[\]<>|])")


def plain(text: object) -> str:
    """A text on one line in which nothing is markup, but for `code`, which stays code; `|` divides no cell."""
    parts = re.split(r"(`[^`]*`)", " ".join(str(text).split()))
    return "".join(code(part[1:-1]) if place % 2 else _MARKUP.sub(r"\\\1", part) for place, part in enumerate(parts))


def code(text: object) -> str:
    """A text as code, on one line, in a cell of a table too; nothing where there is nothing."""
    shown = " ".join(str(text).split())
    return f"`{shown}`".replace("|", "\\|") if shown else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are Markdown already; nothing without rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |", *lines]) if lines else ""


def page(*parts: str) -> str:
    """The parts that say something, with an empty line between."""
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"
