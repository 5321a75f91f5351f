"""`make schemas`: writes the published schemas anew from the dataclasses."""

from __future__ import annotations

import json
from pathlib import Path

from robusteval.record import comparison, reference_set, store

DOCUMENTS = (store.DOCUMENT, comparison.DOCUMENT, reference_set.DOCUMENT)


def main() -> None:
    """Writes the files beside this one."""
    for item in DOCUMENTS:
        text = json.dumps(item.build_schema(), indent=1) + "\n"
        (Path(__file__).parent / item.file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
