"""`robusteval verify --statement`, `sign` and `verify --signature` from the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from robusteval.cli import verify_command
from robusteval.cli.verify_command import PASSWORD
from tests.cli.conftest import CNN, Command
from tests.verify.test_alone import alone

MADE_BY_OPENSSL = "genpkey -algorithm ed25519 -aes-256-cbc -pass pass:secret -out"


@pytest.fixture
def finished(robusteval: Command, quick: Path, tmp_path: Path) -> Path:
    quick.write_text(quick.read_text().replace("samples = 20", "samples = 10"))
    assert robusteval("run", CNN, "--suite", quick, "--out", tmp_path / "run", "--workers", 1).code == 0
    return tmp_path / "run"


def test_from_the_run_to_the_signature_and_back(robusteval: Command, finished: Path, tmp_path: Path) -> None:
    assert robusteval("sign", "--new-key", "key").code == 0
    screen = robusteval("verify", finished, "--statement", "s.json")
    assert (screen.code, "Statement: s.json" in screen.out) == (0, True)
    screen = robusteval("sign", "s.json", "--key", "key")
    assert (screen.code, "claims confirmed" in screen.out) == (0, True)
    words = ["verify", finished, "--signature", "s.json.dsse", "--public-key", "key.pub"]
    screen = robusteval(*words)
    assert screen.code == 0
    assert "nothing of the run was checked again here" in " ".join(screen.out.split())
    assert json.loads(robusteval(*words, "--json").out)["held"] is True
    # both are refused a second time
    for again in (["verify", finished, "--statement", "s.json"], ["sign", "s.json", "--key", "key"]):
        screen = robusteval(*again)
        assert (screen.code, "--overwrite" in screen.err) == (2, True)
        assert robusteval(*again, "--overwrite").code == 0
    _failed(robusteval, finished, words)
    _alone(finished, tmp_path)


def _failed(robusteval: Command, finished: Path, words: list[object]) -> None:
    """A run that does not re-check: stated and signed as such."""
    page = finished / "report.html"
    before = page.read_text()
    page.write_text(before.replace("<body", "<body ", 1))
    screen = robusteval(*words)
    assert (screen.code, "FAILS: report.html" in screen.out) == (1, True)
    assert robusteval("verify", finished, "--statement", "failed.json").code == 1
    screen = robusteval("sign", "failed.json", "--key", "key", "--out", "failed.dsse")
    assert (screen.code, "FAILED" in screen.out) == (0, True)
    screen = robusteval("verify", finished, "--signature", "failed.dsse", "--public-key", "key.pub")
    assert (screen.code, "the verification failed" in screen.out) == (1, True)
    page.write_text(before)
    assert robusteval(*words).code == 0


def _alone(finished: Path, tmp_path: Path) -> None:
    """Where nothing but numpy, ONNX Runtime, pyarrow and safetensors is installed."""
    code = "from robusteval.verify.alone import main; sys.exit(main())"
    done = alone(code, finished, "--model", CNN, "--statement", tmp_path / "alone.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "alone.json").read_text())["predicate"]["result"] == "confirmed"
    again = alone(code, finished, "--model", CNN, "--statement", tmp_path / "alone.json")
    assert (again.returncode, "--overwrite" in again.stderr) == (2, True)
    signature = ["--signature", tmp_path / "s.json.dsse", "--public-key", tmp_path / "key.pub"]
    done = alone(code, finished, *signature)
    assert (done.returncode, "robusteval[sign]" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        [], ["s.json"], ["--key", "key"], ["s.json", "--new-key", "key"], ["--new-key", "key", "--out", "x"],
        ["s.json", "--key", "key", "--out", "s.json", "--overwrite"],
        ["s.json", "--key", "key", "--out", "key", "--overwrite"], ["pipe", "--key", "key"],
        ["s.json", "--key", "pipe"],
        ["nothing.json", "--key", "key"], ["s.json", "--key", "key", "--out", "pipe", "--overwrite"],
    ],
)  # fmt: skip
def test_what_cannot_be_signed_is_one_sentence(robusteval: Command, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "s.json").write_text("{}")
    os.mkfifo(tmp_path / "pipe")
    screen = robusteval("sign", *words)
    assert screen.code == 2
    assert "Traceback" not in screen.err
    assert (tmp_path / "s.json").read_text() == "{}"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_key_of_openssl_with_a_password(robusteval: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "k.pem"
    subprocess.run(["openssl", *MADE_BY_OPENSSL.split(), str(key)], check=True, capture_output=True)  # noqa: S607 - the user's own
    from robusteval.verify.statements import keys

    monkeypatch.setenv(PASSWORD, "secret")
    assert keys.private_key(key, verify_command._password).public_key.scheme == "ed25519"
    monkeypatch.delenv(PASSWORD)
    assert verify_command._password() is None  # there is no terminal to ask at
