"""Does memory stay what it is, and do attacks begin soon, when there are a hundred times as many images?

    python benchmarks/many_images.py --count 1000 100000 --time-budget 5m

Makes seeded images of 32 x 32 x 3 that a small net tells apart, stores them as an archive (as it is, and packed) and as
a folder of PNGs, attacks them with suite smoke in two workers, and watches the processes of the run. Memory is RssAnon,
what a process has for itself, of /proc/PID/status, looked at fifty times a second: pages of files that the kernel keeps
belong to nobody. The first unit is stored some time after the first attack began, so that its time is on the safe side.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

LAYOUTS = ("npz", "packed", "folder")
_CLASSES, _SIDE, _WIDTH = 10, 32, 8
_STEP_S = 0.02
_PART = 2000  # images that are made at once


def images(count: int, start: int = 0) -> NDArray[np.uint8]:
    """uint8 [n, 32, 32, 3] from image `start` on: the n-th of class n % 10, its coarse pattern under noise."""
    patterns = np.random.default_rng(0).uniform(70, 185, (_CLASSES, 4, 4, 3))
    large = patterns.repeat(_SIDE // 4, 1).repeat(_SIDE // 4, 2)
    noise = np.random.default_rng((1, start)).normal(0, 12, (count, _SIDE, _SIDE, 3))
    found: NDArray[np.uint8] = (large[np.arange(start, start + count) % _CLASSES] + noise).clip(0, 255).astype(np.uint8)
    return found


def net(path: Path) -> Path:
    """A convolution with a ReLU, and a linear layer on what it says of 4 x 4 places, fitted to images of their own."""
    rng = np.random.default_rng(2)
    kernel = rng.normal(0, 0.1, (_WIDTH, 3, 8, 8)).astype(np.float32)
    x = np.moveaxis(images(1000, 10**7), -1, 1).astype(np.float32) / 255
    places = x.reshape(-1, 3, 4, 8, 4, 8).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 4, 4, 192)
    features = np.maximum(places @ kernel.reshape(_WIDTH, 192).T, 0).transpose(0, 3, 1, 2).reshape(len(x), -1)
    wanted = 4 * np.eye(_CLASSES)[np.arange(len(x)) % _CLASSES]
    rows = np.hstack([features, np.ones((len(x), 1))])
    weight = np.linalg.solve(rows.T @ rows + np.eye(rows.shape[1]), rows.T @ wanted).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], strides=[8, 8]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["y"]),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, _SIDE, _SIDE])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", _CLASSES])
    held = {"k": kernel, "w": weight[:-1], "b": weight[-1]}
    graph = helper.make_graph(nodes, "g", [given], [out], [numpy_helper.from_array(v, k) for k, v in held.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def store(folder: Path, count: int, layout: str) -> Path:
    """So many images in that layout."""
    labels = np.arange(count) % _CLASSES
    if layout == "folder":
        home = folder / "images"
        for label in range(_CLASSES):
            (home / str(label)).mkdir(parents=True)
        for start in range(0, count, _PART):
            for number, image in enumerate(images(min(_PART, count - start), start), start):
                Image.fromarray(image).save(home / str(number % _CLASSES) / f"{number:06}.png", compress_level=1)
        return home
    x = np.concatenate([images(min(_PART, count - start), start) for start in range(0, count, _PART)])
    path = folder / "images.npz"
    (np.savez if layout == "npz" else np.savez_compressed)(path, x=x, y=labels, layout="NHWC")
    return path


@dataclass
class Watched:
    """A run, looked at from outside. parent, worker: the most bytes of the process that runs, and of any worker; first:
    seconds until a unit was stored; seconds: of all."""

    layout: str
    count: int
    code: int = 0
    parent: int = 0
    worker: int = 0
    workers: int = 0
    first: float | None = None
    seconds: float = 0.0
    units: int = 0
    done: int = 0
    skipped: int = 0
    said: str = field(default="", repr=False)


def run(folder: Path, data: Path, seen: Watched, suite: str, budget: str) -> Watched:
    """The suite on the data, in a process that is watched."""
    out, log, model = folder / "run", folder / "said.txt", net(folder / "net.onnx")
    command = [sys.executable, "-m", "robusteval", "run", str(model), "--data", str(data), "--suite", suite]
    command += ["--samples", str(seen.count), "--workers", "2", "--out", str(out)]
    command += ["--time-budget", budget] if budget != "none" else []
    begun = time.monotonic()
    seen_workers: set[int] = set()
    with log.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 - this Python, our own command
            command, stdout=said, stderr=said, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        while process.poll() is None:
            _look(process.pid, seen, seen_workers)
            if seen.first is None and any((out / "units").glob("*.npz")):
                seen.first = time.monotonic() - begun
            time.sleep(_STEP_S)
    seen.code, seen.seconds, seen.workers = process.returncode, time.monotonic() - begun, len(seen_workers)
    seen.said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    seen.units = sum(1 for _ in (out / "units").glob("*.npz")) if out.exists() else 0
    if (out / "record.json").exists():
        status = [cell["status"] for cell in json.loads((out / "record.json").read_text())["cells"]]
        seen.done, seen.skipped = status.count("done"), status.count("skipped")
    return seen


def _look(pid: int, seen: Watched, workers: set[int]) -> None:
    """The command waits for a process that does the work, and that one has the workers below it."""
    for parent in _children(pid):
        seen.parent = max(seen.parent, _anonymous(parent))
        for worker in _children(parent):
            if b"spawn_main" in _read(worker, "cmdline"):
                workers.add(worker)
                seen.worker = max(seen.worker, _anonymous(worker))


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        found += [int(child) for child in _read(pid, f"task/{task.name}/children").split()]
    return found


def _anonymous(pid: int) -> int:
    for line in _read(pid, "status").splitlines():
        if line.startswith(b"RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:  # it has just ended
        return b""


def table(rows: list[Watched]) -> str:
    """For people, in the measure of the docs."""
    lines = [
        "| layout | images | parent, MB | worker, MB | first unit stored, s | in all, s | cells done | left out |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        first = "-" if row.first is None else f"{row.first:.0f}"
        lines.append(
            f"| {row.layout} | {row.count:,} | {row.parent / 1e6:.0f} | {row.worker / 1e6:.0f} | {first} | "
            f"{row.seconds:.0f} | {row.done} | {row.skipped} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Each layout with each number of images, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--layout", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--suite", default="smoke")
    parser.add_argument("--time-budget", default="5m", help="none: to the end")
    parser.add_argument("--json", action="store_true", help="print the figures instead of a table")
    asked = parser.parse_args()
    rows: list[Watched] = []
    for layout in asked.layout:
        for count in asked.count:
            folder = Path(tempfile.mkdtemp(prefix="many-images-"))
            try:
                data = store(folder, count, layout)
                rows.append(run(folder, data, Watched(layout, count), asked.suite, asked.time_budget))
            finally:
                shutil.rmtree(folder)
            if not asked.json:
                print(rows[-1], *([rows[-1].said] if rows[-1].code else []), flush=True)
    figures: list[dict[str, Any]] = [vars(row) for row in rows]
    print(json.dumps(figures, indent=1) if asked.json else table(rows))


if __name__ == "__main__":
    main()
