"""The part of a verification that is about certificates: it is asked where there are some, and fails closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robusteval.errors import RecordError
from robusteval.record.run import Certificate, Record
from robusteval.verify import run as module
from robusteval.verify.parts.evidence import Evidence
from robusteval.verify.parts.result import Verification
from tests.verify.tiny import tiny


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> tuple[Record, Evidence, Verification]:
    """A record with certificates, its evidence, and the result of all other parts, none of which is asked."""
    record, evidence, _ = tiny()
    record.certificates = [Certificate("crown", "1", {}, "l2", "done", samples=[0], radius=[0.1])]
    result = Verification()
    monkeypatch.setattr(module, "gather", lambda *_: evidence)
    monkeypatch.setattr(module, "check", lambda *_: result)
    monkeypatch.setattr(module, "check_page", lambda record, folder, result: result.judge([], "page"))
    return record, evidence, result


def test_certificates_are_asked_about_with_the_record_the_folder_and_the_evidence(
    given: tuple[Record, Evidence, Verification], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record, evidence, result = given
    calls: list[tuple[Any, ...]] = []

    def proofs(*asked: Any) -> None:
        calls.append(asked)
        asked[-1].judge([], "one")
        asked[-1].judge(["it does not follow"], "another")

    monkeypatch.setattr(module, "check_proofs", proofs)
    assert module.verify(record, tmp_path, None) is result
    assert calls == [(record, tmp_path, evidence, result)]
    assert calls[0][0] is record
    assert list(result.kinds) == ["certificates", "page and tables"]
    found = result.kinds["certificates"]
    assert (found.confirmed, found.failed) == (1, 1)
    assert result.failures == ["another: it does not follow."]
    calls.clear()
    record.certificates = []
    module.verify(record, tmp_path, None)
    assert calls == []


def test_certificates_that_cannot_be_asked_about_do_not_hold(
    given: tuple[Record, Evidence, Verification], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record, _, result = given
    errors = [IndexError("x"), RecordError("of its own")]

    def proofs(*asked: Any) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(module, "check_proofs", proofs)
    module.verify(record, tmp_path, None)
    said = "certificates: they cannot be checked, as the record contradicts itself (IndexError: x)."
    assert result.failures == [said]
    assert result.kinds["certificates"].failed == 1
    with pytest.raises(RecordError, match="of its own"):
        module.verify(record, tmp_path, None)
