"""What the problems of one unit share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Defended, Problem
from robusteval.contracts.pipeline import Pipeline
from robusteval.engine.plan.plan import Planned
from robusteval.engine.units.chunk import Context
from robusteval.engine.units.unit import run_unit
from robusteval.record.run import Cell
from tests.engine import toys


@dataclass(frozen=True)
class Learner:
    """Notes how often it has run before in its unit."""

    info: ClassVar[AttackInfo] = AttackInfo("test.learner", "1", ("l2",), "fixed", "decision", "toy", "none")

    def run(self, problem: Problem) -> Tensor:
        problem.note(runs=problem.memory.setdefault("runs", 0))
        problem.memory["runs"] += 1
        return problem.x


def test_a_memory_lasts_for_a_unit_and_no_longer() -> None:
    model = toys.linear()
    data = toys.samples(model, count=6)
    context = Context({"none": Pipeline(Defended(model))}, data, {"none": torch.ones(6, dtype=torch.bool)}, 0)
    facts: dict[str, Any] = {
        "plugin": "test.learner",
        "version": "1",
        "params": {},
        "family": "fixed",
        "needs": "decision",
    }
    cell = Cell(
        id="none/test.learner/l2",
        attack="test.learner",
        defense="none",
        knowledge="none",
        norm="l2",
        threat="curve",
        eps=0.1,
        target="untargeted",
        **facts,
    )
    planned = Planned(cell, Learner(), 0.1, 3, 1, ())
    for rows in (slice(0, 3), slice(3, 6)):
        runs = [point["runs"] for point in run_unit(context, planned, rows).trace]
        assert runs == list(range(len(runs)))
        assert len(runs) > 1
