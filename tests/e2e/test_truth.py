"""Truth, not taste: balls that verifiers proved free of adversarials, and balls with known counterexamples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import robusteval
from robusteval.assessment.evidence.worst_case import envelope_of
from tests.data import FOLDER, missing, needs
from tests.sure import sure

SUITE = """
name = "truth"
version = "1"
norms = ["linf"]
samples = 60
probe_samples = 0
[[attack]]
plugin = "fgsm"
[[attack]]
plugin = "pgd"
params = { steps = 40, restarts = 2, loss = "margin" }
search = 8
[[attack]]
plugin = "deepfool"
[[attack]]
plugin = "square"
params = { queries = 500 }
search = 5
"""


STRANGERS = """
name = "strangers"
version = "1"
norms = ["l2", "linf"]
probe_samples = 0
[[attack]]
plugin = "fgsm"
search = 3
[[attack]]
plugin = "pgd"
params = { steps = 10, step = 0.25 }
search = 3
[[attack]]
plugin = "deepfool"
"""


@needs("vnncomp/verivital.json", *(f"vnncomp/verivital/Convnet_{kind}pool.onnx" for kind in ("avg", "max")))
@pytest.mark.slow
def test_no_win_falls_into_a_proved_ball_and_every_known_counterexample_is_found(tmp_path: Path) -> None:
    folder = FOLDER / "vnncomp"
    instances = json.loads((folder / "verivital.json").read_text())["instances"]
    (tmp_path / "truth.toml").write_text(SUITE)
    proved = broken = 0
    for net in sorted({instance["onnx"] for instance in instances}):
        mine = [instance for instance in instances if instance["onnx"] == net]
        x = np.array([case["x0_u8"] for case in mine], dtype=np.uint8).reshape(-1, 1, 28, 28)
        y = np.array([case["label"] for case in mine])
        record = robusteval.evaluate(folder / "verivital" / net, (x, y), str(tmp_path / "truth.toml"))
        assert [cell.id for cell in record.cells if cell.status != "done"] == []
        for case, distance in zip(mine, envelope_of(record, "linf", "none"), strict=True):
            if case["verdict"].startswith("unsat"):
                proved += 1
                assert distance > case["eps_pixel"] * (1 - 1e-4), case
            else:
                broken += 1
                assert distance <= case["eps_pixel"] * (1 + 1e-6), (case["vnnlib"], case["eps_pixel"], distance)
    assert (proved, broken) == (53, 7)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["lenet", "conv4", *(pytest.param(name, marks=pytest.mark.long) for name in ("fc", "mnist-8"))]
)
def test_strangers_get_a_sensible_report(name: str, tmp_path: Path) -> None:
    files = (f"models/{name}.onnx", "mnist/test1000.npz")
    if why := missing(*files, original=False):
        pytest.skip(why)
    (tmp_path / "s.toml").write_text(STRANGERS)
    record = robusteval.evaluate(
        FOLDER / "models" / f"{name}.onnx",
        FOLDER / "mnist" / "test1000.npz",
        str(tmp_path / "s.toml"),
        samples=50 if name == "conv4" else 150,  # a pass of conv4 costs ten of the others'
    )
    assert [cell.id for cell in record.cells if cell.status == "failed"] == []
    right = np.mean([a == b for a, b in zip(record.pipeline("none").prediction, record.data.labels, strict=True)])
    originals = not missing(*files)
    assert right > (0.96 if originals else 0.9)
    assert "<html" in record.to_html()[:200].lower()
    if name == "lenet" and originals:
        rho = [
            r
            for r in record.results
            if r.metric == "rho-adv" and r.kind == "scalar" and r.tags.get("attack") == "deepfool"
        ]
        assert len(rho) == 1
        assert 0.16 <= sure(rho[0].value) <= 0.22
