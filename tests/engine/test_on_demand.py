"""Samples that are read when they are asked for: the same numbers as in memory, whatever the file, and never another
image than the first time."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.data import images
from robusteval.engine.data.find import in_words, opened, prepare, read
from robusteval.engine.data.images import Held, Lazy, Placed
from robusteval.engine.data.npz import RawData
from robusteval.engine.data.survey import survey
from robusteval.engine.source import l2_of, span_of
from robusteval.errors import DataError
from tests.engine.data_files import idx, refused

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (300, 4, 5, 3), dtype=np.uint8)
Y = np.arange(300) % 3
INFO = ModelInfo("m", "onnx", "", (3, 4, 5), 3)


def stored(folder: Path) -> Path:
    np.savez(folder / "data.npz", x=X, y=Y, layout="NHWC")
    return folder / "data.npz"


def packed(folder: Path) -> Path:
    np.savez_compressed(folder / "data.npz", x=X, y=Y, layout="NHWC")
    return folder / "data.npz"


def fortran(folder: Path) -> Path:
    np.savez(folder / "data.npz", x=np.asfortranarray(X), y=Y, layout="NHWC")
    return folder / "data.npz"


def pngs(folder: Path) -> Path:
    for number, (x, y) in enumerate(zip(X, Y, strict=True)):
        (folder / f"data/{y}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(x).save(folder / f"data/{y}/{number:03}.png")
    return folder / "data"


def plain_idx(folder: Path) -> Path:
    (folder / "t10k-images-idx4-ubyte").write_bytes(idx(X))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(Y.astype(np.uint8)))
    return folder / "t10k-images-idx4-ubyte"


def packed_idx(folder: Path) -> Path:
    path = plain_idx(folder)
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return path.with_name(path.name + ".gz")


LAYOUTS = {"stored": stored, "packed": packed, "fortran": fortran, "pngs": pngs, "idx": plain_idx, "idx.gz": packed_idx}


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of every size are large ones."""
    monkeypatch.setattr(images, "SMALL", 0)
    monkeypatch.setattr(images, "PIECE", 1000)


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("samples", [None, 100])
def test_what_is_read_on_demand_is_what_is_read_at_once(tmp_path: Path, layout: str, samples: int | None) -> None:
    raw = read(LAYOUTS[layout](tmp_path))
    assert isinstance(raw.images, np.ndarray if layout == "fortran" else Lazy)
    whole = RawData(np.asarray(raw.images), raw.labels, layout=raw.layout or "NHWC", names=raw.names)
    wanted, note = prepare(whole, INFO, samples=samples, seed=3)
    chosen, notes = opened(replace(raw, layout="NHWC"), INFO, samples=samples, seed=3)
    seen = survey(chosen)
    found = pickle.loads(pickle.dumps(seen.samples))
    assert in_words(seen.note, notes) == note
    assert torch.equal(found.x[:], wanted.x)
    assert torch.equal(found.y, wanted.y)
    order = torch.tensor([7, 3, 4, 5, 99, 0])
    assert torch.equal(found.x[order], wanted.x[order])
    assert torch.equal(found.x[5], wanted.x[5])
    assert torch.equal(found.x[[9, 2]], wanted.x[[9, 2]])
    assert torch.equal(found.x[wanted.y == 1], wanted.x[wanted.y == 1])
    assert seen.samples[2:5].names == wanted.names[2:5]
    assert found.names == ()
    assert (seen.samples.sha256(), seen.samples.hashes()) == (wanted.sha256(), wanted.hashes())
    assert (seen.samples.contents(), l2_of(seen.samples)) == (wanted.contents(), l2_of(wanted))
    assert span_of(seen.samples) == span_of(wanted) == tuple(float(value) for value in wanted.x.aminmax())
    assert torch.equal(seen.samples.copy().x, wanted.x)


def test_norms_and_contents_are_those_of_all_samples_at_once() -> None:
    samples, _ = prepare(RawData(X[:257], Y[:257], layout="NHWC"), INFO)  # the last block has one image
    assert l2_of(samples) == [float(value) for value in samples.x.double().flatten(1).norm(dim=1)]
    one_by_one = [samples[row : row + 1].contents()[0] for row in range(257)]
    assert samples.contents() == one_by_one


def test_only_what_is_attacked_counts_but_all_is_looked_at() -> None:
    chosen, _ = opened(RawData(X, Y, layout="NHWC"), INFO)
    seen, rest = survey(chosen, keep=chosen.y != 1), prepare(RawData(X[Y != 1], Y[Y != 1], layout="NHWC"), INFO)[0]
    assert (seen.samples.sha256(), seen.samples.contents()) == (rest.sha256(), rest.contents())
    assert torch.equal(seen.samples.x[:], rest.x)
    assert len(seen.hashes) == 300


def test_the_model_is_asked_on_the_way() -> None:
    def ask(x: torch.Tensor) -> torch.Tensor:
        scores = x.flatten(1)[:, :3].clone()
        scores[0] = torch.nan
        return scores

    chosen, _ = opened(RawData(X, Y, layout="NHWC"), INFO)
    seen = survey(chosen, ask=ask, relabel=True)
    assert seen.answers[0] == seen.answers[256] == -1
    wanted = prepare(RawData(X, Y, layout="NHWC"), INFO)[0].x.flatten(1)[:, :3].argmax(1)
    assert (seen.samples.y[1:256] == wanted[1:256]).all()
    assert (torch.from_numpy(seen.answers)[1:256] == wanted[1:256]).all()


@pytest.mark.parametrize(("bad", "word"), [(np.nan, "2 pixel values are not finite"), (7.0, "run from 0 to 7")])
def test_faults_are_told_of_all_images_before_anything_is_attacked(bad: float, word: str) -> None:
    x = (X / 255).astype(np.float32)
    x[3, 0, 0, 0] = bad
    x[299, 1, 1, 1] = bad
    chosen, _ = opened(RawData(x, Y, layout="NHWC"), INFO)
    refused(lambda: survey(chosen), word)


def _other_pixel(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(X[8].tobytes())] ^= 1
    path.write_bytes(content)


def _shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(X[8].tobytes())])


def _other_png(path: Path) -> None:
    Image.fromarray(X[0]).save(sorted(path.glob("*/*.png"))[8])


def _larger_png(path: Path) -> None:
    Image.new("RGB", (9, 9)).save(sorted(path.glob("*/*.png"))[8])


def _no_png(path: Path) -> None:
    sorted(path.glob("*/*.png"))[8].write_bytes(b"nothing")


def _gone(path: Path) -> None:
    sorted(path.glob("*/*.png"))[8].unlink()


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize(
    ("layout", "change", "word"),
    [
        ("stored", _other_pixel, "image 8 is another"),
        ("stored", _shorter, "data.npz is shorter than it was"),
        ("stored", Path.unlink, "data.npz cannot be read"),
        ("idx", _other_pixel, "image 8 is another"),
        ("pngs", _other_png, "image 8 is another"),
        ("pngs", _larger_png, "024.png is 9x9; it was 5x4"),
        ("pngs", _no_png, "024.png cannot be read"),
        ("pngs", _gone, "024.png cannot be read"),
    ],
)
def test_a_file_that_changes_is_one_sentence(
    tmp_path: Path, layout: str, change: Callable[[Path], Any], word: str
) -> None:
    path = LAYOUTS[layout](tmp_path)
    samples = survey(opened(replace(read(path), layout="NHWC"), INFO)[0]).samples
    change(path)
    if path.exists():
        assert len(samples.x[:8]) == 8  # the others are still what they were
    refused(lambda: samples.x[0:9], word)


@pytest.mark.usefixtures("_few")
def test_a_broken_image_is_named(tmp_path: Path) -> None:
    path = pngs(tmp_path)
    victim = sorted(path.glob("*/*.png"))[200]
    victim.write_bytes(victim.read_bytes()[:-60])
    chosen, _ = opened(read(path), INFO)
    refused(lambda: survey(chosen), f"{victim.name} cannot be read")


@pytest.mark.usefixtures("_few")
def test_a_place_beyond_the_file_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path)
    content = path.read_bytes()
    directory = content.index(b"PK\1\2")
    moved = bytearray(content)
    moved[directory + 42 : directory + 46] = (len(content) - 20).to_bytes(4, "little")
    path.write_bytes(moved)
    with pytest.raises(DataError):
        read(path)


def test_arrays_travel_while_they_are_small_and_lie_in_a_file_else(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(X)
    assert np.array_equal(pickle.loads(pickle.dumps(held))[5:7], X[5:7])
    monkeypatch.setattr(images, "SENT", 100)
    content = pickle.dumps(held)
    there = pickle.loads(content)
    assert isinstance(there, Placed)
    assert len(content) < 1000
    assert np.array_equal(there[:], X)
    path = there.path
    assert pickle.dumps(held) == content, "It is written once."
    del held
    assert not path.exists(), "And goes with the array."


def test_no_room_to_unpack_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(images, "SMALL", 0)
    path = packed(tmp_path)
    monkeypatch.setattr(Path, "open", full)
    monkeypatch.setattr("robusteval.engine.data.find._start", lambda _: b"PK")
    error = refused(lambda: read(path), "cannot be unpacked to", "No space left on device")
    assert "TMPDIR" in error.hint
