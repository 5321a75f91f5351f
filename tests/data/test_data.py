"""The files beside the repository: told apart from what stands in for them, and made without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests import data
from tests.data import FILES, File, digest, make, missing, state


def test_an_npz_is_known_by_what_it_holds(tmp_path: Path) -> None:
    x, y = np.arange(6, dtype=np.uint8).reshape(2, 3), np.array([1, 2])
    np.savez(tmp_path / "a.npz", x=x, y=y)
    np.savez_compressed(tmp_path / "b.npz", y=y.astype(np.uint8), x=x.astype(np.int32))
    assert digest(tmp_path / "a.npz") == digest(tmp_path / "b.npz")
    others: dict[str, dict[str, Any]] = {
        "value": {"x": x + 1, "y": y},
        "shape": {"x": x.T, "y": y},
        "name": {"x": x, "z": y},
    }
    for name, other in others.items():
        np.savez(tmp_path / f"{name}.npz", **other)
        assert digest(tmp_path / f"{name}.npz") != digest(tmp_path / "a.npz"), name


@pytest.mark.parametrize(
    ("found", "original", "made", "words"),
    [
        ("original", True, True, ""),
        ("original", False, False, ""),
        ("stand-in", False, True, ""),
        ("stand-in", True, True, "has to be the original"),
        ("missing", False, True, "`make test-data` makes one"),
        ("missing", True, True, "has to be the original"),
        ("missing", False, False, "has to be the original"),
    ],
)
def test_why_a_test_skips(found: str, original: bool, made: bool, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FILES, "a/file", File("0" * 64, "a public file", made))
    monkeypatch.setattr(data, "state", lambda name: found)
    why = missing("a/file", original=original)
    assert bool(why) == bool(words)
    assert words in why
    assert not why or ("a/file" in why and "make test-data" in why)


def test_what_is_there_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("one")
    monkeypatch.setitem(FILES, "a", File(digest(tmp_path / "a"), ""))
    monkeypatch.setitem(FILES, "b", File("0" * 64, ""))
    assert (state("a", tmp_path), state("b", tmp_path)) == ("original", "missing")
    (tmp_path / "b").write_text("two")
    state.cache_clear()
    assert state("b", tmp_path) == "stand-in"


def test_digits_stand_in_for_mnist(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    make.make_images(path)
    make.make_test_images(tmp_path / "test1000.npz")
    with np.load(path) as images, np.load(tmp_path / "test1000.npz") as test:
        assert images["x_train"].shape == (6000, 28, 28)
        assert images["x_train"].dtype == np.uint8
        assert test["x"].shape == (1000, 1, 28, 28)
        assert 0 <= test["x"].min() < test["x"].max() <= 1
        assert set(test["y"].tolist()) == set(range(10))
        trained = {image.tobytes() for image in images["x_train"]}
        assert not any(image.tobytes() in trained for image in images["x_test"])
        first = digest(path)
    path.unlink()
    make.make_images(path)
    assert digest(path) == first


def test_the_middle_of_an_image_is_the_digit() -> None:
    source = load_digits()
    x, y = make.digits(source.images[:1], source.target[:1], 20, np.random.default_rng(0))
    assert set(y.tolist()) == {int(source.target[0])}
    ink = (x > 0).reshape(20, -1).sum(1)
    assert len(set(ink.tolist())) == 1  # moved, and otherwise the same
    assert len({image.tobytes() for image in x}) > 10
    assert not x[:, :2].any()
    assert not x[:, -2:].any()


def test_check_makes_nothing_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make, "FOLDER", tmp_path)
    assert make.main(["--check"]) == 1
    assert list(tmp_path.iterdir()) == []
    screen = capsys.readouterr().out
    for name, file in FILES.items():
        assert f"missing   {name}" in screen
        assert file.sha256 in screen
        assert file.source in screen
