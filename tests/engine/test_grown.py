"""More samples into the same folder: what is finished stays as far as it is what would be made, and the document is
that of a fresh run, killed or not, defended or not."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from robusteval.api import Defended, DefenseInfo, Samples
from robusteval.contracts.classifier import Classifier
from robusteval.engine.chunks import CHUNK, block_ends, chunk_of, largest_chunk
from robusteval.engine.data.labels import drawn_rows
from robusteval.engine.plan.job import Job
from robusteval.engine.run.folder import claim
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.runner import plan_of, run
from robusteval.engine.schedule import executors, schedule
from robusteval.engine.units import grown
from robusteval.engine.units.store import UnitStore
from robusteval.errors import RecordError
from tests.engine import toys
from tests.engine.test_runner import text

DATA = 700


@dataclass(frozen=True)
class Bright:
    """Rejects bright images; its scale is that of the samples that are evaluated, where nothing is there to fit it."""

    info: ClassVar[DefenseInfo] = DefenseInfo("test.bright", "1", "detector", False, "toy", "none")
    threshold: float = 0.53

    def fit(self, model: Classifier, data: Samples | None, rng: torch.Generator) -> Defended:
        return Defended(model, self)

    def score(self, x: Tensor) -> Tensor:
        return x.mean(1)

    twin = score


SMALL = """
name = "small"
version = "1"
norms = ["l2"]
metrics = ["cost"]
probe_samples = 0
[[attack]]
plugin = "test.walk"
"""
# stochastic attacks, probes, a cascade, an oblivious, an adaptive and a transferred cell
BARE = (
    SMALL.replace("probe_samples = 0", "probe_samples = 20").replace('["l2"]', '["l2", "linf"]')
    + """
norms = ["l2"]
[[attack]]
plugin = "pgd"
params = { steps = 2 }
search = 1
norms = ["linf"]
[[cascade]]
name = "pair"
eps = { l2 = [0.03] }
[[cascade.member]]
plugin = "noise"
[[cascade.member]]
plugin = "test.walk"
"""
)
DEFENCE = """
[[defense]]
plugin = "test.nothing"
oblivious = ["test.walk"]
adaptive = ["pgd"]
"""
SUITES = {"bare": BARE, "defended": BARE + DEFENCE, "detected": BARE + DEFENCE.replace("nothing", "bright")}


def job_of(tmp_path: Path, suite: str, samples: int, folder: str = "run", **more: Any) -> Job:
    (tmp_path / "toy.toml").write_text(suite)
    data = toys.samples(model := toys.linear(), count=DATA)
    catalogue = toys.catalogue(*toys.TOYS, ("defense", Bright))
    stated: dict[str, Any] = {
        "suite": str(tmp_path / "toy.toml"),
        "data": (data.x, data.y),
        "samples": samples,
        "seed": 3,
    }
    options = RunOptions(**stated | more)
    return dataclasses.replace(prepare_job(model, catalogue, options), folder=tmp_path / folder)


class KilledError(BaseException):
    pass


def dying(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, after: int) -> None:
    """What is called so dies instead of its call after so many."""
    honest: Callable[..., Any] = getattr(place, name)
    calls: list[int] = []

    def die(*given: Any) -> Any:
        if len(calls) == after:
            raise KilledError
        calls.append(1)
        return honest(*given)

    monkeypatch.setattr(place, name, die)


def killed(job: Job, place: Any, name: str, after: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, place, name, after)
        with pytest.raises(KilledError):
            run(job)


def resumed(job: Job) -> tuple[str, int]:
    """(the document without its times, how many units were there)."""
    told: list[int] = []
    record = run(job, lambda progress: told.append(progress.resumed))
    return text(record), told[0]


def whole_units(job: Job, rows: int, bare_only: bool) -> int:
    """Units of the cells of a plan that lie in the first `rows` samples."""
    plan = plan_of(job)
    cells = [planned for planned in plan.planned if not bare_only or planned.cell.defense == "none"]
    return len(cells) * (rows // plan.chunk) + (len(plan.probes) if rows else 0)


KILLS = {
    "not": None,
    "while fewer are attacked": (executors, "attempt", 3, True),
    "before anything is taken over": (schedule, "grow", 0, False),
    "while units are taken over": (grown, "_seal_anew", 2, False),
    "while more are attacked": (executors, "attempt", 2, False),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Callable[[str], tuple[Path, str]]:
    """By suite, once: (the folder of a run on few samples, the document of one on many)."""

    @functools.cache
    def made(suite: str) -> tuple[Path, str]:
        folder = tmp_path_factory.mktemp(suite)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ROBUSTEVAL_CACHE", str(cache))
            run(job_of(folder, SUITES[suite], CHUNK, "few"))
            return folder / "few", text(run(job_of(folder, SUITES[suite], 2 * CHUNK, "fresh")))

    return made


CASES = [*product(SUITES, ["not", "while units are taken over"]), *(("defended", kill) for kill in [*KILLS][1:3])]


@pytest.mark.parametrize(("suite", "kill"), [*CASES, ("defended", "while more are attacked")])
def test_grown_it_is_the_run_that_was_asked_for_at_once(
    tmp_path: Path, done: Callable[[str], tuple[Path, str]], suite: str, kill: str
) -> None:
    few, many = (job_of(tmp_path, SUITES[suite], count) for count in (CHUNK, 2 * CHUNK))
    before, fresh = done(suite)
    how = KILLS[kill]
    if how is None or not how[3]:
        shutil.copytree(before, few.folder)
    if how is not None:
        killed(few if how[3] else many, *how[:3])
    grown_up, kept = resumed(many)
    assert grown_up == fresh
    expected = whole_units(many, CHUNK, bare_only=suite == "detected")
    if kill == "while fewer are attacked":
        assert kept == 3
    elif kill == "while more are attacked":
        assert kept == expected + 2
    else:
        assert kept == expected
    there = len(list((few.folder / "units").glob("*.npz")))
    if kill == "not":
        assert resumed(many) == (fresh, there)


def test_the_chunks_of_whole_blocks_stay_as_often_as_it_grows(tmp_path: Path) -> None:
    before = 60
    run(job_of(tmp_path, SMALL, before))
    for count, kept in ((150, 0), (250, 100), (500, 200), (650, 500), (DATA, 0)):  # all are in the order of the data
        job = job_of(tmp_path, SMALL, count)
        document, found = resumed(job)
        assert found == whole_units(job, kept, bare_only=False)
        if count in (250, 650):
            assert document == text(run(dataclasses.replace(job, folder=tmp_path / f"fresh{count}")))


@pytest.mark.parametrize("target", ["least-likely", "all", "1"])
def test_targets_grow_too(tmp_path: Path, target: str) -> None:
    """Where one class is the target its samples are left out, so that chunks hold others."""
    run(job_of(tmp_path, SMALL, CHUNK, target=target))
    job = job_of(tmp_path, SMALL, 2 * CHUNK, target=target)
    document, found = resumed(job)
    assert bool(found) == (target != "1")
    assert document == text(run(dataclasses.replace(job, folder=tmp_path / "fresh")))


OTHERS: dict[str, dict[str, Any]] = {
    "fewer samples": {"samples": 50},
    "another seed": {"seed": 4},
    "another target": {"target": "all"},
    "other images": {"data": None},
    "another suite": {"suite_text": SMALL.replace('version = "1"', 'version = "2"')},
}


def test_another_run_is_no_growth(tmp_path: Path) -> None:
    first = job_of(tmp_path, SMALL, CHUNK)
    run(first)
    before = {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()}
    data = toys.samples(toys.linear(), count=DATA, seed=9)
    for other, stated in OTHERS.items():
        more: dict[str, Any] = {"samples": 2 * CHUNK, "suite_text": SMALL} | stated
        if other == "other images":
            more["data"] = (data.x, data.y)
        with pytest.raises(RecordError, match="another run"):
            run(job_of(tmp_path, more.pop("suite_text"), **more))
    assert {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()} == before


UNREADABLE = (
    b"", b"[" * 200_000, b"[]", b"{}", b'{"plan": 1, "rest": "", "images": [], "beside": {}}', b"\xff" * 9,
    b'{"plan": "", "rest": "", "images": [5], "beside": {}}',
    b'{"plan": "", "rest": "", "images": [], "beside": {"a": 5}}',
)  # fmt: skip


def test_what_was_written_down_and_cannot_be_read_lets_nothing_grow(tmp_path: Path) -> None:
    few, many = (job_of(tmp_path, SMALL, count) for count in (CHUNK, 2 * CHUNK))
    run(few)
    path = few.folder / "units" / grown.SAMPLES_SEEN
    for content in UNREADABLE:
        path.write_bytes(content)
        with pytest.raises(RecordError, match="another run"):
            run(many)
    assert resumed(few)[1] == 1  # and the run itself goes on
    assert grown.may_grow(few.folder, plan_of(many), many.samples.hashes())


@pytest.mark.parametrize("changed", ["answers", "seal"])
def test_what_is_not_the_same_is_made_again(tmp_path: Path, changed: str) -> None:
    few, many = (job_of(tmp_path, SMALL, count) for count in (CHUNK, 2 * CHUNK))
    run(few)
    path, victim = few.folder / "units" / grown.SAMPLES_SEEN, UnitStore(few.folder, "").path("none/test.walk/l2", 0)
    if changed == "answers":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"beside": {"none": ["0" * 32]}}))
    else:
        victim.write_bytes(victim.read_bytes()[:-70] + b"0" * 70)
    document, found = resumed(many)
    assert found == 0
    assert document == text(run(dataclasses.replace(many, folder=tmp_path / "fresh")))


def test_how_passes_are_done_stays(tmp_path: Path) -> None:
    claim(tmp_path, "a", overwrite=False)
    mark = tmp_path / "units" / "plan.json"
    mark.write_text(json.dumps({"plan": "a", "passes": {"onednn": False}}))
    assert claim(tmp_path, "b", overwrite=False, grows=lambda: True)
    assert json.loads(mark.read_text()) == {"plan": "b", "passes": {"onednn": False}}


@pytest.mark.parametrize("seed", range(3))
def test_more_samples_begin_as_fewer_do(seed: int) -> None:
    labels = torch.randint(0, 7, (2300,), generator=torch.Generator().manual_seed(seed)).numpy()
    most = drawn_rows(labels, 2000, seed)
    for count in (100, 200, 500, 1000, 2000):
        assert drawn_rows(labels, count, seed).tolist() == most[:count].tolist()
    for start, end in zip([0, *block_ends(2000)], block_ends(2000), strict=False):
        assert (most[start:end][1:] > most[start:end][:-1]).all()
    assert drawn_rows(labels, 60, seed).tolist() == sorted(set(most[:100]) & set(drawn_rows(labels, 60, seed)))
    assert drawn_rows(labels, 9999, seed).tolist() == list(range(2300))


@pytest.mark.parametrize("size", [1, 28, 64, 224, 512, 3000])
def test_no_chunk_lies_in_two_blocks(size: int) -> None:
    chunk = chunk_of((3, size, size))
    assert all(end % chunk == 0 for end in block_ends(5000))
    assert block_ends(5000) == [100, 200, 500, 1000, 2000, 5000]
    assert largest_chunk(0.2) == 1
    assert largest_chunk(chunk) == chunk
