"""Who signed, and for what: everything that lies between a signature and the bytes of a run is spoilt in turn."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from robusteval.errors import RobustEvalError
from robusteval.record.comparison import COMPARISON_FILE
from robusteval.verify import command
from robusteval.verify.command import PUBLIC_KEY, Wanted, verified
from robusteval.verify.statements import subjects
from robusteval.verify.statements.check import ABSENT, SIGNED, UNCHECKED, UNCOVERED
from robusteval.verify.statements.statement import Digest, Statement, Subject, to_json
from tests.verify.runs import CNN
from tests.verify.statements.conftest import Signed

FILES = ["record.json", "samples.parquet", "witnesses.safetensors", "report.html"]
SUBJECTS = [*FILES, f"model:{CNN.name}", "data:samples"]
OTHER = "0" * 64


def with_subjects(said: Statement, change: Callable[[list[Subject]], list[Subject]]) -> Statement:
    return replace(said, subject=change(list(said.subject)))


def test_an_honest_signature_holds(signed: Signed) -> None:
    signature = signed.sign(signed.statement.read_bytes())
    wanted = Wanted(signature=str(signature), public_key=str(signed.public))
    result = verified(signed.run, [], wanted)
    assert (result.held, result.failures, result.left) == (True, [], {UNCHECKED: 1})
    assert (result.statement, list(result.kinds)) == (SIGNED, ["signature", "statement", "files"])
    assert any(
        f"grade {run.verdict.grade}" in " ".join(result.notes) for run in signed.said.predicate.runs if run.verdict
    )
    assert verified(signed.run / "record.json", [], wanted).held


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["byte", "longer", "gone", "link", "fifo", "folder"])
def test_each_file_of_the_run_is_held_against_what_was_signed(signed: Signed, name: str, how: str) -> None:
    path = signed.run / name
    content = path.read_bytes()
    path.unlink()
    if how == "byte":
        path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    elif how == "longer":
        path.write_bytes(content + b"\n")
    elif how == "link":
        (signed.folder / "elsewhere").write_bytes(content)
        path.symlink_to(signed.folder / "elsewhere")
    elif how == "fifo":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    held, failures = signed.check()
    assert not held
    assert name in failures
    assert len(failures.splitlines()) == 1


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("how", ["other", "left out", "renamed"])
def test_each_subject_is_needed_as_it_is(signed: Signed, name: str, how: str) -> None:
    """A statement that its owner signed, about something else."""

    def change(all_: list[Subject]) -> list[Subject]:
        if how == "other":
            return [Subject(name, Digest(OTHER)) if row.name == name else row for row in all_]
        if how == "renamed":
            return [Subject(f"{name}2", row.digest) if row.name == name else row for row in all_]
        return [row for row in all_ if row.name != name]

    signature = signed.signed(with_subjects(signed.said, change))
    held, failures = signed.check(signature)
    if name.startswith("model:") and how == "left out":
        result = verified(signed.run, [], Wanted(signature=str(signature), public_key=str(signed.public)))
        assert result.left == {UNCOVERED: 1, UNCHECKED: 1}
        return
    assert not held
    assert name in failures


@pytest.mark.parametrize(
    "name",
    [
        *(
            "extra.txt",
            "../statement.json",
            "/etc/hostname",
            "a/b/c",
            "",
            "..",
            ".",
            "units/",
            "report.html/x",
            "nul\0",
        ),
        *("comparison.json", "model:other.onnx", "data:more", "lenet/model:m.onnx"),
    ],
)
def test_no_other_subject_is_taken(signed: Signed, name: str) -> None:
    (signed.run / "extra.txt").write_text("x")
    more = Subject(name, Digest(OTHER))
    held, failures = signed.check(signed.signed(with_subjects(signed.said, lambda rows: [*rows, more])))
    assert not held
    assert failures


@pytest.mark.parametrize("name", ["extra.txt", "../statement.json", "kept/extra.txt", "./report.html"])
def test_a_right_hash_does_not_make_a_file_the_run_s(signed: Signed, name: str) -> None:
    (signed.run / "kept").mkdir()
    for path in ("extra.txt", "kept/extra.txt"):
        (signed.run / path).write_text("x")
    more = Subject(name, Digest(hashlib.sha256((signed.run / name).read_bytes()).hexdigest()))
    held, failures = signed.check(signed.signed(with_subjects(signed.said, lambda rows: [*rows, more])))
    assert not held
    assert failures == f"{name}: " + (
        "that is no name of a file in a run." if ".." in name else "it is signed for, and no file of this run."
    )


def test_a_file_that_nobody_signed_for_is_found(signed: Signed) -> None:
    (signed.run / "report.html").unlink()
    assert verified(signed.run, [], Wanted(statement=str(signed.statement), overwrite=True)).held
    (signed.run / "report.html").write_text("Grade: A")
    held, failures = signed.check()
    assert not held
    assert "report.html: it is not among the files that were signed for" in failures


def test_a_run_is_not_read_before_its_bytes_are_those_that_were_signed(
    signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_located", lambda *_: pytest.fail("it was read"))
    (signed.run / COMPARISON_FILE).write_text("{}")
    held, failures = signed.check()
    assert not held
    assert COMPARISON_FILE in failures
    (signed.run / COMPARISON_FILE).unlink()
    (signed.run / "record.json").write_text("{")
    assert "record.json" in signed.check()[1]


def test_another_run_is_not_what_was_signed(signed: Signed, tmp_path: Path) -> None:
    signature = signed.sign(signed.statement.read_bytes())
    for name in FILES:
        (signed.run / name).write_bytes(b"another run's")
    held, failures = signed.check(signature)
    assert not held
    assert all(name in failures for name in FILES)


def test_another_model_is_not_what_was_signed(signed: Signed) -> None:
    wanted = Wanted(signature=str(signed.sign(signed.statement.read_bytes())), public_key=str(signed.public))
    other = verified(signed.run, [str(CNN.with_name("fashion-robust.onnx"))], wanted)
    assert other.failures == [f"model:{CNN.name}: it is not what was signed for: its hash differs."]


def test_a_model_that_is_not_there_is_counted(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find", lambda *_: None)
    wanted = Wanted(signature=str(signed.sign(signed.statement.read_bytes())), public_key=str(signed.public))
    result = verified(signed.run, [], wanted)
    assert result.held
    assert result.left == {ABSENT: 1, UNCHECKED: 1}


def test_each_file_of_a_model_is_a_subject(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of one with its external data beside it."""
    each = {"": "a" * 64, "weights.bin": "b" * 64}
    monkeypatch.setattr(subjects, "each_sha256", lambda _: each)
    found = command._located(signed.run, [])
    assert subjects.of_models(found) == {f"model:{CNN.name}": "a" * 64, "model:weights.bin": "b" * 64}
    said = with_subjects(
        signed.said,
        lambda rows: [
            *(row for row in rows if not row.name.startswith("model:")),
            *(Subject(f"model:{name or CNN.name}", Digest(digest)) for name, digest in each.items()),
        ],
    )
    assert signed.check(signed.signed(said)) == (True, "")
    each["weights.bin"] = "c" * 64
    held, failures = signed.check(signed.signed(said))
    assert not held
    assert failures == "model:weights.bin: it is not what was signed for: its hash differs."


def test_a_model_that_is_no_onnx_file_is_one_subject_where_it_is_given(signed: Signed) -> None:
    (place,) = command._located(signed.run, [str(CNN)]).places
    place.record.model.format = "torch"
    named = {f"model:{CNN.name}": place.record.model.sha256}
    for model, digests in ((CNN, named), (CNN.with_name("fashion-robust.onnx"), {}), (None, {}), (Path("no"), {})):
        found = subjects.Located(signed.run, [replace(place, model=model)])
        assert subjects.of_models(found) == digests
    with pytest.raises(RobustEvalError, match="Cannot read the model"):
        subjects.of_models(subjects.Located(signed.run, [replace(place, model=signed.run)]))


def test_words_that_do_not_go_together(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PUBLIC_KEY, raising=False)
    signature = str(signed.sign(signed.statement.read_bytes()))
    for wanted, words in (
        (Wanted(signature=signature), "without the signer's public key"),
        (Wanted(public_key=str(signed.public)), "checks a signature"),
        (Wanted(statement="s.json", signature=signature, public_key=str(signed.public)), "who signed another one"),
    ):
        with pytest.raises(RobustEvalError, match=words):
            verified(signed.run, [], wanted)
    monkeypatch.setenv(PUBLIC_KEY, str(signed.public))
    assert verified(signed.run, [], Wanted(signature=signature)).held


def test_a_statement_stays_what_it_was(signed: Signed) -> None:
    assert to_json(signed.said) == signed.statement.read_text()
