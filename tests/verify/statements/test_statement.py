"""What `verify --statement` writes: the format, what it is about, and that a failure never reads as a confirmation."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robusteval.errors import RecordError, RobustEvalError
from robusteval.verify import command
from robusteval.verify.command import Wanted, verified
from robusteval.verify.parts.result import STATEMENT, Count, Verification
from robusteval.verify.statements import write
from robusteval.verify.statements.statement import DOCUMENT, MAX_BYTES, PREDICATE, TYPE, Said, from_json, read, to_json
from tests.documents import rewrite, whole
from tests.sure import sure
from tests.verify.runs import CNN
from tests.verify.statements.conftest import Signed

FILES = ["record.json", "samples.parquet", "witnesses.safetensors", "report.html"]


def stated(run: Path, target: Path, *models: Path, overwrite: bool = False) -> Verification:
    return verified(run, list(map(str, models)), Wanted(statement=str(target), overwrite=overwrite))


def test_the_committed_schema_is_fresh() -> None:
    """`make schemas` writes it anew."""
    assert DOCUMENT.schema == DOCUMENT.build_schema()


def test_it_is_an_in_toto_statement_about_each_file_by_its_hash(signed: Signed) -> None:
    data = json.loads(signed.statement.read_text())
    assert DOCUMENT.misfit(data) is None
    assert (data["_type"], data["predicateType"]) == (TYPE, PREDICATE)
    found = {subject["name"]: subject["digest"]["sha256"] for subject in data["subject"]}
    assert list(found) == [*FILES, f"model:{CNN.name}", "data:samples"]
    for name in FILES:
        assert found[name] == hashlib.sha256((signed.run / name).read_bytes()).hexdigest()
    assert found[f"model:{CNN.name}"] == hashlib.sha256(CNN.read_bytes()).hexdigest()
    assert found["data:samples"] == whole(signed.run)["data"]["sha256"]


def test_it_says_what_was_checked_by_what_and_when(signed: Signed, tmp_path: Path) -> None:
    result = stated(signed.run, tmp_path / "s.json")
    said = read(tmp_path / "s.json")[1].predicate
    assert (said.result, said.exit_code, said.scope) == ("confirmed", 0, STATEMENT)
    assert said.claims == Count(result.confirmed, 0, result.unchecked)
    assert set(said.kinds) == {
        "facts", "clean answers", "stored adversarials", "known models", "derived parts", "page and tables"
    }  # fmt: skip
    assert said.kinds["clean answers"].confirmed > 40  # four answers a sample, and one of all
    assert said.not_checked == result.left
    assert set(said.versions) == {"python", "robusteval", "numpy", "onnxruntime", "pyarrow", "safetensors"}
    assert said.finished.endswith("Z")
    record = whole(signed.run)
    (run,) = said.runs
    assert (run.model_sha256, run.data_sha256) == (record["model"]["sha256"], record["data"]["sha256"])
    assert run.model_read
    verdict = sure(run.verdict)
    assert (verdict.status, verdict.grade) == (record["verdict"]["status"], record["verdict"]["grade"])


def test_a_failed_verification_is_stated_as_failed(signed: Signed, tmp_path: Path) -> None:
    data = whole(signed.run)
    data["verdict"]["grade"] = "A"
    data["verdict"]["status"] = "conclusive"
    rewrite(signed.run, json.dumps(data))
    assert not stated(signed.run, tmp_path / "s.json").held
    text = (tmp_path / "s.json").read_text()
    said = from_json(text).predicate
    assert (said.result, said.exit_code, said.scope) == ("failed", 1, write.FAILED)
    assert said.claims.failed > 0
    assert any("verdict.grade" in failure for failure in said.failures)
    assert said.runs[0].verdict is None
    assert '"conclusive"' not in text
    assert STATEMENT not in text


def test_many_failures_are_counted(signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = Verification(claims=5, failures=[f"no {n}" + "x" * 5000 for n in range(130)])
    monkeypatch.setattr(command, "_verified", lambda _: result)
    stated(signed.run, tmp_path / "s.json")
    said = read(tmp_path / "s.json")[1].predicate
    assert (len(said.failures), said.failures_left_out) == (100, 30)
    assert max(map(len, said.failures)) <= 2000


def test_what_could_not_be_checked_at_all_is_no_confirmation(
    signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_verified", lambda _: Verification())
    stated(signed.run, tmp_path / "s.json")
    said = read(tmp_path / "s.json")[1].predicate
    assert (said.result, said.failures) == ("failed", ["Nothing could be checked."])


def test_where_there_is_nothing_to_check_with_there_is_no_statement(signed: Signed, tmp_path: Path) -> None:
    with pytest.raises(RobustEvalError, match="hash differs"):
        stated(signed.run, tmp_path / "s.json", CNN.with_name("fashion-robust.onnx"))
    (signed.run / "record.json").write_text("{}")
    with pytest.raises(RecordError):
        stated(signed.run, tmp_path / "s.json")
    assert not (tmp_path / "s.json").exists()


def test_an_older_file_is_replaced_only_on_demand(signed: Signed, tmp_path: Path) -> None:
    target = tmp_path / "s.json"
    target.write_text("mine")
    with pytest.raises(RobustEvalError, match="exists") as refused:
        stated(signed.run, target)
    assert "--overwrite" in refused.value.hint
    assert target.read_text() == "mine"
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    with pytest.raises(RobustEvalError, match="exists"):
        stated(signed.run, tmp_path / "dangling")
    stated(signed.run, target, overwrite=True)
    assert read(target)[1].predicate.result == "confirmed"


@pytest.mark.parametrize("kind", ["fifo", "folder", "nowhere", *FILES, "link", "model"])
def test_no_other_file_is_written_to(signed: Signed, tmp_path: Path, kind: str) -> None:
    target = signed.run / kind if kind in FILES else tmp_path / "s.json"
    model = Path(tmp_path / "m.onnx")
    model.write_bytes(CNN.read_bytes())
    if kind == "fifo":
        os.mkfifo(target)
    elif kind == "folder":
        target.mkdir()
    elif kind == "nowhere":
        target = tmp_path / "no" / "s.json"
    elif kind == "link":
        target.symlink_to(signed.run / "record.json")
    elif kind == "model":
        target = model
    before = {path: path.read_bytes() for path in (*signed.run.glob("*.*"), model) if path.is_file()}
    with pytest.raises(RobustEvalError):
        stated(signed.run, target, model, overwrite=True)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("name", [*FILES, "model"])
def test_files_that_change_meanwhile_are_not_stated(
    signed: Signed, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(CNN.read_bytes())
    real = command._verified

    def slow(found: Any) -> Verification:
        result = real(found)
        path = model if name == "model" else signed.run / name
        path.write_bytes(path.read_bytes() + b" ")
        return result

    monkeypatch.setattr(command, "_verified", slow)
    with pytest.raises(RobustEvalError, match=r"changed while|cannot be|does not"):
        stated(signed.run, tmp_path / "s.json", model)
    assert not (tmp_path / "s.json").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"exit_code": 1}, "exit code"),
        ({"result": "failed"}, "exit code"),
        ({"result": "failed", "exit_code": 1}, "has a verdict"),
        ({"failures": ["x"]}, "counts do not"),
        ({"failures_left_out": 1}, "counts do not"),
        ({"claims": Count(), "kinds": {}}, "counts do not"),
        ({"claims": Count(1, 1), "kinds": {"a": Count(1, 1)}}, "counts do not"),
        ({"claims": Count(9)}, "sum"),
        ({"claims": Count(1, -1), "kinds": {"a": Count(1, -1)}}, "less than nothing"),
        ({"kinds": {"a": Count(1, 0, -1), "b": Count(0, 0, 1)}, "claims": Count(1)}, "less than nothing"),
    ],
)
def test_a_statement_that_contradicts_itself_is_known(signed: Signed, change: dict[str, Any], words: str) -> None:
    said = signed.said
    assert said.contradiction == ""
    assert words in replace(said, predicate=replace(said.predicate, **change)).contradiction
    twice = replace(said, subject=[*said.subject, said.subject[0]])
    assert "twice" in twice.contradiction
    good = Said("conclusive", "A", "")
    assert replace(said.predicate.runs[0], verdict=good).verdict == good


@pytest.mark.parametrize(
    "make",
    [
        lambda _: "",
        lambda _: "[]",
        lambda _: "[" * 100_000,
        lambda _: '{"a":' * 50_000 + "1" + "}" * 50_000,
        lambda text: text[:-20],
        lambda text: text.replace(TYPE, "https://in-toto.io/Statement/v0.1"),
        lambda text: text.replace(PREDICATE, "https://slsa.dev/provenance/v1"),
        lambda text: text.replace('"exit_code": 0', '"exit_code": 2'),
        lambda text: text.replace('"exit_code": 0', '"exit_code": false'),
        lambda text: text.replace('"exit_code": 0', '"exit_code": 0, "exit_code": 0'),
        lambda text: text.replace('"exit_code": 0', '"exit_code": 0, "note": ""'),
        lambda text: text.replace('"confirmed",', '"perhaps",', 1),
        lambda text: text.replace('"failures_left_out": 0', '"failures_left_out": NaN'),
        lambda text: text.replace('"failures_left_out": 0', f'"failures_left_out": {"9" * 5000}'),
        lambda text: text.replace("record.json", "\\ud800", 1),
        lambda text: text + " " * MAX_BYTES,
    ],
)
def test_what_is_no_statement_is_one_sentence(signed: Signed, make: Callable[[str], str]) -> None:
    text = signed.statement.read_text()
    assert make(text) != text
    signed.statement.write_text(make(text))
    with pytest.raises(RecordError):
        read(signed.statement)


def test_it_comes_back_as_it_was_written(signed: Signed) -> None:
    text = signed.statement.read_text()
    assert to_json(from_json(text)) == text
