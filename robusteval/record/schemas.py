"""`make schemas`: writes the published schemas anew from the dataclasses."""

from __future__ import annotations

import json
from pathlib import Path

from robusteval.record import comparison, reference_set, store

SCHEMAS = {
    "schema.json": store.build_schema,
    "comparison.schema.json": comparison.build_schema,
    "references.schema.json": reference_set.build_schema,
}


def main() -> None:
    """Writes the files beside this one."""
    for name, build in SCHEMAS.items():
        (Path(__file__).parent / name).write_text(json.dumps(build(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
