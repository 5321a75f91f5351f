"""Runs a case as a user would, looks at all its processes meanwhile, and says what is wrong with what came of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from tests.hostile.base import command, environment
from tests.hostile.case import GB, Case, Outcome, Place
from tests.hostile_text import clean

GLANCE_S = 0.05
GOING_S = 10.0  # what is killed takes a moment to be gone
WRITTEN = {"hard.onnx", "hard.safetensors", "known.json"}  # where commands are told to write, beside `out`
LETTERS = 300_000  # that a command may print
_BUGS = ("Traceback (most recent call last)", "Fatal Python error", "Segmentation fault", "core dumped")


def asked(case: Case, place: Place) -> tuple[Outcome, list[str]]:
    """(what came of a case, what is wrong with it)."""
    for path in (place.given, place.work):
        path.mkdir(parents=True)
    words = [*map(str, case.make(place))]
    env = environment(place.home) | {"CANARY": str(place.canary)}
    packages = env.get("PYTHONPATH", "")
    env |= {name: value.format(home=place.home, path=packages) for name, value in case.environment.items()}
    before, there = _listing(place.given), {path.name for path in place.work.iterdir()}
    outcome = _run(case, place, [*case.command, *command(), *words], env)
    faults = _faults(case, outcome)
    if _listing(place.given) != before:
        faults.append("changed what it was given")
    shown = sorted({path.name for path in place.work.iterdir()} - {"out"} - there - WRITTEN)
    # ONNX Runtime keeps a number of the machine's there, whoever imports it
    home = [path for path in (place.home / "home").rglob("*") if path.is_file() and "onnxruntime" not in str(path)]
    shown += sorted(f"~/{path.name}" for path in home)
    if shown:
        faults.append(f"wrote {', '.join(shown[:5])} outside of its folder")
    if _size(place.home / "tmp") > 50e6:
        faults.append("left large temporary files")
    return outcome, faults


def _run(case: Case, place: Place, words: list[str], env: dict[str, str]) -> Outcome:
    began = time.monotonic()
    out, err = place.home / "stdout", place.home / "stderr"
    with out.open("wb") as ours, err.open("wb") as theirs:
        process = subprocess.Popen(
            words, cwd=place.work, env=env, stdin=subprocess.DEVNULL, stdout=ours, stderr=theirs, start_new_session=True
        )
    meanwhile = threading.Thread(target=case.meanwhile, args=(place, process), daemon=True) if case.meanwhile else None
    if meanwhile is not None:
        meanwhile.start()
    peak, late = 0.0, False
    while process.poll() is None:
        peak = max(peak, sum(map(_own_memory, in_session(process.pid))))
        if time.monotonic() - began > case.seconds or peak > 3 * case.memory + GB:
            late = True
            end_session(process.pid)
        time.sleep(GLANCE_S)
    seconds = time.monotonic() - began
    left = still_at_work(process.pid)
    end_session(process.pid)
    if meanwhile is not None:
        meanwhile.join(30)
    said, complained = (path.read_bytes().decode("utf-8", "surrogateescape") for path in (out, err))
    return Outcome(place, None if late else process.returncode, said, complained, seconds, peak, left)


def _faults(case: Case, found: Outcome) -> list[str]:
    """What is wrong with what any command says, and with what this one does."""
    said = found.out + found.err
    faults = []
    if found.code is None:
        return [f"was still at work after {case.seconds:.0f} s, or with {found.peak / GB:.1f} GB"]
    if found.code not in case.codes:
        faults.append(f"exit code {found.code}, not {' or '.join(map(str, case.codes))}")
    faults += [f"says {bug!r}" for bug in _BUGS if bug in said]
    if not clean(said.replace("\t", "")):
        faults.append("wrote letters that are none to the terminal")
    if len(said) > LETTERS:
        faults.append(f"printed {len(said):,} letters")
    sentences = sum(line.startswith("Error: ") for line in found.err.splitlines()) if found.code == 2 else 1
    if sentences != 1:
        faults.append(f"{sentences} sentences")
    if found.peak > case.memory:
        faults.append(f"took {found.peak / GB:.1f} GB of memory, more than {case.memory / GB:.1f}")
    if found.place.canary.exists():
        faults.append("ran the stranger's code")
    if found.left and not case.stays:
        faults.append(f"left {found.left} processes at work")
    if not faults and (more := case.wrong(found)):
        faults.append(more)
    return faults


def _listing(folder: Path) -> list[tuple[str, int, int, int]]:
    """Everything below a folder, by name, kind, size and time; no link is followed."""
    found = []
    for home, folders, files in os.walk(folder):
        for path in (Path(home, name) for name in (*folders, *files)):
            facts = path.lstat()
            found.append((str(path), facts.st_mode, 0 if path.is_dir() else facts.st_size, facts.st_mtime_ns))
    return sorted(found)


def _size(folder: Path) -> int:
    """Bytes on the disk."""
    found = 0
    for home, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                found += Path(home, name).lstat().st_blocks * 512
    return found


def in_session(leader: int) -> list[int]:
    """The processes of a session, but for zombies."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] != "Z":
                    found.append(int(folder.name))
    return found


def _own_memory(process: int) -> float:
    """Bytes that a process shares with no file."""
    total = 0.0
    with contextlib.suppress(OSError, IndexError, ValueError):
        for line in Path(f"/proc/{process}/status").read_text(errors="replace").splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += float(line.split()[1]) * 1024
    return total


def still_at_work(leader: int) -> int:
    """How many processes are still there, after a moment."""
    until = time.monotonic() + GOING_S
    while (there := in_session(leader)) and time.monotonic() < until:
        time.sleep(GLANCE_S)
    return len(there)


def end_session(leader: int) -> None:
    for process in in_session(leader):
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


def cleared(place: Place) -> None:
    """Removes what a case left; what is mounted there too."""
    subprocess.run(["umount", str(place.out)], capture_output=True, check=False)  # noqa: S607 - the system's
    shutil.rmtree(place.home, ignore_errors=True)
