"""Marks are a file that anybody can write: it names pictures of this very record, or is refused in one sentence."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from robusteval.cli.report_command import command
from robusteval.errors import RecordError
from robusteval.record import store
from robusteval.record.run import Record
from robusteval.report import render
from robusteval.report.charts.marked import marked
from robusteval.report.formats import marks


def written(record: Record, places: list[int]) -> dict[str, Any]:
    rows = [{"sample": record.gallery[place].sample, "cell": record.gallery[place].cell} for place in places]
    return {"schema": marks.SCHEMA, "record": store.digest(record), "marks": rows}


def test_marks_name_pictures_each_once(record: Record) -> None:
    chosen = marks.from_json(json.dumps(written(record, [2, 0, 2])), record)
    assert chosen.pictures == (record.gallery[0], record.gallery[2])
    assert marks.counted(chosen) == {
        norm: len(chosen.samples(norm)) for norm in {picture.norm for picture in chosen.pictures}
    }


def _changed(name: str, value: object) -> Any:
    def change(data: dict[str, Any]) -> Any:
        return data | {name: value}

    return change


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: [data], "not a document of schema"),
        (_changed("schema", "robusteval-marks-9"), "not a document of schema"),
        (_changed("more", 1), "not a document of schema"),
        (_changed("record", "0" * 64), "of another run"),
        (_changed("record", None), "of another run"),
        (_changed("marks", {}), "no list"),
        (_changed("marks", [{"sample": 0, "cell": "x"}] * 10_001), "no list of at most 10,000"),
        (_changed("marks", [0]), "Mark 0 is not a sample and a cell"),
        (_changed("marks", [{"sample": 0}]), "Mark 0 is not a sample and a cell"),
        (_changed("marks", [{"sample": True, "cell": "x"}]), "Mark 0 is not a number"),
        (_changed("marks", [{"sample": 0.0, "cell": "x"}]), "Mark 0 is not a number"),
        (_changed("marks", [{"sample": 0, "cell": ["x"]}]), "Mark 0 is not a number"),
        (_changed("marks", [{"sample": 10**30, "cell": "x"}]), "Mark 0 is of no picture"),
        (_changed("marks", [{"sample": 0, "cell": "<script>"}]), "Mark 0 is of no picture"),
    ],
)
def test_what_does_not_fit_is_one_sentence(record: Record, spoil: Any, said: str) -> None:
    with pytest.raises(RecordError) as caught:
        marks.from_json(json.dumps(spoil(written(record, [0]))), record)
    assert said in caught.value.message
    assert "script" not in caught.value.message


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1" * 5000, '{"schema": NaN'])
def test_what_is_no_json_is_one_sentence(record: Record, text: str) -> None:
    with pytest.raises(RecordError):
        marks.from_json(text, record)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "large", "bytes"])
def test_only_a_plain_file_of_bounded_size_is_read(record: Record, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "marks.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        path.write_bytes(b" " * (marks.MAX_BYTES + 1))
    elif kind == "bytes":
        path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecordError, match="marks"):
        marks.load(path, record)


def test_the_curves_stand_with_and_without(record: Record) -> None:
    chosen = marks.from_json(json.dumps(written(record, list(range(len(record.gallery))))), record)
    shown = marked(record, chosen)
    assert len(shown) == len({picture.norm for picture in record.gallery})
    for sentence, figure in shown:
        assert f"of {record.data.samples} images are marked" in sentence
        assert "Without the marked ones" in figure.spec
    assert marked(record, marks.Marks(())) == []


def test_the_command_writes_a_page_of_its_own(record: Record, tmp_path: Path) -> None:
    made = copy.deepcopy(record)
    store.save(made, tmp_path)
    again = store.load(tmp_path)
    (tmp_path / "m.json").write_text(json.dumps(written(again, [0])))
    runner = CliRunner()
    done = runner.invoke(command, [str(tmp_path), "--marks", str(tmp_path / "m.json")])
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "report.html").exists(), "verify compares that one with the record"
    assert 'id="marked"' in (tmp_path / "report-marked.html").read_text(encoding="utf-8")
    assert 'id="marked"' not in render(again)
    (tmp_path / "m.json").write_text("{}")
    refused = runner.invoke(command, [str(tmp_path), "--marks", str(tmp_path / "m.json")])
    assert isinstance(refused.exception, RecordError)
