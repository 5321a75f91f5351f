"""Whoever runs several models has each attacked with adversarials of the others: the command line and Python alike."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import robusteval as package
from tests.cli.conftest import CNN, Command
from tests.documents import whole

ROBUST = CNN.with_name("fashion-robust.onnx")
SUITE = """
name = "borrowed"
version = "1"
norms = ["linf"]
samples = 8
probe_samples = 0
[[attack]]
plugin = "transfer"
search = 2
params = { steps = 4 }
"""


def borrowed(record: dict[str, Any]) -> tuple[list[str], list[list[float | None]]]:
    """State and column of the cells of adversarials that were made on another model."""
    cells = [cell for cell in record["cells"] if cell["plugin"] == "transfer"]
    return [cell["status"] for cell in cells], [cell["distance"] for cell in cells]


def test_the_command_line_and_python_transfer_from_the_other_models(robusteval: Command, tmp_path: Path) -> None:
    suite = tmp_path / "borrowed.toml"
    suite.write_text(SUITE)
    screen = robusteval("run", CNN, ROBUST, "--suite", suite, "--workers", 1, "--out", tmp_path / "run")
    assert screen.code == 0, screen.err
    compared = package.compare([CNN, ROBUST], suite=str(suite))
    for key, record in compared.records.items():
        columns = borrowed(whole(tmp_path / "run" / key))
        assert columns[0] == ["done"]
        assert any(value for value in columns[1][0])  # something of the other model's fools this one
        assert borrowed(dataclasses.asdict(record)) == columns
    assert len({str(borrowed(dataclasses.asdict(record))[1]) for record in compared.records.values()}) == 2
