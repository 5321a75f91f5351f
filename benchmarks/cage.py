"""What the cage costs: `robusteval run` as it is, and the same command without the process beside it and the pages on
which every question to a model is written down.

    python benchmarks/cage.py --pairs 3
    python benchmarks/cage.py --pairs 1 --samples 500       the run of `make demo`
    python benchmarks/cage.py --counted

Runs the two in turn, each in an empty folder and with calibrations known, and prints the processor time of each whole
process tree and the ratio of a pair. The one without is the very command, called in a process that nobody watches. Two
runs of one command differ by several percent, so the difference of a pair shows what is dear and no less.

Counted: the same command in one process, whose questions are counted, with what it costs to write one down, and the
processor time of the process that watches: each as a share of the run's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from setting import machine

ROOT = Path(__file__).resolve().parents[1]
BARE = (
    "import sys; from robusteval.cli.attended import open_streams; from robusteval.cli import obey; "
    "open_streams(); sys.exit(obey())"
)
CAGED = "from robusteval.cli.attended import main; main()"
COUNTED = """
import json, os, sys, time
from robusteval.cage import page
from robusteval.cli import obey
from robusteval.cli.attended import open_streams

open_streams()
ours = page.open_page(bytearray(page.SLOT))
code = obey()
spent, questions = sum(os.times()[:4]), ours._changes // 2

class Model:
    pass

def seconds(model, count=100_000):
    began = time.process_time()
    for _ in range(count):
        with page.Asking("ONNX Runtime", model, 128):
            pass
    return (time.process_time() - began) / count

written = seconds(Model())
page._open.clear()
json.dump({"seconds": spent, "questions": questions, "each": written - seconds(Model())}, sys.stderr)
sys.exit(code)
"""


def spent(program: str, words: list[str]) -> tuple[float, float]:
    """Seconds of processor time of all its processes, and by the clock. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="cage-") as folder:
        before, began = os.times(), time.monotonic()
        command = [sys.executable, "-c", program, "run", *words, "--out", str(Path(folder, "out"))]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
        after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, time.monotonic() - began


def counted(words: list[str]) -> None:
    """Prints what the pages and the process that watches take of a run's processor time."""
    with tempfile.TemporaryDirectory(prefix="cage-") as folder:
        command = [sys.executable, "-c", COUNTED, "run", *words, "--workers", "1", "--out", str(Path(folder, "out"))]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    told = json.loads(done.stderr.splitlines()[-1])
    pages = told["questions"] * told["each"] / told["seconds"]
    print(
        f"{told['questions']} questions at {1e6 * told['each']:.1f} microseconds in {told['seconds']:.1f} s of one "
        f"process: {100 * pages:.2f} %"
    )
    with tempfile.TemporaryDirectory(prefix="cage-") as folder:
        command = [sys.executable, "-c", CAGED, "run", *words, "--out", str(Path(folder, "out"))]
        watching, before = 0.0, os.times()
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - ours
            while process.poll() is None:
                stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                watching = sum(map(int, stat[11:13])) / os.sysconf("SC_CLK_TCK") or watching
                time.sleep(0.1)
        after = os.times()
    whole = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"the process that watches: {watching:.2f} s of {whole:.1f} s, {100 * watching / whole:.2f} %")


def main() -> None:
    words = argparse.ArgumentParser(description="What the cage costs.")
    words.add_argument("--pairs", type=int, default=3)
    words.add_argument("--samples", type=int, default=100)
    words.add_argument("--suite", default="standard")
    words.add_argument("--model", default="examples/fashion-cnn.onnx")
    words.add_argument("--counted", action="store_true")
    given = words.parse_args()
    run = [given.model, "--suite", given.suite, "--samples", str(given.samples)]
    print(f"`robusteval run {' '.join(run)}` on {', '.join(f'{key} {value}' for key, value in machine().items())}")
    spent(CAGED, [given.model, "--suite", "smoke", "--samples", "4"])  # what is timed once is kept from then on
    if given.counted:
        counted(run)
        return
    ratios = []
    for number in range(given.pairs):
        first, second = (BARE, CAGED) if number % 2 else (CAGED, BARE)
        found = {first: spent(first, run), second: spent(second, run)}
        (caged, by_clock), (bare, clock) = found[CAGED], found[BARE]
        ratios.append(caged / bare)
        print(
            f"caged {caged:.1f} s ({by_clock:.1f} s by the clock), bare {bare:.1f} s ({clock:.1f} s): {ratios[-1]:.4f}"
        )
    print(f"median ratio of processor time {median(ratios):.4f}")


if __name__ == "__main__":
    main()
