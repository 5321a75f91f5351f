"""Saying how a file is to be read, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Command
from tests.verify.guises import GUISES, PIXELS, Guise, node, write


def facts(robusteval: Command, folder: Path, *words: object) -> dict[str, Any]:
    screen = robusteval("inspect", folder / "net.onnx", "--data", folder / "images.npz", "--json", *words)
    assert screen.code == 0, screen.err
    answer: dict[str, Any] = json.loads(screen.out)
    return answer


def handed_in(name: str, folder: Path) -> Path:
    path, (x, y) = write(GUISES[name], folder)
    np.savez(folder / "images.npz", x=x, y=y)
    return path


def test_the_output_is_chosen_by_the_images_or_by_name(robusteval: Command, tmp_path: Path) -> None:
    handed_in("heads", tmp_path)
    found = facts(robusteval, tmp_path)
    assert (found["reading"]["output"], found["clean"]["accuracy"]) == ("scores", 1.0)
    (note,) = [note for note in found["notes"] if "several outputs" in note]
    assert "'scores' (100%" in note
    assert "'a1' (" in note
    assert "'a2' (" in note
    asked = facts(robusteval, tmp_path, "--output", "a2")
    assert asked["reading"]["output"] == "a2"
    assert asked["clean"]["accuracy"] < 0.9
    (note,) = [note for note in asked["notes"] if "several outputs" in note]
    assert "as asked" in note
    screen = robusteval("inspect", tmp_path / "net.onnx", "--output", "nothing")
    assert screen.code == 2
    assert "no output named 'nothing'" in screen.err
    assert "a1, scores, a2" in screen.err


@pytest.mark.parametrize("words", [("1", "6", "6"), ("1,6,6",), ("1x6x6",), ("1 6 6",), ("1,", "6,", "6")])
def test_shapes_as_people_write_them(words: tuple[str, ...], robusteval: Command, tmp_path: Path) -> None:
    path = handed_in("open-sides", tmp_path)
    screen = robusteval("inspect", "--shape", *words, path, "--json")
    assert screen.code == 0, screen.err
    assert json.loads(screen.out)["input_shape"] == [1, 6, 6]


@pytest.mark.parametrize("words", [("-1", "1"), ("-1,1",), ("-1.0", "1e0")])
def test_ranges_as_people_write_them(words: tuple[str, ...], robusteval: Command, tmp_path: Path) -> None:
    path = handed_in("plain", tmp_path)
    screen = robusteval("inspect", path, "--range", *words, "--json")
    assert screen.code == 0, screen.err
    assert json.loads(screen.out)["bounds"] == [-1.0, 1.0]


@pytest.mark.parametrize("name", ["no-batch-vector", "squeezed-open", "baked-1"])
def test_what_must_be_asked_alone_is_noted(name: str, robusteval: Command, tmp_path: Path) -> None:
    handed_in(name, tmp_path)
    found = facts(robusteval, tmp_path)
    assert found["batch"] == 1
    assert any("every input is asked alone" in note for note in found["notes"])
    assert found["clean"]["accuracy"] == 1.0


def test_one_sentence_where_nobody_can_tell_where_the_channels_are(robusteval: Command, tmp_path: Path) -> None:
    cut = (node("Flatten", ["x"], ["whole"]), node("Slice", ["whole", "from", "to", "axis"], ["flat"]))
    consts = {"from": np.array([0]), "to": np.array([PIXELS]), "axis": np.array([1])}
    path, _ = write(Guise(dims=("n", 5, 6, 7), pre=cut, consts=consts), tmp_path)
    screen = robusteval("inspect", path)
    assert screen.code == 2
    assert "whether its channels are first or last" in screen.err
    assert "--layout NCHW" in screen.err
    assert robusteval("inspect", path, "--layout", "NHWC").code == 0
