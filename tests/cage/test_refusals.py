"""What the system refuses a process and its children, where the packages of the extra `cage` are there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from robusteval.cage import refusals
from robusteval.cli.attended import _goes_out
from robusteval.engine.run.runner import run
from tests.cage import plugins

HEAD = """
import os, pathlib, socket, subprocess, sys, threading
from robusteval.cage.machine import holds
from robusteval.cage.refusals import could_refuse_writing, refuse_network, refuse_writing, refused
def attempt(call):
    try:
        call()
        return "done"
    except OSError as error:
        return type(error).__name__
"""
INET = "lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)"


@pytest.fixture(autouse=True)
def _able() -> None:
    pytest.importorskip("pyseccomp", reason="the extra `cage` is not installed", exc_type=ImportError)
    pytest.importorskip("landlock", reason="the extra `cage` is not installed")
    if not refusals.could_refuse_writing():
        pytest.skip("this kernel has no Landlock")


def python(tmp_path: Path, code: str, **more: str) -> str:
    """What the code prints, in a process whose folder for temporary files is not this test's."""
    for name in ("temporary", "cache", "home", "run"):
        (tmp_path / name).mkdir(exist_ok=True)
    env = os.environ | {"TMPDIR": str(tmp_path / "temporary"), "ROBUSTEVAL_CACHE": str(tmp_path / "cache")} | more
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_socket_leaves_the_machine(tmp_path: Path) -> None:
    """Of this thread, of one that was there before, and of a child process; those within the machine are there."""
    code = f"""
gate, said = threading.Event(), []
early = threading.Thread(target=lambda: (gate.wait(), said.append(attempt({INET}))))
early.start()
assert refuse_network() and refuse_network()
gate.set(); early.join()
child = "import socket; socket.socket(socket.AF_INET6)"
families = [attempt(lambda: socket.socket(family)) for family in (2, 10, 17, 38, 40, 44)]
print(attempt({INET}), said[0], subprocess.run([sys.executable, "-c", child], stderr=-3).returncode, set(families))
socket.socketpair(); socket.socket(socket.AF_UNIX)
print(sorted(refused()), holds())
"""
    first, second = python(tmp_path, code).splitlines()
    assert first == "PermissionError PermissionError 1 {'PermissionError'}"
    assert second.startswith("['network'] ")
    assert "no connection leaves this machine" in second
    assert "network" not in second.rpartition("; ")[2]


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    """Of what is made, changed, renamed, linked and removed; what is named may be written, and all be read."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "mine").write_text("mine")
    code = """
assert could_refuse_writing() and not refused()
assert refuse_writing(pathlib.Path("run"))
home, run = pathlib.Path("home"), pathlib.Path("run")
print("done" in {attempt(call) for call in (
    lambda: (home / "new").write_text("x"),
    lambda: (home / "mine").write_text("x"),
    lambda: open(home / "mine", "a"),
    lambda: os.truncate(home / "mine", 0),
    lambda: (home / "mine").rename(run / "mine"),
    lambda: os.link(home / "mine", run / "mine"),
    lambda: (home / "mine").unlink(),
    lambda: (home / "folder").mkdir(),
    lambda: (home / "link").symlink_to("/etc/passwd"),
    lambda: os.mkfifo(home / "pipe"),
)}, (home / "mine").read_text())
import multiprocessing, tempfile
with tempfile.NamedTemporaryFile() as file:
    file.write(b"x")
(run / "unit").write_text("x")
(pathlib.Path("cache") / "kept").write_text("x")
multiprocessing.Semaphore()
child = "open('home/child', 'w')"
print(subprocess.run([sys.executable, "-c", child], stderr=-3).returncode, "writing of files" in holds())
"""
    assert python(tmp_path, code).splitlines() == ["False mine", "1 False"]
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["mine"]


def test_the_user_allows_it(tmp_path: Path) -> None:
    code = f"print(refuse_network(), refuse_writing(), could_refuse_writing(), attempt({INET}), holds())"
    said = python(tmp_path, code, ROBUSTEVAL_ALLOW="files, network")
    assert said.startswith("False False False done ")
    assert said.endswith("network, the writing of files, the reading of files: not limited here")


@pytest.mark.parametrize("package", ["pyseccomp", "landlock"])
@pytest.mark.parametrize("how", ["missing", "broken"])
def test_without_the_packages_it_is_said(tmp_path: Path, package: str, how: str) -> None:
    """pyseccomp raises RuntimeError where there is no libseccomp."""
    (tmp_path / f"{package}.py").write_text("raise " + {"missing": "ImportError", "broken": "OSError"}[how])
    said = python(tmp_path, "refuse_network(); refuse_writing(); print(sorted(refused()), holds())")
    held, word = ("files", "network") if package == "pyseccomp" else ("network", "the writing of files")
    assert said.startswith(f"['{held}'] ")
    assert word in said.rpartition("; ")[2]


@pytest.mark.parametrize("how", ["connects", "writes"])
def test_an_attack_that_reaches_out_fails_alone(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    outside = tmp_path / "outside"
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv("ROBUSTEVAL_TEST_OUTSIDE", str(outside))
    good, bad = run(plugins.job(tmp_path, (how,), workers=1)).cells
    assert good.status == "done"
    assert bad.status == "failed"
    assert "Permission" in bad.reason
    assert not outside.exists()


@pytest.mark.parametrize(
    ("words", "online"),
    [
        ("run model.onnx", False),
        ("run model.onnx --executor processes", False),
        ("run model.onnx --executor=serial", False),
        ("run model.onnx --executor ray:gpus=1", True),
        ("run model.onnx --executor=ray", True),
        ("merge a b --executor acme.cluster", True),
    ],
)
def test_which_commands_work_with_other_machines(words: str, online: bool) -> None:
    assert _goes_out(words.split()) is online
