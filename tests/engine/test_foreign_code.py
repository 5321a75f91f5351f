"""Code of others gets copies: whatever it writes into changes no sample, no figure, no record, and no tensor of the
user's."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import robusteval
from robusteval.api import Defended
from robusteval.contracts.classifier import Classifier, LoadOptions, ModelInfo
from robusteval.contracts.guard import Guarded, guarded, lending
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.sharing import lent, sharing
from robusteval.errors import ModelError
from robusteval.loaders.pytorch.classifier import TorchClassifier
from robusteval.record.run import Record
from tests.engine import toys

SUITE = """
name = "foreign"
version = "1"
norms = ["linf"]
probe_samples = 0
[[attack]]
plugin = "pgd"
params = { steps = 5 }
search = 3
[[attack]]
plugin = "deepfool"
[[attack]]
plugin = "square"
params = { queries = 20 }
search = 2
[[defense]]
plugin = "bit-depth"
adaptive = ["pgd"]
oblivious = ["pgd"]
"""


class Normalised(nn.Module):
    """A network that normalises its input, in place or not."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.inner = nn.Sequential(nn.Flatten(), nn.Linear(16, 24), nn.ReLU(inplace=in_place), nn.Linear(24, 4))
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.inner(x.sub_(0.4).div_(0.25) if self.in_place else (x - 0.4) / 0.25)
        return answer


@dataclass
class InPlace:
    """A classifier of somebody else's that writes into what it is given, past every version counter."""

    inner: Classifier

    @property
    def info(self) -> ModelInfo:
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        answer = self.inner.logits(x)
        x.detach().numpy()[:] = 0.0
        return answer

    def twin(self, x: Tensor) -> Tensor:
        answer = self.inner.twin(x)
        x.data.fill_(0.0)
        return answer


@pytest.fixture(scope="module")
def images() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    x = torch.rand(24, 1, 4, 4, generator=rng)
    with torch.no_grad():
        return x, Normalised(False)(x).argmax(1)


def columns(record: Record) -> list[tuple[Any, ...]]:
    return [(cell.id, cell.status, cell.distance, cell.l2) for cell in record.cells]


def test_a_net_that_works_in_place_has_the_figures_of_one_that_does_not(
    images: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    (tmp_path / "suite.toml").write_text(SUITE)
    x, y = images
    told = []
    for in_place in (True, False):
        module, mine, labels = Normalised(in_place).train(), x.numpy().copy(), y.numpy().copy()
        flags = [p.requires_grad_(number > 0).requires_grad for number, p in enumerate(module.parameters())]
        record = robusteval.evaluate(module, (mine, labels), str(tmp_path / "suite.toml"))
        assert np.array_equal(mine, x.numpy())
        assert np.array_equal(labels, y.numpy())
        assert module.training
        assert [p.requires_grad for p in module.parameters()] == flags
        assert all(p.grad is None for p in module.parameters())
        assert {cell.status for cell in record.cells} == {"done"}
        assert record.model.gradients == "exact"
        told.append(columns(record))
    assert told[0] == told[1]


def test_a_classifier_of_others_that_writes_into_its_input(images: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(SUITE)
    x, y = images
    inner = TorchClassifier.from_module(Normalised(False), (1, 4, 4), LoadOptions())
    mine = x.clone()
    told = [
        columns(robusteval.evaluate(model, (mine, y), str(tmp_path / "suite.toml")))
        for model in (inner, InPlace(inner))
    ]
    assert told[0] == told[1]
    assert torch.equal(mine, x)


def test_model_and_detector_share_one_pass_through_the_same_copy() -> None:
    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.passes = 0
            self.inner = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Any:
            self.passes += 1
            return self.inner(x)

    base = TorchClassifier.from_module(Counted(), (3,))
    counted: Any = base.module
    confident = dataclasses.make_dataclass(
        "Confident", [], namespace={"threshold": 0.0, "score": lambda self, x: base.logits(x).amax(1)}
    )
    pipeline = Pipeline(lending(Defended(base, confident())))
    before = counted.passes
    pipeline.decide(torch.rand(5, 3))
    assert counted.passes == before + 1
    x = torch.rand(5, 3)
    with sharing():
        first = lent(x)
        assert lent(x) is first
        first.numpy()[:] = 0
        assert torch.equal(lent(x), x)


def test_faults_of_a_classifier_of_others_are_one_sentence() -> None:
    class Odd:
        info = toys.linear().info

        def logits(self, x: Tensor) -> None:
            raise SystemExit(0)

        def twin(self, x: Tensor) -> list[int]:
            return [1, 2]

    odd: Any = Odd()
    model = guarded(odd)
    assert isinstance(model, Guarded)
    assert guarded(model) is model
    with pytest.raises(ModelError, match="SystemExit"):
        model.logits(torch.rand(2, 20))
    with pytest.raises(ModelError, match="a list, not with scores"):
        model.twin(torch.rand(2, 20))


def test_a_module_that_fails_late_fails_its_cell_and_not_the_run(images: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(SUITE.partition("[[defense]]")[0])
    x, y = images

    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Normalised(False)

        def forward(self, x: Tensor) -> Any:
            if x.requires_grad and len(x) == 16:
                raise KeyError("late")
            return self.inner(x)

    # the twin works one by one where sixteen at once do not
    record = robusteval.evaluate(Late(), (x, y), str(tmp_path / "suite.toml"))
    assert {cell.status for cell in record.cells} == {"done"}

    class Never(Late):
        def forward(self, x: Tensor) -> Any:
            if float(x.detach().min()) == 0.0 and float(x.detach().max()) == 1.0:
                raise KeyError("late")  # attacks with large budgets meet the box, the clean images do not
            return self.inner(x)

    record = robusteval.evaluate(Never(), (0.2 + 0.6 * x, y), str(tmp_path / "suite.toml"))
    failed = [cell for cell in record.cells if cell.status == "failed"]
    assert failed
    assert all("KeyError: 'late'" in cell.reason for cell in failed)
