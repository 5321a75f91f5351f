"""An outside package as pip would leave it: a module and its entry point, in a folder that goes on PYTHONPATH."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PLUGIN = '''
import os, signal, sys, time
from pathlib import Path


def strike(where):
    """Does what HOW says where WHERE says so."""
    if os.environ.get("WHERE") == where:
        exec(os.environ["HOW"])


strike("import")
from dataclasses import dataclass
from typing import ClassVar
from robusteval.api import AttackInfo, LoaderInfo, MetricInfo, hookimpl


@dataclass(frozen=True)
class Odd:
    info: ClassVar = AttackInfo("acme.odd", "1", ("linf",), "minimal", "scores", "toy", "none")

    def run(self, problem):
        strike("attack")
        gate = os.environ.get("GATE")
        if gate:
            place = Path(gate)
            (place / f"{os.getpid()}-{time.monotonic_ns()}").touch()
            while len(list(place.iterdir())) > 3 and not (place / "open").exists():
                time.sleep(0.02)
        return problem.x


class Figure:
    info: ClassVar = MetricInfo("acme.figure", "1", "toy", "none")

    def compute(self, record):
        strike("metric")
        return []


class Reader:
    info: ClassVar = LoaderInfo("acme.onnx", "1", (".onnx",), "another reader of ONNX files")

    def load(self, path, options):
        strike("load")
        from robusteval.api import ModelError
        raise ModelError("acme read it")


@hookimpl
def robusteval_attacks():
    return [Odd]


@hookimpl
def robusteval_metrics():
    return [Figure]


@hookimpl
def robusteval_loaders():
    return [Reader]
'''

SUITE = """
name = "odd"
version = "1"
norms = ["linf"]
samples = {samples}
probe_samples = 0
[[attack]]
plugin = "acme.odd"
[[attack]]
plugin = "fgsm"
search = 1
"""


def install(folder: Path) -> dict[str, str]:
    """Writes the package into folder/site; the environment in which it is found."""
    site = folder / "site"
    facts = site / "acme-1.dist-info"
    facts.mkdir(parents=True)
    (site / "acme.py").write_text(PLUGIN)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[robusteval]\nacme = acme\n")
    path = os.pathsep.join([str(site), *(part for part in (os.environ.get("PYTHONPATH"),) if part)])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def robusteval(env: dict[str, str], *words: object) -> subprocess.CompletedProcess[str]:
    """The command as a user starts it."""
    command = [sys.executable, "-m", "robusteval", *map(str, words)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
