"""`Problem`: all that an attack ever sees. Never a model, never a label, never a success flag to set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor

from robusteval import ops
from robusteval.contracts.meter import Meter, Trace, Watch
from robusteval.contracts.tuning import FULL, Tuning
from robusteval.errors import AccessError
from robusteval.ops import Norm
from robusteval.ops.batches import Sizes, in_parts, joined
from robusteval.renamed import formerly

T = TypeVar("T")
_ROUGH = 2 / 3  # of an attack's steps
_LEVELS = {"decision": 0, "scores": 1, "gradient": 2}


class View(Protocol):
    """The pipeline as an attacker may query it; with a detector the last score is the class "rejected"."""

    def scores(self, x: Float[Tensor, " b *shape"]) -> Float[Tensor, "b k"]:
        """The truth, no gradient: [B, *shape] -> [B, K]."""
        ...

    def twin(self, x: Float[Tensor, " b *shape"]) -> Float[Tensor, "b k"]:
        """Differentiable scores: [B, *shape] -> [B, K]."""
        ...

    def draw(self, rng: Generator) -> View:
        """The same pipeline with one fresh draw of its randomness; itself where nothing is random."""
        ...


class Gradient(NamedTuple):
    """What one gradient query answers; all from the same pass."""

    # [B, *shape], direction of growing loss; rows that were not finite are 0 and counted
    grad: Float[Tensor, " b *shape"]
    loss: Float[Tensor, " b"]  # [B]
    scores: Float[Tensor, "b k"]  # [B, K]
    won: Bool[Tensor, " b"]  # bool [B]


@formerly("keep", "safe")
@dataclass(frozen=True)
class Problem:
    """Clean samples, what counts as a win, how far one may go, and metered access to the pipeline.

    x: [B, *shape] float32 in bounds; safe: bool [B, K], true where a prediction is NOT a win; eps: [B] in the norm, or
    None for minimal attacks; rng: the only source of randomness (on the CPU). Every query counts one forward (and
    backward) pass per sample and draw. Asking for more than the declared `needs` raises AccessError.
    """

    x: Float[Tensor, " b *shape"]
    safe: Bool[Tensor, "b k"]
    norm: Norm
    eps: Float[Tensor, " b"] | None
    bounds: tuple[float, float]
    rng: Generator
    needs: Literal["gradient", "scores", "decision"]
    view: View
    meter: Meter
    rows: Int64[Tensor, " b"]  # where these samples stand in the meter
    draws: int = 1  # passes averaged per query where the pipeline is random
    trace: Trace | None = None
    # What an attack learns once for a whole unit, such as a substitute; shared by all its problems, dropped after it.
    memory: dict[str, Any] = field(default_factory=dict)
    tuning: Tuning = field(default_factory=Tuning)
    watch: Watch | None = None  # looks on at every query, to know of wins that the attack forgets
    sizes: Sizes = field(default_factory=Sizes)  # how many samples a gradient is asked for at once
    whole: bool = (
        False  # the pipeline is random over the whole batch, so that the model inside it is cut, not the batch here
    )
    rounds: bool = False  # gradients may be rounded as the tuning says; see `roughly`

    def __len__(self) -> int:
        return len(self.x)

    def lent(self) -> Problem:
        """The same problem with tensors of its own, which a plugin may write into without changing the engine's."""
        eps = None if self.eps is None else self.eps.clone()
        return replace(self, x=self.x.clone(), safe=self.safe.clone(), eps=eps, rows=self.rows.clone())

    def __getitem__(self, rows: Tensor) -> Problem:
        """The problem of fewer (or repeated) samples, by bool mask [B] or index; the meters stay the same ones."""
        eps = None if self.eps is None else self.eps[rows]
        return replace(self, x=self.x[rows], safe=self.safe[rows], eps=eps, rows=self.rows[rows])

    @property
    def classes(self) -> int:
        """Number of scores K; with a detector the class "rejected" is among them."""
        return self.safe.shape[1]

    @property
    def budget(self) -> Float[Tensor, " b"]:
        """eps [B]. Raises AccessError for a problem without a budget, which only minimal attacks are given."""
        if self.eps is None:
            raise AccessError("This problem has no budget.", "Declare budget = 'fixed' to be given one.")
        return self.eps

    def scores(self, x: Float[Tensor, " b *shape"]) -> Float[Tensor, "b k"]:
        """Scores [B, K] of x, no gradient; averaged over the draws of a random pipeline. Needs "scores"."""
        self._allow("scores")
        with torch.no_grad():
            return self._mean(x, self._differentiable())

    def labels(self, x: Float[Tensor, " b *shape"]) -> Int64[Tensor, " b"]:
        """Predicted class of each x: int64 [B]. Needs "decision"."""
        with torch.no_grad():
            return self._mean(x, self._differentiable()).argmax(1)

    def won(self, x: Float[Tensor, " b *shape"]) -> Bool[Tensor, " b"]:
        """True where the prediction of x is a win: bool [B]; the budget plays no part. Needs "decision"."""
        with torch.no_grad():
            return ops.wins(self._mean(x, self._differentiable()), self.safe)

    def loss(self, x: Float[Tensor, " b *shape"], kind: str = "margin") -> Float[Tensor, " b"]:
        """Loss of that kind ("ce", "margin", "dlr"), [B], growing towards a win. Needs "scores"."""
        return ops.loss(self.scores(x), self.safe, kind)

    def grad(self, x: Float[Tensor, " b *shape"], kind: str | Callable[[Tensor], Tensor] = "margin") -> Gradient:
        """Gradient of a loss with respect to x, with the loss, scores and wins of the same pass. Needs "gradient".

        kind: "ce", "margin", "dlr", or a function from scores [B, K] to a loss [B], each row's from its own scores
        alone: where memory is scarce it is called for some rows at a time, with zeros for the others.
        """
        self._allow("gradient")
        grad, loss, scores = torch.zeros_like(x), x.new_zeros(len(x)), torch.zeros_like(self.safe, dtype=x.dtype)
        for view in self._views():
            parts = self._parts(len(x), lambda rows, view=view: self._gradient(view, x, rows, kind))  # type: ignore[misc]
            grad = grad + joined([part[0] for part in parts])
            loss, scores = loss + joined([part[1] for part in parts]), scores + joined([part[2] for part in parts])
        n = self._count(x)
        bad = ~torch.isfinite(grad.flatten(1)).all(1)
        grad = torch.where(ops.per_sample(bad, x), torch.zeros_like(grad), grad / n)
        self.meter.gradients(grad, bad, self.rows, n)
        scores = scores / n
        self._see(x, scores)
        return Gradient(grad, loss / n, scores, ops.wins(scores, self.safe))

    def jacobian(
        self, x: Float[Tensor, " b *shape"], classes: Int64[Tensor, "b c"]
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b c *shape"]]:
        """Scores [B, K] and the gradients [B, C, *shape] of the classes named in int64 [B, C]. Needs "gradient".

        A row whose gradients were not all finite is 0 and counted, as in `grad`.
        """
        self._allow("gradient")
        scores = torch.zeros_like(self.safe, dtype=x.dtype)
        grads = x.new_zeros(len(x), classes.shape[1], *x.shape[1:])
        for view in self._views():
            twin = partial(self._twin, view)
            parts = self._parts(len(x), lambda rows, twin=twin: self._class_gradients(twin, x[rows], classes[rows]))  # type: ignore[misc]
            scores = scores + joined([part[0] for part in parts])
            grads = grads + joined([part[1] for part in parts])
        n = self._count(x)
        bad = ~torch.isfinite(grads.flatten(1)).all(1)
        grads = torch.where(ops.per_sample(bad, grads), torch.zeros_like(grads), grads / n)
        self.meter.gradients(grads, bad, self.rows, n * classes.shape[1])
        self._see(x, scores / n)
        return scores / n, grads

    def roughly(self, done: float) -> Problem:
        """The same problem as an iterative attack may ask it after this share of its steps: in a run that allows
        rounding, gradients are rounded until the last third. For attacks whose late steps make up for what rounding
        does to early ones; whoever does not ask so has all gradients in full."""
        return self if self.tuning.precision == FULL else replace(self, rounds=done < _ROUGH)

    def distance(self, x: Float[Tensor, " b *shape"]) -> Float[Tensor, " b"]:
        """Distance of x from the clean samples in the problem's norm: float32 [B]."""
        return ops.size(x - self.x, self.norm)

    def clip(self, x: Float[Tensor, " b *shape"]) -> Float[Tensor, " b *shape"]:
        """x inside the box."""
        return ops.clip(x, self.bounds)

    def project(
        self, x: Float[Tensor, " b *shape"], eps: Float[Tensor, " b"] | None = None
    ) -> Float[Tensor, " b *shape"]:
        """x inside ball and box; eps [B] replaces the problem's budget (for minimal attacks with a radius of their
        own)."""
        return ops.project(self.x, x, self.norm, self.budget if eps is None else eps, self.bounds)

    def note(self, **values: Tensor | float) -> None:
        """One trace point, per sample [B] or scalar, for the convergence plot; free when nobody looks."""
        if self.trace is not None:
            self.trace.add(self.rows, values)

    def _allow(self, level: Literal["gradient", "scores"]) -> None:
        if _LEVELS[self.needs] < _LEVELS[level]:
            raise AccessError(
                f"The attack declares needs = {self.needs!r} but asked for {level}.", f"Declare needs = {level!r}."
            )

    def _differentiable(self) -> bool:
        # A gradient attack steers by the twin in all its queries, so that losses and gradients agree with each other.
        return self.needs == "gradient"

    def _laid(self, x: Tensor) -> Tensor:
        """x in the layout in which this model's passes are fastest."""
        return self.tuning.laid(x)

    def _twin(self, view: View, x: Tensor) -> Tensor:
        """The twin's scores, in the way that is fastest for this model."""
        return self._way().scores(view.twin, x)

    def _way(self) -> Tuning:
        return self.tuning if self.rounds else self.tuning.full()

    def _parts(self, rows: int, ask: Callable[[slice], T]) -> list[T]:
        """The answers about the samples in parts whose gradients fit into memory."""
        return [ask(slice(0, rows))] if self.whole else in_parts(self.sizes, "gradient", rows, ask)

    def _gradient(
        self, view: View, x: Tensor, rows: slice, kind: str | Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradient, loss and scores of some rows of x, in one pass of one draw."""
        leaf = self._laid(x[rows].detach()).requires_grad_(True)
        with torch.enable_grad(), self._way().there_and_back(x.device.type):
            raw = self._twin(view, leaf)
            if not callable(kind):
                value = ops.loss(raw, self.safe[rows], kind)
            elif len(leaf) == len(x):
                value = kind(raw)
            else:  # a function of all rows, of which those asked about are filled in
                before, after = rows.start, len(x) - rows.stop
                value = kind(torch.nn.functional.pad(raw, (0, 0, before, after)))[rows]
            return _gradient(value, leaf), value.detach(), raw.detach()

    def _class_gradients(self, twin: Callable[[Tensor], Tensor], x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        # one backward pass for all classes needs the room of as many, so it is for those who have it
        roomy = self.sizes.gradient is None
        with self._way().there_and_back(x.device.type):
            return ops.class_gradients(twin, self._laid(x), classes, self.tuning.batched_jacobian and roomy)

    def _views(self) -> list[View]:
        return [self.view.draw(self.rng) for _ in range(self.draws)]

    def _count(self, x: Tensor) -> int:
        """Counts one query of x; returns the passes it took."""
        if len(x) != len(self.x):
            raise ValueError(f"queried {len(x)} samples of a problem of {len(self.x)}; use problem[rows]")
        self.meter.forward(self.rows, self.draws)
        return self.draws

    def _mean(self, x: Tensor, differentiable: bool) -> Tensor:
        n = self._count(x)
        if len(x) == 0:
            return torch.zeros_like(self.safe, dtype=x.dtype)
        views = self._views()
        total = self._twin(views[0], x) if differentiable else views[0].scores(x)
        for view in views[1:]:
            total = total + (self._twin(view, x) if differentiable else view.scores(x))
        self._see(x, total / n)
        return total / n

    def _see(self, x: Tensor, scores: Tensor) -> None:
        if self.watch is not None:
            self.watch.see(self.rows, x, scores)


def _gradient(value: Tensor, leaf: Tensor) -> Tensor:
    """d value / d leaf; zero where the scores do not depend on the input at all (counted as zero gradients)."""
    if not value.requires_grad:
        return torch.zeros_like(leaf)
    (grad,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    return torch.zeros_like(leaf) if grad is None else grad
