"""A run on a model of the size that people deploy: how long it takes, and how much memory all its processes hold.

    python benchmarks/large_model.py --suite smoke --samples 16
    python benchmarks/large_model.py --suite standard --samples 64 --time-budget 10m --memory 6GB

Exports a ResNet-50 (random weights, batch statistics of some images, 224 x 224, 1,000 classes) to ONNX, runs
`robusteval run` on it with the model's own answers as labels, and samples the resident memory of the whole process
tree. What is shared between processes counts once for each (RSS), and once in all (PSS). What follows `--` goes to the
command.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from real_models import MAKERS, images, model
from setting import machine

_EVERY = 0.25  # seconds between two looks at the memory
_PSS = 20  # looks to one at what is shared: the kernel walks all pages for it, and the process waits meanwhile


def files(folder: Path, name: str, count: int) -> tuple[Path, Path]:
    """The model as ONNX and an .npz of images, made once."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx, data = folder / f"{name}.onnx", folder / f"images-{count}.npz"
    if not onnx.exists():
        whole = model(name)
        axes = {"x": {0: "n"}, "scores": {0: "n"}}
        torch.onnx.export(
            whole, (images(1),), onnx, input_names=["x"], output_names=["scores"], dynamic_axes=axes, dynamo=False
        )
    if not data.exists():
        np.savez(data, x=images(count).numpy(), y=np.zeros(count, np.int64))
    return onnx, data


class Peak(threading.Thread):
    """Watches a process and all that it starts."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.rss, self.pss, self.processes = pid, 0.0, 0.0, 0
        self.over = threading.Event()

    def run(self) -> None:
        looks = 0
        while not self.over.wait(_EVERY):
            tree, looks = _tree(self.pid), looks + 1
            self.rss = max(self.rss, sum(_of(pid, "status", "VmRSS:") for pid in tree))
            if looks % _PSS == 0:
                self.pss = max(self.pss, sum(_of(pid, "smaps_rollup", "Pss:") for pid in tree))
            self.processes = max(self.processes, len(tree))


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:  # grows while it is walked
        with suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _of(pid: int, file: str, field: str) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(field):
                return float(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default="resnet50", choices=list(MAKERS))
    options.add_argument("--suite", default="smoke")
    options.add_argument("--samples", type=int, default=16)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--time-budget")
    options.add_argument("--memory")
    options.add_argument("--folder", type=Path, default=Path("benchmarks/out/large"))
    options.add_argument("more", nargs="*", help="further options of robusteval run, after --")
    given = options.parse_args()
    onnx, data = files(given.folder, given.model, given.samples)
    command = [sys.executable, "-m", "robusteval", "run", str(onnx), "--data", str(data), "--labels", "model"]
    command += ["--suite", given.suite, "--samples", str(given.samples), "--workers", str(given.workers)]
    command += ["--out", str(given.folder / "run"), "--overwrite", *given.more]
    for name in ("time_budget", "memory"):
        if getattr(given, name):
            command += [f"--{name.replace('_', '-')}", getattr(given, name)]
    print(*command, flush=True)
    started = time.perf_counter()
    with subprocess.Popen(command) as process:  # noqa: S603 - our own command
        peak = Peak(process.pid)
        peak.start()
        code = process.wait()
    took = time.perf_counter() - started
    peak.over.set()
    print("Machine: " + ", ".join(f"{key} {value}" for key, value in machine().items()) + ".")
    print(
        f"Exit code {code} after {took:.0f} s; at the most {peak.processes} processes, {peak.rss:.0f} MiB resident in "
        f"sum (RSS), {peak.pss:.0f} MiB with what they share counted once (PSS)."
    )


if __name__ == "__main__":
    main()
