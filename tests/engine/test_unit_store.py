"""Stored units: what was damaged, or is another's, is not there; what is there is what was stored."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robusteval.engine.units.store import UnitStore, _stored
from robusteval.engine.units.unit import JudgedUnit, UnitResult
from tests.sure import sure

ROWS = 3


def unit() -> UnitResult:
    rng = torch.Generator().manual_seed(0)
    column = torch.rand(ROWS, generator=rng, dtype=torch.float64)
    whole = torch.arange(ROWS)
    return UnitResult(column, column + 1, whole, column, whole > 0, whole, whole, torch.rand(ROWS, 4, generator=rng))


@pytest.fixture
def store(tmp_path: Path) -> UnitStore:
    (tmp_path / "units").mkdir()
    made = UnitStore(tmp_path, "a" * 64)
    made.save("none/x/l2", 0, unit())
    return made


def test_what_was_stored_is_read(store: UnitStore) -> None:
    found = sure(store.load("none/x/l2", 0))
    assert torch.equal(found.x, unit().x)
    assert torch.equal(found.distance, unit().distance)
    with np.load(store.path("none/x/l2", 0)) as file:  # an ordinary .npz for whoever looks
        assert "distance" in file.files
    one = torch.ones(1, 2)
    judged = JudgedUnit([1.0], torch.zeros(1, 2).long(), torch.empty(0), one > 0, one, one)
    store.save("d/x/l2/oblivious", 0, judged)
    assert sure(store.load_judged("d/x/l2/oblivious", 0)).values == [1.0]


def test_no_flipped_bit_goes_unnoticed(store: UnitStore) -> None:
    path = store.path("none/x/l2", 0)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    places = {*range(0, len(good), 37), *range(len(good) - 120, len(good)), *rng.integers(0, len(good), 200).tolist()}
    for place in sorted(places):
        bad = bytearray(good)
        bad[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(bad))
        assert store.load("none/x/l2", 0) is None, place
    path.write_bytes(good)
    assert store.load("none/x/l2", 0) is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda good: b"",
        lambda good: good[:100],
        lambda good: good[:-1],
        lambda good: good + b"\0",
        lambda good: good[200:400] + good[:200] + good[400:],
        lambda good: good * 2,
        lambda good: bytes(len(good)),
    ],
    ids=["empty", "half", "short", "long", "swapped chunks", "twice", "zeros"],
)
def test_damaged_units_are_not_there(store: UnitStore, change: Callable[..., Any]) -> None:
    path = store.path("none/x/l2", 0)
    path.write_bytes(change(path.read_bytes()))
    assert store.load("none/x/l2", 0) is None
    assert store.load_judged("none/x/l2", 0) is None


def test_anothers_unit_is_not_taken(store: UnitStore, tmp_path: Path) -> None:
    good = store.path("none/x/l2", 0).read_bytes()
    assert UnitStore(tmp_path, "b" * 64).load("none/x/l2", 0) is None
    for cell, chunk in (("none/x/l2", 1), ("none/y/l2", 0)):
        store.path(cell, chunk).write_bytes(good)
        assert store.load(cell, chunk) is None


def test_neither_a_folder_in_its_place_nor_another_file_is_a_unit(store: UnitStore) -> None:
    store.path("none/z/l2", 0).mkdir()
    assert store.load("none/z/l2", 0) is None
    np.savez(store.path("none/w/l2", 0), x=np.zeros(3), meta=np.zeros(2, np.uint8))
    assert store.load("none/w/l2", 0) is None


def archive(packing: int = zipfile.ZIP_STORED, flags: int = 0, said: int = 1) -> bytes:
    """An archive of one byte. flags: of its entry; said: how many bytes it says that the entry has."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as file:
        file.writestr("x", b"y")
    content = bytearray(buffer.getvalue())
    entry = content.index(b"PK\x01\x02")
    content[entry + 8] |= flags
    content[entry + 24] = said
    return bytes(content)


SIZE = len(archive())


@pytest.mark.parametrize(
    ("content", "plain"),
    [
        (archive(), True), (archive(flags=2), True), (archive(flags=1), False), (archive(zipfile.ZIP_DEFLATED), False),
        (archive(zipfile.ZIP_DEFLATED, flags=1), False), (archive(said=SIZE), True), (archive(said=SIZE + 1), False),
    ],
)  # fmt: skip
def test_only_what_is_not_packed_is_looked_at(content: bytes, plain: bool) -> None:
    assert _stored(content) is plain


def test_a_link_in_the_place_of_a_unit_is_not_followed(store: UnitStore) -> None:
    path = store.path("none/x/l2", 0)
    kept = path.with_name("kept")
    path.rename(kept)
    path.symlink_to(kept)
    assert store.content("none/x/l2", 0) is None
    path.unlink()
    kept.rename(path)
    assert store.content("none/x/l2", 0) is not None
