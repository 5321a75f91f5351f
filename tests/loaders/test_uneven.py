"""Models whose number of classes changes with the batch, and inputs of which no attack would fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from robusteval.cli.inspect_command import command as inspect_command
from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.errors import ModelError
from robusteval.loaders import input_space
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.loaders.pytorch.classifier import TorchClassifier
from tests.cli.conftest import Command
from tests.cli.conftest import quick as quick  # noqa: PLC0414 - a fixture
from tests.cli.conftest import robusteval as robusteval  # noqa: PLC0414 - another
from tests.loaders import exports

WIDER = 4  # classes up to so many rows; with more there is one more


def wider(path: Path) -> Path:
    """[n, 10] -> [n, 10], and [n, 10 + n - 4] for more than four rows: as many columns of zeros beside the others."""
    node = helper.make_node
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Slice", ["s", "zero", "one"], ["n"]),
        node("Sub", ["n", "few"], ["over"]),
        node("Max", ["over", "zero"], ["more"]),
        node("Concat", ["zero", "zero", "zero", "more"], ["pads"], axis=0),
        node("Pad", ["x", "pads"], ["y"]),
    ]
    few = {"zero": np.array([0], np.int64), "one": np.array([1], np.int64), "few": np.array([WIDER], np.int64)}
    return exports.save(path, nodes, few, x=["n", 10], y=["n", "k"])


class Wider(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return nn.functional.pad(flat, (0, 1)) if len(x) > WIDER else flat


def opened(kind: str, folder: Path) -> Classifier:
    if kind == "onnx":
        return load_onnx(wider(folder / "w.onnx"), LoadOptions())
    return TorchClassifier.from_module(Wider(), (10,), LoadOptions())


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_a_number_of_classes_that_changes_is_one_sentence(kind: str, tmp_path: Path) -> None:
    def asked() -> None:
        model = opened(kind, tmp_path)
        for rows in (64, 2):
            model.logits(torch.rand(rows, 10))

    with pytest.raises(ModelError, match="classes changes with the batch") as caught:
        asked()
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("words", [("inspect",), ("run",)])
def test_at_the_command_line(words: tuple[str, ...], robusteval: Command, tmp_path: Path, quick: Path) -> None:
    path = wider(tmp_path / "w.onnx")
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).random((40, 10), np.float32), y=np.arange(40) % 10)
    more = ("--suite", quick, "--workers", 1) if words == ("run",) else ()
    screen = robusteval(*words, path, "--data", tmp_path / "d.npz", *more)
    assert screen.code == 2, screen
    assert "Traceback" not in screen.err
    assert "classes" in screen.err
    assert inspect_command.name == "inspect"


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_an_input_of_which_no_attack_fits(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_space, "memory", lambda: 20e9)
    node = helper.make_node
    nodes = [node("GlobalAveragePool", ["x"], ["p"]), node("Flatten", ["p"], ["f"])]
    nodes.append(node("Concat", ["f", "f"], ["y"], axis=1))
    path = exports.save(tmp_path / "big.onnx", nodes, {}, x=["n", 1, 16000, 16000], y=["n", 2])
    module, shape = nn.Sequential(nn.Flatten(), nn.Identity()), (1, 16000, 16000)
    asks: dict[str, Callable[[], object]] = {
        "onnx": lambda: load_onnx(path, LoadOptions()),
        "torch": lambda: TorchClassifier.from_module(module, shape, LoadOptions()),
    }
    with pytest.raises(ModelError, match=r"1 x 16000 x 16000 is 1\.0 GB: .* about 32\.8 GB of memory, and 20\.0 GB"):
        asks[kind]()


def test_ordinary_inputs_are_never_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_space, "memory", lambda: pytest.fail("memory was asked for"))
    input_space.check_room((3, 224, 224))
    monkeypatch.setattr(input_space, "memory", lambda: None)
    input_space.check_room((3, 10**6, 10**6))
