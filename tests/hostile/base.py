"""What all cases share: a small model that means no harm, its images, a suite, and a finished run of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.hostile.case import Place

SIZE, CLASSES = 8, 3
SUITE = """
name = "tiny"
version = "1"
norms = ["linf"]
samples = 6
probe_samples = 0
metrics = ["accuracy-curve"]
[[attack]]
plugin = "fgsm"
search = 1
"""
ROOT = Path(__file__).parents[2]


def info(name: str, kind: int, shape: Sequence[int | str] | None) -> onnx.ValueInfoProto:
    """A value of a graph, with its type and shape."""
    return helper.make_tensor_value_info(name, kind, shape)


def weights() -> np.ndarray[Any, Any]:
    """[64, 3]: a classifier of how bright the parts of an image are."""
    return np.random.default_rng(0).normal(size=(SIZE * SIZE, CLASSES)).astype(np.float32)


def model(
    nodes: Sequence[onnx.NodeProto] = (),
    arrays: dict[str, Any] | None = None,
    start: str = "x",
    shape: Sequence[int | str] | None = ("n", 1, SIZE, SIZE),
    **more: Any,
) -> onnx.ModelProto:
    """The classifier, with nodes before it that make `start` of x [n, 1, 8, 8]. more: opsets, ir, props, x and y."""
    x, y = more.get("x", "x"), more.get("y", "y")
    flat = [
        helper.make_node("Flatten", [start if nodes else x], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "W"], [y]),
    ]
    tensors = {"W": weights(), **(arrays or {})}
    graph = helper.make_graph(
        [*nodes, *flat],
        more.get("name", "tiny"),
        [info(x, TensorProto.FLOAT, shape)],
        [info(y, TensorProto.FLOAT, more.get("answer", ["n", CLASSES]))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in more.get("opsets", {"": 17}).items()]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=more.get("ir", 8))
    if more.get("props"):
        helper.set_model_props(made, more["props"])
    return made


def save(path: Path, made: onnx.ModelProto) -> Path:
    """Writes a model as it is, checked by nobody."""
    path.write_bytes(made.SerializeToString())
    return path


def arrays(count: int = 12) -> dict[str, Any]:
    """Images and labels that the classifier gets right."""
    x = np.random.default_rng(1).uniform(0.2, 0.8, (count, 1, SIZE, SIZE)).astype(np.float32)
    return {"x": x, "y": (x.reshape(count, -1) @ weights()).argmax(1)}


# cases that begin with a finished run
NEED_RUNS = ("verify/", "report/", "resume/", "merge/", "attack/", "compare/", "samples/", "export/")


def build(base: Path, runs: bool) -> None:
    """Model, images and suite; with runs: a finished run and two shards, made by the command itself."""
    base.mkdir(parents=True)
    save(base / "good.onnx", model())
    np.savez(base / "good.npz", **arrays())
    (base / "tiny.toml").write_text(SUITE)
    places = [base / "good.onnx", "--suite", base / "tiny.toml", "--data", base / "good.npz", "--workers", 1]
    words = [*map(str, places)]
    parts = [["--out", "run"], ["--shard", "1/2", "--out", "s1"], ["--shard", "2/2", "--out", "s2"]]
    for more in parts if runs else ():
        subprocess.run(
            [*command(), "run", *words, *more], cwd=base, env=environment(base), check=True, capture_output=True
        )
    for name in ("home", "tmp", "cache"):
        shutil.rmtree(base / name, ignore_errors=True)


def command() -> list[str]:
    """The installed command, of this Python."""
    script = Path(sys.executable).with_name("robusteval")
    return [str(script)] if script.exists() else [sys.executable, "-m", "robusteval"]


def environment(home: Path) -> dict[str, str]:
    """A home, a temporary folder and a cache of its own, where what is written can be seen."""
    places = {"HOME": home / "home", "TMPDIR": home / "tmp", "ROBUSTEVAL_CACHE": home / "cache"}
    for path in places.values():
        path.mkdir(exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "PYTHONPATH", "LANG", "LD_LIBRARY_PATH")}
    return (
        kept
        | {key: str(path) for key, path in places.items()}
        | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    )


def run(place: Place, file: Path | None = None, data: Path | None = None, suite: Path | None = None) -> list[object]:
    """The words of a run of the tiny suite; of what the case makes, where it gives any."""
    base = place.base
    return [
        *("run", file or base / "good.onnx", "--suite", suite or base / "tiny.toml"),
        *("--data", data or base / "good.npz", "--workers", "1", "--out", place.out),
    ]


def inspect(place: Place, file: Path | None = None, data: Path | None = None) -> list[object]:
    """The words of a look at a model and data."""
    return ["inspect", file or place.base / "good.onnx", *(("--data", data) if data else ())]
