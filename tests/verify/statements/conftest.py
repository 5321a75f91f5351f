"""A small finished run, its statement and a key, made once; each test that changes files gets copies."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from robusteval.cli import main
from robusteval.verify.command import Wanted, verified
from robusteval.verify.statements import envelope, keys
from robusteval.verify.statements.statement import PREDICATE, Statement, from_json, to_json
from tests.verify.runs import CNN

SUITE = """
name = "small"
version = "1"
norms = ["linf"]
samples = 10
probe_samples = 0
[[attack]]
plugin = "fgsm"
search = 2
"""


@dataclass(frozen=True)
class Signed:
    """A copy of the run, its statement, and the signer's keys, all in one folder."""

    folder: Path
    run: Path
    statement: Path
    key: Path
    public: Path

    @property
    def said(self) -> Statement:
        return from_json(self.statement.read_text())

    def sign(self, content: bytes, key: Path | None = None) -> Path:
        """The envelope of a content, as a file."""
        path = self.folder / "signed.dsse"
        path.write_bytes(envelope.sign(content, keys.private_key(key or self.key, lambda: None)))
        return path

    def signed(self, statement: Statement) -> Path:
        return self.sign(to_json(statement).encode())

    def check(self, signature: Path | None = None, public: Path | None = None) -> tuple[bool, str]:
        """(whether it held, the failures)."""
        wanted = Wanted(
            signature=str(signature or self.sign(self.statement.read_bytes())), public_key=str(public or self.public)
        )
        result = verified(self.run, [], wanted)
        return result.held, "\n".join(result.failures)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A folder with the run, its statement, and a pair of keys."""
    place = tmp_path_factory.mktemp("stated")
    (place / "small.toml").write_text(SUITE)
    words = ["run", CNN, "--suite", place / "small.toml", "--out", place / "run", "--workers", 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUSTEVAL_CACHE", str(cache))
        patch.setattr(sys, "argv", ["robusteval", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
    assert stop.value.code == 0
    shutil.rmtree(place / "run" / "units")
    assert verified(place / "run", [], Wanted(statement=str(place / "statement.json"))).held
    keys.new_key(place / "key.pem")
    return place


@pytest.fixture
def signed(original: Path, tmp_path: Path) -> Signed:
    place = Path(shutil.copytree(original, tmp_path / "place"))
    key = place / "key.pem"
    made = Signed(place, place / "run", place / "statement.json", key, place / "key.pem.pub")
    assert made.said.predicateType == PREDICATE
    return made
