"""The graph of a PyTorch module answers as the module does, in every form of file; what decides by values has none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import robusteval
from robusteval.contracts.certificates.evaluate import scores
from robusteval.contracts.certificates.graph import NotCoveredError, graph_of
from robusteval.contracts.classifier import LoadOptions
from robusteval.engine.batched import batched
from robusteval.loaders.pytorch.classifier import TorchClassifier, load_torch
from robusteval.record import store
from robusteval.verify.proofs.check import UNTIED
from robusteval.verify.run import verify
from tests.certifiers.test_export import NETS, SHAPE, S, built, lead
from tests.loaders.zoo import Fn


def plain(module: nn.Module, folder: Path) -> TorchClassifier:
    return TorchClassifier.from_module(module, SHAPE)


def opened(file: Path) -> TorchClassifier:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces successors of its own
        return load_torch(file, LoadOptions(input_shape=SHAPE, trust=True))


def scripted(module: nn.Module, folder: Path) -> TorchClassifier:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module, torch.rand(2, *SHAPE), check_trace=False), folder / "m.pt")
    return opened(folder / "m.pt")


def exported(module: nn.Module, folder: Path) -> TorchClassifier:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = ({0: torch.export.Dim("rows", min=1, max=512)},)
        program = torch.export.export(module, (torch.rand(3, *SHAPE),), dynamic_shapes=rows)
        torch.export.save(program, folder / "m.pt2")
    return opened(folder / "m.pt2")


@pytest.mark.parametrize(
    ("name", "form"),
    [(name, plain) for name in NETS]
    + [(name, form) for name in ("pools", "norms", "one score") for form in (scripted, exported)],
)
def test_the_graph_answers_as_the_module_does(
    name: str, form: Callable[[nn.Module, Path], TorchClassifier], tmp_path: Path
) -> None:
    model = form(built(name).eval().requires_grad_(False), tmp_path)
    x = torch.rand(9, *SHAPE, generator=torch.Generator().manual_seed(1))
    graph = graph_of(batched(model))
    own, theirs = scores(graph, x), model.logits(x)
    if name == "one score":
        own, theirs = own[:, 1:] - own[:, :1], theirs[:, 1:] - theirs[:, :1]
    else:
        own, theirs = lead(own), lead(theirs)
    assert torch.allclose(own, theirs.double(), atol=1e-4)
    assert (graph.slack > 0) == (name in ("norms", "activations", "one score"))


def test_weights_are_the_modules_own_to_the_last_bit() -> None:
    """Also where a batch norm follows, which exporters like to fold in float32."""
    layer = nn.Conv2d(3, 4, 3)
    module = S(layer, nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    convolution = next(n for n in graph_of(TorchClassifier.from_module(module, SHAPE)).nodes if n.op == "conv")
    assert torch.equal(convolution.tensors["weight"], layer.weight.detach().double())


def test_what_is_put_around_the_module_is_in_the_graph() -> None:
    net = S(Fn(lambda x: x.permute(0, 3, 1, 2)), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    options = LoadOptions(bounds=(0.0, 255.0), mean=(10.0, 20.0, 30.0), std=(60.0, 50.0, 40.0), layout="NHWC")
    model = TorchClassifier.from_module(net, SHAPE, options)
    x = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(2)) * 255
    assert torch.allclose(scores(model.graph(), x), model.logits(x).double(), atol=1e-4)


def test_the_output_that_holds_the_scores_is_taken() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.other = nn.Linear(192, 6), nn.Linear(192, 6)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"aux": self.other(x.flatten(1)), "logits": self.body(x.flatten(1))}

    model = TorchClassifier.from_module(Two(), SHAPE, LoadOptions(output="logits"))
    x = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(scores(model.graph(), x), model.logits(x).double(), atol=1e-5)


class Writes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x.mul_(2).sub_(0.5)
        return x


def test_a_module_that_writes_into_its_input_is_followed() -> None:
    model = TorchClassifier.from_module(S(Writes(), nn.Flatten(), nn.Linear(192, 5)), SHAPE)
    x = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(4))
    assert torch.allclose(scores(model.graph(), x), model.logits(x).double(), atol=1e-5)


class Decides(nn.Module):
    """Answers otherwise where the image is bright, which none of those is that are asked at random."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(192, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        scores: Tensor = self.layer(x)
        return scores if x[:, :8].sum() < 7.9 else -scores


class Rarely(nn.Module):
    """The same without a Python `if`."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(192, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return torch.where(x[:, :8].sum(1, keepdim=True) < 7.9, self.layer(x), -self.layer(x))


class Counts(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.detach().numpy().copy()).flatten(1)[:, :5]


class Draws(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :5] + torch.rand(5)


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (Decides(), "cannot be written down as a graph"),
        (Rarely(), r"node .+ \((Where|Less)\)"),
        (Counts(), "cannot be written down as a graph"),
        (Draws(), "draws random numbers"),
        (S(nn.Flatten(), nn.Linear(192, 5), nn.ELU()), r"\(Elu\)"),
        (S(nn.Flatten(), nn.Linear(192, 5)).half(), "computes in float16"),
    ],
)
def test_what_is_not_covered_is_told(module: nn.Module, told: str) -> None:
    model = TorchClassifier.from_module(module, SHAPE)
    with pytest.raises(NotCoveredError, match=told):
        graph_of(model)


def test_decisions_of_torchscript_are_nodes_that_are_not_covered(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Decides()), tmp_path / "m.pt")
    with pytest.raises(NotCoveredError, match=r"node .+ \((If|Less|ReduceSum)\)|cannot be read"):
        graph_of(opened(tmp_path / "m.pt"))


def test_labels_alone_have_no_graph() -> None:
    model = TorchClassifier.from_module(S(nn.Flatten(), nn.Linear(192, 5)), SHAPE)
    model.info = replace(model.info, output="labels")
    with pytest.raises(NotCoveredError, match="labels alone"):
        graph_of(model)


def test_the_module_is_left_as_it_was() -> None:
    module = S(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    model = TorchClassifier.from_module(module, SHAPE)
    before, state = torch.get_rng_state(), {key: value.clone() for key, value in model.module.state_dict().items()}
    model.graph()
    assert torch.equal(before, torch.get_rng_state())
    after = model.module.state_dict()
    assert all(torch.equal(value, after[key]) and value.dtype == after[key].dtype for key, value in state.items())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_of_a_module_has_both_edges_and_verify_says_what_it_cannot_check(workers: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = S(nn.Flatten(), nn.Linear(192, 10), nn.ReLU(), nn.Linear(10, 3)).eval()
    x = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(6))
    attack = {"plugin": "fgsm", "search": 3}
    certify = {"samples": 6, "halvings": 4, "certifiers": ["crown"]}
    suite = {"name": "both", "version": "1", "norms": ["linf"], "certify": certify, "attack": [attack]}
    robusteval.evaluate(
        module, (x.numpy(), module(x).argmax(1).numpy()), suite=suite, out=tmp_path / "run", workers=workers
    )
    record = store.load(tmp_path / "run")
    (row,) = record.certificates
    assert row.status == "done"
    assert sum(radius > 0 for radius in row.radius) >= 4
    checked = verify(record, tmp_path / "run", None)
    assert not checked.failures
    assert checked.left[UNTIED] == 3
    record.certificates[0].radius[0] = 1.0
    assert verify(record, tmp_path / "run", None).failures
