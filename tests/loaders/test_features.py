"""Penultimate features: what the last linear layer reads, the same by ONNX Runtime, by the twin and by a hook of
torch."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from robusteval.contracts.classifier import Classifier, Featured, LoadOptions
from robusteval.errors import AccessError
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.loaders.pytorch.classifier import TorchClassifier
from tests.loaders import exports, zoo
from tests.sure import instance

S = nn.Sequential


def images(n: int = 4, shape: tuple[int, ...] = (3, 16, 16)) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(5))


def read_by_last(module: nn.Module, x: Tensor) -> Tensor:
    """What the module's last linear layer reads, by a hook."""
    seen: list[Tensor] = []
    layers = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    handles = [m.register_forward_pre_hook(lambda _, given: seen.append(given[0])) for m in layers]
    with torch.no_grad():
        module.eval()(x)
    for handle in handles:
        handle.remove()
    return seen[-1].flatten(1)


def shows(features: Classifier, x: Tensor, want: Tensor, tolerance: float = 1e-4) -> None:
    assert features.info.classes == want.shape[1]
    assert torch.allclose(features.logits(x), want, atol=tolerance)
    leaf = x.clone().requires_grad_(True)
    twin = features.twin(leaf)
    assert torch.allclose(twin, want, atol=tolerance)
    assert float(torch.autograd.grad(twin.square().sum(), leaf)[0].abs().max()) > 0
    assert features.logits(x[:0]).shape == features.twin(x[:0]).shape == (0, want.shape[1])


def small(*after: nn.Module) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return S(
            nn.Conv2d(3, 6, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(294, 12),
            nn.ReLU(),
            nn.Linear(12, 5),
            *after,
        ).eval()


@pytest.mark.parametrize("name", ["lenet", "resnet", "vit", "mixer", "squeezenet", "unet", "gru_rows"])
def test_every_architecture_shows_what_its_last_layer_reads(name: str, exported: Callable[[str], Path]) -> None:
    module, x = zoo.make(name).eval(), images()
    want = read_by_last(module, x)
    shows(load_onnx(exported(name), LoadOptions()).features(), x, want, 1e-4 * float(want.abs().max()))
    shows(TorchClassifier.from_module(module, (3, 16, 16)).features(), x, want, 1e-4 * float(want.abs().max()))


FORMS: dict[str, Callable[[Path], tuple[Path, LoadOptions, nn.Module]]] = {
    "softmax behind": lambda p: (exports.export(small(nn.Softmax(1)), p), LoadOptions(), small()),
    "log-softmax behind": lambda p: (exports.export(small(nn.LogSoftmax(1)), p), LoadOptions(), small()),
    "temperature": lambda p: (
        exports.export(exports.Wrapped(small(), None, lambda y: y / 3), p), LoadOptions(), small(),
    ),
    "batch of one": lambda p: (exports.export(small(), p, batch=1), LoadOptions(), small()),
    "batch of three": lambda p: (exports.export(small(), p, batch=3), LoadOptions(), small()),
    "newer exporter": lambda p: (exports.export_dynamo(small(), p), LoadOptions(), small()),
    "opset 9": lambda p: (exports.export(small(), p, opset=9), LoadOptions(), small()),
    "mean and std": lambda p: (
        exports.export(small(), p), LoadOptions(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4)),
        S(
            zoo.Fn(
                lambda v: (v - torch.tensor([0.4, 0.5, 0.6])[:, None, None])
                / torch.tensor([0.2, 0.3, 0.4])[:, None, None]
            ),
            small(),
        ),
    ),
    "channels last": lambda p: (
        exports.export(exports.Wrapped(small(), lambda v: v.permute(0, 3, 1, 2)), p, (16, 16, 3)), LoadOptions(),
        small(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file(form: str, tmp_path: Path) -> None:
    path, options, module = FORMS[form](tmp_path / "m.onnx")
    model, x = load_onnx(path, options), images()
    features = pickle.loads(pickle.dumps(model.features()))
    shows(features, x, read_by_last(module, x))
    assert isinstance(model, Featured)
    assert (features.info.gradients, features.info.output, features.info.name) == (
        "exact", "logits", f"what the last {'MatMul' if 'MatMul' in features.info.name else 'Gemm'} reads"
    )  # fmt: skip


@pytest.mark.parametrize("style", ["dynamic", "qdq", "qoperator"])
def test_quantised_files_show_the_numbers_before_rounding(style: str, tmp_path: Path) -> None:
    plain = exports.export(small(), tmp_path / "m.onnx")
    model, x = load_onnx(exports.quantised(plain, tmp_path / "q.onnx", style), LoadOptions()), images()
    features, want = model.features(), read_by_last(small(), x)
    assert features.info.classes == 12
    for got in (features.logits(x), features.twin(x)):
        spread = torch.corrcoef(torch.stack([got.flatten(), want.flatten()]))[0, 1]
        assert float(spread) > 0.98  # whole numbers of a scale of their own, where nothing else is in the file


def test_a_sigmoid_before_the_last_layer_is_taken_as_it_is(tmp_path: Path) -> None:
    module = S(nn.Flatten(), nn.Linear(768, 12), nn.Sigmoid(), nn.Linear(12, 5)).eval()
    model = load_onnx(exports.export(module, tmp_path / "m.onnx"), LoadOptions())
    shows(model.features(), images(), read_by_last(module, images()))


def refused(model: Any, words: str) -> None:
    with pytest.raises(AccessError, match=words):
        model.features()


def test_where_there_is_no_such_layer(tmp_path: Path) -> None:
    flat = S(nn.Flatten(), nn.Linear(768, 5)).eval()
    refused(load_onnx(exports.export(flat, tmp_path / "flat.onnx"), LoadOptions()), "reads the input itself")
    refused(TorchClassifier.from_module(flat, (3, 16, 16)), "reads the input itself")
    two = exports.Wrapped(small(), None, lambda y: y * y.tanh())
    refused(load_onnx(exports.export(two, tmp_path / "two.onnx"), LoadOptions()), "come out of Mul")
    refused(TorchClassifier.from_module(two, (3, 16, 16)), "come out of mul")
    pooled = [helper.make_node("GlobalMaxPool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    path = exports.save(tmp_path / "pool.onnx", pooled, {}, x=["n", 3, 16, 16], y=["n", 3])
    refused(load_onnx(path, LoadOptions()), "GlobalMaxPool")


def test_a_module_that_multiplies_by_itself_and_one_asked_row_by_row() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = instance(small(), nn.Sequential)[:5]
            self.weight = nn.Parameter(torch.randn(12, 5))

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = (self.body(x) @ self.weight + 1).softmax(1)
            return answer

    module = Own().eval()
    model = TorchClassifier.from_module(module, (3, 16, 16), LoadOptions(mean=(0.5,), std=(0.5,)))
    shows(model.features(), images(), module.body((images() - 0.5) / 0.5).detach())
    centred = exports.Wrapped(small(), lambda v: v - v.mean(0))
    alone = TorchClassifier.from_module(centred, (3, 16, 16))
    assert alone.info.batch == 1
    want = read_by_last(small(), torch.zeros(1, 3, 16, 16))
    assert torch.allclose(alone.features().logits(images()), want.expand(4, -1), atol=1e-5)


def test_features_of_a_module_that_fills_an_empty_tensor() -> None:
    class Filled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = torch.empty(len(x), 8)
            hidden[:] = torch.relu(self.first(x))
            answer: torch.Tensor = self.last(hidden)
            return answer

    net = Filled().eval()
    model = TorchClassifier.from_module(net, (6,))
    x = torch.rand(4, 6)
    with torch.no_grad():
        assert torch.equal(model.features().logits(x), torch.relu(net.first(x)))
