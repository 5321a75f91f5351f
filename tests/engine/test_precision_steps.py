"""Gradients in bfloat16 until the last third of an attack's steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from robusteval_attacks.apgd import APGD
from robusteval_attacks.ddn import DDN
from robusteval_attacks.fab import FAB
from robusteval_attacks.fmn import FMN
from robusteval_attacks.pdgd import PDGD
from robusteval_attacks.pgd import PGD
from torch import Tensor

from robusteval.api import Attack, Defended, Problem
from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.tuning import Tuning
from robusteval.ops import norm_named
from tests.engine import toys
from tests.engine.test_precision import ROUGH, layer


def test_an_attack_that_says_how_far_it_is_has_rounded_gradients_until_the_last_third() -> None:
    model, seen = layer(), []
    x = torch.rand(3, 20, generator=torch.Generator().manual_seed(2))
    keep = torch.nn.functional.one_hot(model.logits(x).argmax(1), 4).bool()

    class Seen:
        def scores(self, x: Tensor) -> Tensor:
            return model.logits(x)

        def twin(self, x: Tensor) -> Tensor:
            seen.append(torch.is_autocast_enabled("cpu"))
            return model.twin(x)

        def draw(self, rng: torch.Generator) -> Seen:
            return self

    def asked(tuning: Tuning) -> Problem:
        rng, rows = torch.Generator(), torch.arange(3)
        meter = Meter(3)
        return Problem(x, keep, norm_named("l2"), None, (0.0, 1.0), rng, "gradient", Seen(), meter, rows, tuning=tuning)

    rough = asked(replace(ROUGH, slack=0.0))
    for ask in (rough, rough.roughly(0.7), rough.roughly(1.0), asked(Tuning()).roughly(0.0)):
        ask.grad(x)
        ask.jacobian(x, torch.zeros(3, 1, dtype=torch.int64))
    assert seen == [False] * 8
    seen.clear()
    early = rough.roughly(0.6)
    early.grad(x)
    early[torch.tensor([0, 2])].grad(x[[0, 2]])
    early.jacobian(x, torch.zeros(3, 1, dtype=torch.int64))
    assert seen == [True] * 3
    early.scores(x)
    early.won(x)
    assert seen[3:] == [False] * 2
    assert asked(Tuning()).roughly(0.0).rounds is False


@pytest.mark.parametrize(
    "attack", [DDN(steps=9), FMN(steps=9), PDGD(steps=9), PGD(steps=9), APGD(steps=9), FAB(steps=9)]
)
def test_our_attacks_say_how_far_they_are(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    plain = Problem.roughly

    def seen(self: Problem, done: float) -> Problem:
        shares.append(done)
        return plain(self, done)

    monkeypatch.setattr(Problem, "roughly", seen)
    model = toys.linear()
    data = toys.samples(model, 6)
    eps = None if attack.info.budget == "minimal" else torch.full((6,), 1e-6)
    keep = torch.nn.functional.one_hot(data.y, 4).bool()
    view, meter = Pipeline(Defended(model)), Meter(6)
    rng, rows = torch.Generator().manual_seed(0), torch.arange(6)
    attack.run(Problem(data.x, keep, norm_named("l2"), eps, (0.0, 1.0), rng, "gradient", view, meter, rows))
    assert min(shares) == 0.0
    assert max(shares) == pytest.approx(8 / 9)
