"""Certifiers that break one promise each (at least that one), and one that keeps all, on linear models."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import CertifierInfo, NotCoveredError, Proof, Statement, param, rivals

_DUAL = {"linf": 1, "l2": 2, "l1": torch.inf}


@dataclass(frozen=True)
class Corners:
    """The exact margin of a linear model over the ball without the box, and of a net what its layers' norms allow."""

    info: ClassVar[CertifierInfo] = CertifierInfo(
        "test.corners", "1", ("linf", "l2"), "Bounds the margin by norms of the layers.", "Nobody, 2026"
    )
    factor: float = param(1.0, "By which the radius is taken.", minimum=0.0, maximum=10.0)

    def bound(self, statement: Statement) -> Proof:
        eps = statement.eps * self.factor
        nodes = statement.graph.nodes
        odd = next((node for node in nodes if node.op not in ("input", "linear", "gather", "activation")), None)
        kinds = {node.settings.get("kind") for node in nodes if node.op == "activation"}
        if odd is not None or not kinds <= {"relu", "clip", "leaky_relu"}:
            raise NotCoveredError(f"node {odd.name if odd else 'activation'} is not covered")
        return Proof(self.margin(statement, eps))

    def margin(self, statement: Statement, eps: Tensor) -> Tensor:
        from robusteval.api import graph_scores

        answers = graph_scores(statement.graph, statement.x)
        weights = [node.tensors["weight"] for node in statement.graph.nodes if node.op == "linear"]
        others, wrong = rivals(statement)
        lead = answers.gather(1, statement.label[:, None]) - answers.gather(1, others)
        rows = weights[-1][statement.label][:, None] - weights[-1][others]
        size = rows.norm(_DUAL[statement.norm] if len(weights) == 1 else 2, -1)
        reach = eps
        if len(weights) > 1:
            reach = eps * (statement.x[0].numel() ** 0.5 if statement.norm == "linf" else 1.0)
            for weight in weights[:-1]:
                reach = reach * torch.linalg.matrix_norm(weight, 2)
        bound = lead - size * reach[:, None] - 1e-5
        return torch.where(wrong, bound, torch.inf).amin(1)


class HalfTheBall(Corners):
    """A bound for half of the radius."""

    def margin(self, statement: Statement, eps: Tensor) -> Tensor:
        return super().margin(statement, eps / 2)


class Hopeful(Corners):
    """The margin of the image itself."""

    def margin(self, statement: Statement, eps: Tensor) -> Tensor:
        return super().margin(statement, eps * 0) + 2e-5


class WrongDual(Corners):
    """The norm in the place of its dual."""

    def margin(self, statement: Statement, eps: Tensor) -> Tensor:
        return super().margin(replace(statement, norm="l2"), eps)


class ShortOnNets(Corners):
    """Exact on linear models, and half of what it takes on others."""

    def margin(self, statement: Statement, eps: Tensor) -> Tensor:
        return super().margin(statement, eps * (0.02 if len(statement.graph.nodes) > 2 else 1.0))


class Nothing(Corners):
    """Proves nothing at all."""

    def margin(self, statement: Statement, eps: Tensor) -> Tensor:
        return torch.full_like(eps, -torch.inf)


class AllClasses(Corners):
    """Classes that count as right hold it up."""

    def margin(self, statement: Statement, eps: Tensor) -> Tensor:
        plain = super().margin(statement, eps)
        return plain - 100.0 * (statement.right.sum(1) - 1)


class Together(Corners):
    """The least bound of the batch for all."""

    def margin(self, statement: Statement, eps: Tensor) -> Tensor:
        return super().margin(statement, eps).amin().expand(len(eps)).clone()


class Dice(Corners):
    def margin(self, statement: Statement, eps: Tensor) -> Tensor:
        return super().margin(statement, eps) - random.random()


class Writes(Corners):
    def margin(self, statement: Statement, eps: Tensor) -> Tensor:
        found = super().margin(statement, eps)
        statement.x.add_(1e-9)
        return found


class BelievesAnything(Corners):
    """NaN becomes a proof."""

    def margin(self, statement: Statement, eps: Tensor) -> Tensor:
        return torch.nan_to_num(super().margin(statement, eps), nan=1.0)


class Sparse(Corners):
    info: ClassVar[CertifierInfo] = CertifierInfo("test.sparse", "1", ("l0",), "In L0.", "Nobody, 2026")


BAD_CERTIFIERS: dict[str, list[type]] = {
    "is no larger on linear models": [HalfTheBall, Hopeful, WrongDual],
    "is no larger than what was met": [Hopeful, ShortOnNets],
    "proves what is plain": [Nothing],
    "counts only wrong classes": [AllClasses],
    "answers each image alone": [Together],
    "is repeatable": [Dice, Writes],
    "proves nothing of no numbers": [BelievesAnything],
    "names its norms": [Sparse],
}
