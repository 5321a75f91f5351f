"""`robusteval train ibp`: what it says is proved is what a certifier proves of the written file, and no more."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from robusteval_attacks.pgd import PGD
from robusteval_certifiers.ibp import Ibp

from robusteval.api import Aim, LoadOptions, Samples, Statement, graph_of, proved
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.fit.proved import ProvedShare, proved_share
from robusteval.engine.fit.train import split
from robusteval.loaders.onnx.plugin import OnnxLoader
from robusteval.testing import pose, safe_labels
from tests.cli.conftest import CNN, ROOT, Command

VIT = CNN.with_name("fashion-vit.onnx")
EPS = 0.02


def images(count: int) -> Samples:
    with np.load(ROOT / "robusteval" / "data" / "fashion_mnist.npz") as data:
        x = torch.from_numpy(data["x_train"][:count].astype(np.float32)).reshape(-1, 1, 28, 28) / 255
        return Samples(x, torch.from_numpy(data["y_train"][:count].astype(np.int64)))


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """600 images to learn from, as a file."""
    data = images(600)
    np.savez(tmp_path / "few.npz", x=(data.x * 255).round().byte().numpy(), y=data.y.numpy())
    return tmp_path / "few.npz"


def words(few: Path, out: Path, *more: str) -> tuple[object, ...]:
    params = ("--param", f"eps={EPS}", "--param", "epochs=3", "--param", "batch=16")
    return ("train", "ibp", CNN, "--fit-data", few, *params, "--out", out, *more)


def test_what_is_said_to_be_proved_is_proved_of_the_file_and_withstands_pgd(
    robusteval: Command, few: Path, tmp_path: Path
) -> None:
    out = tmp_path / "certified.onnx"
    screen = robusteval(*words(few, out, "--json"))
    assert screen.code == 0, screen.err
    told = json.loads(screen.out)
    assert told["held_out_seen_before"] is None, "the example's file does not say"
    said = told["certified"]
    held = split(images(600))[1]
    model = OnnxLoader().load(out, LoadOptions())
    eps = torch.full((len(held),), EPS, dtype=torch.float64)
    right = held.y[:, None] == torch.arange(10)
    asked = Statement(graph_of(model), held.x.double(), held.y, right, "linf", eps, (0.0, 1.0))
    holds = proved(asked, Ibp().bound(asked))
    assert 0.2 < said["accuracy"] < 1.0
    assert said == {
        "norm": "linf", "eps": EPS, "certifier": "ibp", "version": Ibp.info.version, "samples": len(held),
        "proved": int(holds.sum()), "reason": "", "accuracy": int(holds.sum()) / len(held),
    }  # fmt: skip
    found = PGD(steps=20).run(pose(model, held.x, safe_labels(held.y, 10), "linf", eps=EPS))
    assert bool((model.logits(found).argmax(1) == held.y)[holds].all())


def test_the_sentence_names_norm_eps_range_and_certifier(robusteval: Command, few: Path, tmp_path: Path) -> None:
    screen = robusteval(*words(few, tmp_path / "wide.onnx", "--range", "0,255"))
    assert screen.code == 0, screen.err
    (line,) = (line for line in screen.out.splitlines() if line.startswith("Certified accuracy"))
    assert line.startswith("Certified accuracy within Linf 5.1 (pixels in 0 to 255) on the same samples: ")
    assert "proved by the certifier ibp on the written file" in line
    other = tmp_path / "other.onnx"
    screen = robusteval("train", "label-embedding", CNN, "--fit-data", few, "--param", "epochs=1", "--out", other)
    assert screen.code == 0, screen.err
    assert "Certified" not in screen.out


def test_a_model_without_intervals_is_refused_before_anything_is_trained(
    robusteval: Command, few: Path, tmp_path: Path
) -> None:
    out = tmp_path / "certified.onnx"
    screen = robusteval("train", "ibp", VIT, "--fit-data", few, "--out", out)
    assert screen.code == 2
    assert "The defence ibp cannot bound this model, because of node" in screen.err
    assert "epoch" not in screen.err
    assert not out.exists()


def test_what_no_certifier_covers_is_not_known_and_not_0() -> None:
    share = proved_share(VIT, Aim("linf", 0.1, "ibp"), images(20), discover())
    assert share.accuracy is None
    assert share.reason.startswith("node ")
    assert ProvedShare("linf", 0.1, "ibp", "1", 20).accuracy == 0.0


@pytest.mark.parametrize("words", [("show", "ibp", "--json"), ("check", "ibp")])
def test_a_name_of_two_kinds_asks_which(words: tuple[str, ...], robusteval: Command) -> None:
    screen = robusteval("plugins", *words)
    assert screen.code == 2
    assert "There are several plugins named 'ibp': certifier, defense." in screen.err
    assert "--kind certifier" in screen.err
    shown = robusteval("plugins", "show", "ibp", "--kind", "defense", "--json")
    assert json.loads(shown.out)["kind"] == "defense"
