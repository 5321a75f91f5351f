"""The tamperings that were once confirmed, each alone, by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from robusteval.verify.alone import main
from tests.documents import rewrite, whole
from tests.verify.runs import CNN

Change = Callable[[dict[str, Any]], None]
Tampered = Callable[[Change], tuple[int, str]]


@pytest.fixture
def tampered(folder: Path, capsys: pytest.CaptureFixture[str]) -> Tampered:
    """Changes the record, verifies, and gives (exit code, what was printed)."""

    def call(change: Change) -> tuple[int, str]:
        data = whole(folder)
        change(data)
        rewrite(folder, json.dumps(data))
        code = main([str(folder), "--model", str(CNN)])
        return code, capsys.readouterr().out

    return call


def test_an_untouched_run_is_confirmed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--model", str(CNN)]) == 0
    assert "0 failures" in capsys.readouterr().out


def test_a_verdict_of_99_9_percent(tampered: Tampered) -> None:
    def change(data: dict[str, Any]) -> None:
        data["verdict"]["sentences"] = ["On 10 clean samples the model is right on 99.9 %."]

    code, said = tampered(change)
    assert code == 1
    assert "verdict.sentences" in said


def test_linf_distances_tripled(tampered: Tampered) -> None:
    def change(data: dict[str, Any]) -> None:
        for cell in data["cells"]:
            if cell["norm"] == "linf":
                cell["distance"] = [None if value is None else 3 * value for value in cell["distance"]]

    code, said = tampered(change)
    assert code == 1
    assert "its distance is" in said


def test_wrong_clean_answers_made_right(tampered: Tampered) -> None:
    def change(data: dict[str, Any]) -> None:
        labels = data["data"]["labels"]
        bare = data["pipelines"][0]
        wrong = [place for place, value in enumerate(bare["prediction"]) if value != labels[place]]
        assert wrong
        for place in wrong:
            bare["prediction"][place] = bare["label"][place] = labels[place]
            for cell in data["cells"]:
                if cell["distance"]:
                    cell["distance"][place] = cell["l2"][place] = None

    code, said = tampered(change)
    assert code == 1
    assert "pipelines[none].prediction" in said


def test_all_distances_null_with_three_witnesses_left(tampered: Tampered) -> None:
    def change(data: dict[str, Any]) -> None:
        for cell in data["cells"]:
            for name in ("distance", "l2", "prediction", "survives_8bit"):
                cell[name] = [0 if value == 0 and name in ("distance", "l2") else None for value in cell[name]]
        data["witnesses"]["entries"] = data["witnesses"]["entries"][:3]
        data["witnesses"]["rounded"] = data["witnesses"]["wins"] = []

    code, said = tampered(change)
    assert code == 1
    assert "entries that no column needs" in said


def test_missing_witnesses_are_failures(tampered: Tampered) -> None:
    def change(data: dict[str, Any]) -> None:
        data["witnesses"]["entries"] = data["witnesses"]["entries"][:3]
        data["witnesses"]["wins"] = data["witnesses"]["wins"][:1]

    code, said = tampered(change)
    assert code == 1
    assert "is not there as the columns need it" in said


@pytest.mark.parametrize("value", ["NaN", "-1.0", "1e999", '"near"', "true"])
def test_a_column_that_makes_no_sense_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    data = whole(folder)
    data["cells"][0]["distance"][0] = "HERE"
    rewrite(folder, json.dumps(data).replace('"HERE"', value))
    assert main([str(folder), "--model", str(CNN)]) == 2
    assert capsys.readouterr().err.startswith("Error: ")


def test_a_short_column_is_one_sentence(tampered: Tampered) -> None:
    code, _ = tampered(lambda data: data["cells"][0]["distance"].pop())
    assert code == 2


@pytest.mark.parametrize("kind", ["bytes", "rows swapped", "a tensor missing", "a tensor more"])
def test_the_witness_file(folder: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    path = folder / "witnesses.safetensors"
    tensors = safetensors.numpy.load_file(path)
    if kind == "bytes":
        tensors["wins.0"][0] = np.clip(tensors["wins.0"][0] + np.float32(0.01), 0, 1)
    elif kind == "rows swapped":
        tensors["none.l2"] = tensors["none.l2"][::-1].copy()
    elif kind == "a tensor missing":
        del tensors["wins.0"]
    else:
        tensors["more"] = tensors["clean"]
    path.write_bytes(safetensors.numpy.save(tensors))
    assert main([str(folder), "--model", str(CNN)]) == 1
    said = capsys.readouterr().out
    expected = {
        "bytes": "its distance is",
        "rows swapped": "its bytes changed",
        "a tensor missing": "0 stored adversarials for",
        "a tensor more": "which the record does not mention",
    }
    assert expected[kind] in said


def test_another_model(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes((CNN.parent / "fashion-robust.onnx").read_bytes())
    assert main([str(folder), "--model", str(other)]) == 2
    assert "its hash differs" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["a figure", "another record's hash"])
def test_the_page(folder: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    path = folder / "report.html"
    page = path.read_text()
    assert "90.0" in page
    changed = (
        page.replace("90.0", "99.9", 1)
        if what == "a figure"
        else page.replace('-record" content="', '-record" content="0', 1)
    )
    path.write_text(changed)
    assert main([str(folder), "--model", str(CNN)]) == 1
    assert "report.html" in capsys.readouterr().out


def test_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = next((folder / "tables").glob("*.csv"))
    table.write_text(table.read_text() + "x\n")
    assert main([str(folder), "--model", str(CNN)]) == 1
    assert table.name in capsys.readouterr().out


def test_a_run_without_its_page_is_confirmed_and_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "report.html").unlink()
    assert main([str(folder), "--model", str(CNN)]) == 0
    assert "there is no report.html" in capsys.readouterr().out
