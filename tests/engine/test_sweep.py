"""The judge and the budget search, against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robusteval import ops
from robusteval.api import Norm
from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.contracts.samples import Samples
from robusteval.engine.search.distance_search import Sweep
from robusteval.engine.search.judge import Judged, Threat, judge
from robusteval.engine.seeding import generator
from robusteval.engine.suite.goals import safe_mask
from tests.engine.toys import Linear, linear, samples
from tests.sure import sure


@pytest.fixture
def case() -> tuple[Linear, Samples, Pipeline, Tensor]:
    model = linear()
    data = samples(model)
    safe = safe_mask(data.y, None, 4, 4)
    return model, data, Pipeline(Defended(model)), safe


def _judge(
    case: tuple[Linear, Samples, Pipeline, Tensor], candidates: Tensor, norm: Norm = "l2", eps: Tensor | None = None
) -> Judged:
    _, data, pipeline, safe = case
    return judge(pipeline, data.x, candidates, Threat(safe, norm, (0.0, 1.0)), eps, generator(0, "t"))


def test_what_is_nan_outside_or_over_budget_never_wins(case: tuple[Linear, Samples, Pipeline, Tensor]) -> None:
    _, data, _, _ = case
    far = torch.rand(data.x.shape, generator=torch.Generator().manual_seed(3))
    assert _judge(case, far).won.any()
    nan = far.clone()
    nan[:, 0] = torch.nan
    assert _judge(case, nan).rejected == {"not finite": len(far)}
    assert _judge(case, far + 1).rejected["outside the box"] == len(far)
    tight = torch.full((len(far),), 1e-3, dtype=torch.float64)
    judged = _judge(case, far, eps=tight)
    assert not judged.won.any()
    assert judged.rejected == {"over budget": len(far)}
    assert torch.isinf(judged.distance).all()


def test_a_wrong_shape_is_the_plugins_fault(case: tuple[Linear, Samples, Pipeline, Tensor]) -> None:
    with pytest.raises(ValueError, match="shape"):
        _judge(case, case[1].x[:, :3])


def test_distances_are_measured_in_float64(case: tuple[Linear, Samples, Pipeline, Tensor]) -> None:
    _, data, _, _ = case
    far = torch.rand(data.x.shape, generator=torch.Generator().manual_seed(3))
    judged = _judge(case, far, norm="linf")
    expected = (far.double() - data.x.double()).abs().amax(1)
    assert judged.distance.dtype == torch.float64
    assert torch.equal(judged.distance[judged.won], expected[judged.won])


def test_budget_search_finds_the_linear_optimum(case: tuple[Linear, Samples, Pipeline, Tensor]) -> None:
    """A signed step of the right size is optimal in linf; the search has to find that size for each sample."""
    model, data, pipeline, safe = case
    sweep = Sweep(pipeline, data.x, Threat(safe, "linf", (0.0, 1.0)), generator(0, "s"), Meter(len(data)))
    optimum = model.double().smallest(data.x, data.y, dual=1)

    def propose(rows: Tensor, eps: Tensor | None) -> Tensor:
        best = data.x[rows].clone()
        reach = torch.full((len(rows),), torch.inf)
        for target in range(4):
            step = model.weight.T[target] - model.weight.T[data.y[rows]]
            far = data.x[rows] + sure(eps)[:, None] * step.sign()
            x = ops.project(data.x[rows], far, "linf", sure(eps), (0.0, 1.0))
            win = (model.logits(x).argmax(1) != data.y[rows]) & (reach == torch.inf)
            best[win], reach[win] = x[win], 0.0
        return best

    best = sweep.fixed(propose, 0.5, 16)
    ratio = best.distance / optimum
    assert ratio.min() > 1 - 1e-4
    assert ratio.max() < 1.02


@pytest.mark.statistical
def test_line_search_pulls_a_far_win_to_the_boundary(case: tuple[Linear, Samples, Pipeline, Tensor]) -> None:
    _, data, pipeline, safe = case
    meter = Meter(len(data))
    sweep = Sweep(pipeline, data.x, Threat(safe, "l2", (0.0, 1.0)), generator(0, "s"), meter)
    far = torch.rand(data.x.shape, generator=torch.Generator().manual_seed(3))
    raw = _judge(case, far)
    best = sweep.minimal(lambda rows, eps: far[rows])
    assert (best.distance[raw.won] < 0.9 * raw.distance[raw.won]).float().mean() > 0.9
    again = _judge(case, best.x)
    assert torch.equal(again.won, torch.isfinite(best.distance))  # whatever is counted is a win by the judge
    assert (meter.forwards > 0).any()  # the core's own search is counted too


def test_a_hair_on_the_wrong_side_is_nudged_over(case: tuple[Linear, Samples, Pipeline, Tensor]) -> None:
    model, data, pipeline, safe = case
    sweep = Sweep(pipeline, data.x, Threat(safe, "l2", (0.0, 1.0)), generator(0, "s"), Meter(len(data)))
    scores = model.logits(data.x)
    second = scores.scatter(1, data.y[:, None], -torch.inf).argmax(1)
    normal = model.weight.T[second] - model.weight.T[data.y]
    gap = (scores.gather(1, data.y[:, None]) - scores.gather(1, second[:, None])) / normal.square().sum(1, keepdim=True)
    inside = data.x + 0.9995 * gap * normal
    assert not _judge(case, inside).won.any()
    best = sweep.minimal(lambda rows, eps: inside[rows])
    assert torch.isfinite(best.distance).all()
