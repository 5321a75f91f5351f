"""The oracles: what they say is the smallest distance is one, and nothing smaller wins."""

from __future__ import annotations

import pickle

import pytest
import torch
from scipy.optimize import minimize

from robusteval import ops
from robusteval.api import AccessError
from robusteval.contracts.classifier import Classifier
from robusteval.testing import (
    Blank,
    LabelsOnly,
    LinearDetector,
    NanRegion,
    NoGradient,
    Rescaled,
    Staircase,
    inputs,
    jittered,
    linear,
    pose,
    safe_all_but,
    safe_labels,
    sphere,
)
from robusteval.testing.oracles import Sphere, smallest_step

ORDER = {"l1": 1, "l2": 2, "linf": float("inf")}


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_far_from_the_box_it_is_the_gap_over_the_dual_norm(norm: ops.Norm) -> None:
    model = linear()
    x = inputs(model.info, 6)
    scores = model.logits(x).double()
    y = scores.argmax(1)
    dual = {"l1": float("inf"), "l2": 2, "linf": 1}[norm]
    for row in range(6):
        others = [k for k in range(3) if k != y[row]]
        w = model.weight.double()
        ratios = [
            (scores[row, y[row]] - scores[row, k]) / torch.linalg.vector_norm(w[y[row]] - w[k], ord=dual)
            for k in others
        ]
        got = model.smallest(x[row : row + 1], safe_labels(y[row : row + 1], 3), norm)
        assert float(got) == pytest.approx(float(min(ratios)), rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_inside_the_box_it_is_what_an_optimiser_finds(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    slope, room = torch.rand(6, generator=rng).double(), 0.3 * torch.rand(6, generator=rng).double()
    gap = 0.7 * float((slope * room).sum())
    a = slope.numpy()
    box = [(0.0, float(r)) for r in room]
    enough = {"type": "ineq", "fun": lambda d: a @ d - gap}
    best = minimize(lambda d: d @ d, room.numpy() * 0.9, bounds=box, constraints=[enough], method="SLSQP", tol=1e-14)
    assert smallest_step(gap, slope, room, "l2") == pytest.approx(best.fun**0.5, rel=1e-4)
    best = minimize(lambda d: d.sum(), room.numpy() * 0.9, bounds=box, constraints=[enough], method="SLSQP", tol=1e-14)
    assert smallest_step(gap, slope, room, "l1") == pytest.approx(best.fun, rel=1e-4)
    eps = smallest_step(gap, slope, room, "linf")
    assert float((slope * room.clamp_max(eps)).sum()) == pytest.approx(gap, rel=1e-9)
    assert smallest_step(10.0, slope, room, "l2") == float("inf")
    assert smallest_step(0.0, slope, room, "l2") == 0.0


@pytest.mark.parametrize("shape", [(5,), (2, 2, 2)])
def test_l0_is_what_trying_all_subsets_finds(shape: tuple[int, ...]) -> None:
    model = linear(shape, seed=3)
    x = inputs(model.info, 4, spread=0.3)
    y = model.logits(x).argmax(1)
    pixels = 5 if len(shape) == 1 else 4
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * x[0].numel()).reshape(-1, *shape)
    for row in range(4):
        counts = []
        for subset in range(2**pixels):
            mask = torch.tensor([bool(subset >> bit & 1) for bit in range(pixels)])
            mask = mask if len(shape) == 1 else mask.reshape(1, 2, 2).expand(shape)
            tried = torch.where(mask, corners, x[row])
            if bool((model.logits(tried).argmax(1) != y[row]).any()):
                counts.append(subset.bit_count())
        assert float(model.smallest(x[row : row + 1], safe_labels(y[row : row + 1], 3), "l0")) == min(counts)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_nothing_inside_the_smallest_distance_wins(norm: ops.Norm) -> None:
    ball = sphere(6)
    plain = linear((6,))
    scaled = Rescaled(linear((6,)), 1 / 255, 0.0)
    rng = torch.Generator().manual_seed(0)
    for model in (ball, plain, scaled):
        x = inputs(model.info, 1, seed=2)
        y = model.logits(x).argmax(1)
        safe = safe_labels(y, model.info.classes)
        nearest = model.smallest(x, norm) if isinstance(model, Sphere) else model.smallest(x, safe, norm)
        many = x.expand(20000, -1)
        inside = many + ops.random_on_sphere(many, norm, 0.999 * nearest.float().expand(20000), rng)
        assert bool((model.logits(inside).argmax(1) == y).all())


@pytest.mark.parametrize("norm", ops.NORMS)
def test_the_spheres_distance_is_reached(norm: ops.Norm) -> None:
    model = sphere(6)
    x = inputs(model.info, 5, spread=0.2)
    offset = x - model.centre
    size = model.smallest(x, norm).float()
    if norm == "l0":
        assert bool((size >= 1).all() & (size <= 6).all())
        return
    if norm == "linf":
        step = offset.sign()
    elif norm == "l2":
        step = offset / offset.norm(dim=1, keepdim=True)
    else:
        step = ops.ascent(offset, "l1")
    beyond = x + step * (size * 1.001)[:, None]
    short = x + step * (size * 0.999)[:, None]
    assert model.logits(beyond).argmax(1).tolist() == [1] * 5
    assert model.logits(short).argmax(1).tolist() == [0] * 5


def test_with_two_classes_targeted_is_untargeted_and_with_three_a_lower_bound() -> None:
    for classes in (2, 3):
        model = linear(classes=classes)
        x = inputs(model.info, 6)
        order = model.logits(x).argsort(1, descending=True)
        untargeted = model.smallest(x, safe_labels(order[:, 0], classes), "l2")
        targeted = model.smallest(x, safe_all_but(order[:, 1], classes), "l2")
        assert bool((targeted >= untargeted - 1e-12).all())
        if classes == 2:
            assert torch.allclose(targeted, untargeted)


@pytest.mark.parametrize("shape", [(8,), (3, 4, 4)])
def test_all_oracles_travel_and_do_what_they_are_for(shape: tuple[int, ...]) -> None:
    inner = linear(shape)
    x = inputs(inner.info, 5)
    limit = float(x.flatten(1).mean(1).median())
    oracles: list[Classifier] = [
        inner,
        Rescaled(inner, 0.5, 0.1),
        NoGradient(inner),
        LabelsOnly(inner),
        Staircase(inner),
        Blank(inner.info, torch.zeros(3)),
        NanRegion(inner, limit),
        jittered(inner, 0.1).model,
    ]
    for model in oracles:
        again = pickle.loads(pickle.dumps(model))
        assert torch.equal(again.logits(x).nan_to_num(), model.logits(x).nan_to_num())
        assert model.logits(x).shape == (5, 3)
        assert not model.logits(x.clone().requires_grad_(True)).requires_grad
    for model in (NoGradient(inner), LabelsOnly(inner)):
        assert model.info.rung == "E"
        with pytest.raises(AccessError):
            model.twin(x)
    assert torch.equal(LabelsOnly(inner).logits(x).argmax(1), inner.logits(x).argmax(1))
    assert 0 < int(torch.isnan(NanRegion(inner, limit).logits(x)).any(1).sum()) < 5


def test_awkward_gradients_are_awkward() -> None:
    inner = linear()
    x = inputs(inner.info, 5)
    safe = safe_labels(inner.logits(x).argmax(1), 3)
    for model in (Staircase(inner), Blank(inner.info, torch.zeros(3))):
        problem = pose(model, x, safe, "l2")
        assert torch.equal(problem.grad(x).grad, torch.zeros_like(x))
        assert problem.meter.zero_gradients.tolist() == [1] * 5
    problem = pose(NanRegion(inner, float(x.mean(1).median())), x, safe, "l2")
    problem.grad(x)
    assert 0 < int(problem.meter.bad_gradients.sum()) < 5


def test_a_jittered_pipeline_draws_from_the_problems_generator() -> None:
    inner = linear()
    x = inputs(inner.info, 5)
    safe = safe_labels(inner.logits(x).argmax(1), 3)
    one, same, other = (pose(jittered(inner, 0.1), x, safe, "l2", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.scores(x), same.scores(x))
    assert not torch.equal(one.scores(x), other.scores(x))


def test_posing_with_a_detector_adds_the_class_rejected() -> None:
    from robusteval.api import Defended

    inner = linear()
    x = inputs(inner.info, 5)
    defended = Defended(inner, LinearDetector(torch.ones(8), float(x.sum(1).median())))
    problem = pose(defended, x, safe_labels(inner.logits(x).argmax(1), 3, rejected=True), "l2", eps=0.5)
    assert problem.classes == 4
    assert int((problem.scores(x).argmax(1) == 3).sum()) == 2
    assert problem.budget.tolist() == [0.5] * 5
