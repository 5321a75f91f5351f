"""Run folders that strangers made: `verify` and `report` refuse or doubt them, and a run that is taken up in one writes
nothing elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile.base import run
from tests.hostile.case import Case, Outcome, Place, plain_page
from tests.hostile_text import EVIL

Change = Callable[[dict[str, Any]], object]
Built = Callable[[Path], object]


def holding(name: str, content: bytes) -> Built:
    return lambda folder: (folder / name).write_bytes(content)


def instead(name: str, made: Built) -> Built:
    """Something else in the place of a file."""
    return lambda folder: swapped(made)(folder / name)


def swapped(made: Built) -> Built:
    """Something else in the place of the file or folder at a path."""

    def build(path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        made(path)

    return build


def _edited(change: Change) -> Built:
    def build(folder: Path) -> None:
        data = json.loads((folder / "record.json").read_text())
        change(data)
        (folder / "record.json").write_text(json.dumps(data))

    return build


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def holes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**12)


def _cut(name: str, share: float) -> Built:
    def build(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return build


def _flipped(name: str, seed: int) -> Built:
    def build(folder: Path) -> None:
        content, rng = bytearray((folder / name).read_bytes()), np.random.default_rng(seed)
        for place in rng.integers(0, len(content), 4):
            content[place] ^= 1 << int(rng.integers(8))
        (folder / name).write_bytes(bytes(content))

    return build


def _model_path(path: str, make: Built = lambda _: None) -> Built:
    def build(folder: Path) -> None:
        make(folder)
        _edited(lambda data: data["model"].update(path=path.format(folder=folder)))(folder)

    return build


def _all_names(data: dict[str, Any]) -> None:
    """Every text of a record that no other part has to agree with."""
    evil = EVIL["esc"] + EVIL["newline"] + "<script>alert(1)</script>"
    data["model"]["name"] = data["data"]["name"] = data["suite"]["name"] = evil
    data["environment"]["python"] = evil
    for row in (*data["plugins"], *data["findings"]):
        for key, value in row.items():
            if isinstance(value, str) and key in ("summary", "distribution", "message", "title"):
                row[key] = evil


SPOILT: dict[str, tuple[str, Built]] = {
    "deep": ("brackets 200,000 deep", holding("record.json", b"[" * 200_000)),
    "deep-object": ("objects 200,000 deep", holding("record.json", b'{"a":' * 200_000)),
    "digits": ("a number of 6,000 digits", holding("record.json", b'{"schema": ' + b"9" * 6000 + b"}")),
    "half": ("half of a letter", holding("record.json", b'{"schema": "\\ud800"}')),
    "not-utf-8": ("bytes that are no text", holding("record.json", b'{"schema": "\xff\xfe"}')),
    "nan": ("NaN", holding("record.json", b'{"schema": NaN}')),
    "empty": ("nothing", holding("record.json", b"")),
    "twice": (
        "a million names, the last one twice",
        holding("record.json", b"{" + b",".join(b'"%d":1' % n for n in range(1_000_000)) + b',"999999":1}'),
    ),
    "pipe": ("a named pipe", instead("record.json", os.mkfifo)),
    "device": ("a link to a device", instead("record.json", device)),
    "holes": ("a terabyte of holes", instead("record.json", holes)),
    "folder": ("a folder", instead("record.json", lambda path: path.mkdir())),
    "cut": ("half of a record", _cut("record.json", 0.5)),
    "schema": ("a version with ESC", _edited(lambda data: data.update(schema=EVIL["esc"]))),
    "field": ("a field that is none", _edited(lambda data: data.update({EVIL["esc"]: 1}))),
    "samples-pipe": ("a pipe for its columns", instead("samples.parquet", os.mkfifo)),
    "samples-device": ("a device for its columns", instead("samples.parquet", device)),
    "samples-cut": ("half of its columns", _cut("samples.parquet", 0.5)),
    "samples-flip": ("flipped bits in its columns", _flipped("samples.parquet", 0)),
    "samples-gone": ("no columns", lambda folder: (folder / "samples.parquet").unlink()),
    "samples-up": (
        "columns above its folder",
        _edited(lambda data: data["per_sample"].update(file="../samples.parquet")),
    ),
    "samples-rows": ("10^15 rows", _edited(lambda data: data["per_sample"].update(rows=10**15))),
}
DOUBTED: dict[str, tuple[str, Built, tuple[int, ...]]] = {
    "model-up": ("a model above its folder", _model_path("../" * 20 + "etc/passwd"), (2,)),
    "model-passwords": ("the passwords as its model", _model_path("/etc/passwd"), (2,)),
    "model-device": ("a device as its model", _model_path("/dev/zero"), (2,)),
    "model-pipe": (
        "a pipe as its model",
        _model_path("{folder}/p.onnx", lambda folder: os.mkfifo(folder / "p.onnx")),
        (2,),
    ),
    "model-link": (
        "a link to a device as its model",
        _model_path("{folder}/p.onnx", lambda folder: device(folder / "p.onnx")),
        (2,),
    ),
    "model-nul": ("a model with a zero byte in its name", _model_path("a\0b.onnx"), (2,)),
    "model-long": ("a model with a name of 100,000 letters", _model_path("n" * 100_000 + ".onnx"), (2,)),
    "model-esc": ("a model named with ESC", _model_path("/\x1b[2J\n.onnx"), (2,)),
    "witness-pipe": ("a pipe for its proof", instead("witnesses.safetensors", os.mkfifo), (1, 2)),
    "witness-device": ("a device for its proof", instead("witnesses.safetensors", device), (1, 2)),
    "witness-cut": ("half of its proof", _cut("witnesses.safetensors", 0.5), (1, 2)),
    "witness-head": (
        "a proof with a head of 2^62 bytes",
        holding("witnesses.safetensors", (1 << 62).to_bytes(8, "little")),
        (1, 2),
    ),
    "page-script": (
        "a page with a script of its own",
        lambda folder: (folder / "report.html").write_text(
            (folder / "report.html").read_text() + "<script>alert(1)</script>"
        ),
        (1,),
    ),
    "page-pipe": ("a pipe for its page", instead("report.html", os.mkfifo), (1, 2)),
    "page-huge": ("a page of a terabyte", instead("report.html", holes), (1, 2)),
    "better": (
        "distances twice as large",
        _edited(
            lambda data: [
                row.update(value=2 * row["value"]) for row in data["results"] if isinstance(row.get("value"), float)
            ]
        ),
        (0, 1, 2),
    ),
    "huge": ("a whole number of 299 digits", _edited(lambda data: data["times"].update(wall_s=10**299)), (1, 2)),
    "names": ("names with ESC and scripts", _edited(_all_names), (1, 2)),
}


MORE: dict[str, Callable[[Place], list[object]]] = {  # words of a command after the folder
    "compare": lambda place: [place.base / "run", "--out", place.out / "compare.html"],
    "samples": lambda place: ["--csv", place.out / "hard.csv", "--images", place.out / "hard"],
    "export": lambda place: [
        f"--{name}={place.out / name}" for name in ("junit", "sarif", "summary", "cyclonedx", "csv")
    ],
}


MARKS: dict[str, tuple[str, Built]] = {
    "deep": ("brackets 200,000 deep", lambda path: path.write_bytes(b"[" * 200_000)),
    "digits": ("a number of 6,000 digits", lambda path: path.write_bytes(b'{"schema": ' + b"9" * 6000 + b"}")),
    "not-utf-8": ("bytes that are no text", lambda path: path.write_bytes(b'{"schema": "\xff\xfe"}')),
    "other": (
        "another run",
        lambda path: path.write_text(json.dumps({"schema": "robusteval-marks-1", "record": EVIL["esc"], "marks": []})),
    ),
    "pipe": ("a named pipe", os.mkfifo),
    "device": ("a link to a device", device),
    "holes": ("a terabyte of holes", holes),
}


def _marked(build: Built) -> Callable[[Place], list[object]]:
    """The words of a report with such marks."""

    def make(place: Place) -> list[object]:
        shutil.copytree(place.base / "run", place.out)
        build(place.out / "marks.json")
        return ["report", place.out, "--marks", place.out / "marks.json"]

    return make


def asked(command: str, build: Built) -> Callable[[Place], list[object]]:
    """The command's words on a copy of the finished run."""

    def make(place: Place) -> list[object]:
        shutil.copytree(place.base / "run", place.out)
        build(place.out)
        if command == "run":
            return run(place)
        return [command, place.out, *(MORE[command](place) if command in MORE else [])]

    return make


def plain_text(found: Outcome) -> str:
    """What was written is text without codes for a terminal."""
    written = [
        path for path in found.place.out.iterdir() if path.name in ("junit", "sarif", "summary", "csv", "hard.csv")
    ]
    odd = [path.name for path in written if b"\x1b" in path.read_bytes()]
    return f"codes in {odd[0]}" if odd else ""


def cases() -> Iterator[Case]:
    """All of them."""
    for name, (tries, build) in SPOILT.items():
        for command in ("verify", "report", *MORE) if name in ("deep", "half", "pipe", "samples-pipe") else ("verify",):
            yield Case(f"{command}/{name}", f"a record: {tries}", asked(command, build))
    for name, (tries, build, codes) in DOUBTED.items():
        yield Case(f"verify/{name}", f"a run with {tries}", asked("verify", build), codes)
    for command in MORE:
        made = asked(command, _edited(_all_names))
        yield Case(f"{command}/names", "a run with names with ESC and scripts", made, (0, 2), wrong=plain_text)
    yield Case(
        "samples/proof",
        "images of a proof with a head of 2^62 bytes",
        asked("samples", holding("witnesses.safetensors", (1 << 62).to_bytes(8, "little"))),
    )
    for name, (tries, build) in MARKS.items():
        yield Case(f"report/marks-{name}", f"marks: {tries}", _marked(build))
    yield Case(
        "report/names",
        "a run with names with ESC and scripts",
        asked("report", _edited(_all_names)),
        (0,),
        wrong=plain_page,
    )
