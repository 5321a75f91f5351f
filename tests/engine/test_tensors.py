"""Witness files written a part at a time are what safetensors writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from robusteval.engine.run.tensors import Part, write_tensors
from robusteval.errors import RecordError

RNG = np.random.default_rng(0)
TENSORS: dict[str, np.ndarray[Any, Any]] = {
    "none.linf": RNG.random((7, 3, 4, 5), np.float32),
    "none.l2": RNG.random((2, 3, 4, 5), np.float32),
    "8bit.0": RNG.integers(0, 256, (5, 3), dtype=np.uint8),
    'd\u00e9fense "x".l2': RNG.random((1, 3), np.float32),
    "wins.10": RNG.random((3, 3), np.float32),
    "wins.2": RNG.random((3, 3), np.float32),
    "clean": RNG.random((9, 3), np.float32),
    "labels": np.arange(9),
}


def part(name: str, step: int = 2) -> Part:
    value = TENSORS[name]
    rows = lambda: (value[start : start + step] for start in range(0, len(value), step))  # noqa: E731 - one line
    return Part(name, str(value.dtype), value.shape, rows)


@pytest.mark.parametrize("names", [tuple(TENSORS), ("clean", "labels"), ("8bit.0",), ()])
def test_byte_for_byte(tmp_path: Path, names: tuple[str, ...]) -> None:
    digest = write_tensors(tmp_path / "w", [part(name) for name in names])
    content = (tmp_path / "w").read_bytes()
    assert content == safetensors.numpy.save({name: TENSORS[name] for name in names})
    import hashlib

    assert digest == hashlib.sha256(content).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_nothing_is_left_of_what_fails(tmp_path: Path) -> None:
    short = Part("a", "float32", (3,), lambda: iter([np.zeros(2, np.float32)]))
    with pytest.raises(ValueError, match="a has 8 bytes, not the 12"):
        write_tensors(tmp_path / "w", [short])
    assert not list(tmp_path.iterdir())
    with pytest.raises(RecordError, match="Cannot write"):
        write_tensors(tmp_path / "none" / "w", [part("clean")])
