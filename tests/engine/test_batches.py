"""The gate of questions to a model: parts in order, halved where memory runs out; gradients through a cut twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Generator, Tensor

from robusteval.contracts.classifier import ModelInfo
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.engine.batched import Batched, batched, sizes_of
from robusteval.errors import ModelError
from robusteval.ops.batches import Sizes, in_parts, out_of_memory


@pytest.mark.parametrize(("rows", "size", "parts"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, None, [2]), (0, 3, [0])])
def test_parts_make_up_the_rows_in_order(rows: int, size: int | None, parts: list[int]) -> None:
    asked = in_parts(Sizes(truth=size), "truth", rows, lambda some: list(range(rows))[some])
    assert [len(part) for part in asked] == parts
    assert [row for part in asked for row in part] == list(range(rows))


FULL: list[Callable[[], BaseException]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError,
    lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    lambda: RuntimeError("std::bad_alloc"),
    lambda: ModelError("ONNX Runtime fails on an input: Failed to allocate memory for requested buffer", "Mend it."),
]


@pytest.mark.parametrize("made", FULL)
def test_what_ran_out_of_memory_is_asked_again_in_halves(made: Callable[[], BaseException]) -> None:
    sizes, seen = Sizes(), list[int]()

    def ask(some: slice) -> int:
        count: int = some.stop - some.start
        seen.append(count)
        if count > 3:
            raise made()
        return count

    assert in_parts(sizes, "gradient", 10, ask) == [2, 2, 2, 2, 2]
    assert seen[:3] == [10, 5, 2]
    assert (sizes.gradient, sizes.halved) == (2, 2)
    assert sizes.truth is None  # each kind by itself


def test_other_errors_and_one_row_too_many_come_out_as_they_are() -> None:
    def wrong(some: slice) -> int:
        raise ValueError("no such layer")

    def full(some: slice) -> int:
        raise MemoryError

    with pytest.raises(ValueError, match="no such layer"):
        in_parts(Sizes(), "truth", 4, wrong)
    with pytest.raises(MemoryError):
        in_parts(Sizes(), "truth", 4, full)


def test_the_cause_of_an_error_counts_too() -> None:
    outer = ModelError("The model fails on 4 inputs.", "Mend it.")
    outer.__cause__ = MemoryError()
    assert out_of_memory(outer)
    assert not out_of_memory(ModelError("The model fails.", "Mend it."))


@dataclass
class Quadratic:
    """Two scores of [B, 3] with a gradient of its own at each point."""

    info: ModelInfo = field(default_factory=lambda: ModelInfo("quadratic", "test", "0" * 64, (3,), 2))
    seen: list[int] = field(default_factory=list)

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.twin(x)

    def twin(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        return torch.stack([(x**2).sum(1), x[:, 0] * x[:, 1] * x[:, 2]], dim=1)


def test_a_gradient_through_a_cut_twin_is_the_uncut_one() -> None:
    x = torch.rand((9, 3), generator=Generator().manual_seed(0))
    direction = torch.rand((9, 2), generator=Generator().manual_seed(1))
    found = []
    for size in (None, 4):
        model = Quadratic()
        gate = batched(model, Sizes(gradient=size))
        leaf = x.clone().requires_grad_(True)
        scores = gate.twin(leaf)
        (grad,) = torch.autograd.grad(scores, leaf, direction)
        found.append((scores.detach(), grad))
        assert model.seen == ([9] if size is None else [4, 4, 1, 4, 4, 1])
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_a_twin_that_does_not_depend_on_its_input_has_a_zero_gradient_when_cut() -> None:
    class Flat(Quadratic):
        def twin(self, x: Tensor) -> Tensor:
            return torch.ones(len(x), 2)

    leaf = torch.rand(5, 3).requires_grad_(True)
    scores = batched(Flat(), Sizes(gradient=2)).twin(leaf)
    (grad,) = torch.autograd.grad(scores.sum(), leaf)
    assert torch.equal(grad, torch.zeros(5, 3))


@dataclass(frozen=True)
class Doubt:
    """A detector that asks the same model."""

    model: Batched | Quadratic
    threshold: float = 0.5

    def score(self, x: Tensor) -> Tensor:
        return self.model.logits(x)[:, 0]

    def twin(self, x: Tensor) -> Tensor:
        return self.model.twin(x)[:, 0]


def test_model_and_detector_still_share_one_pass_when_cut() -> None:
    model = Quadratic()
    gate = batched(model, Sizes(3, 3, 3))
    assert isinstance(gate, Batched)
    pipeline = Pipeline(Defended(gate, Doubt(gate)), sizes=sizes_of(gate))
    x = torch.rand((8, 3), generator=Generator().manual_seed(0))
    whole = Pipeline(Defended(Quadratic(), Doubt(Quadratic())))
    for ask in ("scores", "twin"):
        model.seen.clear()
        with torch.no_grad():
            assert torch.equal(getattr(pipeline, ask)(x), getattr(whole, ask)(x))
        assert model.seen == [3, 3, 2]
    model.seen.clear()
    for mine, other in zip(pipeline.decide(x), whole.decide(x), strict=True):
        assert mine is not None
        assert other is not None
        assert torch.equal(mine, other)
    assert model.seen == [3, 3, 2]


def test_what_a_random_pipeline_draws_for_a_batch_is_not_cut() -> None:
    seen = list[int]()

    class Noisy(Quadratic):
        def twin(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            return super().twin(x)

    def draw(rng: Generator) -> Defended:
        return Defended(Noisy())

    pipeline = Pipeline(Defended(Noisy(), draw=draw), sizes=Sizes(2, 2, 2))
    pipeline.draw(Generator()).decide(torch.rand(5, 3))
    pipeline.draw(Generator()).scores(torch.rand(5, 3))
    assert seen == [5, 5]


def test_the_gate_is_put_up_once_and_shows_what_the_model_can() -> None:
    gate = batched(Quadratic())
    assert batched(gate) is gate
    assert not hasattr(gate, "features")
    assert not hasattr(gate, "trainable")
