"""The short ways of a substitution (windows, pools in one step, zeros left out) give what node by node gives."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from robusteval_certifiers._common import sparse
from robusteval_certifiers._common.boxes import Box, View
from robusteval_certifiers._common.decided import crown_decided
from robusteval_certifiers._common.grids import Grid, grid_of
from robusteval_certifiers._common.intervals import Bounds, forward
from robusteval_certifiers._common.margins import crown
from robusteval_certifiers._common.network import Network, lowered
from robusteval_certifiers._common.substitution import least, refined, sharpened, undecided
from torch import Tensor
from torch.nn import functional as F

from robusteval.api import Norm
from robusteval.contracts.certificates.graph import Graph, Node
from robusteval.testing.certificates.graphs import BODIES, network, statement


def drawn(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng).double()


def lenet(rng: torch.Generator, stride: int = 2, padding: int = 2) -> Graph:
    """Two convolutions, each with a ReLU and a pool of 2 x 2, and two dense layers. stride: of the pools."""
    nodes = [Node("input", (), (1, 12, 12))]

    def add(op: str, shape: tuple[int, ...], settings: dict[str, object] | None = None, **tensors: Tensor) -> None:
        nodes.append(Node(op, (len(nodes) - 1,), shape, tensors, settings or {}))

    side = 12
    for channels, kernel, pads in ((16, 3, 0), (32, 5, padding)):
        before, side = nodes[-1].shape[0], side + 2 * pads - kernel + 1
        settings = {"stride": (1, 1), "padding": (pads, pads), "dilation": (1, 1), "groups": 1}
        weight = drawn(rng, channels, before, kernel, kernel) / (before * kernel * kernel) ** 0.5
        add("conv", (channels, side, side), settings, weight=weight, bias=drawn(rng, channels) * 0.1)
        add("activation", nodes[-1].shape, {"kind": "relu"})
        grid = torch.arange(nodes[-1].numel).reshape(nodes[-1].shape)
        members = grid.unfold(1, 2, stride).unfold(2, 2, stride)
        side = members.shape[1]
        add("max", tuple(members.shape[:3]), members=members.reshape(-1, 4))
    sizes = (nodes[-1].numel, 40, 4)
    add("gather", sizes[:1], index=torch.arange(sizes[0]), fill=torch.zeros(sizes[0]).double())
    for before, after in pairwise(sizes):
        add("linear", (after,), weight=drawn(rng, after, before) / before**0.5, bias=drawn(rng, after) * 0.1)
        if after > 4:
            add("activation", (after,), {"kind": "relu"})
    return Graph(tuple(nodes))


def node_by_node(net: Network, bounds: Bounds, start: int, rows: Tensor) -> Tensor:
    """The bounds by the way on which nothing is left out or put together."""
    own = {place: fitted.low_slope[:, None] for place, fitted in bounds.lines.items() if place < start}
    return least(net, bounds, start, rows, own)


def alike(net: Network, bounds: Bounds) -> int:
    """Compares the bounds before every activation, and of the scores; how many were compared."""
    count = 0
    for place, node in enumerate(net.nodes):
        if node.op != "activation" and place != len(net.nodes) - 1:
            continue
        start = node.inputs[0] if node.op == "activation" else place
        size = net.nodes[start].numel
        some = torch.randperm(size, generator=torch.Generator().manual_seed(place))[:24]
        eye = torch.eye(size).double()[some].expand(len(bounds.low[0]), -1, -1)
        expected = node_by_node(net, bounds, start, torch.cat([eye, -eye], 1))
        plain = least(net, bounds, start, torch.cat([eye, -eye], 1))
        assert torch.allclose(plain, expected, rtol=1e-9, atol=1e-9), place
        low, high = list(bounds.low), list(bounds.high)
        bounds.low[start], bounds.high[start] = (torch.full_like(low[start], value) for value in (-1e9, 1e9))
        sharpened(net, bounds, start, torch.zeros_like(low[start]).bool().index_fill(1, some, True))
        found = torch.cat([bounds.low[start][:, some], -bounds.high[start][:, some]], 1)
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9), place
        bounds.low, bounds.high = low, high
        count += expected.numel()
    return count


@pytest.mark.parametrize("kind", ["relu", "leaky_relu", "tanh"])
@pytest.mark.parametrize("body", BODIES)
def test_bounds_are_those_that_node_by_node_gives(body: str, kind: str) -> None:
    rng = torch.Generator().manual_seed(BODIES.index(body))
    graph = network(body, kind, rng)
    for norm in ("linf", "l2"):
        bounds = forward(net := lowered(graph), statement(graph, norm, 0.1, rng, images=2))
        assert alike(net, bounds) > 50


@pytest.mark.parametrize(("stride", "padding"), [(2, 2), (1, 0), (2, 1)])
def test_windows_of_convolutions_and_pools_lose_nothing(
    stride: int, padding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = torch.Generator().manual_seed(stride)
    graph = lenet(rng, stride, padding)
    net, asked = lowered(graph), statement(graph, "linf", 0.02, rng, images=2)
    bounds = forward(net, asked)
    (second,) = [place for place, node in enumerate(net.nodes) if node.op == "conv" and place > 1]
    view = View(net, second, Box(1, 2, 0, 1))
    assert view.boxes, "there are windows"
    assert view.reach(second)[0] < 0.8 * View(net, second).reach(second)[0]
    used: list[bool] = []
    kept = sparse.convolved_back

    def seen(*arguments: object) -> Tensor | None:
        found = kept(*arguments)  # type: ignore[arg-type]  # they are passed on
        used.append(found is not None)
        return found

    monkeypatch.setattr("robusteval_certifiers._common.network.convolved_back", seen)
    assert alike(net, bounds) > 100
    refined(net, bounds)
    assert any(used) == (stride == 2), "zeros are left out behind pools that do not overlap"


@pytest.mark.parametrize(("stride", "padding", "dilation"), [((1, 1), (0, 0), (1, 1)), ((2, 1), (1, 2), (1, 2))])
def test_leaving_out_zeros_is_the_same_convolution(
    stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> None:
    rng = torch.Generator().manual_seed(0)
    weight = drawn(rng, 24, 40, 3, 3)
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": 1}
    x = drawn(rng, 1, 40, 9, 8).requires_grad_(True)
    value = F.conv2d(x, weight, None, stride, padding, dilation)
    node = Node("conv", (0,), tuple(value.shape[1:]), {"weight": weight, "bias": torch.zeros(24)}, settings)
    a = drawn(rng, 30, *node.shape) * (torch.rand(node.shape, generator=rng) < 0.2)
    found = sparse.convolved_back(node, (40, 9, 8), a)
    assert found is not None
    for row in range(0, 30, 7):
        (expected,) = torch.autograd.grad(value, x, a[row : row + 1], retain_graph=True)
        assert torch.allclose(found[row], expected[0])
    assert sparse.convolved_back(node, (40, 9, 8), a + 1) is None, "nothing is to be left out"


def test_places_that_follow_a_grid_are_known_as_one() -> None:
    places = torch.arange(2 * 6 * 7).reshape(2, 6, 7)
    assert grid_of(places[:, 1::2, 2::3].flatten(), (2, 3, 2), (2, 6, 7)) == Grid(1, 2, 2, 3)
    assert grid_of(places.flatten(), (2, 6, 7), (2, 6, 7)) == Grid(0, 0, 1, 1)
    assert grid_of(places[:, :, [0, 1, 3]].flatten(), (2, 6, 3), (2, 6, 7)) is None
    assert grid_of(places.flip(0).flatten(), (2, 6, 7), (2, 6, 7)) is None
    assert grid_of(torch.full((4,), -1), (1, 2, 2), (2, 6, 7)) is None


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_what_stops_early_proves_what_the_whole_proves(norm: Norm) -> None:
    rng = torch.Generator().manual_seed(2)
    proofs = 0
    for number in range(14):
        graph = network(BODIES[number % len(BODIES)], "relu", rng)
        net, asked = lowered(graph), statement(graph, norm, 0.02 + 0.02 * (number % 4), rng, images=4)
        with torch.no_grad():
            (found, _), whole = crown_decided(net, asked), crown(net, asked)
            one, spent = crown_decided(net, asked[torch.tensor([1])])
        assert ((found > 0) == (whole > 0)).all()
        assert torch.allclose(one[0], found[1], rtol=1e-9), "an image's bound is its own"
        assert float(spent) == float(crown_decided(net, asked)[1][1])
        proofs += int((whole > 0).sum())
        place = next(iter(forward(net, asked).lines))
        assert undecided(net, forward(net, asked), place).dtype == torch.bool
    assert 5 < proofs < 14 * 4, "some hold, some do not"
