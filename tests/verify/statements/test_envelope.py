"""Who signed: wrong keys, hints, types, damage, and what was signed and says something else."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robusteval.errors import RecordError, RobustEvalError
from robusteval.verify.statements import envelope, keys
from robusteval.verify.statements.statement import MAX_BYTES
from tests.verify.statements.conftest import Signed


def rewritten(path: Path, **change: Any) -> Path:
    """An envelope with other fields."""
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return path


def test_the_wrong_key_is_known_and_nothing_else_is_read(signed: Signed) -> None:
    keys.new_key(signed.folder / "other.pem")
    signature = signed.sign(b"nothing like a statement", signed.folder / "other.pem")
    held, failures = signed.check(signature)
    assert not held
    assert failures.startswith("The signature: it is not that of the key")
    assert "nothing that" in failures


def test_ids_of_keys_are_hints(signed: Signed) -> None:
    """The signer's id on another's signature does not help it, and no id on the signer's does not hurt it."""
    keys.new_key(signed.folder / "other.pem")
    content = signed.statement.read_bytes()
    rows = json.loads(signed.sign(content).read_text())["signatures"]
    wrong = json.loads(signed.sign(content, signed.folder / "other.pem").read_text())["signatures"]
    wrong[0]["keyid"] = rows[0]["keyid"]
    assert not signed.check(rewritten(signed.sign(content), signatures=wrong))[0]
    assert signed.check(rewritten(signed.sign(content), signatures=[*wrong, *rows]))[0]
    assert signed.check(rewritten(signed.sign(content), signatures=[{"sig": rows[0]["sig"]}]))[0]


@pytest.mark.parametrize("where", [0, 40, 400, -40])
def test_no_letter_of_what_was_signed_can_be_changed(signed: Signed, where: int) -> None:
    content = bytearray(signed.statement.read_bytes())
    signature = signed.sign(bytes(content))
    content[where] ^= 1
    rewritten(signature, payload=base64.b64encode(bytes(content)).decode())
    held, failures = signed.check(signature)
    assert not held
    assert failures.startswith("The signature")


def test_the_type_is_signed_too(signed: Signed) -> None:
    signature = rewritten(signed.sign(signed.statement.read_bytes()), payloadType="text/plain")
    assert signed.check(signature)[1].startswith("The signature")


@pytest.mark.parametrize("content", [b"", b"nothing that could be read as a statement"])
def test_another_type_of_payload_is_refused(signed: Signed, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(envelope, "PAYLOAD", "application/vnd.other+json")
        signature = signed.sign(content or signed.statement.read_bytes())
    held, failures = signed.check(signature)
    assert not held
    assert failures.startswith("The type: what was signed is 'application/vnd.other+json'")
    assert len(failures.splitlines()) == 1


def test_a_signed_failure_confirms_nothing(signed: Signed) -> None:
    said = signed.said
    failed = replace(said.predicate, result="failed", exit_code=1, runs=[replace(said.predicate.runs[0], verdict=None)])
    held, failures = signed.check(signed.signed(replace(said, predicate=failed)))
    assert not held
    assert "the verification failed" in failures


def test_a_signed_contradiction_confirms_nothing(signed: Signed) -> None:
    said = signed.said
    odd = replace(said, predicate=replace(said.predicate, failures=["the clean answers differ"]))
    held, failures = signed.check(signed.signed(odd))
    assert not held
    assert "contradicts itself" in failures


@pytest.mark.parametrize(
    "make",
    [
        lambda _: b"",
        lambda _: b"\xff\xfe",
        lambda _: b"[" * 100_000,
        lambda _: b"[]",
        lambda text: text[:-30],
        lambda text: text.replace(b'"payload"', b'"pay"'),
        lambda text: text.replace(b'"signatures"', b'"sigs"'),
        lambda text: text.replace(b'"keyid"', b'"key"'),
        lambda text: text.replace(b'"sig": "', b'"sig": "*'),
        lambda text: text.replace(b'"payload": "', b'"payload": "*'),
        lambda text: text.replace(b'"payload"', b'"payload": "", "payload"'),
        lambda text: json.dumps(json.loads(text) | {"signatures": []}).encode(),
        lambda text: json.dumps(json.loads(text) | {"signatures": {}}).encode(),
        lambda text: json.dumps(json.loads(text) | {"signatures": [7]}).encode(),
        lambda text: json.dumps(json.loads(text) | {"signatures": json.loads(text)["signatures"] * 17}).encode(),
        lambda text: json.dumps(json.loads(text) | {"payload": None}).encode(),
        lambda text: json.dumps(json.loads(text) | {"payloadType": 1}).encode(),
        lambda text: text + b" " * envelope.MAX_BYTES,
    ],
)
def test_what_is_no_signed_statement_is_one_sentence(signed: Signed, make: Callable[[bytes], bytes]) -> None:
    signature = signed.sign(signed.statement.read_bytes())
    content = signature.read_bytes()
    assert make(content) != content
    signature.write_bytes(make(content))
    with pytest.raises(RecordError):
        signed.check(signature)


@pytest.mark.parametrize("content", [b"{}", b"\xff", b"[" * 50_000, b" " * (MAX_BYTES + 1)])
def test_what_was_signed_and_is_no_statement_is_one_sentence(signed: Signed, content: bytes) -> None:
    with pytest.raises(RecordError):
        signed.check(signed.sign(content))


@pytest.mark.parametrize("kind", ["fifo", "folder", "nothing"])
@pytest.mark.parametrize("which", ["signature", "public"])
def test_what_is_no_file_is_never_waited_for(signed: Signed, kind: str, which: str) -> None:
    path = signed.folder / "strange"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(RobustEvalError, match="Cannot read"):
        signed.check(**{which: path})
