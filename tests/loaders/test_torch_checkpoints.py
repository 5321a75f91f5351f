"""Checkpoints as trainers leave them: averaged, with losses beside, two copies of a network, pickled settings."""

from __future__ import annotations

import argparse
import functools
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from robusteval.contracts.classifier import LoadOptions
from robusteval.errors import ModelError
from robusteval.loaders.pytorch.classifier import TorchClassifier
from robusteval.loaders.pytorch.plugin import TorchLoader
from tests.loaders import torch_archs

SHAPE = (1, 12, 12)
X = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(2))


def network(make: Any = torch_archs.small) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built: nn.Module = make().eval()
    return built


NET = network()
STATE = NET.state_dict()
OTHER = {name: value + 1 for name, value in STATE.items()}


def under(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


def opened(
    content: Any, folder: Path, trust: bool = True, arch: str = "tests.loaders.torch_archs:small", ending: str = ".th"
) -> Any:
    path = folder / f"checkpoint{ending}"
    torch.save(content, path)
    assert path.suffix in TorchLoader.info.suffixes
    return TorchLoader().load(path, LoadOptions(input_shape=SHAPE, arch=arch, trust=trust))


class Settings:
    """A class of the author's that nobody else has."""

    def __init__(self) -> None:
        self.rate = 0.1


FITTING: dict[str, tuple[Any, str]] = {
    "no counters": ({k: v for k, v in STATE.items() if "num_batches" not in k}, "num_batches_tracked"),
    "averaged": (AveragedModel(NET).state_dict(), "n_averaged"),
    "a loss": ({**under("model.", STATE), "criterion.pos_weight": torch.ones(5)}, "criterion.pos_weight"),
    "a trainer": (
        {"state_dict": {**under("net.", STATE), "loss_fn.weight": torch.ones(5), "val_acc.total": torch.zeros(())}},
        "loss_fn.weight",
    ),
    "counted operations": ({**STATE, "total_ops": torch.zeros(1), "0.total_params": torch.zeros(1)}, "total_ops"),
    "any prefix": (under("generator.module._orig_mod.", STATE), "generator.module._orig_mod."),
    "an optimiser": ({"model": STATE, "optimizer": torch.optim.Adam(NET.parameters()).state_dict(), "epoch": 3}, ""),
    "two copies": ({"ema": OTHER, "model": STATE}, "'model' was taken"),
    "two copies flat": ({**under("model_ema.", OTHER), **under("model.", STATE)}, "'model' was taken"),
    "teacher": ({**under("teacher.", OTHER), **under("student.", STATE)}, "'student' was taken"),
    "only averaged": ({"ema": {**under("module.", STATE), "num_updates": torch.ones(())}}, "num_updates"),
    "numpy scalar": ({"model": STATE, "best": np.float64(0.9)}, "left out"),
    "namespace": ({"model": STATE, "args": argparse.Namespace(lr=0.1, out=Path("x"))}, "left out"),
    "settings": ({"model": STATE, "cfg": [Settings()], "lr": functools.partial(print, 1)}, "left out"),
}


@pytest.mark.parametrize("kind", FITTING)
def test_what_stands_beside_the_weights_is_left_aside_and_said(kind: str, tmp_path: Path) -> None:
    content, word = FITTING[kind]
    model = opened(content, tmp_path)
    assert torch.equal(model.logits(X), NET(X).detach())
    assert not word or any(word in note for note in model.info.notes), model.info.notes


MISFITS: dict[str, tuple[Any, str]] = {
    "a layer more": ({**STATE, "9.weight": torch.ones(3)}, "9.weight"),
    "a layer more inside": (under("model.", {**STATE, "9.weight": torch.ones(3)}), "9.weight"),
    "a layer less": ({k: v for k, v in STATE.items() if k != "4.bias"}, "4.bias"),
    "another size": ({**STATE, "4.bias": torch.ones(7)}, r"4.bias \(7,\) for \(5,\)"),
    "a head beside": ({**under("backbone.", STATE), "head.weight": torch.ones(2, 5)}, "head.weight"),
    "normalisation beside": ({**under("model.", STATE), "mean": torch.ones(3)}, "mean"),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_weights_that_do_not_fit_are_refused_with_names(kind: str, tmp_path: Path) -> None:
    content, word = MISFITS[kind]
    with pytest.raises(ModelError, match=f"do not fit.*{word}"):
        opened(content, tmp_path)


def test_numbered_layers_are_no_copies(tmp_path: Path) -> None:
    two = nn.Sequential(nn.Linear(144, 144), nn.Linear(144, 144))
    with pytest.raises(ModelError, match="do not fit"):
        opened(two.state_dict(), tmp_path, arch="tests.loaders.torch_archs:one_layer")


def test_tied_weights_need_one_name(tmp_path: Path) -> None:
    tied = network(torch_archs.Tied)
    path = tmp_path / "tied.safetensors"
    safetensors.torch.save_model(tied, str(path))
    options = LoadOptions(input_shape=SHAPE, arch="tests.loaders.torch_archs:Tied", trust=True)
    model = TorchLoader().load(path, options)
    assert torch.equal(model.logits(X), tied(X).detach())


@pytest.mark.parametrize("ending", [".th", ".pth", ".tar", ".pkl", ".ckpt"])
def test_every_usual_ending(ending: str, tmp_path: Path) -> None:
    assert torch.equal(opened(STATE, tmp_path, ending=ending).logits(X), NET(X).detach())


def test_nothing_pickled_runs_with_trust_or_without(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {marker}",)

    beside = {"model": STATE, "evil": Evil(), "list": [Evil()]}
    assert torch.equal(opened(beside, tmp_path).logits(X), NET(X).detach())
    for kind in ("numpy scalar", "namespace", "settings"):
        with pytest.raises(ModelError, match="beside its weights") as caught:
            opened(FITTING[kind][0], tmp_path, trust=False)
        assert "--trust" in caught.value.hint
    with pytest.raises(ModelError, match="runs code"):
        opened(NET, tmp_path)
    assert not marker.exists()


def scripted(module: nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.script(module), path)


def traced(module: nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.trace(module, X, check_trace=False), path)


def exported(module: nn.Module, path: Path, images: int = 4, fixed: bool = False) -> None:
    shapes = None if fixed else ({0: torch.export.Dim("n")},)
    torch.export.save(torch.export.export(module, (X[:images],), dynamic_shapes=shapes), path)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("write", [scripted, traced, exported])
def test_training_mode_is_said_where_it_is_true(write: Any, tmp_path: Path) -> None:
    path = tmp_path / ("m.pt2" if write is exported else "m.pt")
    for mode in (False, True):
        net = network().train(mode)
        write(net, path)
        model = TorchLoader().load(path, LoadOptions(input_shape=SHAPE, trust=True))
        assert any("training mode" in note for note in model.info.notes) == mode
        if not mode or write is scripted:
            assert torch.allclose(model.logits(X), NET(X).detach(), atol=1e-6)
            travelled = pickle.loads(pickle.dumps(model))
            assert torch.allclose(travelled.logits(X), NET(X).detach(), atol=1e-6)


@pytest.mark.parametrize("images", [1, 3, 4])
def test_exported_for_a_fixed_number_of_images(images: int, tmp_path: Path) -> None:
    exported(NET, tmp_path / "m.pt2", images, fixed=True)
    model = TorchLoader().load(tmp_path / "m.pt2", LoadOptions(input_shape=SHAPE, trust=True))
    assert isinstance(model, TorchClassifier)
    assert model.info.batch == images
    assert torch.allclose(model.logits(X), NET(X).detach(), atol=1e-6)
    leaf = X.clone().requires_grad_(True)
    model.twin(leaf).sum().backward()
    assert leaf.grad is not None
    assert float(leaf.grad.flatten(1).abs().amax(1).min()) > 0
