"""What more workers and other executors are worth, and from that, on paper, what ImageNet takes.

    python benchmarks/many_workers.py --out benchmarks/results

Runs the committed example through the command line, each time in a folder of its own, and reads times from the
records: suite standard with 1, 2 and 4 workers (as far as there are processors, unless --workers says otherwise), and
suite smoke with each executor. By the clock, once the cache of calibrations is filled; efficiency is the time of one
worker over (workers x the time of several). What limits it stands beside: seconds that the run takes beside its units
(fitting, calibration, tests of the evaluation, starting workers, waiting for the last one), and how much longer the
same units took, as workers share caches and memory.

Executors work one unit at a time (one worker each), on few samples and on many. What one takes beyond `serial` on few
is its start, and what it takes beyond that on many, by the unit, is what a unit's way there and back costs. One that
is not installed is left out, and named.

On paper: the passes a sample that suite standard took, times a pass of the model that --pass-ms states (there and back,
one image of a full batch: `benchmarks/gpu.py` prints it), times 50,000 images, over so many GPUs at the measured
efficiency of two workers.
"""

from __future__ import annotations

import argparse
import importlib.util
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
        if not (out / "record.json").exists():
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
        record = store.load(out)
        units = sum(1 for _ in (out / "units").rglob("*.npz"))
    failed = [cell.id for cell in [*record.cells, *record.probes] if cell.status == "failed"]
    if failed:
        raise SystemExit(f"{' '.join(command)}: cells failed, so nothing is measured: {', '.join(failed)}")
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


def beside(row: dict[str, Any]) -> float:
    """Seconds by the clock beside the units', where all workers are at work all the time."""
    return float(row["wall"] - row["units_s"] / row["workers"])


def paper(passes: float, pass_ms: float, efficiency: float) -> list[str]:
    """The hours that suite standard takes for ImageNet's validation images."""
    lines = ["| GPUs | hours |", "|---:|---:|"]
    for gpus in GPUS:
        seconds = IMAGENET * passes / 2 * pass_ms / 1e3 / (gpus * (efficiency if gpus > 1 else 1.0))
        lines.append(f"| {gpus} | {seconds / 3600:.1f} |")
    return lines


def workers_table(rows: list[dict[str, Any]]) -> list[str]:
    """A row for each number of workers."""
    lines = [
        "| suite | images | workers | s by the clock | s of its units | against one worker | s beside | efficiency |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    one = rows[0]
    for row in rows:
        share = one["wall"] / (row["workers"] * row["wall"])
        lines.append(
            f"| {row['suite']} | {row['samples']} | {row['workers']} | {row['wall']:.1f} | {row['units_s']:.1f} | "
            f"{row['units_s'] / one['units_s']:.2f} x | {beside(row):.1f} | {share:.2f} |"
        )
    return lines


def executors_table(rows: list[dict[str, Any]]) -> list[str]:
    """A row an executor: its start, and what a unit costs beside its own time, both beyond `serial`."""
    lines = ["| executor | units | s by the clock | s to start | ms a unit |", "|---|---:|---:|---:|---:|"]
    few, many = (sorted({row["samples"] for row in rows}) * 2)[:2]
    by = {(row["more"][1], row["samples"]): row for row in rows}
    for name in dict.fromkeys(row["more"][1] for row in rows):
        first, last = by[name, few], by[name, many]
        said = "| | |"
        if last["units"] <= first["units"]:
            said = "| not told apart: as many units on few samples | |"
        elif ("serial", few) in by and name != "serial":
            more = [beside(by[name, samples]) - beside(by["serial", samples]) for samples in (few, many)]
            a_unit = (more[1] - more[0]) / max(last["units"] - first["units"], 1)
            said = f"| {more[0] - a_unit * first['units']:.1f} | {1e3 * a_unit:.0f} |"
        lines.append(f"| {name} | {last['units']} | {last['wall']:.1f} {said}")
    return lines


def markdown(result: dict[str, Any]) -> str:
    """The tables."""
    lines = ["# Many workers", "", "Machine: " + ", ".join(f"{k} {v}" for k, v in result["machine"].items()) + ".", ""]
    lines += workers_table(result["workers"])
    if result["executors"]:
        lines += ["", *executors_table(result["executors"])]
    lines += [f"\n{name} is not installed, and left out." for name in result["absent"]]
    if result["pass_ms"]:
        lines += ["", f"50,000 images at {result['pass_ms']:g} ms a pass there and back, on paper:", ""]
        one = result["workers"][0]["wall"]
        two = next((row for row in result["workers"] if row["workers"] == 2), result["workers"][-1])
        lines += paper(two["passes"], result["pass_ms"], one / (two["workers"] * two["wall"]))
    return "\n".join(lines) + "\n"


def measured(given: argparse.Namespace) -> dict[str, Any]:
    """All runs that were asked for, one after the other."""
    result: dict[str, Any] = {"machine": machine(), "pass_ms": given.pass_ms, "workers": [], "executors": []}
    names = [name for name in given.executors.split(",") if name]
    result["absent"] = [name for name in names if name == "ray" and importlib.util.find_spec("ray") is None]
    few, many = (int(text) for text in given.executor_samples.split(","))
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ROBUSTEVAL_CACHE"] = cache
        run("smoke", 16, 1)  # what is measured once is measured now
        for workers in (int(text) for text in given.workers.split(",")):
            result["workers"].append(run(given.suite, given.samples, workers))
            print(result["workers"][-1], file=sys.stderr, flush=True)
        for name in names:
            for samples in () if name in result["absent"] else (few, many):
                result["executors"].append(run("smoke", samples, 1, "--executor", name))
                print(result["executors"][-1], file=sys.stderr, flush=True)
    return result


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = len(os.sched_getaffinity(0))
    options.add_argument("--workers", default=",".join(str(n) for n in (1, 2, 4) if n <= cores))
    options.add_argument("--suite", default="standard", help="of the runs with several workers")
    options.add_argument("--samples", type=int, default=256, help="of these")
    options.add_argument("--executors", default=",".join(EXECUTORS), help="separated by commas; empty: none")
    options.add_argument("--executor-samples", default="100,500", help="few and many, for suite smoke")
    options.add_argument("--pass-ms", type=float, help="of the model that the hours are wanted of")
    options.add_argument("--out", type=Path, help="folder for many-workers.json and many-workers.md")
    given = options.parse_args()
    result = measured(given)
    print(markdown(result))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "many-workers.json").write_text(json.dumps(result, indent=1) + "\n")
        (given.out / "many-workers.md").write_text(markdown(result))


if __name__ == "__main__":
    main()
