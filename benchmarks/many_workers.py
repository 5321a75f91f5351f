"""What more workers and other executors are worth, and from that, on paper, what ImageNet takes.

    python benchmarks/many_workers.py --out benchmarks/results

Runs the committed example through the command line, each time in a folder of its own, and reads times from the
records: suite standard with 1, 2 and 4 workers (as far as there are processors, unless --workers says otherwise), and
suite smoke with each executor. By the clock; efficiency is the time of one worker over (workers x the time of several).
The time of an executor's unit is what is left of the clock once the units' own seconds, shared by the workers, are
taken away.

On paper: the passes a sample that suite standard took, times a pass of the model that --pass-ms states (there and back,
one image of a full batch: `benchmarks/gpu.py` prints it), times 50,000 images, over so many GPUs at the measured
efficiency of two workers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from setting import machine

from robusteval.record import store

EXAMPLE = Path(__file__).parents[1] / "examples" / "fashion-cnn.onnx"
EXECUTORS = ("serial", "processes", "ray")
IMAGENET, GPUS = 50_000, (1, 8, 64)


def run(suite: str, samples: int, workers: int, *more: str) -> dict[str, Any]:
    """One run: seconds by the clock, of its attacks by the clock and as summed over units, units, passes a sample."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "robusteval", "run", str(EXAMPLE), "--suite", suite, "--samples", str(samples)]
        command += ["--workers", str(workers), "--out", str(out), *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
        record = store.load(out)
        units = sum(1 for _ in (out / "units").rglob("*.npz"))
    passes = [
        sum(cell.forwards) + sum(cell.backwards)
        for cell in [*record.cells, *record.probes]
        if cell.status == "done" and cell.forwards
    ]
    return {
        "suite": suite,
        "samples": samples,
        "workers": workers,
        "more": list(more),
        "wall": record.times.wall_s,
        "units_s": sum(record.times.cells_s.values()),
        "units": units,
        "passes": sum(passes) / record.data.samples,
    }


def paper(passes: float, pass_ms: float, efficiency: float) -> list[str]:
    """The hours that suite standard takes for ImageNet's validation images."""
    lines = ["| GPUs | hours |", "|---:|---:|"]
    for gpus in GPUS:
        seconds = IMAGENET * passes / 2 * pass_ms / 1e3 / (gpus * (efficiency if gpus > 1 else 1.0))
        lines.append(f"| {gpus} | {seconds / 3600:.1f} |")
    return lines


def markdown(result: dict[str, Any]) -> str:
    """The tables."""
    lines = ["# Many workers", "", "Machine: " + ", ".join(f"{k} {v}" for k, v in result["machine"].items()) + "."]
    lines += ["", "| suite | images | workers | s by the clock | CPU-s of its units | efficiency |"]
    lines += ["|---|---:|---:|---:|---:|---:|"]
    one = result["workers"][0]["wall"]
    for row in result["workers"]:
        share = one / (row["workers"] * row["wall"])
        lines.append(
            f"| {row['suite']} | {row['samples']} | {row['workers']} | {row['wall']:.1f} | {row['units_s']:.1f} | "
            f"{share:.2f} |"
        )
    if result["executors"]:
        lines += ["", "| executor | workers | units | s by the clock | ms a unit beside its own time |"]
        lines += ["|---|---:|---:|---:|---:|"]
    for row in result["executors"]:
        beside = 1e3 * (row["wall"] - row["units_s"] / row["workers"]) / row["units"]
        lines.append(f"| {row['more'][1]} | {row['workers']} | {row['units']} | {row['wall']:.1f} | {beside:.0f} |")
    if result["pass_ms"]:
        lines += ["", f"50,000 images at {result['pass_ms']:g} ms a pass there and back, on paper:", ""]
        two = next((row for row in result["workers"] if row["workers"] == 2), result["workers"][-1])
        lines += paper(two["passes"], result["pass_ms"], one / (two["workers"] * two["wall"]))
    return "\n".join(lines) + "\n"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = len(os.sched_getaffinity(0))
    options.add_argument("--workers", default=",".join(str(n) for n in (1, 2, 4) if n <= cores))
    options.add_argument("--samples", type=int, default=256)
    options.add_argument("--executors", default=",".join(EXECUTORS), help="separated by commas; empty: none")
    options.add_argument("--pass-ms", type=float, help="of the model that the hours are wanted of")
    options.add_argument("--out", type=Path, help="folder for many-workers.json and many-workers.md")
    given = options.parse_args()
    result: dict[str, Any] = {"machine": machine(), "pass_ms": given.pass_ms, "workers": [], "executors": []}
    for workers in (int(text) for text in given.workers.split(",")):
        result["workers"].append(run("standard", given.samples, workers))
        print(result["workers"][-1], file=sys.stderr, flush=True)
    for name in filter(None, given.executors.split(",")):
        workers = 1 if name == "serial" else 2
        result["executors"].append(run("smoke", given.samples, workers, "--executor", name))
        print(result["executors"][-1], file=sys.stderr, flush=True)
    print(markdown(result))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "many-workers.json").write_text(json.dumps(result, indent=1) + "\n")
        (given.out / "many-workers.md").write_text(markdown(result))


if __name__ == "__main__":
    main()
