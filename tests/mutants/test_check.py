"""What `make mutants` takes for a failure: whatever lives without a reason, was not asked about, or was never
broken."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.mutants import check
from tests.mutants.check import Key, Mutant

LISTED = Key("a.py", "f", "x > 1", "x >= 1")


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """compare(mutants, names), where a mutant's name says what it is."""

    def described(mutant: Mutant) -> tuple[Key, str, str]:
        key = LISTED if "listed" in mutant.name else Key("a.py", "f", "x", mutant.name)
        return key, "words" if "words" in mutant.name else "", "- x\n+ y"

    def compared(statuses: dict[str, str], *names: str) -> int:
        monkeypatch.setattr(check, "mutants", lambda: [Mutant(name, "a.py", what) for name, what in statuses.items()])
        return check.compare(list(names))

    monkeypatch.setattr(check, "described", described)
    monkeypatch.setattr(check, "listed", lambda: {LISTED: 1})
    monkeypatch.setattr(check, "chosen", lambda: ["a.*"])
    return compared


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ({"one": "killed", "two": "timeout", "three": "segfault"}, 0), ({"one": "survived"}, 1),
        ({"one": "no tests"}, 1),
        ({"one": "suspicious"}, 1), ({"listed": "survived"}, 0), ({"listed": "survived", "listed 2": "survived"}, 1),
        ({"words": "survived"}, 0), ({"one": "not checked", "two": "killed"}, 1), ({"words": "not checked"}, 1),
        ({}, 1),
    ],
)  # fmt: skip
def test_what_fails(compare: Callable[..., int], statuses: dict[str, str], code: int) -> None:
    assert compare(statuses) == code


def test_what_was_not_asked_for_need_not_be_there(
    compare: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    statuses = {"a.x_1": "killed", "b.x_1": "not checked"}
    assert compare(statuses, "a.*") == 0
    assert compare(statuses, "a.*", "b.*") == 1
    assert "Not asked about: 1 mutants, such as b.x_1." in capsys.readouterr().out


def test_a_file_that_was_not_broken_is_told_of(
    compare: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "chosen", lambda: ["a.py", "b/*.py"])
    assert compare({"one": "killed"}) == 1
    assert "nothing there was broken: b/*.py." in capsys.readouterr().out


def test_every_file_that_is_to_be_broken_is_there() -> None:
    assert check.chosen()
    assert [pattern for pattern in check.chosen() if not list(check.ROOT.glob(pattern))] == []


def test_a_file_that_is_newly_to_be_broken_is_broken_and_its_tests_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mutmut keeps the copies that it has, and what it knows of tests."""
    monkeypatch.setattr(check, "ROOT", tmp_path)
    monkeypatch.setattr(check, "FOLDER", tmp_path / "mutants")
    monkeypatch.setattr(check, "chosen", lambda: ["robusteval/*.py"])
    monkeypatch.setattr(subprocess, "run", lambda *given, **more: SimpleNamespace(returncode=0))
    for place in (tmp_path, tmp_path / "mutants"):
        (place / "robusteval").mkdir(parents=True)
        for name in ("broken.py", "new.py"):
            (place / "robusteval" / name).write_text("")
    known, stats = tmp_path / "mutants" / "robusteval" / "broken.py.meta", tmp_path / "mutants" / "mutmut-stats.json"
    known.write_text("")
    stats.write_text("")
    assert check.run([]) == 0
    there = [path.name for path in sorted((tmp_path / "mutants" / "robusteval").iterdir())]
    assert there == ["broken.py", "broken.py.meta"]
    assert not stats.exists()
    stats.write_text("")
    (tmp_path / "robusteval" / "new.py").unlink()
    assert check.run([]) == 0
    assert stats.exists()
