"""Plugins that hang, or set what is global in a process; found by worker processes as `tests.cage.plugins`."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import random
import re
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from robusteval.api import AttackInfo, Problem, param
from robusteval.engine.plan.job import Job
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from tests.engine import toys

SETS: dict[str, Callable[[], object]] = {
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("meta"),
    "grad": lambda: torch.set_grad_enabled(False),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True, check_nan=True),
    "threads": lambda: torch.set_num_threads(3),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "matmul": lambda: torch.set_float32_matmul_precision("medium"),
    "mkldnn": lambda: torch._C._set_mkldnn_enabled(False),
    "cudnn": lambda: torch._C._set_cudnn_benchmark(True),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "torch's generator": lambda: torch.manual_seed(12345),
    "numpy's generator": lambda: np.random.seed(12345),  # noqa: NPY002 - what an old plugin does
    "Python's generator": lambda: random.seed(12345),
    "floats": lambda: np.seterr(all="raise"),
    "filters": lambda: warnings.filterwarnings("ignore", "one that nobody has"),
    "recursion": lambda: sys.setrecursionlimit(5000),
    "folder": lambda: os.chdir("/"),
    "environment": lambda: os.environ.update(OMP_NUM_THREADS="7", ODD="1"),
    "a variable less": lambda: os.environ.pop("PATH"),
}


def facts() -> dict[str, Any]:
    """What SETS sets, as anybody finds it."""
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.tensor(1.0).device,  # where a tensor is made of which nobody says where
        "grad": torch.is_grad_enabled(),
        "anomaly": (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "mkldnn": torch._C._get_mkldnn_enabled(),
        "cudnn": torch._C._get_cudnn_benchmark(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "torch's generator": torch.random.get_rng_state().tolist(),
        "numpy's generator": np.random.get_state()[1].tolist(),  # type: ignore[index]  # noqa: NPY002 - as above
        "Python's generator": random.getstate(),
        "floats": np.geterr(),
        "filters": [*warnings.filters],
        "recursion": sys.getrecursionlimit(),
        "folder": Path.cwd(),
        "environment": dict(os.environ),
        "a variable less": os.environ.get("PATH"),
    }


@dataclass(frozen=True)
class Hangs:
    """Never ends, in one way or another; or sets everything."""

    info: ClassVar[AttackInfo] = AttackInfo("test.hangs", "1", ("linf",), "minimal", "decision", "toy", "none")
    how: str = param("", "what it does")

    def run(self, problem: Problem) -> Tensor:
        if self.how == "sleep":
            time.sleep(3600)
        if self.how == "spin":
            re.match(r"(a+)+$", "a" * 80 + "b")  # in C, with Python's lock
        if self.how == "leaves":  # a thread that keeps its process from ending
            threading.Thread(target=time.sleep, args=(3600,)).start()
        if self.how == "prints":
            print("\x1b[2J")  # noqa: T201 - as plugins do
        if self.how == "connects":
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        if self.how == "writes":
            Path(os.environ["ROBUSTEVAL_TEST_OUTSIDE"]).write_text("was here", encoding="utf-8")
        if self.how == "sets":
            for name, change in SETS.items():
                if name != "folder":
                    change()
        return problem.x


@dataclass
class Patient(toys.Linear):
    """A classifier that answers until it is asked in a worker process, where it is attacked."""

    def logits(self, x: Tensor) -> Tensor:
        if len(x) and multiprocessing.parent_process() is not None:
            time.sleep(3600)
        return super().logits(x)


SUITE = """
name = "limits"
version = "1"
norms = ["linf"]
samples = 20
probe_samples = 0
{settings}
[[attack]]
plugin = "test.sign"
search = 2
"""
HANGS = """
[[attack]]
plugin = "test.hangs"
name = "{name}"
params = {{ how = "{how}" }}
"""


def job(folder: Path, hows: tuple[str, ...], settings: str = "", model: toys.Linear | None = None, **more: Any) -> Job:
    """A good attack, and one for each of the hows."""
    text = SUITE.format(settings=settings) + "".join(HANGS.format(name=f"bad-{how}", how=how) for how in hows)
    (folder / "suite.toml").write_text(text)
    plain = toys.linear()
    model = model or plain
    data = toys.samples(plain, count=20)
    options = RunOptions(suite=str(folder / "suite.toml"), data=(data.x, data.y))
    made = prepare_job(model, toys.catalogue(*toys.TOYS, ("attack", Hangs)), options)
    return dataclasses.replace(made, folder=folder / "run", apart=True, **more)
