"""The four MNIST models together: who fools whom at linf 0.2, and one attack against all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import robusteval
from robusteval.record.comparison import fooled
from tests.data import FOLDER, needs
from tests.sure import number, sure

FILES = [f"models/{name}.onnx" for name in ("lenet", "fc", "conv4", "mnist-8")]

SUITE = """
name = "mnist"
version = "1"
norms = ["linf"]
samples = 60
probe_samples = 0
transfer = { attack = "pgd", norm = "linf", eps = 0.2 }
clever = { samples = 4, batches = 20, batch_size = 32 }
[[attack]]
plugin = "pgd"
search = 2
params = { steps = 10 }
[[attack]]
plugin = "fgsm"
search = 3
"""


@needs(*FILES, "mnist/test1000.npz", original=False)
@pytest.mark.long  # of two models it is tests/cli/test_several.py's
def test_four_mnist_models_in_one_run(tmp_path: Path) -> None:
    (tmp_path / "mnist.toml").write_text(SUITE)
    files = [FOLDER / name for name in FILES]
    data = FOLDER / "mnist" / "test1000.npz"
    made = robusteval.compare(files, data, str(tmp_path / "mnist.toml"), out=tmp_path / "run")
    shares = [[sure(fooled(made, source, target))[0].value for target in range(4)] for source in range(4)]
    for source in range(4):
        assert sure(shares[source][source]) > 0.7  # each is broken by what was made on it
        assert all(sure(shares[source][source]) >= sure(shares[source][target]) for target in range(4))
    # and much of it carries over
    assert sum(sure(shares[i][j]) > 0.05 for i in range(4) for j in range(4) if i != j) >= 6
    pgd = next(result for result in made.results if result.tags.get("attack") == "pgd")
    assert [curve.label for curve in pgd.curves] == ["lenet", "fc", "conv4", "mnist-8"]
    for record in made.records.values():
        (row,) = record.estimates
        table = next(result for result in record.results if result.name == "clever/linf")
        above = [line for line in table.rows if line[6] is not None and number(line[6]) > 1]
        assert bool(above) == any(finding.code == "clever-above-attack" for finding in record.findings)
        assert len(row.value) == 4
