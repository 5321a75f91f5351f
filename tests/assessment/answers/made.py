"""Small records with one attack a norm, of which a table of tests says how many images it takes."""

from __future__ import annotations

import copy

from robusteval.metrics import accuracy_curve
from robusteval.record.run import Cell, Record, Verdict
from tests import records

SAMPLES = 100
NEAR = {"linf": 0.01, "l2": 0.3, "l1": 4.0, "l0": 3.0}  # within the budget that is quoted first
REACH = {"linf": 0.5, "l2": 10.0, "l1": 50.0, "l0": 50.0}


def run(lost: dict[str, int], right: int = SAMPLES, samples: int = SAMPLES, far: float | None = None) -> Record:
    """A conclusive run: in each norm one attack takes so many of the right images well within the quoted budget, and
    the others at `far` (None: never)."""
    record = records.make(10)
    record.data.samples, record.data.labels = samples, [1] * samples
    bare = record.pipelines[0]
    bare.prediction = bare.label = [1] * right + [2] * (samples - right)
    record.pipelines, record.probes, record.estimates, record.gallery = [bare], [], [], []
    template = next(cell for cell in record.cells if cell.status == "done" and cell.knowledge == "none")
    record.cells = [attack(template, norm, count, right, samples, far) for norm, count in lost.items()]
    record.suite.norms, record.findings = list(lost), []
    record.verdict = Verdict("conclusive", "A", "", [])
    return derived(record)


def attack(template: Cell, norm: str, lost: int, right: int, samples: int, far: float | None = None) -> Cell:
    """A gradient attack with a distance for each sample."""
    cell = copy.deepcopy(template)
    cell.id, cell.attack, cell.norm, cell.eps, cell.threat = f"none/{norm}", f"PGD {norm}", norm, REACH[norm], "curve"
    cell.distance = [NEAR[norm]] * lost + [far] * (right - lost) + [0.0] * (samples - right)
    cell.prediction = [2 if distance else 1 for distance in cell.distance]
    cell.forwards, cell.backwards, cell.blind, cell.strengths = [9] * samples, [9] * samples, [0] * samples, []
    cell.l2, cell.survives_8bit, cell.suspicion = cell.distance, [None] * samples, []
    return cell


def derived(record: Record) -> Record:
    """The same with the figures that follow from its cells."""
    record.results = list(accuracy_curve.AccuracyCurve().compute(record))
    return record
