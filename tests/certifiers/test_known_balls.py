"""Balls with verdicts of other verifiers: nothing is proved that is known to hold an adversarial; and how much is
proved."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from robusteval_certifiers.alpha_crown import AlphaCrown
from robusteval_certifiers.beta_crown import BetaCrown
from robusteval_certifiers.crown import Crown
from robusteval_certifiers.ibp import Ibp

from robusteval.api import Statement, load_model, proved
from robusteval.contracts.certificates.graph import graph_of
from tests.data import FOLDER, needs

NETS = tuple(f"vnncomp/verivital/Convnet_{kind}pool.onnx" for kind in ("avg", "max"))


def instances(net: str) -> tuple[Statement, list[bool]]:
    """(the statements about a net, which of them are proved by others)."""
    folder = FOLDER / "vnncomp"
    cases = [c for c in json.loads((folder / "verivital.json").read_text())["instances"] if net.endswith(c["onnx"])]
    pixels = np.array([case["x0_u8"] for case in cases], dtype=np.float32).reshape(-1, 1, 28, 28) / 255
    label = torch.tensor([case["label"] for case in cases])
    graph = graph_of(load_model(FOLDER / net))
    eps = torch.tensor([case["eps_pixel"] for case in cases], dtype=torch.float64)
    right = torch.nn.functional.one_hot(label, graph.classes).bool()
    asked = Statement(graph, torch.from_numpy(pixels).double(), label, right, "linf", eps, (0.0, 1.0))
    return asked, [case["verdict"].startswith("unsat") for case in cases]


@needs("vnncomp/verivital.json", *NETS)
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("net", NETS)
def test_nothing_is_proved_that_others_broke(net: str) -> None:
    asked, holds = instances(net)
    known = torch.tensor(holds)
    all_of_them = (Ibp(), Crown(), AlphaCrown(), BetaCrown())
    found = {certifier.info.name: proved(asked, certifier.bound(asked)) for certifier in all_of_them}
    for name, certain in found.items():
        assert not (certain & ~known).any(), name
    assert (found["crown"] >= found["ibp"]).all()
    assert (found["alpha-crown"] >= found["crown"]).all()
    assert (found["beta-crown"] >= found["alpha-crown"]).all()
    assert int(found["crown"].sum()) >= 0.85 * int(known.sum())
    assert int(found["beta-crown"].sum()) >= 0.9 * int(known.sum())
