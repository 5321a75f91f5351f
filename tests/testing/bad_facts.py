"""Attacks that say something wrong of themselves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor

from robusteval.api import AttackInfo, Problem
from tests.testing.good import Walk


def walk_info(**changes: Any) -> AttackInfo:
    return replace(Walk.info, **changes)


@dataclass(frozen=True)
class Nameless(Walk):
    info: ClassVar[AttackInfo] = walk_info(name="Bad Name")


@dataclass(frozen=True)
class NoDefault:
    steps: int
    info: ClassVar[AttackInfo] = Walk.info

    def run(self, problem: Problem) -> Tensor:
        return problem.x


@dataclass(frozen=True)
class Undescribed(Walk):
    speed: float = 1.0


@dataclass
class Melting:
    info: ClassVar[AttackInfo] = Walk.info

    def run(self, problem: Problem) -> Tensor:
        return Walk().run(problem)


@dataclass(frozen=True)
class Unpicklable(Walk):
    held: object = field(default_factory=lambda: lambda: 0, init=False)


@dataclass(frozen=True)
class StrangeNorm(Walk):
    info: ClassVar[AttackInfo] = walk_info(norms=("l2", "l7"))
