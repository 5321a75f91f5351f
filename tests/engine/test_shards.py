"""Shards and their merge: the document of the undivided run, or one sentence; a shard's folder is believed in nothing."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from robusteval.engine.plan.shards import Shard, shard_of
from robusteval.engine.run import shard as shard_module
from robusteval.engine.run.merge import merge
from robusteval.engine.run.runner import plan_of, run
from robusteval.engine.run.shard import read_page, run_shard
from robusteval.engine.units.store import UnitStore, _sealed
from robusteval.errors import RecordError, RobustEvalError, SuiteError
from tests.engine import faulty, toys
from tests.engine.test_runner import make_job, text

# Everything that a document has: probes, an oblivious, an adaptive and a transferred cell, a cascade, and tests of the evaluation.
SUITE = (
    toys.SUITE.replace("probe_samples = 0", "probe_samples = 20\nnoise_draws = { samples = 5, draws = 50 }")
    + """
[[attack]]
plugin = "pgd"
params = { steps = 3 }
search = 2
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
COUNT = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory, cache):
    """A job in the folder `whole`, its undivided record, and the folders of its shards beside it."""
    folder = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUSTEVAL_CACHE", str(cache))
        job = dataclasses.replace(make_job(folder, SUITE), folder=folder / "whole")
        record = run(job)
        parts = [folder / f"part{number}" for number in range(1, COUNT + 1)]
        for number, part in enumerate(parts, 1):
            run_shard(dataclasses.replace(job, folder=part), Shard(number, COUNT), ["toy"])
    return job, record, parts


@pytest.fixture
def copies(made, tmp_path):
    """(a job with a new folder, copies of the shards to be spoilt)."""
    job, _, parts = made
    spoilt = [tmp_path / part.name for part in parts]
    for part, copy in zip(parts, spoilt, strict=True):
        shutil.copytree(part, copy)
    return dataclasses.replace(job, folder=tmp_path / "merged"), spoilt


def units_in(folder: Path) -> list[Path]:
    return sorted((folder / "units").glob("*.npz"))


def test_merged_shards_are_the_undivided_run(made, tmp_path):
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


def test_every_unit_is_of_one_shard_and_each_has_some(made):
    job, _, parts = made
    names = [path.name for part in parts for path in units_in(part)]
    assert len(names) == len(set(names))
    assert all(len(units_in(part)) >= 2 for part in parts)
    looking_on = {path.name for path in units_in(job.folder)} - set(names)
    assert looking_on
    assert all("oblivious" in name or "bare-adversarials" in name for name in looking_on)
    assert not any((part / name).exists() for part in parts for name in ("record.json", "report.html"))


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_a_shard_depends_on_the_name_of_the_unit_alone_and_the_chunks_of_a_cell_go_round(count):
    shards = [Shard(number + 1, count) for number in range(count)]
    for cell in ("none/pgd/linf", "none/fgsm/l2", "x"):
        owners = [[shard.number for shard in shards if shard.holds(cell, chunk)] for chunk in range(2 * count)]
        assert all(len(one) == 1 for one in owners)
        assert sorted(one[0] for one in owners) == sorted([*range(1, count + 1)] * 2)


PGD_AT = 2  # the shard of eight that has its first chunk: never to change, as shards of two versions would overlap


def test_the_shard_of_a_unit_stays_what_it_was():
    assert [number for number in range(1, 9) if Shard(number, 8).holds("none/pgd/linf", 0)] == [PGD_AT]


@pytest.mark.parametrize("said", ["", "3", "0/3", "4/3", "-1/3", "1/0", "1/3/5", "a/b", "1/99999", "1.5/3", "٣/٨"])
def test_what_is_no_shard_is_refused(said):
    with pytest.raises(SuiteError, match="is no shard"):
        shard_of(said)
    assert shard_of(" 3/8 ") == Shard(3, 8)


@pytest.mark.parametrize("left_out", [(0,), (1, 2)])
def test_what_is_missing_is_named(made, tmp_path, left_out):
    job, _, parts = made
    given = [part for place, part in enumerate(parts) if place not in left_out]
    with pytest.raises(RecordError, match=r"units are missing: none/") as raised:
        merge(dataclasses.replace(job, folder=tmp_path / "merged"), given)
    assert all(f"{place + 1}/3" in raised.value.message for place in left_out)
    assert not (tmp_path / "merged" / "record.json").exists()
    assert text(merge(dataclasses.replace(job, folder=tmp_path / "merged"), parts)) == text(
        made[1]
    )  # and taken up again


def test_an_unfinished_shard_goes_on_from_there(made, tmp_path):
    job, record, parts = made
    part = dataclasses.replace(job, folder=tmp_path / "part1")

    class KilledError(Exception):
        pass

    def dying(progress):
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


def unsealed(path: Path) -> dict:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return {"meta": json.loads(arrays.pop("meta").tobytes())} | arrays


def resealed(path: Path, content: dict, packed: bool = False) -> None:
    """A unit as a liar would write it: with a seal that fits."""
    buffer = io.BytesIO()
    meta = np.frombuffer(json.dumps(content.pop("meta")).encode(), dtype=np.uint8)
    (np.savez_compressed if packed else np.savez)(buffer, meta=meta, **content)
    path.write_bytes(_sealed(buffer.getvalue()))


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def lying(change):
    def tamper(path):
        content = unsealed(path)
        change(content)
        resealed(path, content)

    return tamper


def put(name, value):
    return lying(lambda unit: unit.__setitem__(name, value(unit[name])))


def told(name, value):
    return lying(lambda unit: unit["meta"].__setitem__(name, value))


TAMPERED = {
    "a flipped bit": flipped,
    "half": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "empty": lambda path: path.write_bytes(b""),
    "another plan": told("plan", "0" * 64),
    "another cell": told("cell", "none/other/l2"),
    "another chunk": told("chunk", 7),
    "packed": lambda path: resealed(path, unsealed(path), packed=True),
    "no column": lying(lambda unit: unit.pop("distance")),
    "fewer samples": lying(lambda unit: unit.update({k: v[:5] for k, v in unit.items() if k != "meta" and v.ndim})),
    "another type": put("distance", lambda one: one.astype(np.float32)),
    "words": put("answer", lambda one: one.astype("U8")),
    "negative distance": put("distance", lambda one: -one),
    "nan distance": put("distance", lambda one: one * np.nan),
    "nan images": put("x", lambda one: one * np.nan),
    "outside images": put("x", lambda one: one + 2),
    "another shape": put("x", lambda one: one[:, :3]),
    "no class": put("answer", lambda one: one + 1000),
    "a win without an answer": put("answer", lambda one: one * 0 - 1),
    "passes": put("forwards", lambda one: one - 10**6),
    "seconds": told("seconds", -1.0),
    "infinite seconds": told("seconds", float("inf")),
    "counts": told("zero", True),
    "rejected": told("rejected", {"outside": -1}),
    "watched": told("watched", {"lost": "many"}),
    "a trace": told("trace", [{"loss": float("nan")}]),
    "a long trace": told("trace", [{}] * 401),
    "strengths": told("strengths", [0.0, 1e9]),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_a_tampered_unit_is_refused_in_one_sentence(copies, how):
    job, parts = copies
    victim = next(path for part in parts for path in units_in(part) if path.name.startswith("none_test.walk_l2"))
    TAMPERED[how](victim)
    with pytest.raises(RecordError, match=r"Unit \d of none/test.walk/l2 in .* cannot be used: it "):
        merge(job, parts)
    assert not (job.folder / "record.json").exists()


def test_a_unit_that_was_made_twice_is_refused_unless_its_bytes_are_the_same(copies, made):
    job, parts = copies
    victim = units_in(parts[0])[0]
    twin = parts[1] / "units" / victim.name
    shutil.copy(victim, twin)
    assert text(merge(job, parts)) == text(made[1])
    told("seconds", 1.0)(twin)
    with pytest.raises(RecordError, match="was made more than once") as raised:
        merge(dataclasses.replace(job, folder=job.folder.with_name("other")), parts)
    assert str(parts[0]) in raised.value.message
    assert str(parts[1]) in raised.value.message


def linked(path: Path) -> None:
    outside = path.parent.parent.parent / "outside.npz"
    path.rename(outside)
    path.symlink_to(outside)


def linked_folder(path: Path) -> None:
    outside = path.parent.parent.parent / "outside"
    path.parent.rename(outside)
    (path.parent).symlink_to(outside)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("how", [linked, linked_folder, pipe, directory])
def test_links_and_pipes_are_not_followed(copies, how):
    job, parts = copies
    how(units_in(parts[0])[0])
    with pytest.raises(RecordError, match=r"is a link|missing: "):
        merge(job, parts)


def test_a_unit_larger_than_any_is_not_read(copies):
    job, parts = copies
    with units_in(parts[0])[0].open("ab") as file:
        file.truncate(1 << 32)
    with pytest.raises(RecordError, match="missing: "):
        merge(job, parts)


def test_files_of_other_names_are_left_where_they_are(copies, made):
    job, parts = copies
    for name in ("../evil.npz", "units/none_evil_l2.0.npz", "units/.hidden", "record.json", "witnesses.safetensors"):
        (parts[0] / name).write_bytes(b"evil")
    assert text(merge(job, parts)) == text(made[1])
    assert {path.name for path in units_in(job.folder)} == {path.name for path in units_in(made[0].folder)}


def rewritten(folder: Path, change) -> None:
    page = read_page(folder)
    change(page)
    shard_module._write(folder, page)


def answers_otherwise(page):
    page.pipelines[0].prediction[3] += 1


def surer(page):
    page.pipelines[-1].confidence[0] /= 2


PAGES = {
    "another plan": (lambda page: setattr(page, "plan", "f" * 64), "of another plan"),
    "another model": (lambda page: setattr(page, "model", "f" * 64), "of another model"),
    "another answer": (answers_otherwise, "answers the clean samples otherwise"),
    "another confidence": (surer, "answers the clean samples otherwise"),
    "another pipeline": (
        lambda page: setattr(page.pipelines[0], "defense", "ghost"),
        "answers the clean samples otherwise",
    ),
}


@pytest.mark.parametrize("how", PAGES)
def test_a_shard_of_something_else_is_refused(copies, how):
    job, parts = copies
    change, said = PAGES[how]
    rewritten(parts[1], change)
    with pytest.raises(RecordError, match=said) as raised:
        merge(job, parts)
    assert str(parts[1]) in raised.value.message


def test_a_shard_of_another_seed_is_of_another_plan(made, tmp_path):
    job, _, parts = made
    other = dataclasses.replace(job, seed=5)
    with pytest.raises(RecordError, match="of another plan"):
        merge(dataclasses.replace(other, folder=tmp_path / "merged"), parts)
    assert plan_of(other).sha256 != plan_of(job).sha256


SPOILT_PAGES = {
    "gone": lambda path: path.unlink(),
    "a link": lambda path: (path.rename(path.with_suffix(".far")), path.symlink_to(path.with_suffix(".far"))),
    "edited": lambda path: path.write_text(path.read_text().replace('"1/3"', '"2/3"')),
    "no json": lambda path: path.write_text("{"),
    "bytes": lambda path: path.write_bytes(b"\xff\xfe"),
    "a list": lambda path: path.write_text("[]"),
    "nested": lambda path: path.write_text("[" * 100_000),
    "another form": lambda path: path.write_text(json.dumps({"plan": 1, "sha256": shard_module._seal({"plan": 1})})),
}


@pytest.mark.parametrize("how", SPOILT_PAGES)
def test_a_spoilt_page_is_one_sentence(copies, how):
    job, parts = copies
    SPOILT_PAGES[how](parts[0] / "shard.json")
    with pytest.raises(RobustEvalError) as raised:
        merge(job, parts)
    assert "\n" not in raised.value.message


def test_what_failed_in_a_shard_failed_in_the_run_and_is_not_tried_again(tmp_path):
    suite = faulty.attacks("raise")
    whole = run(faulty.job(tmp_path, suite))
    job, parts = faulty.job(tmp_path, suite), [tmp_path / "a", tmp_path / "b"]
    for number, part in enumerate(parts, 1):
        done = run_shard(dataclasses.replace(job, folder=part), Shard(number, 2), [])
        assert set(done.failures) <= {"none/bad-raise/linf"}
    tried = []
    merged = merge(dataclasses.replace(job, folder=tmp_path / "merged"), parts, lambda one: tried.append(one.cell))
    assert text(merged) == text(whole)
    assert "none/bad-raise/linf" not in tried
    assert {cell.status for cell in merged.cells} == {"done", "failed"}


def test_where_shards_were_made_on_another_machine_the_record_says_so(copies, made):
    job, parts = copies
    rewritten(parts[2], lambda page: page.environment.update(torch="0.0", processor="a faster one"))
    merged = merge(job, parts)
    assert merged.environment["shards"] == "Some units were made elsewhere: processor a faster one; torch 0.0"
    del merged.environment["shards"]
    assert text(merged) == text(made[1])


@pytest.mark.parametrize("order", [*itertools.permutations(range(COUNT))][1::2])
def test_the_order_of_the_shards_is_all_one(made, tmp_path, order):
    job, record, parts = made
    assert text(merge(dataclasses.replace(job, folder=tmp_path / "m"), [parts[place] for place in order])) == text(
        record
    )


def test_folders_are_given_once_and_are_not_the_run_s_own(made, tmp_path):
    job, _, parts = made
    with pytest.raises(RecordError, match="given twice"):
        merge(dataclasses.replace(job, folder=tmp_path / "m"), [*parts, parts[0].parent / "." / parts[0].name])
    with pytest.raises(RecordError, match="is one of the shards"):
        merge(dataclasses.replace(job, folder=parts[0]), parts)


def test_a_shard_stays_in_its_folder(made, copies):
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


def test_the_whole_run_may_go_on_in_a_shard_s_folder(copies, made):
    job, parts = copies
    resumed = []
    record = run(dataclasses.replace(job, folder=parts[0]), lambda progress: resumed.append(progress.resumed))
    assert resumed[0] == len(units_in(made[2][0]))
    assert text(record) == text(made[1])
    with pytest.raises(RecordError, match="not the folder of a shard"):
        merge(job, parts)


def test_a_shard_fits_the_defences_that_its_units_stand_behind(tmp_path, monkeypatch):
    fitted = []
    honest = toys.Nothing.fit
    monkeypatch.setattr(toys.Nothing, "fit", lambda self, *given: fitted.append(1) or honest(self, *given))
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


def test_stored_units_are_archives_that_unfold_to_no_more_than_they_are(made):
    path = units_in(made[2][0])[0]
    with zipfile.ZipFile(path) as archive:
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
    assert UnitStore(made[2][0], plan_of(made[0]).sha256).folder == path.parent
