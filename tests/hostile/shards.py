"""Shards that strangers made: `merge` believes their folders in nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.engine.test_merge_hostile import flipped, put, resealed, told, unsealed
from tests.hostile.case import Case, Place, cells
from tests.hostile.folders import device, swapped
from tests.hostile_text import EVIL

Built = Callable[[Path], object]


def _page(change: Callable[[dict[str, Any]], object]) -> Built:
    def build(folder: Path) -> None:
        path = folder / "shard.json"
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    return build


def _instead(made: Built) -> Built:
    def build(folder: Path) -> None:
        (folder / "shard.json").unlink()
        made(folder / "shard.json")

    return build


def _unit(change: Built) -> Built:
    return lambda folder: [change(path) for path in sorted((folder / "units").glob("*.npz"))]


def _words(*more: str) -> Built:
    return _page(lambda data: data.update(words=[*data["words"], *more]))


SHARDS: dict[str, tuple[str, Built]] = {
    "deep": ("a page with brackets 200,000 deep", lambda folder: (folder / "shard.json").write_bytes(b"[" * 200_000)),
    "digits": (
        "a page with 6,000 digits",
        lambda folder: (folder / "shard.json").write_bytes(b'{"a": ' + b"9" * 6000 + b"}"),
    ),
    "pipe": ("a pipe for its page", _instead(os.mkfifo)),
    "device": ("a device for its page", _instead(lambda path: path.symlink_to("/dev/zero"))),
    "words-trust": ("a command with --trust", _words("--trust")),
    "words-arch": ("a command with code", _words("--arch", "os:system")),
    "words-esc": ("a command with ESC", _words(f"--{EVIL['esc']}")),
    "words-out": ("a command that writes elsewhere", _words("--out", "../evil-out")),
    "plan-esc": ("a plan named with ESC", _page(lambda data: data.update(plan=EVIL["esc"]))),
    "model": ("another model", _page(lambda data: data.update(model="f" * 64))),
}
UNITS: dict[str, tuple[str, Built]] = {
    "flip": ("flipped bits in its units", _unit(flipped)),
    "packed": ("packed units", _unit(lambda path: resealed(path, unsealed(path), packed=True))),
    "nan": ("distances of NaN", _unit(put("distance", lambda item: item * float("nan")))),
    "shape": ("images of another shape", _unit(put("x", lambda item: item[:, :, :3]))),
    "words": ("odd words", _unit(told("rejected", {EVIL["esc"]: -1}))),
    "unit-pipe": ("a pipe for a unit", _unit(swapped(os.mkfifo))),
    "unit-link": ("a link for a unit", _unit(swapped(device))),
}


def _asked(build: Built, of: str = "s1") -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        for name in ("s1", "s2"):
            shutil.copytree(place.base / name, place.given / name)
        # the units of a small run may lie in either part
        for name in ("s1", "s2") if of == "both" else (of,):
            if (place.given / name / "units").is_dir() or of != "both":
                build(place.given / name)
        return ["merge", place.given / "s1", place.given / "s2", "--out", place.out, "--workers", "1"]

    return make


def cases() -> Iterator[Case]:
    """All of them."""
    for name, (tries, build) in SHARDS.items():
        yield Case(
            f"merge/{name}", f"a shard with {tries}", _asked(build), codes=(2,) if name != "words-out" else (0, 2)
        )
    for name, (tries, build) in UNITS.items():
        yield Case(f"merge/{name}", f"a shard with {tries}", _asked(build, "both"))
    yield Case("merge/good", "nothing: two honest shards", _asked(lambda _: None), (0,), wrong=cells(fgsm="done"))
