"""A shard's folder is believed in nothing: whatever is in it, the merge is right or refused in one sentence."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robusteval.engine.run import shard as shard_module
from robusteval.engine.run.merge import merge
from robusteval.engine.run.runner import plan_of
from robusteval.engine.run.shard import ShardPage
from robusteval.engine.units.store import _sealed
from robusteval.errors import RecordError, RobustEvalError
from tests.engine.parts import Copies, Made, copies, made, rewritten, units_in
from tests.engine.test_runner import text

__all__ = ["copies", "made"]  # fixtures

Tamper = Callable[[Path], object]


def unsealed(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return {"meta": json.loads(arrays.pop("meta").tobytes())} | arrays


def resealed(path: Path, content: dict[str, Any], packed: bool = False) -> None:
    """A unit as a liar would write it: with a seal that fits."""
    buffer = io.BytesIO()
    meta = np.frombuffer(json.dumps(content.pop("meta")).encode(), dtype=np.uint8)
    (np.savez_compressed if packed else np.savez)(buffer, meta=meta, **content)
    path.write_bytes(_sealed(buffer.getvalue()))


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def lying(change: Callable[[dict[str, Any]], object]) -> Tamper:
    def tamper(path: Path) -> None:
        content = unsealed(path)
        change(content)
        resealed(path, content)

    return tamper


def put(name: str, value: Callable[[Any], Any]) -> Tamper:
    return lying(lambda unit: unit.__setitem__(name, value(unit[name])))


def told(name: str, value: object) -> Tamper:
    return lying(lambda unit: unit["meta"].__setitem__(name, value))


TAMPERED: dict[str, Tamper] = {
    "a flipped bit": flipped,
    "half": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "empty": lambda path: path.write_bytes(b""),
    "another plan": told("plan", "0" * 64),
    "another cell": told("cell", "none/other/l2"),
    "another chunk": told("chunk", 7),
    "packed": lambda path: resealed(path, unsealed(path), packed=True),
    "no column": lying(lambda unit: unit.pop("distance")),
    "fewer samples": lying(lambda unit: unit.update({k: v[:5] for k, v in unit.items() if k != "meta" and v.ndim})),
    "another type": put("distance", lambda item: item.astype(np.float32)),
    "words": put("answer", lambda item: item.astype("U8")),
    "negative distance": put("distance", lambda item: -item),
    "nan distance": put("distance", lambda item: item * np.nan),
    "nan images": put("x", lambda item: item * np.nan),
    "outside images": put("x", lambda item: item + 2),
    "another shape": put("x", lambda item: item[:, :3]),
    "no class": put("answer", lambda item: item + 1000),
    "a win without an answer": put("answer", lambda item: item * 0 - 1),
    "passes": put("forwards", lambda item: item - 10**6),
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
def test_a_tampered_unit_is_refused_in_one_sentence(copies: Copies, how: str) -> None:
    job, parts = copies
    victim = next(path for part in parts for path in units_in(part) if path.name.startswith("none_test.walk_l2"))
    TAMPERED[how](victim)
    with pytest.raises(RecordError, match=r"Unit \d of none/test.walk/l2 in .* cannot be used: it "):
        merge(job, parts)
    assert not (job.folder / "record.json").exists()


def test_a_unit_that_was_made_twice_is_refused_unless_its_bytes_are_the_same(copies: Copies, made: Made) -> None:
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
def test_links_and_pipes_are_not_followed(copies: Copies, how: Tamper) -> None:
    job, parts = copies
    how(units_in(parts[0])[0])
    with pytest.raises(RecordError, match=r"is a link|missing: "):
        merge(job, parts)


def test_a_unit_larger_than_any_is_not_read(copies: Copies) -> None:
    job, parts = copies
    with units_in(parts[0])[0].open("ab") as file:
        file.truncate(1 << 32)
    with pytest.raises(RecordError, match="missing: "):
        merge(job, parts)


def test_files_of_other_names_are_left_where_they_are(copies: Copies, made: Made) -> None:
    job, parts = copies
    for name in ("../evil.npz", "units/none_evil_l2.0.npz", "units/.hidden", "record.json", "witnesses.safetensors"):
        (parts[0] / name).write_bytes(b"evil")
    assert text(merge(job, parts)) == text(made[1])
    assert {path.name for path in units_in(job.folder)} == {path.name for path in units_in(made[0].folder)}


def answers_otherwise(page: ShardPage) -> None:
    page.pipelines[0].prediction[3] += 1


def surer(page: ShardPage) -> None:
    page.pipelines[-1].confidence[0] /= 2


PAGES: dict[str, tuple[Callable[[ShardPage], object], str]] = {
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
def test_a_shard_of_something_else_is_refused(copies: Copies, how: str) -> None:
    job, parts = copies
    change, said = PAGES[how]
    rewritten(parts[1], change)
    with pytest.raises(RecordError, match=said) as raised:
        merge(job, parts)
    assert str(parts[1]) in raised.value.message


def test_a_shard_of_another_seed_is_of_another_plan(made: Made, tmp_path: Path) -> None:
    job, _, parts = made
    other = dataclasses.replace(job, seed=5)
    with pytest.raises(RecordError, match="of another plan"):
        merge(dataclasses.replace(other, folder=tmp_path / "merged"), parts)
    assert plan_of(other).sha256 != plan_of(job).sha256


SPOILT_PAGES: dict[str, Tamper] = {
    "gone": lambda path: path.unlink(),
    "a link": lambda path: path.symlink_to(path.rename(path.with_suffix(".far"))),
    "edited": lambda path: path.write_text(path.read_text().replace('"1/3"', '"2/3"')),
    "no json": lambda path: path.write_text("{"),
    "bytes": lambda path: path.write_bytes(b"\xff\xfe"),
    "a list": lambda path: path.write_text("[]"),
    "nested": lambda path: path.write_text("[" * 100_000),
    "another form": lambda path: path.write_text(json.dumps({"plan": 1, "sha256": shard_module._seal({"plan": 1})})),
}


@pytest.mark.parametrize("how", SPOILT_PAGES)
def test_a_spoilt_page_is_one_sentence(copies: Copies, how: str) -> None:
    job, parts = copies
    SPOILT_PAGES[how](parts[0] / "shard.json")
    with pytest.raises(RobustEvalError) as raised:
        merge(job, parts)
    assert "\n" not in raised.value.message
