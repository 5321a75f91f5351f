"""Files that are none, or hostile ones, wherever a command reads from: one sentence, exit code 2, at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import CNN, Command, Screen
from tests.hostile_text import EVIL, clean

DEEP = 200_000
DIGITS = "9" * 6_000
SUITE = 'name = "s"\nversion = "1"\nnorms = ["l2"]\n[[attack]]\nplugin = "fgsm"\n'
CONTENT = {
    "deep": b"[" * DEEP,
    "deep-object": b'{"a":' * DEEP,
    "digits": b'{"schema": ' + DIGITS.encode() + b"}",
    "half": b'{"schema": "\\ud800"}',
    "not-utf-8": b'{"schema": "\xff\xfe"}',
    "nan": b'{"schema": NaN}',
    "esc": json.dumps({"schema": EVIL["esc"] + EVIL["newline"]}).encode(),
    "number": b"5",
    "empty": b"",
}
STRANGE = ("pipe", "holes", "folder")
TOML = {
    "deep": "x = " + "[" * DEEP,
    "deep-names": SUITE + "[attack.params]\n" + ".".join("a" * 2_000) + " = 1",
    "digits": f"x = {DIGITS}",
    "hex-digits": SUITE + f"samples = 0x{'f' * 6_000}",
    "half": 'x = "\\ud800"',
    "long": "# " + "x" * 2_000_000,
    "esc": "x = " + repr(EVIL["esc"]).replace("'", '"').replace("\\x1b", "\\u001b"),
}


def made(kind: str, path: Path) -> Path:
    """Something bad at a path."""
    path.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "holes":
        with path.open("wb") as file:
            file.truncate(10**12)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(CONTENT[kind])
    return path


def refused(screen: Screen) -> None:
    """One sentence and its hint on stderr, nothing else and nothing hidden."""
    assert screen.code == 2, screen
    assert "Traceback" not in screen.err + screen.out
    assert clean(screen.out)
    assert clean(screen.err)
    lines = screen.err.strip().splitlines()
    assert lines[0].startswith("Error: "), screen.err
    assert len(lines) <= 2, screen.err
    assert len(screen.err) < 2_000
    assert screen.out == ""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", [*CONTENT, *STRANGE])
@pytest.mark.parametrize("command", ["report", "verify", "report-comparison", "verify-comparison", "merge"])
def test_run_folders(command: str, kind: str, robusteval: Command, tmp_path: Path) -> None:
    name = {"merge": "shard.json"}.get(command, "comparison.json" if "comparison" in command else "record.json")
    made(kind, tmp_path / "run" / name)
    words = {"merge": ("--out", tmp_path / "whole")}.get(command, ())
    refused(robusteval(command.removesuffix("-comparison"), tmp_path / "run", *words))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", [*TOML, *STRANGE])
def test_suites(kind: str, robusteval: Command, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    if kind in TOML:
        path.write_text(TOML[kind])
    else:
        made(kind, path)
    refused(robusteval("references", "build", "--model", f"a={CNN}", "--suite", path, "--out", tmp_path / "r.json"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("ending", [".onnx", ".pt", ".safetensors", ".npz"])
def test_models(ending: str, kind: str, robusteval: Command, tmp_path: Path) -> None:
    refused(robusteval("inspect", made(kind, tmp_path / f"m{ending}")))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["pipe", "empty", "number"])
@pytest.mark.parametrize("name", ["data.npz", "data", "t10k-images-idx3-ubyte"])
def test_data(name: str, kind: str, robusteval: Command, tmp_path: Path) -> None:
    refused(robusteval("inspect", CNN, "--data", made(kind, tmp_path / name)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", [*CONTENT, *STRANGE])
def test_reference_sets(kind: str, robusteval: Command, tmp_path: Path, quick: Path) -> None:
    path = made(kind, tmp_path / "known.json")
    refused(robusteval("run", CNN, "--suite", quick, "--references", path, "--out", tmp_path / "run", "--dry-run"))


def shown(tmp_path: Path, **metadata: str) -> Path:
    """The example with other metadata, and with what it names itself in its graph."""
    model = onnx.load(CNN)
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, tmp_path / "evil.onnx")
    return tmp_path / "evil.onnx"


@pytest.mark.parametrize("kind", EVIL)
def test_names_in_a_model_are_seen_and_do_nothing(kind: str, robusteval: Command, tmp_path: Path) -> None:
    names = ",".join(f"{EVIL[kind][:650_000]}{number}".replace(",", "") for number in range(10))
    path = shown(tmp_path, name=EVIL[kind], class_names=names, dataset=EVIL[kind])
    screen = robusteval("inspect", path)
    assert screen.code == 0, screen.err
    assert clean(screen.out)
    assert clean(screen.err)
    assert len(screen.out) + len(screen.err) < 30_000
    assert not any(line.strip().startswith("Trust grade") for line in screen.out.splitlines())
    facts = json.loads(robusteval("inspect", path, "--json").out)
    assert len(facts["class_names"]) == 10
    assert max(map(len, (facts["name"], facts["dataset"], *facts["class_names"]))) <= 300


@pytest.mark.parametrize("where", ["input", "output"])
def test_names_in_a_graph_are_seen_and_do_nothing(where: str, robusteval: Command, tmp_path: Path) -> None:
    model = onnx.load(CNN)
    evil = EVIL["esc"] + EVIL["newline"]
    row = (model.graph.input if where == "input" else model.graph.output)[0]
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = evil if name == row.name else name
    row.name = evil
    onnx.save(model, tmp_path / "evil.onnx")
    screen = robusteval("inspect", tmp_path / "evil.onnx")
    assert screen.code == 0, screen.err
    assert clean(screen.out + screen.err)
    screen = robusteval("inspect", tmp_path / "evil.onnx", "--output", "nothing")
    assert screen.code == 2
    assert clean(screen.err)


@pytest.mark.parametrize("kind", ["esc", "newline", "bidi", "markup", "long"])
def test_class_names_of_data_are_seen_and_do_nothing(kind: str, robusteval: Command, tmp_path: Path) -> None:
    model = shown(tmp_path)
    names = np.array([f"{EVIL[kind][:50_000]}{number}" for number in range(10)])
    np.savez(tmp_path / "d.npz", x=np.zeros((20, 28, 28), np.uint8), y=np.array([10] * 20), class_names=names)
    screen = robusteval("inspect", model, "--data", tmp_path / "d.npz")
    assert screen.code == 2
    assert clean(screen.err)
    assert "Traceback" not in screen.err


@pytest.mark.parametrize("kind", ["esc", "newline", "long"])
def test_a_run_on_a_hostile_model_has_a_page_of_ordinary_size(
    kind: str, robusteval: Command, tmp_path: Path, quick: Path
) -> None:
    names = ",".join(f"{EVIL[kind][:650_000]}{number}".replace(",", "") for number in range(10))
    path = shown(tmp_path, name=EVIL[kind], class_names=names, dataset="fashion-mnist")
    screen = robusteval("run", path, "--suite", quick, "--out", tmp_path / "run", "--workers", 1)
    assert screen.code == 0, screen.err
    assert clean(screen.out + screen.err)
    assert not any(line.startswith("Evaluation quality: A") for line in screen.out.splitlines())
    page = (tmp_path / "run" / "report.html").read_text()
    assert clean(page.split("<script>", maxsplit=1)[0].replace("\t", ""))
    assert len(page) < 2_500_000
    assert (tmp_path / "run" / "record.json").stat().st_size < 1_000_000
    for table in (tmp_path / "run" / "tables").glob("*.csv"):
        assert clean(table.read_text())
    assert robusteval("verify", tmp_path / "run").code == 0
