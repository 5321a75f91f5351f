"""Real commands on models that behave at first: each ends within its limits with one sentence, and leaves nothing at
work."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cage import models

SUITE = """
name = "short"
version = "1"
norms = ["linf"]
samples = 60
probe_samples = 0
[[attack]]
plugin = "fgsm"
search = 1
"""


def limited(tmp_path: Path, **more: str) -> dict[str, str]:
    """Short limits; and a mark by which what was left at work is found."""
    own = {"ROBUSTEVAL_TEST_FLOOR": "1", "OMP_NUM_THREADS": "1", "ROBUSTEVAL_CACHE": str(tmp_path / "cache")}
    return os.environ | own | {"CAGE_MARK": str(tmp_path)} | more


def at_work(tmp_path: Path) -> list[str]:
    """The processes of this test that are still there."""
    mark = f"CAGE_MARK={tmp_path}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def call(env: dict[str, str], tmp_path: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The command, which leaves no process behind."""
    command = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
    for _ in range(100):  # what is killed takes a moment to be gone
        if not at_work(tmp_path):
            break
        time.sleep(0.1)
    assert at_work(tmp_path) == []
    assert "Traceback" not in done.stderr
    return done


WORDS = {
    "inspect": ("inspect", "{model}", "--data", "{data}"),
    "run": ("run", "{model}", "--data", "{data}", "--suite", "{suite}", "--workers", "1", "--out", "{out}"),
    "train": ("train", "distillation", "{model}", "--fit-data", "{data}", "--out", "hardened.onnx"),
    "references": (
        *("references", "build", "--model", "a={model}", "--data", "{data}", "--suite", "{suite}"),
        *("--workers", "1", "--out", "known.json"),
    ),
}


def words_of(command: str, tmp_path: Path, model: Path) -> list[str]:
    (tmp_path / "short.toml").write_text(SUITE)
    places = {"model": model, "data": models.images(tmp_path / "images.npz")}
    places |= {"suite": tmp_path / "short.toml", "out": tmp_path / "run"}
    return [word.format(**places) for word in WORDS[command]]


@pytest.mark.parametrize("command", WORDS)
@pytest.mark.parametrize("when", ["bright", "crowd"])
def test_a_model_that_hangs_is_refused(tmp_path: Path, command: str, when: str) -> None:
    model = models.write(tmp_path / "patient.onnx", "hang", when)
    done = call(
        limited(tmp_path, ROBUSTEVAL_TEST_FLOOR="2"), tmp_path, "robusteval", *words_of(command, tmp_path, model)
    )
    assert done.returncode == 2, done.stderr
    assert "Error: The command was ended: the answer of ONNX Runtime to " in done.stderr
    assert " took more than " in done.stderr
    assert not (tmp_path / "run" / "record.json").exists()


@pytest.mark.parametrize("command", WORDS)
def test_a_model_that_eats_memory_is_refused(tmp_path: Path, command: str) -> None:
    model = models.write(tmp_path / "greedy.onnx", "memory", "bright")
    env = limited(tmp_path, ROBUSTEVAL_TEST_MEMORY="3e9", ROBUSTEVAL_TEST_FLOOR="60")
    done = call(env, tmp_path, "robusteval", *words_of(command, tmp_path, model))
    assert done.returncode == 2, done.stderr
    assert "Error: " in done.stderr
    assert "emory" in done.stderr or "alloc" in done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a small model."""
    place = tmp_path_factory.mktemp("finished")
    model = models.write(place / "patient.onnx", "hang", "crowd")
    data = models.images(place / "images.npz", 30)
    (place / "short.toml").write_text(SUITE)
    words = ("run", model, "--data", data, "--suite", place / "short.toml", "--workers", 1, "--out", place / "run")
    done = call(limited(place, ROBUSTEVAL_TEST_FLOOR="60"), place, "robusteval", *words)
    assert done.returncode == 0, done.stderr
    assert "Caged: " in done.stderr
    return place


def own(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run, with its model beside it."""
    for name in ("record.json", "samples.parquet", "witnesses.safetensors", "report.html"):
        (tmp_path / name).write_bytes((finished / "run" / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize("module", ["robusteval", "robusteval.verify"])
def test_verify_ends_a_model_that_hangs(finished: Path, tmp_path: Path, module: str) -> None:
    """A file that answers no batch of thirty images and no zeros; the record names its hash."""
    folder = own(finished, tmp_path)
    model = models.write(folder / "never.onnx", "hang", "bright")
    text = (folder / "record.json").read_text()
    record = json.loads(text)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    (folder / "record.json").write_text(text.replace(record["model"]["sha256"], digest))
    name = ("verify",) if module == "robusteval" else ()
    done = call(limited(tmp_path, ROBUSTEVAL_TEST_FLOOR="3"), tmp_path, module, *name, folder, "--model", model)
    assert done.returncode == 2, done.stderr
    assert "The command was ended: the answer of ONNX Runtime to 30 inputs took more than" in done.stderr


def test_verify_holds_where_nobody_means_harm(finished: Path, tmp_path: Path) -> None:
    done = call(limited(tmp_path, ROBUSTEVAL_TEST_FLOOR="60"), tmp_path, "robusteval", "verify", finished / "run")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "name", "kind"),
    [
        ("verify", "record.json", "endless"),
        ("verify", "record.json", "pipe"),
        ("verify", "witnesses.safetensors", "endless"),
        ("verify", "witnesses.safetensors", "link"),
        ("verify", "report.html", "endless"),
        ("verify", "report.html", "pipe"),
        ("report", "record.json", "endless"),
        ("report", "record.json", "link"),
        ("report", "report.html", "endless"),
    ],
)
def test_a_folder_with_what_is_no_plain_file(
    finished: Path, tmp_path: Path, command: str, name: str, kind: str
) -> None:
    folder = own(finished, tmp_path)
    (folder / "elsewhere").write_bytes((folder / name).read_bytes())
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/zero" if kind == "endless" else folder / "elsewhere")
    done = call(limited(tmp_path, ROBUSTEVAL_TEST_FLOOR="60"), tmp_path, "robusteval", command, folder)
    read = name == "record.json" or command == "verify"
    assert done.returncode == (0 if not read else 1 if name == "report.html" else 2), done.stdout + done.stderr
    if read:
        assert f"{name}" in done.stdout + done.stderr
        assert "it is a link" in done.stdout + done.stderr or "not a file" in done.stdout + done.stderr
    elif name == "report.html":
        assert (folder / name).is_file()
        assert not (folder / name).is_symlink()


@pytest.mark.parametrize("named", ["/dev/zero", "../../..", "/etc/hostname", "link.onnx", "pipe.onnx"])
def test_a_record_that_names_something_else_as_its_model(finished: Path, tmp_path: Path, named: str) -> None:
    folder = own(finished, tmp_path)
    (folder / "link.onnx").symlink_to("/etc/hostname")
    os.mkfifo(folder / "pipe.onnx")
    record = json.loads((folder / "record.json").read_text())
    path = str(folder / named) if named.endswith(".onnx") else named
    record["model"]["path"] = path
    (folder / "record.json").write_text(json.dumps(record))
    done = call(limited(tmp_path, ROBUSTEVAL_TEST_FLOOR="60"), tmp_path, "robusteval", "verify", folder)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"The record names {path!r} as its model, which is no plain .onnx file" in done.stderr
