"""A quick suite and a runner that reports the exit code as a shell would see it."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from robusteval.cli import main

Command = Callable[..., "Screen"]  # words of the command line -> what it printed

ROOT = Path(__file__).parents[2]
CNN = ROOT / "examples" / "fashion-cnn.onnx"
INT8 = CNN.with_name("fashion-int8.onnx")
TRANSFER = 'transfer = { attack = "fgsm", eps = 0.1 }\n'

QUICK = """
name = "quick"
version = "1"
norms = ["l2", "linf"]
samples = 20
probe_samples = 0
[[attack]]
plugin = "fgsm"
search = 2
[[attack]]
plugin = "deepfool"
params = { steps = 5 }
"""


@dataclass(frozen=True)
class Screen:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def robusteval(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Screen:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", ["robusteval", *map(str, words)])
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
            main()
        code = stop.value.code
        return Screen(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    path = tmp_path / "quick.toml"
    path.write_text(QUICK)
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of both models, made once, and what it printed."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "pairs.toml").write_text(QUICK.replace("[[attack]]", TRANSFER + "[[attack]]", 1))
    command = [
        sys.executable,
        "-m",
        "robusteval",
        "run",
        str(CNN),
        str(INT8),
        "--suite",
        "pairs.toml",
        "--workers",
        "1",
    ]
    done = subprocess.run([*command, "--out", "run"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "run", done.stdout
