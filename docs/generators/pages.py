"""Every generated page of the documentation, by its path on the site."""

from __future__ import annotations

from docs.generators import checks, commands, fields, plugins


def generated() -> dict[str, str]:
    """Markdown by path; the same texts whenever it is called."""
    kinds = {f"reference/{kind}.md": text for kind, text in plugins.texts().items()}
    return kinds | {
        "reference/commands.md": commands.text(),
        "reference/checks.md": checks.text(),
        "reference/record.md": fields.text(),
    }
