from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from robusteval_attacks.fmn import FMN
from robusteval_attacks.pdpgd import PDPGD, _proximal
from scipy.optimize import minimize

from robusteval.api import Norm
from robusteval.contracts.plugins import Attack
from tests.plugins.attacks.minimal import excess, fewest, reach, trained
from tests.plugins.linear_models import linear, middling, untargeted


@pytest.mark.statistical
@pytest.mark.parametrize("norm", ["l1", "linf"])
def test_ends_near_the_closed_form_on_a_linear_model(norm: Norm) -> None:
    found = excess(PDPGD(), norm, (-3.0, 5.0))
    assert found.min() > 0.999
    assert found.median() < 1.1


@pytest.mark.statistical
def test_l0_ends_near_the_closed_form() -> None:
    model = linear((30,), 3)
    x = middling(model, 24)
    safe = untargeted(model, x)
    found, least = reach(PDPGD(), model, x, safe, "l0"), fewest(model, x, safe)
    assert (found >= least).all()
    assert (found - least).median() <= 2


@pytest.mark.parametrize("price", [0.02, 0.3, 2.0, 50.0])
def test_the_proximal_step_of_linf_is_the_least_of_its_objective(price: float) -> None:
    """Against a general optimiser, in a metric of its own for each value."""
    rng = torch.Generator().manual_seed(5)
    moved = torch.randn(4, 6, generator=rng, dtype=torch.float64)
    metric = torch.rand(4, 6, generator=rng, dtype=torch.float64) + 0.1
    found = _proximal(moved, metric, "linf", torch.full((4,), price / 6**0.5, dtype=torch.float64))
    for row in range(4):
        far, weight = moved[row].numpy(), metric[row].numpy()

        def cost(z: NDArray[Any], far: NDArray[Any] = far, weight: NDArray[Any] = weight) -> float:
            answer: float = (weight * (z[:-1] - far) ** 2 / 2).sum() + price * z[-1]
            return answer

        bounds = [{"type": "ineq", "fun": lambda z: z[-1] - z[:-1]}, {"type": "ineq", "fun": lambda z: z[-1] + z[:-1]}]
        start = np.append(far, np.abs(far).max())
        best = minimize(cost, start, constraints=bounds, options={"ftol": 1e-14, "maxiter": 500}).fun
        mine = cost(np.append(found[row].numpy(), found[row].abs().max().item()))
        assert mine <= best * (1 + 1e-6) + 1e-8


def test_the_proximal_step_of_l1_is_the_least_of_its_objective_for_each_value() -> None:
    rng = torch.Generator().manual_seed(5)
    moved = torch.randn(1, 9, generator=rng, dtype=torch.float64)
    metric = torch.rand(1, 9, generator=rng, dtype=torch.float64) + 0.1
    found = _proximal(moved, metric, "l1", torch.tensor([0.9], dtype=torch.float64))  # 0.3 for each of nine values
    grid = torch.linspace(-4, 4, 80001, dtype=torch.float64)[:, None]
    cost = metric * (grid - moved).square() / 2 + 0.3 * grid.abs()
    assert torch.allclose(found[0], grid[cost.argmin(0), 0], atol=1e-4)
    assert (found == 0).any()
    assert (found != 0).any()


def test_in_l0_a_pixel_stays_or_goes_with_all_of_its_channels() -> None:
    rng = torch.Generator().manual_seed(5)
    moved = torch.randn(2, 3, 5, 5, generator=rng)
    found = _proximal(moved, torch.ones_like(moved), "l0", torch.full((2,), 100.0))
    gone = found == 0
    assert torch.equal(gone.all(1), gone.any(1))
    assert gone.any()
    assert not gone.all()


def test_wins_everywhere_on_a_trained_model() -> None:
    model, x, safe = trained("cnn", 8)
    for norm in PDPGD.info.norms:
        assert reach(PDPGD(steps=200), model, x, safe, norm).isfinite().all()


@pytest.mark.statistical
@pytest.mark.parametrize("norm", ["l1", "l0"])
def test_on_a_robust_model_it_comes_back_from_afar_to_a_nearer_boundary(norm: Norm) -> None:
    """The first boundary met is not the nearest one: it is much nearer than fmn, and than itself where it starts
    near."""
    model, x, safe = trained("robust", 16)
    attacks: list[Attack] = [PDPGD(steps=100), PDPGD(steps=100, rate=0.1, dual=2.0), FMN(steps=100)]
    mine, near, other = (reach(attack, model, x, safe, norm) for attack in attacks)
    assert mine.isfinite().all()
    assert mine.median() < 0.8 * near.median()
    assert mine.median() < 0.8 * other.median()
