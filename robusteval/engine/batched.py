"""A classifier behind the gate of `ops.batches`: asked about no more inputs at once than fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from robusteval.contracts.classifier import Classifier, Featured, ModelInfo
from robusteval.contracts.sharing import shared
from robusteval.contracts.training import Learns
from robusteval.ops.batches import Kind, Sizes, in_parts, joined, out_of_memory, rows_of


class Batched:
    """A classifier whose batches are cut. Gradients through a twin of more rows than fit are worked out again part by
    part when they are wanted, which costs a second forward pass; `Problem.grad` cuts before, and costs none."""

    def __init__(self, inner: Classifier, sizes: Sizes) -> None:
        self.inner, self.sizes = inner, sizes

    @property
    def info(self) -> ModelInfo:
        """What the classifier says of itself."""
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        """Scores [B, K]."""
        return shared(self, "logits", x, lambda images: self._cut("truth", self.inner.logits, images))

    def twin(self, x: Tensor) -> Tensor:
        """Differentiable scores [B, K]. Raises AccessError where there are no gradients."""
        return shared(self, "twin", x, self._twin)

    def _twin(self, x: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self._cut("scores", self.inner.twin, x)
        size = self.sizes.gradient
        if size is None or len(x) <= size:
            try:
                return self.inner.twin(x)
            except Exception as error:
                if not (out_of_memory(error) and self.sizes.halve("gradient", len(x))):
                    raise
        scores: Tensor = _Again.apply(x, self.inner, self.sizes)  # type: ignore[no-untyped-call]
        return scores

    def _cut(self, kind: Kind, ask: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return joined(in_parts(self.sizes, kind, len(x), lambda rows: ask(rows_of(x, rows))))


class _Again(torch.autograd.Function):
    """A twin's scores of a batch that does not fit with its graph: without one, and once more for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, model: Classifier, sizes: Sizes) -> Tensor:
        ctx.model, ctx.sizes, ctx.autocast = model, sizes, _autocast(x)
        ctx.save_for_backward(x)
        return joined(in_parts(sizes, "gradient", len(x), lambda rows: model.twin(x[rows]))).detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors

        def part(rows: slice) -> Tensor:
            leaf = x[rows].detach().requires_grad_(True)
            with torch.enable_grad(), _as(ctx.autocast):
                scores = ctx.model.twin(leaf)
            if not scores.requires_grad:
                return torch.zeros_like(leaf)
            (grad,) = torch.autograd.grad(scores, leaf, given[rows], allow_unused=True)
            return torch.zeros_like(leaf) if grad is None else grad

        return joined(in_parts(ctx.sizes, "gradient", len(x), part)), None, None


def _autocast(x: Tensor) -> tuple[str, torch.dtype, bool]:
    kind = x.device.type
    return kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)


@contextmanager
def _as(autocast: tuple[str, torch.dtype, bool]) -> Iterator[None]:
    """The precision that the first pass had."""
    kind, dtype, enabled = autocast
    with torch.autocast(kind, dtype=dtype, enabled=enabled):
        yield


class _Shows(Batched):
    """One that also shows its penultimate features."""

    def features(self) -> Classifier:
        """The features, behind the same gate. Raises AccessError where there are none."""
        return Batched(cast(Featured, self.inner).features(), self.sizes)


class _Trains(Batched):
    """One that knows how its twin is trained."""

    def trainable(self) -> nn.Module:
        """A fresh module of the classifier's own, whose batches are the trainer's."""
        return cast(Learns, self.inner).trainable()


class _ShowsAndTrains(_Shows, _Trains):
    pass


def batched(model: Classifier, sizes: Sizes | None = None) -> Classifier:
    """A classifier behind the gate, with the abilities that it has; one that is already there as it is."""
    if isinstance(model, Batched):
        return model
    shows, trains = isinstance(model, Featured), isinstance(model, Learns)
    kind = _ShowsAndTrains if shows and trains else _Shows if shows else _Trains if trains else Batched
    return kind(model, sizes or Sizes())


def sizes_of(model: Classifier) -> Sizes:
    """The sizes of a model behind the gate; of another one sizes that cut nothing."""
    return model.sizes if isinstance(model, Batched) else Sizes()
