"""Shards and their merge: the document of the undivided run, or one sentence; a folder is believed in nothing."""

from __future__ import annotations

import dataclasses
import itertools
import zipfile
from pathlib import Path
from typing import Any

import pytest

from robusteval.contracts.plugins import Defended
from robusteval.engine.plan.shards import Shard, shard_of
from robusteval.engine.run.merge import merge
from robusteval.engine.run.runner import plan_of, run
from robusteval.engine.run.shard import read_page, run_shard
from robusteval.engine.schedule.schedule import Progress
from robusteval.engine.units.store import UnitStore
from robusteval.errors import RecordError, SuiteError
from tests.engine import faulty, toys
from tests.engine.parts import COUNT, Copies, Made, copies, made, rewritten, units_in
from tests.engine.test_runner import make_job, text

__all__ = ["copies", "made"]  # fixtures


def test_merged_shards_are_the_undivided_run(made: Made, tmp_path: Path) -> None:
    job, record, parts = made
    merged = merge(dataclasses.replace(job, folder=tmp_path / "merged"), parts)
    assert text(merged) == text(record)
    assert {cell.status for cell in merged.cells} == {"done"}
    assert {cell.knowledge for cell in merged.cells} == {"none", "adaptive", "oblivious"}
    assert merged.searches
    assert merged.probes
    witnesses = [(folder / "witnesses.safetensors").read_bytes() for folder in (job.folder, tmp_path / "merged")]
    assert witnesses[0] == witnesses[1]
    assert not (tmp_path / "merged" / "shard.json").exists()


def test_every_unit_is_of_one_shard_and_each_has_some(made: Made) -> None:
    job, _, parts = made
    names = [path.name for part in parts for path in units_in(part)]
    assert len(names) == len(set(names))
    assert all(len(units_in(part)) >= 2 for part in parts)
    looking_on = {path.name for path in units_in(job.folder)} - set(names)
    assert looking_on
    assert all("oblivious" in name or "bare-adversarials" in name for name in looking_on)
    assert not any((part / name).exists() for part in parts for name in ("record.json", "report.html"))


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_a_shard_depends_on_the_name_of_the_unit_alone_and_the_chunks_of_a_cell_go_round(count: int) -> None:
    shards = [Shard(number + 1, count) for number in range(count)]
    for cell in ("none/pgd/linf", "none/fgsm/l2", "x"):
        owners = [[shard.number for shard in shards if shard.holds(cell, chunk)] for chunk in range(2 * count)]
        assert all(len(owner) == 1 for owner in owners)
        assert sorted(owner[0] for owner in owners) == sorted([*range(1, count + 1)] * 2)


PGD_AT = 2  # the shard of eight that has its first chunk: never to change, as shards of two versions would overlap


def test_the_shard_of_a_unit_stays_what_it_was() -> None:
    assert [number for number in range(1, 9) if Shard(number, 8).holds("none/pgd/linf", 0)] == [PGD_AT]


@pytest.mark.parametrize(
    "said", ["", "3", "0/3", "4/3", "-1/3", "1/0", "1/3/5", "a/b", "1/99999", "1.5/3", "\u0663/\u0668"]
)
def test_what_is_no_shard_is_refused(said: str) -> None:
    with pytest.raises(SuiteError, match="is no shard"):
        shard_of(said)
    assert shard_of(" 3/8 ") == Shard(3, 8)


@pytest.mark.parametrize("left_out", [(0,), (1, 2)])
def test_what_is_missing_is_named(made: Made, tmp_path: Path, left_out: tuple[int, ...]) -> None:
    job, _, parts = made
    given = [part for place, part in enumerate(parts) if place not in left_out]
    with pytest.raises(RecordError, match=r"units are missing: none/") as raised:
        merge(dataclasses.replace(job, folder=tmp_path / "merged"), given)
    assert all(f"{place + 1}/3" in raised.value.message for place in left_out)
    assert not (tmp_path / "merged" / "record.json").exists()
    assert text(merge(dataclasses.replace(job, folder=tmp_path / "merged"), parts)) == text(
        made[1]
    )  # and taken up again


def test_an_unfinished_shard_goes_on_from_there(made: Made, tmp_path: Path) -> None:
    job, record, parts = made
    part = dataclasses.replace(job, folder=tmp_path / "part1")

    class KilledError(Exception):
        pass

    def dying(progress: Progress) -> None:
        if progress.cell:
            raise KilledError

    with pytest.raises(KilledError):
        run_shard(part, Shard(1, COUNT), ["toy"], dying)
    out = dataclasses.replace(job, folder=tmp_path / "merged")
    with pytest.raises(RecordError) as raised:
        merge(out, [part.folder, *parts[1:]])
    assert f"Not finished: {part.folder} (shard 1/3)" in raised.value.hint
    resumed = []
    run_shard(part, Shard(1, COUNT), ["toy"], lambda progress: resumed.append(progress.resumed))
    assert resumed[0] == 1
    assert text(merge(out, [part.folder, *parts[1:]])) == text(record)


def test_what_failed_in_a_shard_failed_in_the_run_and_is_not_tried_again(tmp_path: Path) -> None:
    suite = faulty.attacks("raise")
    whole = run(faulty.job(tmp_path, suite))
    job, parts = faulty.job(tmp_path, suite), [tmp_path / "a", tmp_path / "b"]
    for number, part in enumerate(parts, 1):
        done = run_shard(dataclasses.replace(job, folder=part), Shard(number, 2), [])
        assert set(done.failures) <= {"none/bad-raise/linf"}
    tried = []
    merged = merge(dataclasses.replace(job, folder=tmp_path / "merged"), parts, lambda item: tried.append(item.cell))
    assert text(merged) == text(whole)
    assert "none/bad-raise/linf" not in tried
    assert {cell.status for cell in merged.cells} == {"done", "failed"}


def test_where_shards_were_made_on_another_machine_the_record_says_so(copies: Copies, made: Made) -> None:
    job, parts = copies
    rewritten(parts[2], lambda page: page.environment.update(torch="0.0", processor="a faster one"))
    merged = merge(job, parts)
    assert merged.environment["shards"] == "Some units were made elsewhere: processor a faster one; torch 0.0"
    del merged.environment["shards"]
    assert text(merged) == text(made[1])


@pytest.mark.parametrize("order", [*itertools.permutations(range(COUNT))][1::2])
def test_the_order_of_the_shards_is_all_one(made: Made, tmp_path: Path, order: tuple[int, int, int]) -> None:
    job, record, parts = made
    assert text(merge(dataclasses.replace(job, folder=tmp_path / "m"), [parts[place] for place in order])) == text(
        record
    )


def test_folders_are_given_once_and_are_not_the_run_s_own(made: Made, tmp_path: Path) -> None:
    job, _, parts = made
    with pytest.raises(RecordError, match="given twice"):
        merge(dataclasses.replace(job, folder=tmp_path / "m"), [*parts, parts[0].parent / "." / parts[0].name])
    with pytest.raises(RecordError, match="is one of the shards"):
        merge(dataclasses.replace(job, folder=parts[0]), parts)


def test_a_shard_stays_in_its_folder(made: Made, copies: Copies) -> None:
    job, parts = copies
    with pytest.raises(RecordError, match="holds shard 1/3, not 2/3"):
        run_shard(dataclasses.replace(job, folder=parts[0]), Shard(2, 3), [])
    with pytest.raises(RecordError, match="holds a whole run"):
        run_shard(made[0], Shard(2, 3), [])
    other = dataclasses.replace(job, folder=parts[0], seed=3)
    with pytest.raises(RecordError, match="another run"):
        run_shard(other, Shard(1, 3), [])
    assert run_shard(dataclasses.replace(other, overwrite=True), Shard(2, 3), []).units == len(units_in(parts[0]))
    assert read_page(parts[0]).shard == "2/3"


def test_the_whole_run_may_go_on_in_a_shard_s_folder(copies: Copies, made: Made) -> None:
    job, parts = copies
    resumed = []
    record = run(dataclasses.replace(job, folder=parts[0]), lambda progress: resumed.append(progress.resumed))
    assert resumed[0] == len(units_in(made[2][0]))
    assert text(record) == text(made[1])
    with pytest.raises(RecordError, match="not the folder of a shard"):
        merge(job, parts)


def test_a_shard_fits_the_defences_that_its_units_stand_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = []
    honest = toys.Nothing.fit

    def fit(self: toys.Nothing, *given: Any) -> Defended:
        fitted.append(1)
        return honest(self, *given)

    monkeypatch.setattr(toys.Nothing, "fit", fit)
    job = make_job(tmp_path)
    count = 50
    behind = [
        number
        for number in range(1, count + 1)
        if any(
            Shard(number, count).holds(f"test.nothing/test.walk/{norm}/adaptive", n)
            for n in (0, 1)
            for norm in ("l2", "linf")
        )
    ]
    other = next(number for number in range(1, count + 1) if number not in behind)
    run_shard(dataclasses.replace(job, folder=tmp_path / "a"), Shard(other, count), [])
    assert not fitted
    run_shard(dataclasses.replace(job, folder=tmp_path / "b"), Shard(behind[0], count), [])
    assert len(fitted) == 1


def test_stored_units_are_archives_that_unfold_to_no_more_than_they_are(made: Made) -> None:
    path = units_in(made[2][0])[0]
    with zipfile.ZipFile(path) as archive:
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}
    assert UnitStore(made[2][0], plan_of(made[0]).sha256).folder == path.parent
