"""Parquet files of encoded images with labels, as Hugging Face's data sets are published; read a row group at a time.

The column of images holds the bytes of image files, or records {bytes, path} of them; that of labels holds whole
numbers, whose names the file's metadata may give. Nothing is ever read from a path that a file names.
"""

from __future__ import annotations

import io
import json
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robusteval.contracts.plugins import Split
from robusteval.engine.data import images as stored
from robusteval.engine.data.image_folder import NAME, Kind, kind_of
from robusteval.engine.data.images import Array, Lazy
from robusteval.engine.data.npz import LIMIT, TROUBLE, RawData, check_limit, unreadable
from robusteval.errors import DataError
from robusteval.plain import real

MAGIC = b"PAR1"
HINT = "Give Parquet files with a column image (encoded files, or {bytes, path}) and a column label (whole numbers)."
GROUP = 2 * 2**30  # most bytes of the images in one row group
_BATCH = 64  # rows of a row group that are unpacked at once
_PARTS = {"test": ("test", "validation", "valid", "val"), "fit": ("train",)}
_IMAGES, _LABELS = ("image", "img"), ("label", "labels", "fine_label")


def holds_parquet(folder: Path) -> bool:
    """Whether a folder, or the folder data in it, holds Parquet files."""
    return bool(_files(folder))


def parquet_splits(folder: Path) -> bool:
    """Whether a folder holds both a part to attack and a part to learn from."""
    return all(_named(_files(folder), split) for split in ("test", "fit"))


def read_parquet(path: Path, split: Split = "test", limit: int = LIMIT) -> RawData:
    """uint8 [N, H, W] (all grey) or [N, H, W, 3] of one file, or of all files of a folder's part for that split.

    Of many images only the headers are looked at here. Raises DataError.
    """
    files = _part(path, split) if path.is_dir() else [path]
    tables = [_Table(file.absolute()) for file in files]
    image, label, names = _columns(tables, path)
    size = sum(table.size for table in tables)
    check_limit(max(size, 8 * sum(sum(table.rows) for table in tables)), limit, path)
    labels = np.concatenate([table.labels(label) for table in tables])
    if not len(labels):
        raise DataError(f"{path.name} holds no samples.", "Give at least one image.")
    kind = kind_of(_encoded(tables, image), HINT)
    check_limit(len(labels) * kind.width * kind.height * kind.channels, limit, path)
    images = ParquetImages(tuple(tables), image, kind, (len(labels), *kind.shape))
    return RawData(
        images[:] if images.nbytes <= stored.SMALL else images,
        labels,
        names,
        path.name.removesuffix(".parquet"),
        str(path),
        kind.layout,
        (),
        kind.notes,
    )


@dataclass(frozen=True, eq=False)
class ParquetImages(Lazy):
    """Images of one kind in the row groups of Parquet files. column: where they are; the row group that was read last
    is kept, as those who ask go through them in order."""

    tables: tuple[_Table, ...]
    column: str
    kind: Kind
    shape: tuple[int, ...]
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.uint8))
    last: dict[tuple[int, int], list[bytes]] = field(default_factory=dict, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return ParquetImages, (self.tables, self.column, self.kind, self.shape)

    def _read(self, places: NDArray[np.int64]) -> Array:
        found = np.empty((len(places), *self.shape[1:]), np.uint8)
        groups = [(number, group) for number, table in enumerate(self.tables) for group in range(len(table.rows))]
        ends = np.cumsum([self.tables[number].rows[group] for number, group in groups]).tolist()
        for row, place in enumerate(places.tolist()):
            index = bisect_right(ends, place)
            start = ends[index - 1] if index else 0
            content = self._group(groups[index])[place - start]
            name = f"image {place} in {self.tables[groups[index][0]].path.name}"
            found[row] = self.kind.decoded(name, io.BytesIO(content), HINT)
        return found

    def _group(self, key: tuple[int, int]) -> list[bytes]:
        if key not in self.last:
            self.last.clear()
            self.last[key] = self.tables[key[0]].encoded(key[1], self.column)
        return self.last[key]


class _Table:
    """One Parquet file. rows: of each row group; size: bytes that it says it unpacks to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _readable(path):
            file = _opened(path)
            self.schema = file.schema_arrow
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        self.rows = [int(group.num_rows) for group in groups]
        self.size = sum(int(group.total_byte_size) for group in groups)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Table, (self.path,)

    def encoded(self, group: int, column: str) -> list[bytes]:
        """The image files in one row group."""
        found: list[Any] = []
        left = GROUP
        with _readable(self.path):
            for batch in _opened(self.path).iter_batches(_BATCH, [group], [column], use_threads=False):
                left -= batch.nbytes  # a few bytes may say that an image comes a million times
                if left < 0:
                    raise DataError(
                        f"A row group of {self.path.name} unpacks to more than {GROUP / 2**30:.3g} GiB.",
                        "Write it with smaller row groups, as with row_group_size=1000.",
                    )
                values = batch.column(0).to_pylist()
                found += [value.get("bytes") if isinstance(value, dict) else value for value in values]
        if any(not isinstance(content, bytes) for content in found):
            raise DataError(
                f"{self.path.name} has rows without an image in the column {column}.",
                "Store the content of every image in the file; paths to files elsewhere are never followed.",
            )
        if len(found) != self.rows[group]:
            raise DataError(f"{self.path.name} holds fewer rows than it says.", HINT)
        return found

    def labels(self, column: str) -> NDArray[np.int64]:
        """int64 of all rows."""
        with _readable(self.path):
            values = _opened(self.path).read(columns=[column], use_threads=False).column(0)
            if values.null_count:
                raise DataError(f"{self.path.name} has rows without a label.", "Leave those out.")
            found: NDArray[np.int64] = values.to_numpy().astype(np.int64)
        if len(found) != sum(self.rows):
            raise DataError(f"{self.path.name} holds fewer labels than images.", HINT)
        return found


def _opened(path: Path) -> Any:
    import pyarrow.parquet as pq  # heavy, and most data are of another kind

    return pq.ParquetFile(path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns whatever a damaged file makes pyarrow raise into a DataError that names it."""
    import pyarrow as pa

    try:
        yield
    except DataError:
        raise
    except (pa.ArrowException, NotImplementedError, *TROUBLE) as trouble:
        raise unreadable(path.name, trouble, HINT) from trouble


def _encoded(tables: list[_Table], column: str) -> Iterator[tuple[str, io.BytesIO]]:
    for table in tables:
        for group in range(len(table.rows)):
            for row, content in enumerate(table.encoded(group, column)):
                yield f"image {row} of row group {group} in {table.path.name}"[:NAME], io.BytesIO(content)


def _columns(tables: list[_Table], path: Path) -> tuple[str, str, tuple[str, ...]]:
    """(the column of the images, that of the labels, the names of the classes). Raises DataError."""
    import pyarrow as pa

    schema = tables[0].schema
    shown = ", ".join(schema.names[:12])[:200] or "nothing"
    image = next((name for name in _IMAGES if name in schema.names), "")
    label = next((name for name in _LABELS if name in schema.names), "")
    if not image or not label:
        raise DataError(f"{path.name} has no columns image and label; it has {shown}.", HINT)
    kind = schema.field(image).type
    if pa.types.is_struct(kind):
        places = [kind.field(number) for number in range(kind.num_fields)]
        kind = next((place.type for place in places if place.name == "bytes"), pa.null())
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise DataError(f"The column {image} in {path.name} holds {str(kind)[:60]}, not encoded images.", HINT)
    if not pa.types.is_integer(schema.field(label).type):
        raise DataError(
            f"The column {label} in {path.name} holds {str(schema.field(label).type)[:60]}, not whole numbers.", HINT
        )
    if any(not table.schema.equals(schema) for table in tables):
        raise DataError(f"The Parquet files in {path.name} have different columns.", "Give one of them.")
    return image, label, _class_names(schema.metadata, label)


def _class_names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...]:
    """The names that Hugging Face's metadata give the labels; none where there are none that can be read."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
    plain = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if plain else ()


def _files(folder: Path) -> list[Path]:
    for place in (folder, folder / "data"):
        if place.is_dir():
            found = sorted(path for path in place.glob("*.parquet") if not path.name.startswith("."))
            if found:
                return found
    return []


def _named(files: list[Path], split: str) -> list[Path]:
    """The files of a part, by how their names begin; of the parts that may be attacked the first that there is."""
    for part in _PARTS[split]:
        if found := [path for path in files if path.name.lower().replace("_", "-").split("-")[0].split(".")[0] == part]:
            return found
    return []


def _part(folder: Path, split: Split) -> list[Path]:
    """A folder's files for that split; all, where their names say of no part."""
    files, home = _files(folder), real(folder)
    for path in files:
        if not real(path).is_relative_to(home):
            raise DataError(f"{path.name} is a link that leads outside {folder.name}.", "Copy it there.")
    if not any(_named(files, other) for other in _PARTS):
        return files
    found = _named(files, split)
    if not found:
        names = ", ".join(path.name for path in files[:8])
        raise DataError(
            f"{folder.name} has no Parquet files for the {split} part: {names}.", "Give the file itself instead."
        )
    return found
