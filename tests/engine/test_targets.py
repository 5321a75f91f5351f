"""Targeted runs and images on a grid, through the engine, against closed forms of a linear model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
import torch

from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.contracts.samples import Samples
from robusteval.engine.run import runner
from robusteval.engine.selftest import random_search
from robusteval.engine.suite import goals as targets
from robusteval.engine.suite.options import NoiseDraws
from robusteval.engine.suite.suite import parse
from robusteval.errors import RobustEvalError
from robusteval.record.run import Record
from tests.engine import toys
from tests.sure import sure

SUITE = """
name = "targeted"
version = "1"
norms = ["l2", "linf"]
probe_samples = 0
[[attack]]
plugin = "ddn"
params = { loss = "margin" }
[[attack]]
plugin = "pgd"
params = { loss = "margin" }
"""


def run(tmp_path: Path, target: Any, suite: str = SUITE, count: int = 12) -> tuple[toys.Linear, Samples, Record]:
    catalogue = toys.catalogue()
    model = toys.linear()
    data = targets.without_target(toys.samples(model, count), target)
    job = runner.Job(model, data, parse(suite, "test", catalogue), catalogue, tmp_path, target=target)
    return model, data, runner.run(job)


def smallest(model: toys.Linear, x: torch.Tensor, y: Any, goal: int) -> torch.Tensor:
    """L2 distance to the region of class goal, without the box: a projection on a polyhedron, by Dykstra's method."""
    point, weight = x.double().clone(), model.weight.double()
    others = [k for k in range(weight.shape[1]) if k != goal]
    parts = [torch.zeros_like(point) for _ in others]
    for _ in range(3000):
        for number, k in enumerate(others):
            normal = weight[:, goal] - weight[:, k]
            offset = (model.bias[k] - model.bias[goal]).double()
            raised = point + parts[number]
            moved = raised + (offset - raised @ normal).clamp_min(0) / normal.dot(normal) * normal
            parts[number], point = raised - moved, moved
    answer: torch.Tensor = (point - x.double()).norm()
    return answer


@pytest.mark.parametrize("target", ["class 2", "least-likely", "all", "untargeted"])
@pytest.mark.parametrize("levels", [0, 63])
def test_noise_draws_ask_what_the_attacks_were_asked(tmp_path: Path, target: str, levels: int) -> None:
    more = f"noise_draws = {{ samples = 6, draws = 600 }}\nlevels = {levels}\n[[attack]]"
    _, _, record = run(tmp_path, target, SUITE.replace("[[attack]]", more, 1))
    found = {row.norm: row for row in record.searches}
    assert set(found) == {"l2", "linf"}
    for row in found.values():
        assert len(row.hits) == 6
        assert sum(row.hits) == 0, "Points nearer than the nearest win of a targeted run may well be of other classes."
    (check,) = [check for check in record.checks if check.id == "noise-draws"]
    assert check.outcome == "pass"


def test_noise_finds_targeted_wins_that_an_attack_missed(tmp_path: Path) -> None:
    model, data, record = run(tmp_path, "class 2")
    for cell in record.cells:
        cell.distance = [None if value is None else 20 * value for value in cell.distance]
    asked = replace(parse(SUITE, "test", toys.catalogue()), noise_draws=NoiseDraws(6, 600))
    rows = random_search.search(record, Pipeline(Defended(model)), data, asked, 0, "class 2")
    assert sum(sum(row.hits) for row in rows) > 0


@pytest.mark.parametrize("target", ["class 2", "least-likely"])
def test_only_the_target_counts_and_the_nearest_point_of_its_region_is_found(tmp_path: Path, target: str) -> None:
    model, data, record = run(tmp_path, target)
    scores = model.logits(data.x)
    goals = torch.full_like(data.y, 2) if target == "class 2" else scores.argmin(1)
    assert (data.y != goals).all()
    for cell in record.done():
        assert cell.target == target
        assert cell.prediction == goals.tolist()
    (ddn,) = [cell for cell in record.done(norm="l2") if cell.plugin == "ddn"]
    for row in range(len(data)):
        best = float(smallest(model, data.x[row], int(data.y[row]), int(goals[row])))
        assert best * 0.999 <= sure(ddn.distance[row]) < best * 1.05


def test_every_other_class_in_turn_gives_a_table_and_the_nearest_counts(tmp_path: Path) -> None:
    model, data, record = run(tmp_path, "all")
    (ddn,) = [cell for cell in record.done(norm="l2") if cell.plugin == "ddn"]
    reach = model.double().smallest(data.x, data.y, 2)
    for row, columns in enumerate(ddn.by_target):
        assert columns[int(data.y[row])] == 0
        others = [sure(value) for k, value in enumerate(columns) if k != int(data.y[row])]
        assert ddn.distance[row] == min(others)
        assert columns[sure(ddn.prediction[row])] == ddn.distance[row]
        assert sure(ddn.distance[row]) < 1.05 * float(reach[row])


def test_a_target_that_is_not_a_class_is_refused() -> None:
    info = replace(toys.linear().info, class_names=("cat", "dog", "3", "owl"))
    assert [targets.parse(text, info) for text in ("dog", "2", "3", "all")] == ["class 1", "class 2", "class 2", "all"]
    for text in ("4", "-1", "cow", "1.5", ""):
        with pytest.raises(RobustEvalError, match="no class"):
            targets.parse(text, info)


@pytest.mark.parametrize("levels", [255, 15])
def test_on_a_grid_only_images_of_the_grid_count(tmp_path: Path, levels: int) -> None:
    suite = SUITE.replace("norms", f"levels = {levels}\nnorms")
    _, data, free = run(tmp_path / "free", "untargeted")
    _, _, record = run(tmp_path / "grid", "untargeted", suite)
    assert record.suite.levels == levels
    stored = safetensors.numpy.load((tmp_path / "grid" / sure(record.witnesses).file).read_bytes())
    for norm in ("l2", "linf"):
        steps = torch.from_numpy(stored[f"none.{norm}"]).double() * levels
        assert torch.allclose(steps, steps.round(), atol=1e-4)
        grid = [value for cell in record.done(norm=norm) for value in cell.distance]
        loose = [value for cell in free.done(norm=norm) for value in cell.distance]
        assert None not in grid
        # A step of the grid at most in each value is what rounding costs; it is dearer on the coarse grid.
        slack = 0.5 / levels * (data.x.shape[1] ** 0.5 if norm == "l2" else 1)
        assert all(sure(value) <= sure(old) + 2.5 * slack for value, old in zip(grid, loose, strict=True))
    if levels == 255:
        assert all(all(cell.survives_8bit) for cell in record.done())
