"""Kills a small run at random moments, takes it up again, and holds what comes out against the document of a run that
nobody killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.hostile.base import SUITE, build, command, environment
from tests.hostile.runner import end_session, in_session, still_at_work

WHO = ("command", "worker", "child", "all")  # beside whom the child works, who makes units, who does all the rest
OFTEN = (1, 2, 4, 8)  # kills of one run before it may end
CHUNK = "probe_samples = 4\nnoise_draws = { samples = 3, draws = 20 }\ncell_timeout = 60"
MORE = """
[[attack]]
plugin = "deepfool"
params = { steps = 3 }
[[attack]]
plugin = "pgd"
params = { steps = 5 }
search = 3
[[defense]]
plugin = "bit-depth"
adaptive = ["fgsm"]
oblivious = ["fgsm"]
"""


def _words(home: Path, base: Path) -> list[str]:
    run = [*command(), "run", "good.onnx", "--suite", "kills.toml", "--data", "good.npz", "--workers", "2"]
    assert (base / "kills.toml").is_file()
    return [*run, "--out", str(home / "out")]


def _called(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _victim(leader: int, who: str, rng: random.Random) -> list[int]:
    """Which processes to end: the command, the child that does the work, one of its workers, or all; the command where
    there is none of these yet."""
    # Python's own tracker of semaphores says so in a traceback when it is killed, and does no work
    there = [process for process in in_session(leader) if b"resource_tracker" not in _called(process)]
    parents = {}
    for process in there:
        try:
            parents[process] = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
    children = [process for process, parent in parents.items() if parent == leader]
    workers = [process for process, parent in parents.items() if parent in children]
    if who == "all":
        return there
    chosen = {"command": [leader], "child": children, "worker": workers}[who]
    return [rng.choice(chosen or [leader])]


def _start(words: list[str], home: Path, base: Path) -> subprocess.Popen[bytes]:
    log = (home / "log").open("ab")
    return subprocess.Popen(
        words, cwd=base, env=environment(home), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )


def _document(folder: Path) -> dict[str, Any]:
    """The record, but for what depends on the clock and on how the command was given."""
    data: dict[str, Any] = json.loads((folder / "record.json").read_text())
    data.pop("times")
    data.pop("command")
    return data


def _difference(one: Any, other: Any, where: str = "") -> str:
    """The first place where two documents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if found := _difference(one.get(key), other.get(key), f"{where}.{key}"):
                return found
        return ""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return next((found for place, pair in pairs if (found := _difference(*pair, f"{where}[{place}]"))), "")
    return "" if one == other else f"{where}: {str(one)[:60]} / {str(other)[:60]}"


def _killed(base: Path, home: Path, seconds: float, rng: random.Random, most: int) -> tuple[list[str], int, int, str]:
    """Starts the run and ends some of its processes, until it ends by itself or `most` times: what was done, how many
    kills met a run at work, the last exit code, and what is wrong."""
    words, done, met, code = _words(home, base), [], 0, 0
    for _ in range(most):
        process, who = _start(words, home, base), rng.choice(WHO)
        moment = rng.uniform(0.1, 1.0) * seconds
        until = time.monotonic() + moment
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        victims = _victim(process.pid, who, rng) if process.poll() is None else []
        for victim in victims:
            try:
                os.kill(victim, signal.SIGKILL)
            except OSError:
                continue
        met += bool(victims)
        done.append(f"{who if victims else 'nobody'} {moment:.1f} s")
        try:
            code = process.wait(120)
        except subprocess.TimeoutExpired:
            end_session(process.pid)
            return done, met, -1, "did not end"
        if left := still_at_work(process.pid):
            end_session(process.pid)
            return done, met, code, f"left {left} processes at work"
        if not victims:  # it was at its end, so no later moment of it is left
            return done, met, code, f"exit code {code}" if code else ""
    return done, met, code, ""


def _once(
    base: Path, home: Path, whole: dict[str, Any], seconds: float, rng: random.Random, most: int
) -> tuple[str, int, str]:
    """(what was done, how many kills, what is wrong)."""
    home.mkdir()
    done, met, code, wrong = _killed(base, home, seconds, rng, most)
    said = ", ".join(done)
    if wrong:
        return said, met, wrong
    if code != 0:  # else it went on to its end all the same, as after the loss of a worker, and this is its document
        code = _start(_words(home, base), home, base).wait(300)
    if code != 0:
        return said, met, f"exit code {code}: {(home / 'log').read_text()[-600:]}"
    if "Traceback" in (log := (home / "log").read_text()):
        return said, met, log[log.index("Traceback") :][:2000]
    return said, met, _difference(whole, _document(home / "out"))


def kills(count: int, seed: int) -> int:
    """Kills runs until `count` kills have met one at work, and prints each run; 1 where one came to another document,
    or left something at work."""
    rng, failed = random.Random(seed), 0
    with tempfile.TemporaryDirectory(prefix="hostile-") as top:
        base, home = Path(top, "base"), Path(top, "whole")
        build(base, runs=False)
        (base / "kills.toml").write_text(SUITE.replace("probe_samples = 0", CHUNK) + MORE)
        home.mkdir()
        began = time.monotonic()
        process = _start(_words(home, base), home, base)
        if process.wait(600) != 0:
            print((home / "log").read_text())
            return 1
        seconds, whole = time.monotonic() - began, _document(home / "out")
        met, number = 0, 0
        while met < count:
            place = Path(top, str(number))
            what, more, wrong = _once(base, place, whole, seconds, rng, min(rng.choice(OFTEN), count - met))
            met, number = met + more, number + 1
            print(f"{met:4} killed: {what:<60} {'FAIL: ' + wrong if wrong else 'the same document'}", flush=True)
            failed += bool(wrong)
            shutil.rmtree(place)
    print(f"{met} kills in {number} runs (seed {seed}), {failed} of these runs not as they must be")
    return int(failed > 0)
