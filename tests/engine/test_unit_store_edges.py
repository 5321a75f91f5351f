"""Units on disk: what is written comes back, and nothing else is ever taken for it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robusteval.engine.units.kept_candidates import Strengths
from robusteval.engine.units.store import UnitStore, is_unit
from robusteval.engine.units.unit import JudgedUnit, UnitResult
from tests.sure import sure

PLAN = "12" * 32
CELL = "none/pgd/l2"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UnitStore:
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # a busy disk takes a second for each
    made = UnitStore(tmp_path, PLAN)
    made.folder.mkdir()
    return made


def unit(count: int = 3, **more: Any) -> UnitResult:
    """Every field has a value of its own."""
    made = UnitResult(
        distance=torch.arange(count, dtype=torch.float64) + 0.25,
        l2=torch.arange(count, dtype=torch.float64) + 0.5,
        answer=torch.arange(count) + 1,
        suspicion=torch.full((count,), torch.nan, dtype=torch.float64),
        survives=torch.arange(count) % 2 == 0,
        forwards=torch.arange(count) + 10,
        backwards=torch.arange(count) + 20,
        x=torch.rand(count, 1, 2, 2, generator=torch.Generator().manual_seed(0)),
        zero_gradients=4,
        bad_gradients=5,
        rejected=Counter({"not a win": 2}),
        trace=[{"samples": 3.0, "loss": 0.5}],
        seconds=1.5,
        watched=Counter({"met": 7}),
    )
    for name, value in more.items():
        setattr(made, name, value)
    return made


def kept() -> Strengths:
    return Strengths(
        [1.0, 2.0],
        torch.rand(2, 3, 1, 2, 2, generator=torch.Generator().manual_seed(1)),
        torch.tensor([[True, False, True]] * 2),
        torch.arange(6).reshape(2, 3),
        torch.full((2, 3), 0.75, dtype=torch.float64),
        torch.full((2, 3), 1.25, dtype=torch.float64),
    )


def judged() -> JudgedUnit:
    return JudgedUnit(
        [1.0, 2.0],
        torch.arange(6).reshape(2, 3),
        torch.rand(2, 3, dtype=torch.float64),
        torch.tensor([[True, False, True]] * 2),
        torch.rand(2, 3, dtype=torch.float64),
        torch.rand(2, 3, dtype=torch.float64),
        2.5,
    )


def same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    for name in [field.name for field in fields(one)]:
        ours, theirs = getattr(one, name), getattr(other, name)
        if isinstance(ours, torch.Tensor):
            assert ours.dtype == theirs.dtype, name
            assert torch.equal(torch.nan_to_num(ours.double(), -9.0), torch.nan_to_num(theirs.double(), -9.0)), name
        elif isinstance(ours, Strengths):
            same(ours, theirs)
        else:
            assert (type(ours), ours) == (type(theirs), theirs), name


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"strengths": kept()},
        {"by_target": torch.rand(3, 4, dtype=torch.float64)},
        {"member": torch.tensor([0, -1, 2])},
        {"strengths": kept(), "by_target": torch.rand(3, 4), "member": torch.tensor([0, -1, 2])},
    ],
)
def test_what_is_saved_is_loaded(store: UnitStore, more: dict[str, Any]) -> None:
    store.save(CELL, 3, unit(**more))
    same(store.load(CELL, 3), unit(**more))
    assert UnitStore(store.folder.parent, PLAN).load(CELL, 3) is not None


def test_whatever_a_unit_may_hold_besides_is_saved_too(store: UnitStore) -> None:
    """Fields that are None unless something fills them."""
    optional = {field.name for field in fields(UnitResult) if field.default is None} - {"strengths"}
    for name in optional:
        made = unit()
        setattr(made, name, torch.arange(3))
        store.save(CELL, 0, made)
        found = store.load(CELL, 0)
        assert getattr(found, name).tolist() == [0, 1, 2], name
        assert all(getattr(found, other) is None for other in optional - {name})


def test_judged_units_are_saved_and_loaded(store: UnitStore) -> None:
    store.save("d/pgd/l2/oblivious", 0, made := judged())
    same(store.load_judged("d/pgd/l2/oblivious", 0), made)


def test_each_kind_of_unit_is_only_loaded_as_what_it_is(store: UnitStore) -> None:
    store.save(CELL, 0, unit())
    assert store.load_judged(CELL, 0) is None
    store.save(CELL, 0, judged())
    assert store.load(CELL, 0) is None


def test_units_have_a_file_each(store: UnitStore) -> None:
    store.save(CELL, 0, unit())
    store.save(CELL, 1, unit(2))
    store.save("none/pgd/linf", 0, unit(1))
    assert len(list(store.folder.iterdir())) == 3
    assert [len(sure(store.load(*which)).x) for which in ((CELL, 0), (CELL, 1), ("none/pgd/linf", 0))] == [3, 2, 1]
    assert store.path(CELL, 1).name.endswith(".1.npz")
    assert store.path(CELL, 1).parent == store.folder
    store.save(CELL, 0, unit(4))  # in place of the older one
    assert len(sure(store.load(CELL, 0)).x) == 4


def test_units_that_are_not_there_are_none(store: UnitStore) -> None:
    assert store.load(CELL, 0) is None
    assert store.load_judged(CELL, 0) is None


@pytest.mark.parametrize("how", ["cell", "chunk", "plan"])
def test_a_unit_of_another_cell_chunk_or_plan_is_not_taken(store: UnitStore, how: str) -> None:
    store.save(CELL, 0, unit())
    content = store.path(CELL, 0).read_bytes()
    other = UnitStore(store.folder.parent, "34" * 32) if how == "plan" else store
    cell, chunk = ("none/ddn/l2" if how == "cell" else CELL), int(how == "chunk")
    other.path(cell, chunk).write_bytes(content)
    assert other.load(cell, chunk) is None
    store.save(CELL, 0, judged())
    other.path(cell, chunk).write_bytes(store.path(CELL, 0).read_bytes())
    assert other.load_judged(cell, chunk) is None


def test_a_damaged_unit_is_none_and_never_an_error(store: UnitStore) -> None:
    store.save(CELL, 0, unit())
    path = store.path(CELL, 0)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [b"", b"PK", whole[:-1], whole[1:], whole + b"\0", whole[: len(whole) // 2], b"\0" * len(whole)]
    damaged.extend(
        whole[:place] + bytes([whole[place] ^ (1 << int(rng.integers(8)))]) + whole[place + 1 :]
        for place in [*range(0, len(whole), 97), len(whole) - 1, *range(len(whole) - 90, len(whole), 7)]
    )
    for content in damaged:
        path.write_bytes(content)
        assert store.load(CELL, 0) is None
    path.write_bytes(whole)
    same(store.load(CELL, 0), unit())
    path.unlink()
    path.mkdir()  # cannot be read at all
    assert store.load(CELL, 0) is None


def sealed(archive: bytes) -> bytes:
    """As a unit is written, whatever is in it."""
    comment = b"robusteval-unit-1 " + hashlib.sha256(archive).hexdigest().encode()
    return archive[:-2] + len(comment).to_bytes(2, "little") + comment


def archive(meta: object, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8), **arrays)
    return buffer.getvalue()


def parts(store: UnitStore) -> tuple[dict[str, Any], dict[str, Any]]:
    store.save(CELL, 0, unit(strengths=kept()))
    with np.load(store.path(CELL, 0)) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(arrays.pop("meta").tobytes()), arrays


def test_a_unit_is_an_archive_with_its_hash_as_the_comment(store: UnitStore) -> None:
    meta, arrays = parts(store)
    assert (meta["plan"], meta["cell"], meta["chunk"], meta["seconds"]) == (PLAN, CELL, 0, 1.5)
    content = store.path(CELL, 0).read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        comment = file.comment
    assert comment.startswith(b"robusteval-unit-1 ")
    assert sealed(content[: -len(comment) - 2] + b"\0\0") == content
    store.path(CELL, 0).write_bytes(sealed(archive(meta, **arrays)))
    same(store.load(CELL, 0), unit(strengths=kept()))


@pytest.mark.parametrize(
    "name",
    [
        "distance",
        "l2",
        "answer",
        "suspicion",
        "survives",
        "forwards",
        "backwards",
        "x",
        "strengths_x",
        "strengths_fools",
    ],
)
def test_a_sealed_unit_without_one_of_its_columns_is_none(store: UnitStore, name: str) -> None:
    meta, arrays = parts(store)
    del arrays[name]
    store.path(CELL, 0).write_bytes(sealed(archive(meta, **arrays)))
    assert store.load(CELL, 0) is None


@pytest.mark.parametrize("name", ["distance", "l2", "answer", "suspicion", "survives", "forwards", "backwards", "x"])
def test_a_sealed_unit_with_a_column_of_another_length_is_none(store: UnitStore, name: str) -> None:
    meta, arrays = parts(store)
    arrays[name] = arrays[name][:-1]
    store.path(CELL, 0).write_bytes(sealed(archive(meta, **arrays)))
    assert store.load(CELL, 0) is None


@pytest.mark.parametrize("name", ["zero", "bad", "rejected", "trace", "seconds", "watched", "plan", "cell", "chunk"])
def test_a_sealed_unit_that_does_not_say_all_of_itself_is_none(store: UnitStore, name: str) -> None:
    meta, arrays = parts(store)
    del meta[name]
    store.path(CELL, 0).write_bytes(sealed(archive(meta, **arrays)))
    assert store.load(CELL, 0) is None


@pytest.mark.parametrize("meta", [[], 3, None, "x"])
def test_a_sealed_unit_whose_words_are_no_table_is_none(store: UnitStore, meta: object) -> None:
    _, arrays = parts(store)
    store.path(CELL, 0).write_bytes(sealed(archive(meta, **arrays)))
    assert store.load(CELL, 0) is None
    assert store.load_judged(CELL, 0) is None


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


def test_nothing_in_a_unit_is_unpickled(store: UnitStore, tmp_path: Path) -> None:
    meta, arrays = parts(store)
    arrays["distance"] = np.array([Trap(tmp_path / "sprung")], dtype=object)
    store.path(CELL, 0).write_bytes(sealed(archive(meta, **arrays)))
    assert store.load(CELL, 0) is None
    assert not (tmp_path / "sprung").exists()


def test_a_link_in_the_place_of_a_unit_is_not_followed(store: UnitStore) -> None:
    store.save(CELL, 0, unit())
    path = store.path(CELL, 0)
    kept = path.with_name("kept")
    path.rename(kept)
    path.symlink_to(kept)
    assert store.content(CELL, 0) is None
    path.unlink()
    kept.rename(path)
    assert store.content(CELL, 0) is not None


def test_which_files_are_units(store: UnitStore, tmp_path: Path) -> None:
    store.save(CELL, 0, unit())
    path = store.path(CELL, 0)
    assert is_unit(path)
    path.write_bytes(path.read_bytes()[:-3])
    assert is_unit(path)  # of ours, though damaged
    own = tmp_path / "own.npz"
    own.write_bytes(archive({}))
    assert not is_unit(own)
    assert not is_unit(tmp_path / "none.npz")
    for more, near in ((3 * 82, True), (3 * 82 + 1, False), (1000, False)):
        store.save(CELL, 0, unit())
        own.write_bytes(path.read_bytes() + b"\0" * more)  # its mark is at the end, or not
        assert is_unit(own) is near, more
