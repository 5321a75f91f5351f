"""Run folders that strangers made, in which a run is taken up: damaged units are made again, sealed lies are refused or
made again, and nothing is written elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.engine.test_merge_hostile import put, resealed, told, unsealed
from tests.hostile.base import run
from tests.hostile.case import Case, Outcome, Place, cells
from tests.hostile.folders import Built, asked, device, holding, instead, swapped
from tests.hostile_text import EVIL


def _units(folder: Path) -> Path:
    return min((folder / "units").glob("*.npz"))


def _shape(folder: Path) -> None:
    put("x", lambda item: item[:, :, :3])(_units(folder))


def _unit(change: Built) -> Built:
    return lambda folder: change(_units(folder))


def _to(name: str, kind: str) -> Built:
    """A link elsewhere, from a name that a run writes."""

    def build(folder: Path) -> None:
        other = folder.parent.parent / "in" / kind
        if kind == "folder":
            shutil.move(folder / name, other)
            for unit in other.glob("*.npz"):
                unit.unlink()
        else:
            (folder / name).unlink(missing_ok=True)
            other.write_text("precious")
        (folder / name).symlink_to(other)

    return build


TAKEN: dict[str, tuple[str, Built, tuple[int, ...]]] = {
    "unit-half": ("half of a unit", lambda folder: _units(folder).write_bytes(_units(folder).read_bytes()[:300]), (0,)),
    "unit-flip": (
        "a flipped bit in a unit",
        _unit(lambda path: path.write_bytes(path.read_bytes()[:-100] + b"x" + path.read_bytes()[-99:])),
        (0,),
    ),
    "unit-pipe": ("a pipe for a unit", _unit(swapped(os.mkfifo)), (0, 2)),
    "unit-device": ("a device for a unit", _unit(swapped(device)), (0, 2)),
    "unit-shape": ("a sealed unit of images of another shape", _shape, (0, 1, 2)),
    "unit-nan": ("a sealed unit with NaN for distances", _unit(put("distance", lambda item: item * np.nan)), (0, 1, 2)),
    "unit-few": ("a sealed unit of fewer samples", lambda folder: _fewer(_units(folder)), (0, 1, 2)),
    "unit-type": ("a sealed unit of texts", _unit(put("answer", lambda item: item.astype("U8"))), (0, 1, 2)),
    "unit-trace": ("a sealed unit with odd words", _unit(told("trace", [{EVIL["esc"]: "x"}] * 500)), (0, 1, 2)),
    "unit-seconds": ("a sealed unit that took -1 s", _unit(told("seconds", -1.0)), (0, 1, 2)),
    "unit-rejected": ("a sealed unit that counts badly", _unit(told("rejected", {EVIL["esc"]: -5})), (0, 1, 2)),
    "units-link": ("units that are a link elsewhere", _to("units", "folder"), (0, 2)),
    "units-pipe": (
        "a pipe for the units",
        instead("units", os.mkfifo),
        (2,),
    ),
    "plan-deep": ("a deep mark", holding("units/plan.json", b"[" * 200_000), (0, 2)),
    "seen-deep": ("deep marks of samples", holding("units/samples.json", b"[" * 200_000), (0, 2)),
    "seen-odd": (
        "odd marks of samples",
        holding("units/samples.json", b'{"plan": [], "rest": {}, "images": 5, "beside": 1}'),
        (0, 2),
    ),
    "seen-pipe": ("a pipe for the marks of samples", instead("units/samples.json", os.mkfifo), (0, 2)),
    "plan-pipe": ("a pipe for the mark", instead("units/plan.json", os.mkfifo), (2,)),
    "plan-odd": (
        "a mark that says odd things",
        lambda folder: _mark(folder, {"passes": {"layout": [1] * 1000}}),
        (0, 2),
    ),
    "lock-pipe": ("a pipe for the lock", instead(".robusteval.lock", os.mkfifo), (0, 2)),
    "lock-link": ("a lock that is a link elsewhere", _to(".robusteval.lock", "file"), (0, 2)),
    "record-link": ("a record that is a link elsewhere", _to("record.json", "file"), (0, 2)),
    "samples-link": ("columns that are a link elsewhere", _to("samples.parquet", "file"), (0, 2)),
    "witness-link": ("a proof that is a link elsewhere", _to("witnesses.safetensors", "file"), (0, 2)),
    "page-link": ("a page that is a link elsewhere", _to("report.html", "file"), (0, 2)),
    "page-pipe": ("a pipe for the page", instead("report.html", os.mkfifo), (0, 2)),
    "tables-link": ("tables that are a link elsewhere", _to("tables", "folder"), (0, 2)),
    "log-link": ("a log that is a link elsewhere", _to("errors.log", "file"), (0, 2)),
    "log-pipe": ("a pipe for the log", instead("errors.log", os.mkfifo), (0, 2)),
    "tables-list": (
        "a list of tables with odd names",
        lambda folder: (folder / "tables" / ".tables.json").write_text(
            json.dumps(["../record.csv", "\ud800.csv", "a\0.csv", ".csv", 5])
        ),
        (0, 2),
    ),
}


def _fewer(path: Path) -> None:
    content = unsealed(path)
    resealed(path, {key: value if key == "meta" or not value.ndim else value[:2] for key, value in content.items()})


def _mark(folder: Path, more: dict[str, Any]) -> None:
    mark = json.loads((folder / "units" / "plan.json").read_text())
    (folder / "units" / "plan.json").write_text(json.dumps(mark | more))


def asked_again(name: str, build: Built) -> Callable[[Place], list[object]]:
    """The run's words in the folder of a run that was all but finished."""

    def make(place: Place) -> list[object]:
        shutil.copytree(place.base / "run", place.out)
        if not name.startswith(("record", "samples", "witness", "page")):
            (place.out / "record.json").unlink()
        build(place.out)
        return run(place)

    return make


def _kept(found: Outcome) -> str:
    """What lies elsewhere is as it was; and a run that says that it is done is that run."""
    for name, content in (("file", "precious"),):
        path = found.place.given / name
        if path.exists() and path.read_text() != content:
            return "wrote over a file elsewhere"
    if found.code != 0:
        return ""
    good = json.loads((found.place.base / "run" / "record.json").read_text())
    same = [row["attack"] for row in good["cells"]] == [row["attack"] for row in found.record["cells"]]
    return cells(fgsm="done")(found) if same else "another document"


def cases() -> Iterator[Case]:
    """All of them."""
    for name in ("page-link", "page-pipe", "tables-link"):
        yield Case(
            f"report/{name}", f"a run with {TAKEN[name][0]}", asked("report", TAKEN[name][1]), (0, 2), wrong=_elsewhere
        )
    for name, (tries, build, codes) in TAKEN.items():
        yield Case(f"resume/{name}", f"a folder to go on in: {tries}", asked_again(name, build), codes, wrong=_kept)


def _elsewhere(found: Outcome) -> str:
    path = found.place.given / "file"
    return "wrote over a file elsewhere" if path.exists() and path.read_text() != "precious" else ""
