"""The graph of a file answers as ONNX Runtime does, operator by operator; what is not covered is named."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from robusteval_certifiers.crown import Crown
from torch import Tensor, nn
from torch.nn import functional as F

from robusteval.contracts.certificates.evaluate import scores
from robusteval.contracts.certificates.graph import Graph, Node, NotCoveredError, graph_of
from robusteval.contracts.classifier import LoadOptions
from robusteval.engine.batched import batched
from robusteval.loaders.onnx.classifier import OnnxClassifier, load_onnx
from robusteval.testing.certificates.graphs import statement
from tests.loaders.exports import export
from tests.loaders.zoo import Fn, Residual, make

SHAPE = (3, 8, 8)
S = nn.Sequential


def _cut(x: Tensor) -> Tensor:
    first, second = x.split([2, 4], 1)
    turned = torch.cat([second.transpose(2, 3)[:, :, 1:-1, ::2], first.permute(0, 1, 3, 2)[:, :, 1:-1, ::2]], 1)
    return F.pad(turned, (1, 0, 2, 1), value=0.5).mean((2, 3))


NETS: dict[str, Callable[[], nn.Module]] = {
    "pools": lambda: S(
        nn.Conv2d(3, 6, 3, 2, (2, 1), (1, 2)),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d(2, 1, 1, count_include_pad=False),
        nn.Flatten(),
        nn.LazyLinear(10),
    ),
    "norms": lambda: S(
        nn.Conv2d(3, 6, 3, groups=3, bias=False), nn.BatchNorm2d(6), nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.BatchNorm1d(6), nn.PReLU(6), nn.Linear(6, 10), nn.Softmax(1),
    ),
    "activations": lambda: S(
        nn.Conv2d(3, 4, 3), nn.Hardswish(), nn.Conv2d(4, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 1), nn.ReLU6(),
        nn.Flatten(), nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 12), nn.SiLU(), nn.Linear(12, 12), nn.Sigmoid(),
        nn.Linear(12, 12), nn.Hardsigmoid(), nn.Linear(12, 10), nn.LogSoftmax(1),
    ),
    "branches": lambda: S(
        nn.Conv2d(3, 6, 3, padding=1),
        Residual(S(nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), Fn(lambda x: 1.5 - x / 2)), nn.ReLU()),
        Fn(_cut),
        nn.Linear(6, 10),
    ),
    "turned": lambda: S(
        nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.ConvTranspose2d(4, 4, 3, 2, 1, 1, groups=2), nn.ReLU(),
        Fn(lambda x: x.amax((2, 3))), nn.Linear(4, 10),
    ),
    "lines": lambda: S(
        nn.Flatten(2), nn.Conv1d(3, 4, 5, 3, 1), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.LazyLinear(10),
    ),
    "one score": lambda: S(nn.Flatten(), nn.Linear(192, 5), nn.ReLU(), nn.Linear(5, 1), nn.Sigmoid()),
}  # fmt: skip


def built(name: str) -> nn.Module:
    """A net with lively weights."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # lazy layers
        torch.manual_seed(sum(map(ord, name)))
        module = NETS[name]()
        module(torch.rand(4, *SHAPE))
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.running_mean = torch.randn(layer.num_features) * 0.3
                layer.running_var = torch.rand(layer.num_features) + 0.3
    return module


def loaded(name: str, folder: Path, options: LoadOptions | None = None) -> OnnxClassifier:
    return load_onnx(export(built(name), folder / "net.onnx", SHAPE), options or LoadOptions())


def lead(answers: Tensor) -> Tensor:
    return (answers - answers.mean(1, keepdim=True)).double()


@pytest.mark.parametrize("name", list(NETS))
def test_the_graph_answers_as_the_file_does(name: str, tmp_path: Path) -> None:
    model = loaded(name, tmp_path)
    graph = model.graph()
    x = torch.rand(9, *SHAPE, generator=torch.Generator().manual_seed(1))
    own, theirs = scores(graph, x), model.logits(x)
    if name == "one score":
        own, theirs = own[:, 1:] - own[:, :1], theirs[:, 1:] - theirs[:, :1]
        assert torch.allclose(own, theirs.double(), atol=1e-4)
    else:
        assert torch.allclose(lead(own), lead(theirs), atol=2e-5)
    assert (graph.slack > 0) == (name in ("norms", "activations", "one score"))
    assert graph.nodes[-1].op != "activation"


def test_what_is_put_around_the_file_is_in_the_graph(tmp_path: Path) -> None:
    options = LoadOptions(bounds=(0.0, 255.0), mean=(10.0, 20.0, 30.0), std=(60.0, 50.0, 40.0))
    model = loaded("pools", tmp_path, options)
    graph = graph_of(batched(model))
    x = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(2)) * 255
    assert torch.allclose(scores(graph, x), model.logits(x).double(), atol=1e-4)
    assert [node.op for node in graph.nodes[:2]] == ["input", "scale"]


@pytest.mark.parametrize(
    ("name", "operator"), [("vit", "LayerNormalization"), ("squeeze_excite", "Mul"), ("mlp", "Elu")]
)
def test_what_is_not_covered_is_named(name: str, operator: str, tmp_path: Path) -> None:
    model = load_onnx(export(make(name), tmp_path / "net.onnx"), LoadOptions())
    with pytest.raises(NotCoveredError, match=rf"node .+ \({operator}\)"):
        model.graph()


def test_a_softmax_amid_the_net_is_not_cut(tmp_path: Path) -> None:
    net = S(nn.Flatten(), nn.Linear(192, 10), nn.Softmax(1), nn.Linear(10, 10))
    model = load_onnx(export(net, tmp_path / "net.onnx", SHAPE), LoadOptions())
    with pytest.raises(NotCoveredError, match=r"\(Softmax\)"):
        model.graph()


@pytest.mark.parametrize(
    "node",
    [
        Node("guess", (0,), (4,)),
        Node("linear", (0,), (4,)),
        Node("activation", (0,), (4,), {}, {"kind": "sine"}),
        Node("add", (1,), (4,), {}, {"signs": (1,)}),
        Node("concat", (), (4,)),
        Node("linear", (0,), (1,), {"weight": torch.full((1, 4), torch.nan), "bias": torch.zeros(1)}),
    ],
)
def test_a_graph_that_is_none_is_refused(node: Node) -> None:
    with pytest.raises(NotCoveredError, match="node"):
        Graph((Node("input", (), (4,)), node))


@pytest.mark.parametrize("name", list(NETS))
def test_no_bound_is_larger_than_what_onnx_runtime_answers_in_the_ball(name: str, tmp_path: Path) -> None:
    model = loaded(name, tmp_path)
    rng = torch.Generator("cpu").manual_seed(5)
    asked = statement(model.graph(), "linf", 0.01, rng, images=3)
    bound = Crown().bound(asked).margin
    assert torch.isfinite(bound).all()
    least = torch.full_like(bound, torch.inf)
    for _ in range(40):
        signs = torch.randint(0, 2, asked.x.shape, generator=rng) * 2 - 1
        x = (asked.x + 0.01 * signs * (1 - 1e-6)).clamp(0, 1).float()
        assert ((x.double() - asked.x).abs() <= 0.01).all()
        answers = model.logits(x).double()
        lead = answers.gather(1, asked.label[:, None]) - answers
        least = torch.minimum(least, lead.scatter(1, asked.label[:, None], torch.inf).amin(1))
    assert (bound <= least + 1e-6).all()
