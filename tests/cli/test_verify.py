"""`robusteval verify` on 8-bit images: what survives rounding is asked again, and a lie about it is found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tests.cli.conftest import CNN, Command
from tests.documents import rewrite, whole


@pytest.fixture
def finished(robusteval: Command, quick: Path, tmp_path: Path) -> Path:
    assert robusteval("run", CNN, "--suite", quick, "--out", tmp_path / "run", "--workers", 1).code == 0
    return tmp_path / "run"


def test_every_attack_s_surviving_wins_are_asked_again(robusteval: Command, finished: Path) -> None:
    record = whole(finished)
    tensors = safetensors.numpy.load_file(finished / "witnesses.safetensors")
    cells = {cell["id"]: cell for cell in record["cells"]}
    bare = {cell["id"] for cell in record["cells"] if cell["defense"] == "none" and cell["norm"] in ("l2", "linf")}
    assert {entry["cell"] for entry in record["witnesses"]["rounded"]} == bare
    screen = robusteval("verify", finished)
    for entry in record["witnesses"]["rounded"]:
        cell = cells[entry["cell"]]
        known = [value for value in cell["survives_8bit"] if value is not None]
        assert tensors[entry["tensor"]].dtype == np.uint8
        assert len(tensors[entry["tensor"]]) == len(known)
        said = f"{cell['attack']}, {cell['norm']}: {100 * sum(known) / len(known):.1f} % of {len(known)} wins survive"
        assert said in screen.out
    assert sum(sum(map(bool, cells[name]["survives_8bit"])) for name in bare) > 0


def test_a_lie_about_a_survivor_is_found(robusteval: Command, finished: Path) -> None:
    record = whole(finished)
    name = record["witnesses"]["rounded"][0]["cell"]
    cell = next(cell for cell in record["cells"] if cell["id"] == name)
    sample = next(n for n, value in enumerate(cell["survives_8bit"]) if value is not None)
    truth = cell["survives_8bit"][sample]
    cell["survives_8bit"][sample] = not truth
    rewrite(finished, json.dumps(record))
    screen = robusteval("verify", finished)
    assert screen.code == 1
    lie = "it fools the model after all" if truth else "it fools the model no more"
    assert f"{name}, sample {sample}, rounded to 8 bits: {lie}" in screen.out


def test_a_win_made_elsewhere_is_found(robusteval: Command, finished: Path) -> None:
    """An image that fools the model and is not the attack's rounded one."""
    record = json.loads((finished / "record.json").read_text())
    entry = record["witnesses"]["rounded"][0]
    path = finished / "witnesses.safetensors"
    tensors = safetensors.numpy.load_file(path)
    tensors[entry["tensor"]] = 255 - tensors[entry["tensor"]]
    path.write_bytes(safetensors.numpy.save(tensors))
    screen = robusteval("verify", finished)
    assert screen.code == 1
    assert "further from the clean sample than rounding explains" in screen.out
