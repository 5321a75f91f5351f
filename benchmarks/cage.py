"""What the cage costs: `robusteval run` as it is, and the same command without the process beside it and the pages on
which every question to a model is written down.

    python benchmarks/cage.py --pairs 3
    python benchmarks/cage.py --pairs 1 --samples 500       the run of `make demo`

Runs the two in turn, each in an empty folder and with calibrations known, and prints the processor time of each whole
process tree and the ratio of a pair. The one without is the very command, called in a process that nobody watches.
"""

from __future__ import annotations

import argparse
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


def spent(program: str, words: list[str]) -> tuple[float, float]:
    """Seconds of processor time of all its processes, and by the clock. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="cage-") as folder:
        before, began = os.times(), time.monotonic()
        command = [sys.executable, "-c", program, "run", *words, "--out", str(Path(folder, "out"))]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
        after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, time.monotonic() - began


def main() -> None:
    words = argparse.ArgumentParser(description="What the cage costs.")
    words.add_argument("--pairs", type=int, default=3)
    words.add_argument("--samples", type=int, default=100)
    words.add_argument("--suite", default="standard")
    words.add_argument("--model", default="examples/fashion-cnn.onnx")
    given = words.parse_args()
    run = [given.model, "--suite", given.suite, "--samples", str(given.samples)]
    print(f"`robusteval run {' '.join(run)}` on {', '.join(f'{key} {value}' for key, value in machine().items())}")
    spent(CAGED, [given.model, "--suite", "smoke", "--samples", "4"])  # what is timed once is kept from then on
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
