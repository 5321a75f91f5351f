"""The fuzzers as a part of `make test`: the same examples each time, seconds in all. FUZZ=20000 asks that many of each
(`make fuzz` where atheris is not to be had)."""

from __future__ import annotations

import copy
import io
import json
import os
import tempfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import seeds
from tests.fuzz.targets import TARGETS, holds

MANY = int(os.environ.get("FUZZ", "0"))
bounded = settings(deadline=None, database=None, derandomize=not MANY, suppress_health_check=list(HealthCheck))
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from(["flip", "put", "cut", "drop", "twice", "large"]),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=5,
)
LARGE = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"


def edited(content: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    """Bytes with some flipped, put in, dropped, doubled, made large; or cut off."""
    made = bytearray(content)
    for share, how, value in edits:
        at = int(share * len(made))
        if how == "flip" and at < len(made):
            made[at] ^= value[0] or 1
        elif how == "put":
            made[at : at + len(value)] = value
        elif how == "cut":
            del made[at + (len(made) - at) // 2 :]
        elif how == "drop":
            del made[at : at + len(value)]
        elif how == "twice":
            made[at:at] = made[at : at + 32 * len(value)]
        else:
            made[at : at + len(value)] = LARGE[-len(value) :]
    return bytes(made)


def asked(name: str, content: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        return holds(name, content, Path(folder))


@pytest.mark.parametrize("name", TARGETS)
def test_whole_files_are_read_and_spoilt_ones_end_in_a_value_or_a_sentence(name: str) -> None:
    whole = TARGETS[name].seeds()
    assert asked(name, whole[0])
    refused = 0

    @settings(bounded, max_examples=MANY or 60)
    @given(st.sampled_from(whole), EDITS)
    def spoilt(content: bytes, edits: list[tuple[float, str, bytes]]) -> None:
        nonlocal refused
        refused += not asked(name, edited(content, edits))

    spoilt()
    assert refused > 5


ODD: list[Any] = [
    None, True, -1, 0, 10**18, 10**299, 10**400, -0.0, 1e308, 5e-324, "", "\ud800", "\x1b[2J", "x" * 100_000,
    "../../..", "/dev/zero", "\0", [], {}, [[]], {"": {}}, [1] * 1000, "2" * 5000, "none",
]  # fmt: skip


def places(data: Any) -> list[tuple[Any, Any]]:
    """(container, key) of whatever is in parsed JSON or TOML."""
    found: list[tuple[Any, Any]] = []
    level = [data]
    while level:
        outer = level.pop()
        keys = list(outer) if isinstance(outer, dict) else list(range(len(outer))) if isinstance(outer, list) else []
        found += [(outer, key) for key in keys]
        level += [outer[key] for key in keys]
    return found


def changed(data: Any, changes: list[tuple[float, str, int]]) -> Any:
    """A copy with values swapped for odd ones, for one another, taken out or given twice."""
    made = copy.deepcopy(data)
    for share, how, number in changes:
        spots = places(made)
        if not spots:
            break
        outer, key = spots[min(int(share * len(spots)), len(spots) - 1)]
        if how == "odd":
            outer[key] = copy.deepcopy(ODD[number % len(ODD)])
        elif how == "drop":
            del outer[key]
        elif how == "wrap":
            outer[key] = [outer[key]]
        elif isinstance(outer, list):
            outer.append(copy.deepcopy(outer[key]))
        else:
            outer[f"{key}{number}"] = copy.deepcopy(outer[key])
    return made


CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["odd", "odd", "odd", "drop", "wrap", "more"]), st.integers(0, 1000)),
    min_size=1,
    max_size=3,
)


@settings(bounded, max_examples=MANY or 120)
@given(CHANGES)
def test_a_record_with_other_values(changes: list[tuple[float, str, int]]) -> None:
    made = changed(json.loads(seeds.run()["record.json"]), changes)
    asked("record", json.dumps(made).encode())


def written(data: Any) -> str:
    """TOML, as values in one line each."""
    if isinstance(data, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {written(value)}" for key, value in data.items()) + "}"
    if isinstance(data, list):
        return "[" + ", ".join(map(written, data)) + "]"
    return "nan" if data is None else json.dumps(data)


@settings(bounded, max_examples=MANY or 120)
@given(CHANGES)
def test_a_suite_with_other_values(changes: list[tuple[float, str, int]]) -> None:
    made = changed(tomllib.loads(seeds.SUITE), changes)
    lines = [f"{json.dumps(key)} = {written(value)}" for key, value in made.items()]
    asked("suite", "\n".join(lines).encode("utf-8", "replace"))


def rezipped(content: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """An archive with each member changed, and sums that fit again."""
    with tempfile.TemporaryDirectory() as place:
        old, new = Path(place, "old.npz"), Path(place, "new.npz")
        old.write_bytes(content)
        with zipfile.ZipFile(old) as there, zipfile.ZipFile(new, "w") as made:
            for name in there.namelist():
                made.writestr(name, change(name, there.read(name)))
        return new.read_bytes()


@pytest.mark.parametrize("name", ["npz", "unit"])
def test_arrays_whose_heads_lie(name: str) -> None:
    @settings(bounded, max_examples=MANY or 80)
    @given(st.sampled_from(TARGETS[name].seeds()), st.integers(0, 20), EDITS, st.booleans())
    def lying(content: bytes, which: int, edits: list[tuple[float, str, bytes]], head: bool) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as there:
            names = there.namelist()
        victim = names[which % len(names)]

        def change(member: str, inner: bytes) -> bytes:
            if member != victim:
                return inner
            return edited(inner[:128], edits) + inner[128:] if head else edited(inner, edits)

        asked(name, rezipped(content, change))

    lying()
