"""What a user asks of a run: one list for the command line, the Python API and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robusteval.contracts.tuning import FULL_ONLY
from robusteval.engine.data.npz import RawData
from robusteval.engine.suite.goals import UNTARGETED

# data: a path, arrays (x [N, *shape], y [N]), or what was read from objects of Python
LoadedSet = Path | tuple[Any, Any] | RawData | None


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Everything but the model. A new option is declared here; tests/test_run_options.py asks that each way in takes
    it.

    suite: its name, a TOML file, or tables as such a file has them. attacks, norms, eps, defenses: in its place, by
    name (engine/suite/composed.py). data, fit_data: what to attack, and what defences may learn from; None: what
    lies beside the model, or its metadata name. data_range: the values of black and white in the data, where those
    are not the model's range. samples: how many are attacked, evenly over the classes; None: as the suite says.
    target: "untargeted", "least-likely", "all", or a class by number or name. labels_from_model: its own answers as
    labels. workers: processes; None: as the cores are shared out by measurement. surrogates: files of models that
    transfer attacks are made on. time_budget: seconds after which nothing more is started. device: where it computes:
    "auto" (where the suite says, or a GPU where torch can use one), "cpu", "cuda", "cuda:1", "mps". memory: bytes that
    all processes of the run together may take; None: a share of what is free. precision: "full": proposals in float32;
    "auto": in bfloat16 where that is faster and points the same way. references: files of known models to compare with.
    executor: where units are made, by the name of a plugin, with parameters after a colon; "": on this machine, in as
    many processes as `workers`. address: where that executor is to be found. overwrite: start anew where the folder
    holds another run. command: as the user gave it, for the record.
    """

    suite: str | Mapping[str, Any] = "standard"
    attacks: Sequence[Any] | str = ()
    norms: Sequence[str] | str = ()
    eps: Any = None
    defenses: Sequence[Any] | str = ()
    data: LoadedSet = None
    fit_data: LoadedSet = None
    data_range: tuple[float, float] | None = None
    samples: int | None = None
    seed: int = 0
    workers: int | None = 1
    target: str = UNTARGETED
    labels_from_model: bool = False
    surrogates: tuple[str, ...] = ()
    time_budget: float | None = None
    device: str = "auto"
    memory: float | None = None
    references: tuple[str | Path, ...] = ()
    precision: str = FULL_ONLY
    executor: str = ""
    address: str = ""
    overwrite: bool = False
    command: str = ""

    def of(self, count: int, others: tuple[str, ...]) -> RunOptions:
        """For one of `count` models: its part of the time, and the other models as surrogates where none are named."""
        part = None if self.time_budget is None else self.time_budget / count
        return replace(self, time_budget=part, surrogates=self.surrogates or others)
