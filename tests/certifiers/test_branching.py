"""Branch and bound: parts cover the ball, no bound is larger than what is met, and of tiny networks it decides all."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from robusteval_certifiers._branching import bounding, choosing, searching
from robusteval_certifiers._branching.parts import Frame, Parts, halves, whole
from robusteval_certifiers._common.intervals import forward
from robusteval_certifiers._common.margins import leads
from robusteval_certifiers._common.network import lowered
from robusteval_certifiers.beta_crown import BetaCrown
from robusteval_certifiers.crown import Crown
from scipy.optimize import linprog

from robusteval.api import Norm, Statement, graph_scores, proved
from robusteval.contracts.certificates.graph import Graph, Node
from robusteval.testing.certificates.graphs import BODIES, lowest, network, networks, statement

RADII: tuple[tuple[Norm, float], ...] = (("linf", 0.3), ("l2", 0.9), ("l1", 2.0))
SHORT = BetaCrown(parts=12, steps=4, first=6, inner=2, looks=2)


def larger_than_met(asked: Statement, certifier: BetaCrown, rng: torch.Generator) -> bool:
    bound, met = certifier.bound(asked).margin, lowest(asked, 6, rng)
    return bool((bound > met + 1e-9 * (1 + met.abs())).any())


def nearly(asked: Statement, rng: torch.Generator) -> Statement:
    """The statement with the label's bias such that the smallest margin met is a little above 0: so the search has to
    go on, and a bound that is too large shows."""
    met, nodes = float(lowest(asked, 12, rng).min()), list(asked.graph.nodes)
    bias = nodes[-1].tensors["bias"].clone()
    bias[int(asked.label[0])] += 0.02 - met
    nodes[-1] = replace(nodes[-1], tensors={**nodes[-1].tensors, "bias": bias})
    return replace(asked, graph=Graph(tuple(nodes)))


@pytest.mark.parametrize("kind", ["relu", "leaky_relu"])
@pytest.mark.parametrize("body", BODIES)
def test_no_bound_is_larger_than_what_is_met(body: str, kind: str) -> None:
    rng = torch.Generator("cpu").manual_seed(BODIES.index(body) * 10 + len(kind))
    graph = network(body, kind, rng)
    for norm, eps in RADII[::2] if kind == "relu" else RADII[1:2]:
        asked = statement(graph, norm, eps, rng, images=1)
        assert not larger_than_met(asked, SHORT, rng), norm
        assert not larger_than_met(nearly(asked, rng), SHORT, rng), norm


def test_bounds_are_no_worse_than_those_of_crown_and_somewhere_better() -> None:
    rng = torch.Generator("cpu").manual_seed(2)
    gains = []
    for _, graph in networks(7, seed=2):
        asked = nearly(statement(graph, "linf", 0.1, rng, images=1), rng)
        gains.append(float(SHORT.bound(asked).margin - Crown().bound(asked).margin))
    assert min(gains) >= 0
    assert max(gains) > 0.05


def tiny(seed: int) -> Graph:
    """3 values, 4 and 3 ReLUs, 3 classes."""
    rng = torch.Generator("cpu").manual_seed(seed)
    nodes = [Node("input", (), (3,))]
    for before, after in ((3, 4), (4, 3), (3, 3)):
        tensors = {
            "weight": torch.randn(after, before, generator=rng).double(),
            "bias": torch.randn(after, generator=rng).double() * 0.3,
        }
        nodes.append(Node("linear", (len(nodes) - 1,), (after,), tensors))
        nodes.append(Node("activation", (len(nodes) - 1,), (after,), {}, {"kind": "relu"}))
    return Graph(tuple(nodes[:-1]))


def exact(asked: Statement) -> float:
    """The true margin in Linf, by a linear program for each pattern of ReLUs and each rival."""
    layers = [(n.tensors["weight"].numpy(), n.tensors["bias"].numpy()) for n in asked.graph.nodes if n.tensors]
    x, eps, label = asked.x[0].numpy(), float(asked.eps[0]), int(asked.label[0])
    box = list(zip(np.maximum(x - eps, 0), np.minimum(x + eps, 1), strict=True))
    least = np.inf
    for pattern in itertools.product((0.0, 1.0), repeat=7):
        a, b, rows, most = np.eye(3), np.zeros(3), [], []
        for (weight, bias), on in zip(layers, (pattern[:4], pattern[4:], None), strict=True):
            a, b = weight @ a, weight @ b + bias
            if on is not None:
                sign = np.where(np.array(on) > 0, 1.0, -1.0)
                rows.append(-sign[:, None] * a)
                most.append(sign * b)
                a, b = np.array(on)[:, None] * a, np.array(on) * b
        for rival in {0, 1, 2} - {label}:
            found = linprog(a[label] - a[rival], np.concatenate(rows), np.concatenate(most), bounds=box)
            if found.status == 0:
                least = min(least, float(found.fun + b[label] - b[rival]))
    return least


@pytest.mark.parametrize("seed", range(4))
def test_tiny_networks_are_decided(seed: int) -> None:
    """With the label's bias moved so that the exact margin is just above 0 the ball is proved, just below not."""
    rng = torch.Generator("cpu").manual_seed(seed)
    asked = statement(tiny(seed), "linf", 0.4, rng, images=1)
    margin, nodes = exact(asked), list(asked.graph.nodes)
    assert margin <= float(lowest(asked, 30, rng)[0]) + 1e-9
    certifier = BetaCrown(parts=2000, steps=40, first=20, inner=4)
    for room in (0.02, -0.001):
        bias = nodes[-1].tensors["bias"].clone()
        bias[int(asked.label[0])] += room - margin
        moved = replace(nodes[-1], tensors={**nodes[-1].tensors, "bias": bias})
        shifted = replace(asked, graph=Graph((*nodes[:-1], moved)))
        found = certifier.bound(shifted)
        assert float(found.margin[0]) <= room + 1e-9
        assert bool(proved(shifted, found)[0]) == (room > 0)


def wrong_halves(parts: Parts, place: torch.Tensor, element: torch.Tensor) -> Parts:
    """Only those where the ReLU is on."""
    return halves(parts, place, element)[torch.arange(len(parts))]


def wrong_sides(frame: Frame, parts: Parts) -> dict[int, bounding.Sides]:
    """On and off change places."""
    turned = replace(parts, signs={place: -sign for place, sign in parts.signs.items()})
    return bounding.sides_of(frame, turned)


@pytest.mark.parametrize("what", ["halves", "sides", "multipliers"])
def test_wrong_variants_are_found_out(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the parts left out; the lines of the other side; and multipliers below 0."""
    if what == "halves":
        monkeypatch.setattr(searching, "halves", wrong_halves)
    elif what == "sides":
        monkeypatch.setattr("robusteval_certifiers._branching.climbing.sides_of", wrong_sides)
    else:
        monkeypatch.setattr("robusteval_certifiers._branching.climbing.LEAST_MULTIPLIER", -1.0)
    # it stops for no win
    monkeypatch.setattr("robusteval_certifiers.beta_crown.lowest_met", lambda *_: torch.inf)
    monkeypatch.setattr(choosing, "lowest_point", lambda ball, a: ball.x.expand_as(a))
    rng = torch.Generator("cpu").manual_seed(3)
    caught = 0
    for seed in range(2):
        asked = nearly(statement(tiny(seed), "linf", 0.4, rng, images=1), rng)
        nodes = list(asked.graph.nodes)
        bias = nodes[-1].tensors["bias"].clone()
        bias[int(asked.label[0])] -= 0.1
        nodes[-1] = replace(nodes[-1], tensors={**nodes[-1].tensors, "bias": bias})
        caught += larger_than_met(
            replace(asked, graph=Graph(tuple(nodes))), BetaCrown(parts=60, first=20, inner=4), rng
        )
    assert caught


def test_parts_are_closed_and_cover_what_was_split() -> None:
    rng = torch.Generator("cpu").manual_seed(4)
    asked = statement(tiny(0), "linf", 0.4, rng, images=1)
    net = lowered(asked.graph)
    frame = Frame(net, forward(net, asked), len(net.nodes) - 1)
    assert frame.count > 2
    place = next(place for place, known in frame.undecided.items() if len(known.index))
    parts = whole(frame, leads(asked)[0])
    both = halves(parts, torch.full((2,), place), torch.zeros(2, dtype=torch.int64))
    assert len(both) == 2 * len(parts)
    assert both.signs[place][:, 0].tolist() == [1.0, 1.0, -1.0, -1.0]
    assert not parts.signs[place].any()
    assert torch.equal(both.rows, parts.rows.repeat(2, 1))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_lowest_point_is_in_the_ball_and_low(norm: Norm) -> None:
    rng = torch.Generator("cpu").manual_seed(5)
    asked = statement(network("dense", "relu", rng), norm, 0.4, rng, images=1)
    net = lowered(asked.graph)
    ball = forward(net, asked).ball
    a = torch.randn(5, 6, generator=rng).double()
    x = choosing.lowest_point(ball, a)
    order = {"linf": torch.inf, "l2": 2.0, "l1": 1.0}[norm]
    assert ((x - ball.x).norm(order, dim=1) <= 0.4 + 1e-9).all()
    assert ((x >= -1e-12) & (x <= 1 + 1e-12)).all()
    gap = (a * x).sum(1) - ball.least(a[None], 30)[0]
    assert (gap >= -1e-12).all()
    assert gap.max() < 1e-3


def test_the_search_ends_at_its_limit_and_still_covers() -> None:
    rng = torch.Generator("cpu").manual_seed(6)
    for _, graph in networks(2, seed=9):
        asked = nearly(statement(graph, "linf", 0.2, rng, images=1), rng)
        bounds = [
            float(BetaCrown(parts=parts, steps=6, first=6, inner=2).bound(asked).margin) for parts in (0, 1, 2, 24)
        ]
        assert bounds[0] == bounds[1], "one part cannot be split in two"
        assert all(more >= less - 1e-12 for less, more in itertools.pairwise(bounds[:3]))
        assert all(bound <= float(lowest(asked, 12, rng)) + 1e-9 for bound in bounds)


def test_where_nothing_can_be_split_the_bound_is_that_of_the_whole_ball() -> None:
    rng = torch.Generator("cpu").manual_seed(7)
    asked = statement(network("dense", "tanh", rng), "linf", 0.3, rng)
    assert torch.equal(BetaCrown().bound(asked).margin, BetaCrown(parts=0).bound(asked).margin)
    assert (graph_scores(asked.graph, asked.x).argmax(1) == asked.label).all()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_networks_whose_margins_are_nearly_nothing() -> None:
    """Where the search has to go on, and what is proved beyond the truth shows."""
    if not os.environ.get("ROBUSTEVAL_TEST_LONG"):
        pytest.skip("takes a minute; ROBUSTEVAL_TEST_LONG=1 runs it")
    rng = torch.Generator("cpu").manual_seed(11)
    for number, (name, graph) in enumerate(networks(84, seed=11)):
        norm, eps = RADII[number % 3]
        asked = statement(graph, norm, eps * float(torch.rand((), generator=rng)), rng, images=1)
        for tried in (asked, nearly(asked, rng)):
            bound, met = BetaCrown(parts=60, first=20, inner=4).bound(tried).margin, lowest(tried, 60, rng)
            assert not (bound > met + 1e-9 * (1 + met.abs())).any(), (name, norm)
