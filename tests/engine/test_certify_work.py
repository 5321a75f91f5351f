"""What the search for certificates takes: as certifiers count it, and as it is foretold from the graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from robusteval.api import BoundWork, Proof
from robusteval.contracts.classifier import LoadOptions
from robusteval.contracts.params import make
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.certify import kept_slopes
from robusteval.engine.certify.work import RATE, foretold, spent_of
from robusteval.engine.suite.suite import read
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.record.run import Certificate
from tests import records
from tests.loaders.exports import export


@pytest.mark.parametrize("said", [torch.nan, -1.0, torch.inf])
def test_work_that_is_no_number_is_the_least(said: float) -> None:
    proof = Proof(torch.zeros(2).double(), work=torch.full((2,), said).double())
    spent = spent_of(proof, BoundWork(5.0, 9.0), 2)
    assert bool((spent >= 5).all())
    assert spent_of(Proof(torch.zeros(2).double()), BoundWork(5.0, 9.0), 2).tolist() == [5.0, 5.0]


def test_what_is_foretold_follows_from_the_graph(tmp_path: Path) -> None:
    body = nn.Sequential(nn.Flatten(), nn.Linear(36, 10), nn.ReLU(), nn.Linear(10, 3))
    net = export(body, tmp_path / "net.onnx", (1, 6, 6))
    model, catalogue = load_onnx(net, LoadOptions()), discover()
    suite = read("certify", catalogue)
    most = sum(make(catalogue.get("certifier", name), {}, name).work(model.graph(), "linf").most for name in
               suite.certify.certifiers)  # fmt: skip
    expected = 10 * 2 * min(9 * most, suite.certify.seconds * RATE) / RATE
    assert foretold(suite, catalogue, model, 10) == pytest.approx(expected, abs=0.01)
    assert 0 < foretold(suite, catalogue, object(), 10) < 0.01, "there is no graph, and rows say so"
    assert foretold(suite.untested(), catalogue, model, 10) == 0


def test_slopes_are_kept_of_what_no_cheaper_certifier_proved() -> None:
    """A dearer one starts from its radii, and proves at least as much."""
    radii = {"crown": [0.3, 0.1, 0.0], "alpha-crown": [0.3, 0.2, 0.1], "beta-crown": [0.4, 0.2, 0.3]}
    rows = [
        Certificate(name, "1", {}, "linf", "done", samples=[0, 1, 2], radius=values) for name, values in radii.items()
    ]
    record = replace(records.make(12), certificates=rows)
    assert kept_slopes._largest(record, rows[1]) == [1, 2]
