"""The document: everything that a run measured and derived, as dataclasses. HTML, CSV and the rest are functions of it.

Per-sample columns have one entry a sample, in the order of the data. `None` in a distance column means "never lost";
0 means "wrong when clean". In a run's folder they lie in samples.parquet (measured/layout.py); of a record that was
read from there they are arrays that are read like lists (measured/per_sample.py). Nothing here depends on the clock
except `times`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from robusteval.record.column import Column
from robusteval.record.derived import Check, Curve, Finding, Gate, Grade, Point, Result, Scalar, Severity, Verdict
from robusteval.record.measured import (
    Cell,
    Data,
    Estimate,
    Knowledge,
    Model,
    Picture,
    Pipeline,
    Planted,
    Rounded,
    Search,
    Strength,
    Suite,
    Wins,
    Witness,
    Witnesses,
)
from robusteval.record.measured.certificates import Certificate, CertificateBehind, Proofs
from robusteval.record.measured.samples_file import SamplesFile, SamplesPart
from robusteval.record.references import Compared, Reference, ReferenceColumn

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS_INSIDE",
    "SCHEMA",
    "TITLES_ONLY",
    "Cell",
    "Certificate",
    "CertificateBehind",
    "Check",
    "Column",
    "Compared",
    "Curve",
    "Data",
    "Estimate",
    "Finding",
    "Gate",
    "Grade",
    "Knowledge",
    "Model",
    "Picture",
    "Pipeline",
    "Planted",
    "Point",
    "Proofs",
    "Record",
    "Reference",
    "ReferenceColumn",
    "Result",
    "Rounded",
    "SamplesFile",
    "SamplesPart",
    "Scalar",
    "Search",
    "Severity",
    "Strength",
    "Suite",
    "Times",
    "Verdict",
    "Wins",
    "Witness",
    "Witnesses",
]

SCHEMA = "robusteval-record-2"
# The versions before, which are still read and checked: all columns are in the document; in the first one columns of
# tables are titles alone.
COLUMNS_INSIDE = "robusteval-record-1.1"
TITLES_ONLY = "robusteval-record-1"


@dataclass
class Times:
    """All that depends on the clock; two runs of the same plan without a time budget differ in nothing else."""

    started: str = ""
    finished: str = ""
    wall_s: float = 0.0
    cells_s: dict[str, float] = field(default_factory=dict)  # seconds of attack and judging, summed over chunks
    fit_s: dict[str, float] = field(default_factory=dict)
    foretold_s: float = 0.0  # how long attacks and tests were expected to take, before they began
    budget_s: float | None = None  # after which nothing was started


@dataclass
class Record:
    """One run."""

    tool: dict[str, str]  # name, version
    command: str
    seed: int
    environment: dict[str, str]  # python, system, processor, cores, what answers, and versions of packages
    model: Model
    data: Data
    suite: Suite
    plan_sha256: str
    pipelines: list[Pipeline]
    cells: list[Cell]
    probes: list[Cell] = field(
        default_factory=list
    )  # the same attacks with more steps or another start, on few samples
    estimates: list[Estimate] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)  # of the bare model
    certificates_behind: list[CertificateBehind] = field(default_factory=list)  # of defended ones
    proofs: Proofs | None = None  # the graph of the model, where something was proved and it is not too large
    references: list[Compared] = field(
        default_factory=list
    )  # known models on the same samples, as far as there are any
    checks: list[Check] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    gallery: list[Picture] = field(default_factory=list)
    witnesses: Witnesses | None = None
    verdict: Verdict | None = None
    skipped: list[str] = field(default_factory=list)  # tests of the evaluation that the time budget left out
    plugins: list[dict[str, str]] = field(default_factory=list)  # distribution, name, kind, version, of all that ran
    times: Times = field(default_factory=Times)
    gates: list[Gate] = field(default_factory=list)  # thresholds that were to be reached; absent where there are none
    per_sample: SamplesFile | None = None  # where the columns lie; None: in the document itself
    schema: str = SCHEMA

    def pipeline(self, defense: str) -> Pipeline:
        """The pipeline of that defence. Raises KeyError when there is none."""
        for pipeline in self.pipelines:
            if pipeline.defense == defense:
                return pipeline
        raise KeyError(defense)

    def done(self, norm: str | None = None, knowledge: str | None = None, defense: str | None = None) -> list[Cell]:
        """Finished cells, filtered."""
        return [
            cell
            for cell in self.cells
            if cell.status == "done"
            and norm in (None, cell.norm)
            and knowledge in (None, cell.knowledge)
            and defense in (None, cell.defense)
        ]

    def samples(self) -> pd.DataFrame:
        """Everything per sample as one table, as docs/document.md describes it: the rows of samples.parquet.

        Raises RecordError where pandas is not installed.
        """
        from robusteval.record.measured.samples_table import frame

        return frame(self)

    def to_frame(self) -> pd.DataFrame:
        """A row a sample and finished cell: `sample` (its place among the evaluated ones), `row` (its place in
        the data, where that is one file or object) or `file`, label, attack, norm, defense, knowledge, threat,
        eps, prediction (of the adversarial), distance and l2: infinite where never lost, 0 where wrong when
        clean.

        Raises RecordError where pandas is not installed.
        """
        from robusteval.record.measured.frames import to_frame

        return to_frame(self)

    def summary(self) -> str:
        """The grade, the verdict's sentences, and every alarm and warning, as lines of text."""
        from robusteval.record.measured.frames import summary

        return summary(self)
