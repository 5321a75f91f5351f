"""What is to be run: the job, its plan, and the folder that it goes to."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import robusteval
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.executors.executor import Executor
from robusteval.contracts.tuning import FULL_ONLY
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.plan.plan import Plan, make_plan
from robusteval.engine.source import Source
from robusteval.engine.suite.suite import Suite
from robusteval.errors import RecordError
from robusteval.ops.batches import Sizes
from robusteval.record import run
from robusteval.record.derived import GateSource
from robusteval.record.reference_set import LoadedSet


@dataclass(frozen=True)
class Way:
    """One way to share out the cores and the memory: so many workers of so many threads, room: bytes that the questions
    of each may take, sizes: rows at once, batches: in words, what was cut so that it fits."""

    workers: int
    threads: int
    room: float
    sizes: Sizes
    batches: str = ""

    @property
    def words(self) -> str:
        """For people."""
        who = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return f"{who} of {'1 thread' if self.threads == 1 else f'{self.threads} threads'}"


@dataclass(frozen=True)
class Job:
    """All that a run needs; what the CLI and the Python API both make."""

    model: Classifier
    samples: Source
    suite: Suite
    catalogue: Catalogue
    folder: Path
    fit: Source | None = None
    model_file: str = ""
    data_source: str = ""
    range_note: str = ""
    command: str = ""
    seed: int = 0
    workers: int = 1
    threads: int = 1  # of each worker
    target: str = "untargeted"
    labels_from_model: bool = False
    precision: str = FULL_ONLY  # of what attacks propose; see RunOptions
    overwrite: bool = False
    preflight: tuple[run.Finding, ...] = ()
    looked: tuple[run.Check, ...] = ()  # the checks of the preflight
    available: int = 0  # samples that the data hold, evaluated or not; 0 where unknown
    apart: bool = False  # plugins that do not come with robusteval run in processes of their own, also with one worker
    executor: Executor | None = None  # where units are made; None: here, in as many processes as there are workers
    time_budget: float | None = None  # seconds after which nothing is started; no part of the plan
    references: tuple[
        LoadedSet, ...
    ] = ()  # known models to compare with, those that the user gave before the shipped ones
    room: float = 0.0  # bytes that the questions of each worker may take at once; 0 where that is not looked at
    chunk: int = 0  # samples a unit; 0: as many as go with the shape of the input
    batches: str = ""  # in words, what was cut so that it fits, for the record
    ways: tuple[
        Way, ...
    ] = ()  # among which passes are measured to choose, the job's own first; none where it is settled
    shared: str = ""  # in words, which of them was chosen and why, for the record
    faster: float = 1.0  # how many times as fast a pass is by the clock on a worker's threads as on one
    settings: str = ""  # in words, which values came from a file beside the model
    gates: tuple[str, ...] = ()  # thresholds that the command asks for, beside the suite's

    @property
    def asked_gates(self) -> list[tuple[str, GateSource]]:
        """Every threshold to be reached, and who asked for it: each once."""
        asked: dict[str, GateSource] = dict.fromkeys(self.gates, "command")
        suite: dict[str, GateSource] = dict.fromkeys(self.suite.gates.fail_under, "suite")
        return list((asked | suite).items())


def plan_of(job: Job) -> Plan:
    """The plan of a job; its hash decides which finished units may be used again."""
    identity = {
        "tool": robusteval.__version__,
        "model": job.model.info.sha256,
        "reading": repr(dataclasses.replace(job.model.info, parity={}, notes=())),
        "data": job.samples.sha256(),
        "fit": job.fit.sha256() if job.fit is not None else "",
        "seed": job.seed,
        "target": job.target,
        "defenses": [
            [spec.name, job.catalogue.get("defense", spec.plugin).info.version, spec.params]
            for spec in job.suite.defenses
        ],
    }
    if job.precision != FULL_ONLY:  # so that plans in full precision have the hash that they always had
        identity["precision"] = job.precision
    return make_plan(job.suite, job.catalogue, job.model.info, job.target, identity, job.chunk)


def default_folder(root: Path, model_file: str, suite: str, plan: Plan) -> Path:
    """Where a run goes unless told: the same plan gives the same folder, so an interrupted run is found again."""
    stem = Path(model_file).stem or "model"
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in stem)[:60]
    return root / f"{safe}-{suite}-{plan.sha256[:8]}"


def check_folder(folder: Path, stranger: str = "") -> None:
    """Raises RecordError where nothing can be written, or where the file `stranger` tells of a run of another kind."""
    if stranger and (folder / stranger).exists():
        raise RecordError(
            f"The folder {folder} holds a {stranger}, so it is a run of another kind.", "Choose another with --out."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-test"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise RecordError(
            f"Cannot write to the folder {folder}: {error.strerror or error}.", "Choose another with --out."
        ) from None
