"""What an attack does to the bare model at each strength, on a linear model with two classes, where the budget
decides."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from robusteval.contracts.samples import Samples
from robusteval.engine.plan.job import Job
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.runner import run
from robusteval.engine.suite.suite import parse
from robusteval.errors import SuiteError
from robusteval.metrics.strength_curve import StrengthCurve
from tests.engine import toys
from tests.sure import sure

PLAIN = toys.SUITE.split("[[defense]]")[0]
KEPT = PLAIN.replace(
    "[[attack]]", "keep_strengths = true\nstrengths = [0.01, 0.04, 0.5]\nstretches = [0.5, 1.0, 1.5]\n[[attack]]", 1
)


def make(tmp_path: Path, text: str) -> tuple[toys.Linear, Samples, Job]:
    (tmp_path / "toy.toml").write_text(text)
    model = toys.linear(classes=2)
    data = toys.samples(model, count=50)
    catalogue = toys.catalogue(*toys.TOYS)
    job = prepare_job(model, catalogue, RunOptions(suite=str(tmp_path / "toy.toml"), data=(data.x, data.y)))
    return model, data, dataclasses.replace(job, folder=tmp_path / "run")


def test_strengths_are_measured_on_the_attacks_own_candidates(tmp_path: Path) -> None:
    model, data, job = make(tmp_path, KEPT)
    record = run(job)
    cells = {cell.id: cell for cell in record.cells}
    nearest = model.double().smallest(data.x.double(), data.y, 1.0)
    sign = cells["none/test.sign/linf"].strengths
    assert [strength.strength for strength in sign] == pytest.approx([0.005, 0.02, 0.25])
    for strength in sign:
        assert strength.fools_model == [bool(value) for value in nearest < strength.strength]
        assert strength.mean_distance == pytest.approx(strength.strength, rel=1e-4)  # all of the budget, won or not
        assert strength.mean_l2 == pytest.approx(strength.strength * 20**0.5, rel=1e-4)
        wrong = [answer != label for answer, label in zip(strength.prediction, record.data.labels, strict=True)]
        assert wrong == strength.fools_model
    walk = cells["none/test.walk/l2"].strengths
    assert [sum(strength.fools_model) for strength in walk] == [0, 50, 50]
    smallest = sum(map(sure, cells["none/test.walk/l2"].l2)) / 50
    assert [strength.mean_l2 for strength in walk] == pytest.approx(
        [0.5 * smallest, smallest, 1.5 * smallest], rel=1e-3
    )
    (curves,) = StrengthCurve().compute(record)
    assert [point.y for point in curves.curves[0].points] == [1.0, 1.0, 0.0, 0.0]


def test_taken_up_again_they_are_the_same(tmp_path: Path) -> None:
    _, _, job = make(tmp_path, KEPT)
    first, second = run(job), run(job)
    assert [cell.strengths for cell in first.cells] == [cell.strengths for cell in second.cells]


def test_nobody_pays_for_them_unasked(tmp_path: Path) -> None:
    _, _, job = make(tmp_path, PLAIN)
    assert all(cell.strengths == [] for cell in run(job).cells)


@pytest.mark.parametrize(
    "line",
    [
        "clever = 5",
        "clever = { samples = -1 }",
        "clever = { speed = 1 }",
        'clever = { targets = "some" }',
        'transfer = { norm = "l7" }',
        "transfer = { eps = 0 }",
        "keep_strengths = 1",
    ],
)
def test_a_suite_that_asks_for_nonsense_is_refused(line: str) -> None:
    with pytest.raises(SuiteError, match="not valid"):
        parse(PLAIN.replace("[[attack]]", f"{line}\n[[attack]]", 1), "toy", toys.catalogue(*toys.TOYS))
