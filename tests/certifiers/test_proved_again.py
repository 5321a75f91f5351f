"""Bounds by numpy alone: as large as the certifiers', never larger than what is met, and sound whatever slopes say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from robusteval_certifiers._common.margins import crown
from robusteval_certifiers._common.network import lowered
from robusteval_certifiers.alpha_crown import AlphaCrown

from robusteval.api import Norm, Statement
from robusteval.contracts.certificates.graph import Graph as Exported
from robusteval.engine.certify.stored_graph import packed
from robusteval.errors import RecordError
from robusteval.testing.certificates.graphs import BODIES, lowest, network, statement
from robusteval.verify.proofs.bound import margin
from robusteval.verify.proofs.graph import Graph, Node, convolved_back, matrix, read
from robusteval.verify.proofs.slopes import NONE, Kept, Slopes, Turned, has, name_of
from robusteval.verify.proofs.slopes import read as slopes_of

KINDS = ("relu", "leaky_relu", "clip", "sigmoid", "tanh", "round")
RADII: tuple[tuple[Norm, float], ...] = (("linf", 0.05), ("l2", 0.4), ("l1", 1.0))


def again(asked: Statement, graph: Graph, slopes: Slopes = NONE) -> float:
    x = asked.x[0].numpy().reshape(-1)
    return margin(graph, x, int(asked.label[0]), asked.norm, float(asked.eps[0]), asked.bounds, slopes)


def with_slopes(exported: Exported, found: dict[str, torch.Tensor]) -> Graph:
    start = name_of("alpha-crown", "linf", 0)
    return read(packed(exported, {start + name: value for name, value in found.items()}))


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", KINDS)
def test_bounds_are_those_of_crown_and_hold(body: str, kind: str) -> None:
    rng = torch.Generator("cpu").manual_seed(BODIES.index(body) * 10 + KINDS.index(kind))
    exported = network(body, kind, rng)
    graph = read(packed(exported))
    for norm, eps in RADII:
        asked = statement(exported, norm, eps, rng, images=1)
        theirs = float(crown(lowered(exported), asked)[0])
        own, met = again(asked, graph), float(lowest(asked, 12, rng)[0])
        assert own <= met + 1e-9 * (1 + abs(met)), (norm, eps)
        assert own >= theirs - 1e-3 * (1 + abs(theirs)), (norm, eps)


@pytest.mark.parametrize("body", BODIES)
def test_kept_slopes_give_the_bound_that_they_gave(body: str) -> None:
    rng = torch.Generator("cpu").manual_seed(BODIES.index(body))
    exported = network(body, "relu", rng)
    asked = statement(exported, "linf", 0.1, rng, images=1)
    proof = AlphaCrown(steps=30, inner=8).bound(asked)
    graph = with_slopes(exported, dict(proof.slopes))
    own = again(asked, graph, slopes_of(graph.tensors, "alpha-crown", "linf", 0))
    theirs, met = float(proof.margin[0]), float(lowest(asked, 12, rng)[0])
    assert own <= met + 1e-9 * (1 + abs(met))
    assert own >= theirs - 1e-3 * (1 + abs(theirs))
    assert own >= again(asked, graph), "slopes are tried beside CROWN's own"


def test_slopes_help() -> None:
    """Somewhere: else they would not be worth their bytes."""
    rng = torch.Generator("cpu").manual_seed(1)
    gains = []
    for body in BODIES:
        exported = network(body, "relu", rng)
        asked = statement(exported, "linf", 0.15, rng, images=1)
        proof = AlphaCrown(steps=30, inner=8).bound(asked)
        graph = with_slopes(exported, dict(proof.slopes))
        gains.append(again(asked, graph, slopes_of(graph.tensors, "alpha-crown", "linf", 0)) - again(asked, graph))
    assert max(gains) > 1e-3


@pytest.mark.parametrize("value", [-20.0, -1.0, 1.5, 20.0])
@pytest.mark.parametrize("body", BODIES)
def test_no_slopes_whatever_give_more_than_holds(body: str, value: float) -> None:
    """For every bound that can be asked for, and rows and places that count from the end."""
    rng = torch.Generator("cpu").manual_seed(7)
    for kind in ("relu", "leaky_relu"):
        exported = network(body, kind, rng)
        graph = read(packed(exported))
        asked = statement(exported, "linf", 0.3, rng, images=1)
        met = float(lowest(asked, 12, rng)[0])
        nodes = lowered(exported).nodes
        forged = {}
        for start in range(1, len(nodes)):
            rows = np.arange(2 * nodes[start].numel)
            low = {
                place: Turned(np.arange(-node.numel, 0), np.full((len(rows), node.numel), value))
                for place, node in enumerate(nodes)
                if node.op == "activation"
            }
            forged[start] = Kept(rows - nodes[start].numel // 2 * 2, low)
        assert again(asked, graph, forged) <= met + 1e-9 * (1 + abs(met))


def test_what_are_no_slopes_is_said() -> None:
    start = name_of("c", "linf", 3)
    fine = {
        "5.rows": np.asarray([[2, 3]]),
        "5.4.free": np.asarray([[0]]),
        "5.4.slope": np.asarray([[[0.5], [1.0]]], np.float32),
    }

    def kept(changed: dict[str, np.ndarray]) -> Slopes:
        return slopes_of({start + name: value for name, value in changed.items()}, "c", "linf", 3)

    assert kept(fine)[5].low[4].slope.tolist() == [[0.5], [1.0]]
    assert not has({start + "none": np.zeros(1)}, "c", "linf", 30)
    assert kept({"none": np.zeros(1)}) == {}
    for name, value in (
        ("5.4.slope", np.full((1, 2, 1), np.nan)),
        ("5.4.slope", np.zeros((1, 3, 1))),
        ("5.rows", np.zeros(())),
        ("x.rows", np.zeros((1, 2))),
    ):
        with pytest.raises(RecordError, match="slopes of sample 3"):
            kept(fine | {name: value})
    lost = dict(fine)
    del lost["5.4.free"]
    with pytest.raises(RecordError, match="slopes of sample 3"):
        kept(lost)


@pytest.mark.parametrize(
    ("channels", "groups", "stride", "padding", "dilation"),
    [(2, 1, (1, 1), (0, 0), (1, 1)), (4, 2, (2, 1), (1, 2), (1, 2)), (2, 1, (3, 2), (0, 1), (2, 1))],
)
def test_a_convolution_too_large_for_a_matrix_goes_back_tap_by_tap(
    channels: int, groups: int, stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> None:
    draw = np.random.default_rng(0)
    weight = draw.normal(size=(6, channels // groups, 3, 2))
    with torch.no_grad():
        seen = torch.nn.functional.conv2d(
            torch.zeros(1, channels, 9, 8), torch.from_numpy(weight).float(), None, stride, padding, dilation, groups
        )
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    node = Node("conv", (0,), tuple(seen.shape[1:]), settings, {"weight": weight, "bias": np.zeros(6)})
    a = draw.normal(size=(3, node.numel))
    shape = (channels, 9, 8)
    assert np.allclose(convolved_back(node, a, shape), a @ matrix(node, [shape]), atol=1e-12)
