"""Reading files: what is accepted, what is refused and how, and that no damage ends in a traceback."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from robusteval.api import Split
from robusteval.engine.data.fashion_mnist import FashionMnist, robusteval_datasets
from robusteval.engine.data.find import read
from robusteval.engine.data.npz import read_npz
from robusteval.errors import DataError
from tests.engine.data_files import BEYOND, X, Y, idx, npz, pair, refused, same


class TestNpz:
    def test_x_and_y(self, tmp_path: Path) -> None:
        raw = read(npz(tmp_path, x=X, y=Y, class_names=["a", "b", "c"], layout="NHWC"))
        same(raw, X, Y)
        assert (raw.class_names, raw.name, raw.layout) == (("a", "b", "c"), "data", "NHWC")

    def test_parts(self, tmp_path: Path) -> None:
        path = npz(tmp_path, x_test=X, y_test=Y, x_train=X[:2] + 1, y_train=Y[:2])
        same(read(path), X, Y)
        same(read(path, "fit"), X[:2] + 1, Y[:2])

    def test_x_and_y_beside_a_part_to_learn_from(self, tmp_path: Path) -> None:
        path = npz(tmp_path, x=X, y=Y, x_train=X[:2] + 1, y_train=Y[:2])
        same(read(path), X, Y)
        same(read(path, "fit"), X[:2] + 1, Y[:2])

    def test_a_file_for_learning_may_name_them_x_and_y(self, tmp_path: Path) -> None:
        same(read(npz(tmp_path, x=X, y=Y), "fit"), X, Y)

    def test_fortran_order(self, tmp_path: Path) -> None:
        same(read(npz(tmp_path, x=np.asfortranarray(X), y=Y)), X, Y)

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"data": X, "y": Y}, ("no array named x_test or x", "it has data, y")),
            ({"x": X}, ("has x but no y",)),
            ({"x": X, "x_test": X, "y": Y, "y_test": Y}, ("both x_test and x",)),
            ({"x": X, "y": Y, "class_names": np.array([1, 2])}, ("class_names", "not a list of texts")),
            ({"x": X, "y": Y, "class_names": BEYOND}, ("class_names", "no text")),
            ({"x": X, "y": Y, "class_names": np.array([b"\xff"])}, ("class_names", "no text")),
            ({"x": X, "y": Y, "layout": "CHWN"}, ("layout", "CHWN")),
            ({"x": X, "y": Y, "layout": BEYOND.reshape(())}, ("layout", "no text")),
            ({"x": X, "y": np.zeros(4, [("a", "i4")])}, ("y in data.npz", "records")),
        ],
    )
    def test_refuses(self, tmp_path: Path, arrays: dict[str, Any], words: tuple[str, ...]) -> None:
        path = npz(tmp_path, **arrays)
        refused(lambda: read(path), *words)

    def test_never_unpickles(self, tmp_path: Path) -> None:
        marker = tmp_path / "ran"

        class Trap:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(marker),)

        path = tmp_path / "data.npz"
        np.savez(path, x=np.array([Trap()], dtype=object), y=Y, allow_pickle=True)
        refused(lambda: read(path), "x in data.npz holds Python objects")
        assert not marker.exists()

    def test_bomb_is_refused_before_it_is_unpacked(self, tmp_path: Path) -> None:
        path = npz(tmp_path, x=np.zeros((64, 1024, 1024), np.uint8), y=np.zeros(64))
        assert path.stat().st_size < 2**18
        refused(lambda: read_npz(path, limit=2**20), "unpacks to 0.0625 GiB", "limit is 0.000977 GiB")
        assert len(read_npz(path, limit=2**27)) == 64

    def test_header_that_claims_more_than_there_is(self, tmp_path: Path) -> None:
        path = tmp_path / "data.npz"
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**44,)})
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", header.getvalue() + b"\0" * 8)
            archive.writestr("y.npy", header.getvalue())
        refused(lambda: read(path), "claims the shape", "fewer bytes")


class TestIdx:
    @pytest.mark.parametrize("packed", [False, True])
    def test_pair(self, tmp_path: Path, packed: bool) -> None:
        path = pair(tmp_path, "t10k", packed)
        same(read(path), X, Y)
        same(read(tmp_path, "fit"), X, Y)  # the only pair of a folder is what the folder means

    def test_folder_of_pairs(self, tmp_path: Path) -> None:
        pair(tmp_path, "train", x=X + 1)
        pair(tmp_path, "t10k")
        same(read(tmp_path), X, Y)
        same(read(tmp_path, "fit"), X + 1, Y)

    def test_both_packed_and_not_is_one_pair(self, tmp_path: Path) -> None:
        pair(tmp_path, "t10k")
        pair(tmp_path, "t10k", packed=True)
        same(read(tmp_path), X, Y)

    def test_big_endian_numbers(self, tmp_path: Path) -> None:
        path = pair(tmp_path, "t10k")
        path.write_bytes(idx((X / 2).astype(">f4"), 0x0D))
        assert np.array_equal(read(path).images, X / 2)

    @pytest.mark.parametrize(
        ("content", "word"),
        [
            (idx(X)[:-1], "holds fewer"),
            (idx(X) + b"\0", "holds more"),
            (b"\0\0\x07\x01" + b"\0" * 8, "does not start as an IDX file"),
            (b"\0\0\x08\x03\xff", "cannot be read"),
            (b"\0\0\x08\x03" + b"\xff" * 12, "unpacks to"),
            (idx(X.ravel()), "has 1 axes"),
        ],
    )
    def test_refuses_damage(self, tmp_path: Path, content: bytes, word: str) -> None:
        path = pair(tmp_path, "t10k")
        path.write_bytes(content)
        refused(lambda: read(path), "t10k-images-idx3-ubyte", word)

    def test_huge_claim_costs_no_memory(self, tmp_path: Path) -> None:
        path = pair(tmp_path, "t10k")
        path.write_bytes(b"\0\0\x08\x01" + struct.pack(">I", 2**32 - 1) + b"\0" * 9)
        refused(lambda: read(path), "says that it holds 4294967295 bytes", "fewer")

    def test_no_labels(self, tmp_path: Path) -> None:
        path = pair(tmp_path, "t10k")
        (tmp_path / "t10k-labels-idx1-ubyte").unlink()
        refused(lambda: read(path), "no labels for t10k-images-idx3-ubyte")

    def test_the_labels_file_is_not_the_images_file(self, tmp_path: Path) -> None:
        pair(tmp_path, "t10k")
        refused(lambda: read(tmp_path / "t10k-labels-idx1-ubyte"), "not named as an IDX images file")

    def test_several_pairs_of_unknown_parts(self, tmp_path: Path) -> None:
        pair(tmp_path, "one")
        pair(tmp_path, "two")
        refused(lambda: read(tmp_path), "2 images files", "0 of them", "one-images-idx3-ubyte")


class TestOthers:
    def test_nothing_there(self, tmp_path: Path) -> None:
        refused(lambda: read(tmp_path / "none.npz"), "There is no data at")

    def test_one_array(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", X)
        refused(lambda: read(tmp_path / "x.npy"), "no labels")

    def test_unknown(self, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_text("1,2,3")
        refused(lambda: read(tmp_path / "x.csv"), "x.csv is of a kind that is not read")

    def test_bundled(self) -> None:
        assert robusteval_datasets() == [FashionMnist]
        cases: tuple[tuple[Split, int], ...] = (("test", 1000), ("fit", 5000))
        for split, number in cases:
            images, labels, names = FashionMnist().raw(split)
            assert images.shape == (number, 28, 28)
            assert images.dtype == np.uint8
            assert np.bincount(labels).tolist() == [number // 10] * 10
            assert len(names) == 10


def _damaged(content: bytes, cut: int, spots: list[tuple[int, int]]) -> bytes:
    damaged = bytearray(content[: cut % (len(content) + 1)] if cut else content)
    for place, value in spots:
        if damaged:
            damaged[place % len(damaged)] = value
    return bytes(damaged)


@pytest.mark.parametrize("kind", ["npz", "stored", "idx", "idx.gz", "png", "jpg", "bmp", "tif"])
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.one_of(st.just(0), st.integers(1, 2**16)),
    spots=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=6),
)
def test_damage_never_ends_in_a_traceback(tmp_path: Path, kind: str, cut: int, spots: list[tuple[int, int]]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    if kind in ("npz", "stored"):
        target = where = tmp_path / "data.npz"
        (np.savez if kind == "stored" else np.savez_compressed)(where, x=X, y=Y)
    elif kind in ("idx", "idx.gz"):
        target = where = pair(tmp_path, "t10k", packed=kind == "idx.gz")
    else:
        where, target = tmp_path, tmp_path / f"a/1.{kind}"
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(noise).save(target)
    target.write_bytes(_damaged(target.read_bytes(), cut, spots))
    try:
        raw = read(where)
    except DataError as error:
        assert error.message.endswith(".")  # noqa: PT017 - damage may also leave the data readable
        assert error.hint  # noqa: PT017
    else:
        assert isinstance(raw.images, np.ndarray)
