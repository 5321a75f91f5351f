"""The notebook of the examples runs from top to bottom, and says what it is meant to."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"


def test_its_cells_run_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert len(cells) == 10
    assert not any(cell.get("outputs") for cell in cells), "outputs are not committed"
    world: dict[str, Any] = {"__name__": "__main__"}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for number, cell in enumerate(cells):
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"cell {number}", "exec"), world)  # noqa: S102 - our own
    assert len(world["frame"]) == 20 * len(world["record"].done())
    assert world["record"].model.name == "the example network"
    assert len(world["hardest"]) == 3
    assert "Trust grade" in said.getvalue()
    assert 0 < world["found"].success.mean() <= 1
    assert set(world["frame"]["row"].dropna()) <= set(range(40))
