"""The look at the user's images that loaders get: the same images as are evaluated, read once, or nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from robusteval.contracts.plugins import DatasetInfo
from robusteval.engine.data import find
from robusteval.engine.data.find import find_data, prepare
from robusteval.engine.data.peek import ROWS, peeker


class Installed:
    """A data set of 20 grey images."""

    info: ClassVar[DatasetInfo] = DatasetInfo("small", "toy", "none")

    def raw(self, split: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        images = np.random.default_rng(1).integers(0, 256, (20, 4, 4), dtype=np.uint8)
        return images, np.arange(20) % 4, ("a", "b", "c", "d")


def stored(place: Path, shape: tuple[int, ...] = (8, 8, 3), count: int = 100) -> Path:
    rng = np.random.default_rng(0)
    np.savez(place, x=rng.integers(0, 256, (count, *shape), dtype=np.uint8), y=np.arange(count) % 5)
    return place


def test_shows_what_is_evaluated_evenly_drawn(tmp_path: Path) -> None:
    place = stored(tmp_path / "images.npz")
    seen = peeker(None, place, {})((3, 8, 8), (-1.0, 1.0), "")
    assert seen is not None
    x, y = seen
    info: Any = SimpleNamespace(
        input_shape=(3, 8, 8), bounds=(-1.0, 1.0), classes=5, class_names=(), dataset="", name="m"
    )
    whole, _ = prepare(find_data(None, info, place, None, {})[0], info)
    assert x.shape == (ROWS, 3, 8, 8)
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64
    assert y.bincount().min() >= ROWS // 5
    known = {row.numpy().tobytes(): int(label) for row, label in zip(whole.x, whole.y, strict=True)}
    assert all(known[row.numpy().tobytes()] == int(label) for row, label in zip(x, y, strict=True))


def test_beside_the_model_or_named_by_its_metadata(tmp_path: Path) -> None:
    stored(tmp_path / "net.npz", (3, 8, 8))
    assert peeker(tmp_path / "net.onnx", None, {})((3, 8, 8), (0.0, 1.0), "") is not None
    peek = peeker(tmp_path / "other.onnx", None, {"small": Installed()})
    assert peek((1, 4, 4), (0.0, 1.0), "") is None
    seen = peek((16,), (0.0, 1.0), "small")
    assert seen is not None
    assert seen[0].shape == (20, 16)


@pytest.mark.parametrize("shape", [(3, 9, 9), (1, 8, 8)])
def test_nothing_where_the_images_do_not_fit_or_are_not_there(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert peeker(None, stored(tmp_path / "images.npz"), {})(shape, (0.0, 1.0), "") is None
    assert peeker(None, tmp_path / "gone.npz", {})(shape, (0.0, 1.0), "") is None
    np.savez(tmp_path / "nan.npz", x=np.full((4, *shape), np.nan), y=np.arange(4))
    assert peeker(None, tmp_path / "nan.npz", {})(shape, (0.0, 1.0), "") is None


def test_labels_beyond_the_models_classes_and_one_hot_ones(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 5), np.float32), y=np.array([1, 2, 3, 900]))
    np.savez(tmp_path / "b.npz", x=np.zeros((4, 5), np.float32), y=np.eye(4))
    first = peeker(None, tmp_path / "a.npz", {})((5,), (0.0, 1.0), "")
    second = peeker(None, tmp_path / "b.npz", {})((5,), (0.0, 1.0), "")
    assert first is not None
    assert first[1].tolist() == [1, 2, 3, 900]
    assert second is not None
    assert second[1].tolist() == [0, 1, 2, 3]


def test_data_are_read_once_for_all_models_of_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = stored(tmp_path / "images.npz")
    reads = []
    real = find.read

    def read(place: Path, *more: Any) -> Any:
        reads.append(place)
        return real(place, *more)

    monkeypatch.setattr(find, "read", read)
    kept: find.Kept = {}
    for name in ("a.onnx", "b.onnx"):
        peek = peeker(tmp_path / name, place, {}, None, kept)
        assert peek((3, 8, 8), (0.0, 1.0), "") is not None
        assert peek((8, 3, 8), (0.0, 1.0), "") is None
        info: Any = SimpleNamespace(dataset="", name="m")
        find_data(None, info, place, None, {}, kept)
    assert reads == [place]


def test_what_is_learnt_from_is_shown_where_a_command_only_trains(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((6, 5), dtype=np.float32)
    np.savez(tmp_path / "net.npz", x_test=x[:2], y_test=[0, 1], x_train=x[2:], y_train=[0, 1, 2, 3])
    seen = peeker(tmp_path / "net.onnx", None, {}, learning=True)((5,), (0.0, 1.0), "")
    assert seen is not None
    assert sorted(seen[1].tolist()) == [0, 1, 2, 3]
