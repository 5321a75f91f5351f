"""Plugins that raise what they must not, or end their process; and a small job that runs them."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Generator, Tensor

from robusteval.api import AttackInfo, Defended, DefenseInfo, ModelInfo, Problem, param
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.samples import Samples
from robusteval.engine.plan.job import Job
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.schedule import local
from tests.engine import toys


class OddError(BaseException):
    """No Exception."""


SOFT = ("raise", "exit0", "exit3", "interrupt", "odd")
SAID = {
    "raise": "RuntimeError: broken",
    "exit0": "sys.exit(0)",
    "exit3": "sys.exit(3)",
    "interrupt": "KeyboardInterrupt",
}
SAID |= {"odd": "OddError", "die0": "the worker process died", "kill": "the worker process died"}


def strike(how: str) -> None:
    """What the name says."""
    if how == "raise":
        raise RuntimeError("broken")
    if how == "exit0":
        sys.exit(0)
    if how == "exit3":
        sys.exit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "odd":
        raise OddError
    if how == "die0":
        os._exit(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Faulty:
    info: ClassVar[AttackInfo] = AttackInfo("test.faulty", "1", ("linf",), "minimal", "decision", "toy", "none")
    how: str = param("", "what it does")

    def run(self, problem: Problem) -> Tensor:
        strike(self.how)
        return problem.x

    def passes(self, norm: str, classes: int) -> None:
        strike("exit0")


@dataclass(frozen=True)
class FaultyDefense:
    info: ClassVar[DefenseInfo] = DefenseInfo("test.faulty", "1", "preprocessor", False, "toy", "none")
    fit_how: str = param("", "what it does when it is fitted")
    ask_how: str = param("", "what its model does when it is asked")

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        strike(self.fit_how)
        return Defended(Asked(model, self.ask_how))


@dataclass(frozen=True)
class Asked:
    inner: Classifier
    how: str

    @property
    def info(self) -> ModelInfo:
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        strike(self.how)
        return self.inner.logits(x)

    def twin(self, x: Tensor) -> Tensor:
        return self.inner.twin(x)


SUITE = """
name = "faults"
version = "1"
norms = ["linf"]
samples = 20
probe_samples = 0
[[attack]]
plugin = "test.sign"
search = 2
norms = ["linf"]
"""
PLUGINS = (*toys.TOYS, ("attack", Faulty), ("defense", FaultyDefense))


def attacks(*hows: str) -> str:
    """The good attack and a faulty one of each kind."""
    rows = [f'[[attack]]\nplugin = "test.faulty"\nname = "bad-{how}"\nparams = {{ how = "{how}" }}\n' for how in hows]
    return SUITE + "".join(rows)


def job(folder: Path, suite: str = SUITE, **more: Any) -> Job:
    (folder / "suite.toml").write_text(suite)
    model = toys.linear()
    data = toys.samples(model, count=20)
    made = prepare_job(
        model, toys.catalogue(*PLUGINS), RunOptions(suite=str(folder / "suite.toml"), data=(data.x, data.y))
    )
    return dataclasses.replace(made, folder=folder / "run", **more)


def killed_while_it_starts(*given: Any) -> None:
    """What a worker process begins with, where all from number $FIRST to before number $LAST are killed meanwhile;
    $STARTED keeps count."""
    place = Path(os.environ["STARTED"])
    number = len([*place.iterdir()])
    (place / str(os.getpid())).touch()
    if int(os.environ["FIRST"]) <= number < int(os.environ["LAST"]):
        os.kill(os.getpid(), signal.SIGKILL)
    local._start(*given)
