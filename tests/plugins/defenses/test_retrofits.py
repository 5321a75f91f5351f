"""Retrofits: other activations in the place of every ReLU, of modules and of ONNX graphs."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from robusteval_attacks.fgsm import FGSM
from robusteval_attacks.pgd import PGD
from robusteval_attacks.square import Square
from robusteval_defenses._common.relu import ReplacedReLU, Retrofitted
from robusteval_defenses.gradient_masking import GradientMasking
from robusteval_defenses.jumprelu import Jump, JumpReLU, RandomJumpReLU
from torch import nn
from torch.nn import functional as F

from robusteval.api import LoadOptions, RobustEvalError, Samples
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.plugins import Attack, Defended
from robusteval.loaders.onnx.plugin import OnnxLoader
from robusteval.testing import NoGradient, inputs, linear, pose, safe_labels
from tests.plugins.conftest import Trained
from tests.plugins.linear_models import Module, classifier
from tests.sure import instance, sure


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Ways(nn.Module):
    """A ReLU in every way that it is written; the last two lines are no ReLUs."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.in_place, self.six = nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        same = x + 0.0
        same.relu_()  # the result is not looked at
        ways = [same, self.act(x), self.in_place(x + 0.0), F.relu(x), torch.relu(x), x.relu(), x.clamp(min=0)]
        ways += [torch.clamp_min(x, 0), torch.clamp(x, 0, None), torch.ops.aten.relu.default(x)]
        ways += [self.six(x), F.relu6(x), F.hardtanh(x, 0.0, 6.0), torch.clamp(x, 0.0, 6.0)]
        rest = [torch.clamp(x, 0.0, 255.0), torch.clamp(x, -1.0, 1.0)]
        return torch.stack([*ways, *rest], 1)


def test_every_way_to_write_a_relu_is_seen_and_nothing_else() -> None:
    x = torch.tensor([[-2.0, 0.5, 3.0, 9.0]])
    with ReplacedReLU(Jump(1.0)) as mode:
        out = Ways()(x)[0]
    assert mode.replaced == 14
    jumped = torch.tensor([0.0, 0.0, 3.0, 9.0])
    assert torch.equal(out[:10], jumped.expand(10, 4))
    assert torch.equal(out[10:14], jumped.clamp(max=6).expand(4, 4))
    assert torch.equal(out[14], x[0].clamp(min=0))
    assert torch.equal(out[15], x[0].clamp(-1, 1))
    assert torch.equal(Ways()(x)[0, 1], x[0].clamp(min=0)), "Outside the context nothing is replaced."


def network(hidden: int = 16) -> Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, hidden), nn.ReLU(), nn.Linear(hidden, 3))
    rng = seeded(1)
    for weight in net.parameters():
        weight.data = torch.randn(weight.shape, generator=rng) * 0.7
    return classifier(net, (1, 4, 4), 3)


def by_hand(model: Module, x: torch.Tensor, k: float) -> torch.Tensor:
    hidden = model.net[1](x.flatten(1))
    answer: torch.Tensor = model.net[3](hidden * (hidden > k))
    return answer


def test_jumprelu_is_its_formula_on_a_module() -> None:
    model = network()
    x = inputs(model.info, 20)
    behind = JumpReLU(k=0.4).fit(model, None, seeded()).model
    assert torch.allclose(behind.logits(x), by_hand(model, x, 0.4))
    assert torch.equal(behind.twin(x), behind.logits(x))
    assert not torch.allclose(behind.logits(x), model.logits(x), atol=1e-3)


def graph_of(model: Module) -> onnx.ModelProto:
    """The network as an ONNX file."""
    first, second = model.net[1], model.net[3]
    tensors = {"w1": first.weight, "b1": first.bias, "w2": second.weight, "b2": second.bias}
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w1", "b1"], ["hidden"], transB=1),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 1, 4, 4])],
        [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(value.detach().numpy(), name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_jumprelu_is_its_formula_on_an_onnx_file(tmp_path: Path) -> None:
    model = network()
    path = tmp_path / "net.onnx"
    onnx.save(graph_of(model), path)
    loaded = OnnxLoader().load(path, LoadOptions())
    x = inputs(model.info, 20)
    behind = JumpReLU(k=0.4).fit(loaded, None, seeded()).model
    assert torch.allclose(behind.logits(x), by_hand(model, x, 0.4), atol=1e-4)
    assert torch.allclose(loaded.logits(x), model.logits(x), atol=1e-4)
    again = pickle.loads(pickle.dumps(behind))
    assert torch.allclose(again.logits(x), behind.logits(x))


def threshold(model: Classifier) -> float:
    return instance(instance(model, Retrofitted).activation, Jump).k


def test_the_threshold_is_customary_given_or_chosen_by_what_it_costs(fashion: Trained) -> None:
    assert threshold(JumpReLU().fit(network(), None, seeded()).model) == 0.0645
    assert threshold(JumpReLU(k=0.2).fit(network(), None, seeded()).model) == 0.2
    data = fashion.fit[torch.arange(600)]
    small = JumpReLU(cost=0.01).fit(fashion.model, data, seeded())
    large = JumpReLU(cost=0.3).fit(fashion.model, data, seeded())
    assert 0 < threshold(small.model) < threshold(large.model)
    right = fashion.model.logits(data.x).argmax(1) == data.y
    kept = (small.model.logits(data.x[right]).argmax(1) == data.y[right]).float().mean()
    assert kept >= 0.99
    assert any("chosen on" in note for note in small.notes)
    wrong = Samples(data.x, (data.y + 1) % 10)
    assert threshold(JumpReLU(k=0.1).fit(fashion.model, wrong, seeded()).model) == 0.1


def test_random_thresholds_are_drawn_from_the_range() -> None:
    defended = RandomJumpReLU(k=0.4, spread=0.5).fit(network(), None, seeded())
    drawn = [threshold(sure(defended.draw)(seeded(seed)).model) for seed in range(100)]
    assert 0.2 <= min(drawn) < 0.22
    assert 0.58 < max(drawn) <= 0.6


@pytest.mark.parametrize(
    "defense", [JumpReLU(), RandomJumpReLU(), GradientMasking()], ids=lambda defense: defense.info.name
)
def test_models_that_it_cannot_be_put_into_are_refused_in_words(
    defense: JumpReLU | RandomJumpReLU | GradientMasking,
) -> None:
    with pytest.raises(RobustEvalError, match="none was seen"):
        defense.fit(linear(), None, seeded())
    with pytest.raises(RobustEvalError, match="differentiable copy"):
        defense.fit(NoGradient(linear()), None, seeded())


def test_threads_do_not_see_each_others_activations() -> None:
    model = network()
    x = inputs(model.info, 4)
    defended = [Retrofitted(model, Jump(k), model.info) for k in (0.0, 0.5, 5.0)]
    expected = [variant.logits(x) for variant in defended]
    wrong: list[int] = []

    def ask(place: int) -> None:
        wrong.extend(place for _ in range(200) if not torch.equal(defended[place].logits(x), expected[place]))

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_stairs_have_no_gradient_and_the_surrogate_has_that_of_the_ramp() -> None:
    model = network()
    leaf = inputs(model.info, 5).requires_grad_(True)
    blind = GradientMasking(step=0.01, surrogate=False).fit(model, None, seeded()).model
    seeing = GradientMasking(step=0.01).fit(model, None, seeded()).model
    assert torch.equal(blind.logits(leaf), seeing.logits(leaf))
    (zero,) = torch.autograd.grad(blind.twin(leaf)[:, 1].sum(), leaf)
    (ramp,) = torch.autograd.grad(seeing.twin(leaf)[:, 1].sum(), leaf)
    (bare,) = torch.autograd.grad(model.twin(leaf)[:, 1].sum(), leaf)
    assert zero.abs().max() == 0
    assert torch.allclose(ramp, bare, atol=1e-4)
    assert torch.allclose(seeing.twin(leaf), seeing.logits(leaf), atol=1e-5)
    assert (blind.info.gradients, seeing.info.gradients) == ("exact", "straight-through")


@pytest.mark.statistical
def test_masked_gradients_stop_an_attack_that_falls_for_them_and_no_other(fashion: Trained) -> None:
    x, safe = fashion.samples.x[:30], safe_labels(fashion.samples.y[:30], 10)
    blind = GradientMasking(surrogate=False).fit(fashion.model, None, seeded())
    seeing = GradientMasking().fit(fashion.model, None, seeded())

    def lost(attack: Attack, defended: Defended) -> float:
        found = attack.run(pose(defended, x, safe, "linf", eps=0.08, needs=attack.info.needs))
        return float((defended.model.logits(found).argmax(1) != fashion.samples.y[:30]).float().mean())

    assert lost(FGSM(), blind) < 0.35
    assert lost(PGD(steps=10), seeing) > 0.9
    assert lost(Square(queries=200), blind) > 0.7
    bare = PGD(steps=10).run(pose(fashion.model, x, safe, "linf", eps=0.08))
    assert (blind.model.logits(bare).argmax(1) != fashion.samples.y[:30]).float().mean() > 0.7
