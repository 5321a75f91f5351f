"""What a certifier is: given the graph of a classifier and a ball around each image, lower bounds of the margin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robusteval.contracts.certificates.graph import Graph
from robusteval.ops import Norm

CERTIFIED_NORMS: tuple[Norm, ...] = ("linf", "l2", "l1")


@dataclass(frozen=True)
class CertifierInfo:
    """What a certifier declares. `effort`: ranks them, as the engine asks the cheap ones first; 0 is the cheapest."""

    name: str  # bare for built-ins, "vendor.name" for others
    version: str  # grows with every change of what it proves; recorded beside every radius
    norms: tuple[Norm, ...]
    summary: str  # one sentence
    reference: str  # authors, title or venue, year
    effort: int = 1


@dataclass(frozen=True)
class Statement:
    """What is to be proved of each of B images: no point of the ball, as far as it lies in the box, is taken for a
    class that does not count as right.

    The ball is closed and all its points count, not only those that float32 or 8 bits can hold.
    """

    graph: Graph
    x: Float[Tensor, " b *shape"]  # canonical pixels, float64
    label: Int64[Tensor, " b"]  # the class that is to stay on top
    right: Bool[Tensor, "b k"]  # classes that count as right, the label among them
    norm: Norm
    eps: Float[Tensor, " b"]  # radius of each ball, float64, >= 0
    bounds: tuple[float, float]  # the box: low and high of every value
    work: Float[Tensor, " b"] | None = None  # multiplications that each image's bound may take; None: no limit

    def __getitem__(self, rows: Tensor) -> Statement:
        """The statement about some of the images."""
        rows = rows.to(self.x.device)
        return replace(
            self,
            x=self.x[rows],
            label=self.label[rows],
            right=self.right[rows],
            eps=self.eps[rows],
            work=None if self.work is None else self.work[rows],
        )

    def with_eps(self, eps: Tensor) -> Statement:
        """The same images with other radii, [B]."""
        return replace(self, eps=eps)

    def with_work(self, work: Tensor) -> Statement:
        """The same statement with a limit of each image's work, [B]."""
        return replace(self, work=work)


@dataclass(frozen=True)
class Proof:
    """margin [B], float64: a lower bound, over the ball, of the label's score minus the largest score of a class that
    is not right, -inf where nothing was found out. The statement is proved where it exceeds the graph's slack.

    The bound holds for whatever the classifier computes in float32 (contracts.certificates.rounding), not only for real
    numbers. slopes: what whoever repeats the bound needs to know, by name; [B, ...] each. work: multiplications that
    each image's bound took, where the certifier counts them: a number that follows from the statement, and never one
    from a clock.
    """

    margin: Float[Tensor, " b"]
    slopes: Mapping[str, Tensor] = field(default_factory=dict)
    work: Float[Tensor, " b"] | None = None


@runtime_checkable
class Certifier(Protocol):
    """A frozen dataclass; its fields are its parameters. A bound that is too large is the gravest fault there is; one
    that is too small only leaves unknown what could be known."""

    info: ClassVar[CertifierInfo]

    def bound(self, statement: Statement) -> Proof:
        """Lower bounds of the margin for each image. Raises NotCoveredError, naming the node, for a graph that it
        cannot bound; any other exception costs this certifier's rows of the run alone."""
        ...


class BoundWork(NamedTuple):
    """Multiplications that a bound of one image takes: the cheapest one that is of use, and the dearest that a
    certifier makes where it has no limit."""

    least: float
    most: float


@runtime_checkable
class Counted(Protocol):
    """A certifier that says what its bounds take, so that a run can keep to a limit that no clock decides."""

    def work(self, graph: Graph, norm: Norm) -> BoundWork:
        """About what one bound of one image takes, from the graph alone. What it spends beyond the least it keeps
        within `Statement.work`, and counts in `Proof.work`."""
        ...


def proved(statement: Statement, proof: Proof) -> Bool[Tensor, " b"]:
    """Which statements the proof proves, [B]; a bound that is not a number proves nothing."""
    return proof.margin > statement.graph.slack


def rivals(statement: Statement) -> tuple[Int64[Tensor, "b r"], Bool[Tensor, "b r"]]:
    """(the other classes of each image [B, K - 1], whether each of them counts as wrong)."""
    batch, classes = statement.right.shape
    order = torch.arange(classes, device=statement.label.device).expand(batch, -1)
    others = order[order != statement.label[:, None]].reshape(batch, classes - 1)
    return others, ~statement.right.gather(1, others)
