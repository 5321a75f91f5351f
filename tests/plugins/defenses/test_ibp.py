"""Training by interval bounds: the bounds against what is met and the certifier's, what they teach, what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from robusteval_certifiers.ibp import Ibp as IbpCertifier
from robusteval_defenses._common.interval_bounds import IntervalBounds
from robusteval_defenses.ibp import Ibp
from torch import Tensor, nn

from robusteval.api import Epoch, LoadOptions, RobustEvalError, Samples, Statement, graph_of, trainable
from robusteval.loaders.onnx.plugin import OnnxLoader
from robusteval.loaders.pytorch.classifier import TorchClassifier
from tests.loaders.exports import export
from tests.loaders.zoo import ZOO, Fn, Residual, make
from tests.plugins.conftest import Trained
from tests.plugins.defenses.learning import seeded, some

EXAMPLES = Path(__file__).parents[3] / "examples"
S = nn.Sequential
SHAPE = (3, 8, 8)

NETS: dict[str, Callable[[], nn.Module]] = {
    "convolutions": lambda: S(
        Fn(lambda x: (x - 0.3) / 0.5), nn.Conv2d(3, 6, 3, 2, 1, groups=3), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.ConvTranspose2d(6, 4, 3, 2, 1, 1), nn.LeakyReLU(0.2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 10),
    ),
    "branches": lambda: S(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4),
        Residual(S(nn.PReLU(4), nn.Conv2d(4, 4, 1), Fn(lambda x: 1.5 - x / 2)), nn.ReLU6()),
        Fn(lambda x: torch.cat([x.mean((2, 3)), -x.abs().sum((2, 3)), x.amax((2, 3)) - x.mean((2, 3))], 1)),
        nn.Linear(12, 10),
        nn.LogSoftmax(1),
    ),
    "activations": lambda: S(
        nn.Conv2d(3, 4, 3), nn.Hardswish(), nn.Conv2d(4, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 1), nn.SiLU(),
        nn.Flatten(), nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 12), nn.ELU(), nn.Linear(12, 12), nn.Mish(),
        Fn(lambda x: x * torch.sigmoid(x)), nn.Linear(12, 12), nn.Softplus(), nn.Linear(12, 10, bias=False),
        nn.Softmax(1), Fn(lambda x: x.clamp_min(1e-30).log()),
    ),
    "convolutions to the end": lambda: S(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ),
}  # fmt: skip


def built(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(name))
        net = NETS[name]().double().eval()
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, -1.0, 1.0)
    return net


def ahead(scores: Tensor, y: Tensor) -> Tensor:
    return scores - scores.gather(1, y[:, None])


@pytest.mark.parametrize("name", list(NETS))
def test_no_class_gets_further_ahead_than_the_bound_says(name: str) -> None:
    """At corners of the ball and within; and the bound is tight where the ball is a point."""
    net, rng = built(name), seeded(1)
    bounds = IntervalBounds(net, SHAPE, "ibp")
    x = torch.rand((5, *SHAPE), generator=rng, dtype=torch.float64)
    y = torch.randint(10, (5,), generator=rng)
    point = bounds(x, x, y)
    assert torch.allclose(point, ahead(net(x), y), atol=1e-8)
    found = bounds(x - 0.02, x + 0.02, y)
    assert not found.gather(1, y[:, None]).any()
    for number in range(60):
        signs = 2 * torch.rand(x.shape, generator=rng, dtype=torch.float64) - 1
        moved = x + 0.02 * (signs.sign() if number % 2 else signs)
        assert bool((ahead(net(moved), y) <= found + 1e-9).all())
    assert (found > point + 1e-4).any()


@pytest.mark.parametrize("name", list(NETS))
def test_every_weight_learns_from_the_bound(name: str) -> None:
    net = built(name).float()
    x, y = torch.rand((4, *SHAPE), generator=seeded(2)), torch.arange(4)
    bounds = IntervalBounds(net, SHAPE, "ibp")
    bounds(x - 0.01, x + 0.01, y).logsumexp(1).sum().backward()
    assert all(value.grad is not None and bool(value.grad.any()) for value in net.parameters())
    before = bounds(x - 0.01, x + 0.01, y).detach()
    with torch.no_grad():
        for value in net.parameters():
            value.mul_(0.5)
    assert not torch.allclose(bounds(x - 0.01, x + 0.01, y), before, atol=1e-4), "It follows the weights."


@pytest.mark.parametrize("name", ["fashion-cnn", "fashion-robust"])
def test_it_is_the_bound_of_the_certifier(name: str, fashion: Trained) -> None:
    model = OnnxLoader().load(EXAMPLES / f"{name}.onnx", LoadOptions())
    data = some(fashion, 20)
    eps = torch.full((20,), 0.01, dtype=torch.float64)
    right = data.y[:, None] == torch.arange(10)
    asked = Statement(graph_of(model), data.x.double(), data.y, right, "linf", eps, (0.0, 1.0))
    proved = IbpCertifier().bound(asked).margin
    bounds = IntervalBounds(trainable(model).requires_grad_(False), model.info.input_shape, "ibp")
    low, high = (data.x - 0.01).clamp_min(0), (data.x + 0.01).clamp_max(1)
    margin = -bounds(low, high, data.y).scatter(1, data.y[:, None], -torch.inf).amax(1)
    less = margin.double() - proved
    assert bool((less > -1e-5).all()), "What rounding may do is taken off a proof, and added to none."
    assert bool((less < 0.1).all())


def proved_share(model: TorchClassifier | object, samples: Samples, eps: float) -> float:
    """By float32 intervals of the trained copy, which is near enough for a test."""
    module = trainable(model).requires_grad_(False)  # type: ignore[arg-type]  # it is learnable
    low, high = (samples.x - eps).clamp_min(0), (samples.x + eps).clamp_max(1)
    found = IntervalBounds(module, tuple(samples.x.shape[1:]), "ibp")(low, high, samples.y)
    return float((found.scatter(1, samples.y[:, None], -torch.inf).amax(1) < 0).float().mean())


@pytest.mark.statistical
def test_much_is_proved_of_what_it_trained_and_nothing_of_what_it_began_with(fashion: Trained) -> None:
    data, test = some(fashion, 1000), some(fashion, 300, 1500)
    made = Ibp(epochs=4, eps=0.03, rate=8e-3, batch=32).fit(fashion.model, data, seeded()).model
    assert proved_share(fashion.model, test, 0.03) < 0.05
    assert proved_share(made, test, 0.03) > 0.4
    assert float((made.logits(test.x).argmax(1) == test.y).float().mean()) > 0.6
    assert "interval bounds within Linf 0.03" in made.info.notes[-1]


def test_first_weights_keep_intervals_narrow_and_come_from_the_seed(fashion: Trained) -> None:
    """Those of the trained model widen them far more; biases begin at 0, and what is no layer's stays."""
    x, y = some(fashion, 20).x, some(fashion, 20).y

    def wide(seed: int | None) -> tuple[float, list[Tensor]]:
        module = trainable(fashion.model)
        bounds = IntervalBounds(module, tuple(x.shape[1:]), "ibp")
        if seed is not None:
            bounds.redraw(seeded(seed))
        gap = bounds((x - 0.05).clamp_min(0), (x + 0.05).clamp_max(1), y) - bounds(x, x, y)
        return float(gap.detach().mean()), [value.detach() for value in module.parameters()]

    assert wide(1)[0] < wide(None)[0] / 30
    assert all(bool(value.any()) == (value.dim() > 1) for value in wide(1)[1])
    for first, second, other in zip(wide(1)[1], wide(1)[1], wide(2)[1], strict=True):
        assert torch.equal(first, second)
        assert (not torch.equal(first, other)) == (first.dim() > 1)


def test_eps_grows_and_kappa_falls_as_the_parameters_say() -> None:
    trained = Ibp(warm_up=0.2, ramp=0.5)
    assert [trained.grown(progress) for progress in (0.0, 0.19, 0.2)] == [0.0, 0.0, 0.0]
    assert trained.grown(0.45) == pytest.approx(0.5)
    assert [trained.grown(progress) for progress in (0.75, 1.0)] == [1.0, 1.0]
    assert Ibp(warm_up=0.0, ramp=0.0).grown(0.0) == 1.0
    model = TorchClassifier.from_module(built("branches"), SHAPE, LoadOptions(bounds=(0.0, 255.0)))
    assert Ibp(eps=0.1).aim(model).eps == 25.5


def test_what_has_no_intervals_is_named(fashion: Trained) -> None:
    vit = OnnxLoader().load(EXAMPLES / "fashion-vit.onnx", LoadOptions())
    with pytest.raises(RobustEvalError, match=r"cannot bound this model, because of node \S+ \(\w+\)"):
        Ibp(epochs=1).fit(vit, some(fashion, 40), seeded())
    int8 = OnnxLoader().load(EXAMPLES / "fashion-int8.onnx", LoadOptions())
    with pytest.raises(RobustEvalError, match=r"node \S+ \(QuantizeLinear\), which rounds to whole numbers"):
        Ibp(epochs=1).fit(int8, some(fashion, 40), seeded())
    module = TorchClassifier.from_module(S(nn.Flatten(), nn.Linear(192, 10), nn.LayerNorm(10)), SHAPE)
    with pytest.raises(RobustEvalError, match="no interval is known for the operator native_layer_norm"):
        Ibp(epochs=1).fit(module, Samples(torch.rand(20, *SHAPE), torch.arange(20) % 10), seeded())


COVERED = (
    "plain_cnn", "lenet", "vgg", "resnet", "preact_resnet", "wide_resnet", "mobilenet_v2", "densenet", "shufflenet",
    "inception", "squeezenet", "pixel_shuffle",
)  # fmt: skip
QUICK = ("plain_cnn", "lenet", "resnet", "mobilenet_v2", "shufflenet", "mlp", "squeeze_excite", "vit", "gru_rows")


@pytest.mark.parametrize("name", list(ZOO))
def test_each_family_is_trained_or_refused_in_a_sentence_that_names_the_node(name: str, tmp_path: Path) -> None:
    if name not in QUICK and not os.environ.get("ROBUSTEVAL_TEST_LONG"):
        pytest.skip("ROBUSTEVAL_TEST_LONG=1 asks all families")
    model = OnnxLoader().load(export(make(name), tmp_path / "net.onnx"), LoadOptions())
    x = torch.rand((12, 3, 16, 16), generator=seeded(3))
    data = Samples(x, torch.arange(12) % 10)
    said: list[Epoch] = []
    if name in COVERED:
        made = Ibp(epochs=1, batch=8, eps=0.01).train(model, data, seeded(), said.append).model
        assert not torch.equal(made.logits(x), model.logits(x))
        assert torch.isfinite(torch.tensor(said[-1].loss))
    else:
        with pytest.raises(RobustEvalError, match=r"because of .*node \S+ \(\w+\)"):
            Ibp(epochs=1).train(model, data, seeded(), said.append)
        assert not said
