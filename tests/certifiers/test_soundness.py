"""No proof is refuted: by corners, random points and gradient descent, on thousands of random networks."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from robusteval_certifiers.alpha_crown import AlphaCrown
from robusteval_certifiers.crown import Crown
from robusteval_certifiers.ibp import Ibp

from robusteval.api import Norm, Statement, graph_scores, proved
from robusteval.contracts.certificates.graph import KINDS, Graph, Node
from robusteval.testing.certificates.graphs import BODIES, lowest, network, networks, statement

ALL = (Ibp(), Crown(), AlphaCrown(steps=6, inner=2))
NORMS: tuple[Norm, ...] = ("linf", "l2", "l1")
NETWORKS = 125 if os.environ.get("ROBUSTEVAL_TEST_LONG") else 40


def broken(asked: Statement, bound: torch.Tensor, points: int, rng: torch.Generator) -> torch.Tensor:
    """Where a bound is larger than a margin that was met."""
    met = lowest(asked, points, rng)
    return bound > met + 1e-9 * (1 + met.abs())


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_bound_is_larger_than_what_is_met(body: str, kind: str) -> None:
    rng = torch.Generator("cpu").manual_seed(BODIES.index(body) * 100 + KINDS.index(kind))
    graph = network(body, kind, rng)
    radii: tuple[tuple[Norm, float], ...] = (("linf", 0.05), ("l2", 0.4), ("linf", 0.3), ("l1", 1.0))
    for norm, eps in radii[KINDS.index(kind) % 2 :: 2]:
        asked = statement(graph, norm, eps, rng, images=2)
        met = lowest(asked, 12, rng)
        for certifier in ALL if kind == "relu" else ALL[:2]:  # slopes are turned of ReLUs alone
            bound = certifier.bound(asked).margin
            assert torch.isfinite(bound).all()
            assert not (bound > met + 1e-9 * (1 + met.abs())).any(), (certifier.info.name, norm, eps)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.long) for part in range(1, 8))])
def test_two_hundred_thousand_nets_times_points(part: int) -> None:
    """8 parts of 125 networks, three certifiers, of 2 images at 100 points: 200,000 pairs of network and point each
    for three certifiers, with ROBUSTEVAL_TEST_LONG=1. Without, 40 networks of one part, as the suite has its limit."""
    rng = torch.Generator("cpu").manual_seed(1000 + part)
    for number, (name, graph) in enumerate(networks(NETWORKS, seed=part + 1)):
        norm = NORMS[number % 3]
        eps = float(torch.rand((), generator=rng)) * (0.3 if norm == "linf" else 1.5)
        asked = statement(graph, norm, eps, rng, images=2)
        for certifier in ALL:
            bound = certifier.bound(asked).margin
            assert not broken(asked, bound, 100, rng).any(), (name, certifier.info.name, norm, eps)


def test_bounds_get_no_worse_with_effort_and_with_smaller_balls() -> None:
    rng = torch.Generator("cpu").manual_seed(5)
    for _, graph in networks(14, seed=3):
        asked = statement(graph, "linf", 0.06, rng)
        loose, tight, tighter = (certifier.bound(asked).margin for certifier in ALL)
        assert (tight >= loose - 1e-6).all()
        assert (tighter >= tight - 1e-9).all()
        half = AlphaCrown(steps=6, inner=2).bound(asked.with_eps(asked.eps / 2)).margin
        assert (Crown().bound(asked.with_eps(asked.eps * 0)).margin >= half - 1e-3).all()


def test_a_point_alone_has_its_own_margin() -> None:
    """At radius 0 what is lost is what rounding may do, and no more."""
    rng = torch.Generator("cpu").manual_seed(6)
    for _, graph in networks(14, seed=4):
        asked = statement(graph, "linf", 0.0, rng)
        top = graph_scores(graph, asked.x).topk(2, 1).values
        bound = Crown().bound(asked).margin
        assert (bound <= top[:, 0] - top[:, 1]).all()
        assert (bound >= top[:, 0] - top[:, 1] - 1e-3).all()


@pytest.mark.parametrize("certifier", ALL, ids=lambda certifier: certifier.info.name)
def test_normalisation_inside_the_graph_does_not_make_l2_balls_smaller(certifier: Any) -> None:
    """x / std in the graph, with a std of .3: an L2 ball of pixels is 3.3 times as large behind it. A margin that
    falls by 2 a unit is lost at .2, whatever stands between the pixels and the layer that looks at them."""
    shape, classes = (4,), 2
    scale = torch.full(shape, 1 / 0.3, dtype=torch.float64)
    shift = torch.full(shape, -0.5 / 0.3, dtype=torch.float64)
    weight = torch.tensor([[0.3 / 2] * 4, [-0.3 / 2] * 4], dtype=torch.float64)
    nodes = (
        Node("input", (), shape),
        Node("scale", (0,), shape, {"scale": scale, "shift": shift, "size": shift.abs()}),
        Node("activation", (1,), shape, {}, {"kind": "clip", "low": -9.0, "high": 9.0}),
        Node("linear", (2,), (classes,), {"weight": weight, "bias": torch.zeros(2, dtype=torch.float64)}),
    )
    graph = Graph(nodes)
    x = torch.full((1, 4), 0.5 + 0.1, dtype=torch.float64)  # margin .4, and the gradient's L2 norm is 2
    right = torch.tensor([[True, False]])
    for eps, holds in ((0.19, True), (0.2, False), (0.21, False), (0.3, False)):
        asked = Statement(graph, x, torch.tensor([0]), right, "l2", torch.tensor([eps]).double(), (0.0, 1.0))
        found = bool(proved(asked, certifier.bound(asked))[0])
        assert not found or holds, eps
        assert found or not holds or certifier.info.name == "ibp"
