"""PyTorch modules and the files that people keep them in."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.errors import AccessError, ModelError
from robusteval.loaders.pytorch.classifier import TorchClassifier, load_torch
from robusteval.loaders.pytorch.frozen import parameter_sha256
from tests.loaders import torch_archs

SHAPE = (1, 12, 12)


def built(make: Callable[[], nn.Module] = torch_archs.small, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval()


def images(n: int = 4) -> torch.Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(2))


def load(path: Path, arch: str = "tests.loaders.torch_archs:small", trust: bool = True) -> TorchClassifier:
    return load_torch(path, LoadOptions(input_shape=SHAPE, arch=arch, trust=trust))


def test_the_users_module_stays_as_it_was() -> None:
    module = built().train()
    before = parameter_sha256(module)
    state = torch.random.get_rng_state()
    classifier = TorchClassifier.from_module(module, SHAPE)
    leaf = images().requires_grad_(True)
    classifier.twin(leaf).sum().backward()
    assert leaf.grad is not None
    assert module.training
    assert parameter_sha256(module) == before
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert isinstance(classifier, Classifier)
    assert any("training mode (BatchNorm2d)" in note for note in classifier.info.notes)
    assert torch.equal(classifier.logits(images()), module.eval()(images()))
    assert not any(p.requires_grad for p in classifier.module.parameters())


def test_it_travels_and_keeps_its_hash() -> None:
    classifier = TorchClassifier.from_module(built(), SHAPE, LoadOptions(mean=(0.5,), std=(0.25,)), name="mine")
    copy = pickle.loads(pickle.dumps(classifier))
    assert copy.info == classifier.info
    assert torch.equal(copy.logits(images()), classifier.logits(images()))
    assert torch.allclose(classifier.logits(images()), built()((images() - 0.5) / 0.25))
    assert TorchClassifier.from_module(built(seed=1), SHAPE).info.sha256 != classifier.info.sha256


def test_randomness_and_coupling_are_noticed() -> None:
    noisy = TorchClassifier.from_module(built(torch_archs.Noisy), SHAPE)
    assert any("random" in note for note in noisy.info.notes)
    coupled = TorchClassifier.from_module(built(torch_archs.Coupled), SHAPE)
    assert coupled.info.batch == 1
    assert torch.equal(coupled.logits(images())[:1], coupled.logits(images()[:1]))
    assert torch.allclose(coupled.twin(images()), coupled.logits(images()), atol=1e-6)


def test_what_leaves_torch_has_no_gradient_and_dictionaries_have_scores() -> None:
    outside = TorchClassifier.from_module(built(torch_archs.Outside), SHAPE)
    assert (outside.info.gradients, outside.info.rung) == ("none", "E")
    with pytest.raises(AccessError, match="does not depend"):
        outside.twin(images())
    several = TorchClassifier.from_module(built(torch_archs.Several), SHAPE)
    assert several.info.classes == 5


def test_a_softmax_inside_does_not_hide_the_gradient() -> None:
    hot = nn.Sequential(built(), nn.Flatten(), Times(3000.0), nn.Softmax(1)).eval()
    classifier = TorchClassifier.from_module(hot, SHAPE)
    assert (classifier.info.output, classifier.info.rung) == ("probabilities", "C")
    leaf = images().requires_grad_(True)
    top = classifier.twin(leaf).topk(2, 1).values
    grad = torch.autograd.grad((top[:, 0] - top[:, 1]).sum(), leaf)[0]
    assert (grad.flatten(1).abs().amax(1) > 1e-3).all()
    mild = TorchClassifier.from_module(nn.Sequential(built(), nn.Softmax(1)).eval(), SHAPE)
    assert torch.allclose(mild.logits(images()), torch.log_softmax(built()(images()), 1), atol=1e-6)
    assert torch.allclose(mild.twin(images()), mild.logits(images()), atol=1e-6)


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


@pytest.mark.parametrize("wrap", ["plain", "legacy", "module.", "nested", "list", "deep", "_orig_mod.module."])
def test_weights_in_every_usual_wrapping(wrap: str, tmp_path: Path) -> None:
    state: Any = built().state_dict()
    if wrap.endswith("."):
        state = {wrap + k: v for k, v in state.items()}
    elif wrap == "nested":
        state = {"epoch": 3, "optimizer": {"lr": 0.1}, "state_dict": state}
    elif wrap == "deep":
        state = {"net": {"model": {f"module.{k}": v for k, v in state.items()}}, "acc": 0.9}
    elif wrap == "list":
        state = [{"other": torch.zeros(2)}, state]
    path = tmp_path / "m.pt"
    torch.save(state, path, _use_new_zipfile_serialization=wrap != "legacy")
    classifier = load(path)
    assert torch.equal(classifier.logits(images()), built()(images()))
    assert len(classifier.info.sha256) == 64


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    safetensors.torch.save_file(built().state_dict(), path)
    assert torch.equal(load(path).logits(images()), built()(images()))
    path.write_bytes(b"\x10\0\0\0\0\0\0\0not json at all!")
    with pytest.raises(ModelError, match="safetensors"):
        load(path)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_runs_code_needs_trust(tmp_path: Path) -> None:
    weights, script, program = tmp_path / "w.pt", tmp_path / "s.pt", tmp_path / "p.pt2"
    torch.save(built().state_dict(), weights)
    torch.jit.save(torch.jit.trace(built(), images()), script)
    dim = torch.export.Dim("n")
    torch.export.save(torch.export.export(built(), (images(),), dynamic_shapes=({0: dim},)), program)
    for path in (weights, script, program):
        with pytest.raises(ModelError, match="--trust"):
            load(path, trust=False)
    with pytest.raises(ModelError, match="--arch"):
        load(weights, arch="")
    for path in (script, program):
        classifier = load(path, arch="")
        assert torch.allclose(classifier.logits(images()), built()(images()), atol=1e-6)
        copy = pickle.loads(pickle.dumps(classifier))
        assert torch.allclose(copy.logits(images()), classifier.logits(images()))


def test_whole_modules_are_refused_without_running_them(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {marker}",)

    torch.save(built(), tmp_path / "module.pt")
    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    for name in ("module.pt", "evil.pt"):
        with pytest.raises(ModelError, match="runs code"):
            load(tmp_path / name)
    assert not marker.exists()


def test_broken_files(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save(built().state_dict(), path)
    good = path.read_bytes()
    for content in (b"", b"hello", good[: len(good) // 2], os.urandom(3000)):
        path.write_bytes(content)
        with pytest.raises(ModelError) as caught:
            load(path)
        assert caught.value.hint
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10_000_000)
    with pytest.raises(ModelError, match="compressed"):
        load(path)
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match="do not fit"):
        load(path)


@pytest.mark.parametrize(
    "arch",
    [
        "tests.loaders.torch_archs:not_a_module",
        "tests.loaders.torch_archs:fails",
        "tests.loaders.torch_archs:gone",
        "nowhere:x",
        "x",
    ],
)
def test_architectures_that_do_not_work(arch: str, tmp_path: Path) -> None:
    torch.save(built().state_dict(), tmp_path / "m.pt")
    with pytest.raises(ModelError, match="--arch"):
        load(tmp_path / "m.pt", arch=arch)


def test_the_shape_must_be_given_and_fit(tmp_path: Path) -> None:
    torch.save(built().state_dict(), tmp_path / "m.pt")
    with pytest.raises(ModelError, match="--shape"):
        load_torch(tmp_path / "m.pt", LoadOptions(arch="tests.loaders.torch_archs:small", trust=True))
    with pytest.raises(ModelError, match="does not take inputs"):
        load_torch(
            tmp_path / "m.pt", LoadOptions(arch="tests.loaders.torch_archs:small", trust=True, input_shape=(3, 12, 12))
        )
