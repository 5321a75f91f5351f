"""A detector that asks its own model about the same images costs no second pass, and answers alike."""

from __future__ import annotations

import torch
from robusteval_defenses.confidence import Unsureness
from torch import nn

from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.contracts.sharing import shared, sharing
from robusteval.loaders.pytorch.classifier import TorchClassifier
from tests.sure import sure


def test_one_question_is_one_pass_and_the_gradient_is_that_of_both() -> None:
    passes = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 3))
    model = TorchClassifier.from_module(net, (1, 2, 3))
    model.module.register_forward_hook(lambda *_: passes.append(1))
    pipeline = Pipeline(Defended(model, Unsureness(model, 0.5)))
    x = torch.rand((4, 1, 2, 3), generator=torch.Generator().manual_seed(0))
    for ask in (pipeline.scores, pipeline.decide, pipeline.twin):
        passes.clear()
        ask(x)
        assert len(passes) == 1, ask
    leaf, apart = x.clone().requires_grad_(True), x.clone().requires_grad_(True)
    pipeline.twin(leaf)[:, 3].sum().backward()
    scores = model.twin(apart)
    (scores.amax(1) + Unsureness(model, 0.5).twin(apart) - 0.5).sum().backward()
    assert torch.allclose(sure(leaf.grad), sure(apart.grad), atol=1e-6)


def test_only_the_same_tensor_unchanged_of_the_same_model_is_the_same_question() -> None:
    asked = []

    def ask(x: torch.Tensor) -> torch.Tensor:
        asked.append(x.clone())
        return x.sum()

    one, other = object(), object()
    x = torch.ones(3)
    with sharing():
        for model, kind in ((one, "twin"), (one, "logits"), (other, "twin")):
            shared(model, kind, x, ask)
            shared(model, kind, x, ask)
        assert len(asked) == 3
        with torch.no_grad():
            shared(one, "twin", x, ask)
        shared(one, "twin", x.clone(), ask)
        x += 1
        assert shared(one, "twin", x, ask) == 6
        assert len(asked) == 6
    shared(one, "twin", x, ask)
    shared(one, "twin", x, ask)
    assert len(asked) == 8, "Nothing is shared outside."
