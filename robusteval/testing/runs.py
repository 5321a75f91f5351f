"""The attack under test, and the runs of it that its checks look at; each run is made once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from robusteval import ops
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.plugins import Attack, Defended
from robusteval.contracts.problem import Problem
from robusteval.ops import Norm
from robusteval.testing.facts import built, global_randomness, split
from robusteval.testing.oracles import Blank, Linear, NanRegion, Staircase, linear
from robusteval.testing.problems import (
    LinearDetector,
    Sightings,
    inputs,
    jittered,
    pose,
    safe_all_but,
    safe_labels,
)


@dataclass(frozen=True)
class Scenario:
    """What an attack is put before. `rows` picks samples of the batch, in that order."""

    norm: Norm
    model: Literal["linear", "staircase", "blank", "nan", "jittered", "detector"] = "linear"
    shape: tuple[int, ...] = (8,)
    classes: int = 3
    bounds: tuple[float, float] = (0.0, 1.0)
    goal: Literal["untargeted", "targeted", "lost"] = "untargeted"
    rows: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    seed: int = 0
    reach: float = 2.0  # budget of fixed attacks, as a multiple of the smallest distance
    draws: int = 1


@dataclass(frozen=True)
class Run:
    """What happened: the problem as posed, copies of its tensors, the answer or the error, and what was watched."""

    problem: Problem
    pipeline: Classifier | Defended
    smallest: Tensor  # float64 [B], closed form on the plain linear oracle
    originals: tuple[Tensor, Tensor, Tensor]  # x, safe, weights of the oracle, copied before the run
    weight: Tensor
    result: Any
    error: Exception | None
    touched: tuple[str, ...]  # global generators that changed
    modes: tuple[str, ...]  # global torch settings that changed
    seen: int  # samples that passed through the pipeline
    differentiated: int  # of these, through the twin

    @property
    def answer(self) -> Tensor:
        """The candidates; raises what the attack raised."""
        if self.error is not None:
            raise self.error
        if not isinstance(self.result, Tensor):
            raise TypeError(f"run returned {type(self.result).__name__}, not a tensor")
        return self.result.detach()

    @property
    def distance(self) -> Tensor:
        """Of the candidates, float64 [B]."""
        return ops.distance(self.originals[0], self.answer, self.problem.norm)

    @property
    def won(self) -> Tensor:
        """Which candidates are wins on the true pipeline: bool [B]."""
        return ops.wins(self.problem.view.scores(self.answer), self.originals[1])


@dataclass
class AttackSubject:
    """An attack (class or instance) and how near the closed form it must come on the linear oracle."""

    given: object
    ratio: float = 3.0
    done: dict[Scenario, Run] = field(default_factory=dict)

    @property
    def plugin(self) -> type:
        return split(self.given)[0]

    @property
    def info(self) -> Any:
        return self.plugin.info  # type: ignore[attr-defined]

    @property
    def fixed(self) -> bool:
        return bool(self.info.budget == "fixed")

    def make(self) -> Attack:
        made: Attack = built(self.given)
        return made

    def base(self) -> Scenario:
        """The plainest scenario, in the attack's first norm."""
        return Scenario(self.info.norms[0])

    def runs(self) -> list[Run]:
        """One plain run in each norm."""
        return [self.run(Scenario(norm)) for norm in self.info.norms]

    def run(self, scenario: Scenario) -> Run:
        """The run in that scenario, made on the first call."""
        if scenario not in self.done:
            self.done[scenario] = self.rerun(scenario)
        return self.done[scenario]

    def rerun(self, scenario: Scenario) -> Run:
        """A fresh run in that scenario."""
        oracle = linear(scenario.shape, scenario.classes, scenario.bounds)
        rows = torch.tensor(scenario.rows, dtype=torch.int64, device="cpu")
        everything = inputs(oracle.info, 6)
        x = everything[rows]
        safe, plain = _masks(oracle, x, scenario)
        smallest = oracle.smallest(x, plain, scenario.norm)
        pipeline = _pipeline(oracle, everything, scenario.model)
        sightings = Sightings()
        eps = scenario.reach * smallest.nan_to_num(posinf=0.0).float() if self.fixed else None
        if eps is not None and scenario.norm == "l0":
            eps = eps.ceil()
        posed = pose(
            pipeline,
            x,
            safe,
            scenario.norm,
            eps=eps,
            needs=self.info.needs,
            seed=scenario.seed,
            draws=scenario.draws,
            sightings=sightings,
        )
        originals = (x.clone(), safe.clone(), oracle.weight.clone())
        result, error, touched = None, None, list[str]()
        modes = (torch.is_grad_enabled(), torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled())
        with global_randomness(touched):
            try:
                result = self.make().run(posed)
            except Exception as raised:  # noqa: BLE001 - whatever an attack raises is what its checks report
                error = raised
        after = (torch.is_grad_enabled(), torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled())
        names = ("grad mode", "default dtype", "deterministic algorithms")
        changed = tuple(name for name, old, new in zip(names, modes, after, strict=True) if old != new)
        torch.set_grad_enabled(modes[0])
        torch.set_default_dtype(modes[1])
        seen = dict(sightings.seen)
        return Run(
            posed,
            pipeline,
            smallest,
            originals,
            oracle.weight,
            result,
            error,
            tuple(touched),
            changed,
            sum(seen.values()),
            seen["twin"],
        )


def _masks(oracle: Linear, x: Tensor, scenario: Scenario) -> tuple[Tensor, Tensor]:
    """safe as posed, and safe without the class "rejected", for the closed form."""
    order = oracle.logits(x).argsort(1, descending=True)
    rejected = scenario.model == "detector"
    if scenario.goal == "targeted":
        target = order[:, 1]
        return safe_all_but(target, scenario.classes, rejected), safe_all_but(target, scenario.classes)
    label = order[:, 1] if scenario.goal == "lost" else order[:, 0]
    return safe_labels(label, scenario.classes, rejected), safe_labels(label, scenario.classes)


def _pipeline(oracle: Linear, x: Tensor, name: str) -> Classifier | Defended:
    if name == "staircase":
        return Staircase(oracle)
    if name == "blank":
        return Blank(oracle.info, torch.arange(oracle.info.classes, 0, -1, device="cpu").float())
    if name == "nan":
        return NanRegion(oracle, float(x.flatten(1).mean(1).median()))
    if name == "jittered":
        return jittered(oracle, 0.01 * (oracle.info.bounds[1] - oracle.info.bounds[0]))
    if name == "detector":
        direction = torch.ones(oracle.info.input_shape, device="cpu")
        loudest = float((x * direction).flatten(1).sum(1).max())
        return Defended(oracle, LinearDetector(direction, loudest + 0.02 * abs(loudest)))
    return replace(oracle)
