"""Parquet files as Hugging Face publishes them: what is read, a row group at a time, and what is refused."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.data import images, parquet
from robusteval.engine.data.find import find_data, opened, read
from robusteval.engine.data.images import Lazy
from robusteval.engine.data.survey import survey
from robusteval.errors import DataError
from tests.engine.data_files import refused

X = np.random.default_rng(0).integers(0, 256, (23, 4, 5, 3), dtype=np.uint8)
Y = np.arange(23) % 3
NAMES = ["ape", "bee", "cat"]


def png(x: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(x).save(buffer, format="PNG")
    return buffer.getvalue()


def table(
    x: Sequence[Any] = tuple(X),
    y: Any = Y,
    record: bool = True,
    names: Any = NAMES,
    columns: tuple[str, str] = ("image", "label"),
) -> pa.Table:
    content = [image if image is None or isinstance(image, bytes) else png(image) for image in x]
    values: list[Any] = [{"bytes": image, "path": f"{n}.png"} for n, image in enumerate(content)] if record else content
    features = {columns[0]: {"_type": "Image"}, columns[1]: {"names": names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if names else None
    made = pa.table({columns[0]: values, columns[1]: list(y)})
    return made.replace_schema_metadata(metadata)


def write(path: Path, made: pa.Table | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table() if made is None else made, path, row_group_size=7)
    return path


@pytest.mark.parametrize("small", [0, 2**20])
@pytest.mark.parametrize("record", [True, False])
def test_images_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int, record: bool) -> None:
    monkeypatch.setattr(images, "SMALL", small)
    raw = read(write(tmp_path / "some.parquet", table(record=record)))
    assert isinstance(raw.images, np.ndarray if small else Lazy)
    assert np.array_equal(np.asarray(raw.images), X)
    assert np.array_equal(pickle.loads(pickle.dumps(raw.images))[[20, 3, 7, 6]], X[[20, 3, 7, 6]])
    assert raw.labels.tolist() == Y.tolist()
    assert (raw.class_names, raw.layout, raw.name) == (("ape", "bee", "cat"), "NHWC", "some")


def test_other_names_of_columns_and_no_names_of_classes(tmp_path: Path) -> None:
    raw = read(write(tmp_path / "some.parquet", table(names=None, columns=("img", "fine_label"))))
    assert (len(raw), raw.class_names) == (23, ())
    raw = read(write(tmp_path / "odd.parquet", table(names={"a": 1})))
    assert raw.class_names == ()


def test_a_row_group_is_read_once_by_whoever_goes_through_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "SMALL", 0)
    raw = read(write(tmp_path / "some.parquet"))
    asked: list[int] = []
    honest = parquet._Table.encoded

    def counted(self: Any, group: int, column: str) -> list[bytes]:
        asked.append(group)
        return honest(self, group, column)

    monkeypatch.setattr(parquet._Table, "encoded", counted)
    for start in range(0, 23, 4):
        assert np.array_equal(raw.images[start : start + 4], X[start : start + 4])
    assert asked == [0, 1, 2, 3]


class TestFolder:
    def folder(self, tmp_path: Path, *names: str) -> Path:
        for number, name in enumerate(names):
            part = slice(10 * number, 10 * number + 10)
            write(tmp_path / name, table(tuple(X[part]), Y[part]))
        return tmp_path

    @pytest.mark.parametrize("other", ["test", "validation"])
    def test_parts(self, tmp_path: Path, other: str) -> None:
        home = self.folder(tmp_path, f"data/{other}-00000-of-00001.parquet", "data/train-00000-of-00001.parquet")
        assert np.array_equal(np.asarray(read(home).images), X[:10])
        assert np.array_equal(np.asarray(read(home, "fit").images), X[10:20])
        attacked, learnt = find_data(None, ModelInfo("m", "onnx", "", (3, 4, 5), 3), home, None, {})
        assert (len(attacked), len(learnt or ())) == (10, 10)

    def test_a_part_in_several_files(self, tmp_path: Path) -> None:
        home = self.folder(tmp_path, "test-00000-of-00002.parquet", "test-00001-of-00002.parquet")
        assert np.array_equal(np.asarray(read(home).images), X[:20])
        refused(lambda: read(home, "fit"), "no Parquet files for the fit part")

    def test_files_of_no_part_are_all_meant(self, tmp_path: Path) -> None:
        assert len(read(self.folder(tmp_path, "a.parquet", "b.parquet"))) == 20

    def test_files_that_differ(self, tmp_path: Path) -> None:
        write(tmp_path / "a.parquet")
        write(tmp_path / "b.parquet", table(record=False))
        refused(lambda: read(tmp_path), "different columns")

    def test_links_out_of_the_folder(self, tmp_path: Path) -> None:
        secret = write(tmp_path / "elsewhere/secret.parquet")
        (tmp_path / "home").mkdir()
        (tmp_path / "home/a.parquet").symlink_to(secret)
        refused(lambda: read(tmp_path / "home"), "link that leads outside home")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (table(columns=("picture", "label")), ("no columns image and label", "it has picture, label")),
        (table(y=[0.5] * 23), ("column label", "double")),
        (table(y=[None] * 23), ("column label",)),
        (table(y=[None, *Y[1:]]), ("rows without a label",)),
        (table(x=[None, *X[1:]]), ("rows without an image",)),
        (table(x=[b"no image", *X[1:]]), ("image 0 of row group 0", "cannot be read")),
        (table(x=[X[0, :2], *X[1:]]), ("differ in size",)),
        (table(x=[], y=[]), ("column image",)),
        (pa.table({"image": [[1, 2]], "label": [0]}), ("column image", "not encoded images")),
        (pa.table({"image": [{"path": "/etc/passwd"}], "label": [0]}), ("column image", "not encoded images")),
    ],
)
def test_refuses(tmp_path: Path, made: pa.Table, words: tuple[str, ...]) -> None:
    refused(lambda: read(write(tmp_path / "some.parquet", made)), *words)


def test_what_unpacks_to_too_much(tmp_path: Path) -> None:
    refused(lambda: read(write(tmp_path / "some.parquet"), limit=1000), "unpacks to")


def test_a_file_that_changes_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "SMALL", 0)
    path = write(tmp_path / "some.parquet")
    samples = survey(opened(read(path), ModelInfo("m", "onnx", "", (3, 4, 5), 3))[0]).samples
    write(path, table(tuple(X[::-1])))
    refused(lambda: replace(samples, names=()).x[0:3], "image 0 is another")
    assert torch.is_tensor(samples.y)
    path.unlink()
    refused(lambda: samples.x[10:12], "some.parquet cannot be read")


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.one_of(st.just(0), st.integers(1, 2**16)),
    spots=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=6),
)
def test_damage_never_ends_in_a_traceback(tmp_path: Path, cut: int, spots: list[tuple[int, int]]) -> None:
    path = write(tmp_path / "data.parquet", table(tuple(X[:3]), Y[:3]))
    content = bytearray(path.read_bytes())
    content = content[: cut % len(content)] if cut else content
    for place, value in spots:
        if content:
            content[place % len(content)] = value
    path.write_bytes(content)
    try:
        raw = read(path)
    except DataError as error:
        assert error.message.endswith(".")  # noqa: PT017 - damage may also leave the data readable
    else:
        assert raw.images.ndim in (3, 4)


def test_a_row_group_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = table(tuple([X[0]] * 5000), np.zeros(5000, int))
    path = tmp_path / "some.parquet"
    pq.write_table(made, path, row_group_size=5000)
    assert path.stat().st_size < 100_000, "The same image five thousand times takes no room."
    monkeypatch.setattr(parquet, "GROUP", 100_000)
    refused(lambda: read(path), "A row group of some.parquet unpacks to more than")
