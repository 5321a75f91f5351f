"""Labelled images that Python already holds: a DataLoader, a Dataset, a Hugging Face data set, pairs, a data frame.

None of their packages is imported: each is known by what it can do. Images are read for the samples that are
evaluated alone; labels of all of them are read first, as samples are drawn evenly from the classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robusteval.engine.data.images import Array
from robusteval.engine.data.labels import drawn_rows
from robusteval.engine.data.npz import LIMIT, RawData
from robusteval.errors import DataError
from robusteval.foreign import words

_IMAGES = ("image", "img", "images", "x", "pixel_values")
_LABELS = ("label", "labels", "y", "target", "fine_label")
_FILES = ("file", "path", "filename", "name")
HINT = (
    "Give a path, arrays (x, y), a DataLoader, a Dataset, pairs (image, label), or a data frame with image and label."
)


@dataclass(frozen=True)
class _Items:
    """Samples one by one. labels: of all of them where they are known without reading images; names: of their files."""

    items: Any  # what [i] gives one sample of
    count: int
    labels: Array | None = None
    class_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def is_held(data: object) -> bool:
    """Whether it is one of the objects that `held` reads."""
    return not isinstance(data, str | bytes | Mapping) and (
        hasattr(data, "__getitem__") or hasattr(data, "__iter__") or hasattr(data, "dataset")
    )


def is_pairs(data: Sequence[Any]) -> bool:
    """Whether a tuple holds samples, (image, label) each, and not the two arrays (x, y)."""
    return bool(data) and all(isinstance(item, list | tuple) and len(item) == 2 for item in data) and len(data) != 2


def held(data: Any, samples: int | None, seed: int) -> RawData:
    """The images and labels of such an object; of more than `samples` so many, evenly drawn from the classes with that
    seed, at their own places (`names`: "row 62"). Raises DataError, also for whatever the object raises."""
    try:
        found = _items(data)
        if not found.count:
            raise DataError(f"The {type(data).__name__} holds no samples.", "Give at least one image.")
        labels = found.labels if found.labels is not None else np.array([_pair(item)[1] for item in _each(found)])
        rows: NDArray[np.int64] = np.arange(found.count)
        if samples is not None and labels.ndim == 1 and labels.dtype.kind in "iub":
            rows = drawn_rows(labels.astype(np.int64), samples, seed)
        images = _stacked([_image(_pair(found.items[int(row)])[0]) for row in rows])
    except DataError:
        raise
    except Exception as error:  # others' code reads their data
        raise DataError(f"The {type(data).__name__} cannot be read as data: {words(error)}.", HINT) from error
    names = tuple(found.names[row] if found.names else f"row {row}" for row in rows.tolist())
    note = () if len(rows) == found.count else (f"{len(rows)} of {found.count} samples read, drawn evenly",)
    kind = type(data).__name__
    return RawData(images, labels[rows], found.class_names, kind, f"a {kind} given in Python", "", names, note)


def _each(found: _Items) -> Iterator[Any]:
    return (found.items[index] for index in range(found.count))


def _items(data: Any) -> _Items:
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        return _of_frame(data)
    if hasattr(data, "dataset") and hasattr(data, "batch_size"):
        return _of_loader(data)
    if hasattr(data, "features") and hasattr(data, "column_names"):
        return _of_hugging_face(data)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return _of_dataset(data, range(len(data)))
    rows = list(data)  # an iterable: it is gone through once
    return _Items(rows, len(rows))


def _of_loader(loader: Any) -> _Items:
    """Its samples in the data set's own order, of which the sampler may choose some; batches and shuffling have no part
    in it, as both would draw from torch's global generator."""
    dataset, sampler = loader.dataset, getattr(loader, "sampler", None)
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        rows = list(dataset)
        return _Items(rows, len(rows))
    some = getattr(sampler, "indices", None)
    return _of_dataset(dataset, range(len(dataset)) if some is None else sorted(int(row) for row in some))


@dataclass(frozen=True)
class _Chosen:
    """Some items of a data set, in order."""

    items: Any
    rows: Sequence[int]

    def __getitem__(self, index: int) -> Any:
        return self.items[self.rows[index]]


def _of_dataset(dataset: Any, rows: Sequence[int]) -> _Items:
    classes = getattr(dataset, "classes", ())
    names = tuple(map(str, classes)) if isinstance(classes, list | tuple) else ()
    labels = next((getattr(dataset, name) for name in ("targets", "labels") if hasattr(dataset, name)), None)
    known = None
    if labels is not None and not callable(labels) and len(labels) == len(dataset):
        array = np.asarray(labels)
        changed = getattr(dataset, "target_transform", None) is not None
        known = (
            array[np.asarray(rows, np.int64)] if array.ndim == 1 and array.dtype.kind in "iu" and not changed else None
        )
    return _Items(_Chosen(dataset, rows), len(rows), known, names)


def _of_hugging_face(data: Any) -> _Items:
    image, label = (_named(list(data.column_names), among, data) for among in (_IMAGES, _LABELS))
    names = getattr(data.features.get(label), "names", None) or ()
    return _Items(_Columns(data, image, label), len(data), np.asarray(data[label]), tuple(map(str, names)))


@dataclass(frozen=True)
class _Columns:
    """Rows of a data set as (image, label)."""

    items: Any
    image: str
    label: str

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        row = self.items[index]
        return row[self.image], row[self.label]


def _of_frame(frame: Any) -> _Items:
    columns = [str(column) for column in frame.columns]
    image, label = (_named(columns, among, frame) for among in (_IMAGES, _LABELS))
    file = next((column for column in columns if column.lower() in _FILES), "")
    names = tuple(str(value) for value in frame[file]) if file else ()
    pairs = list(zip(frame[image], frame[label], strict=True))
    return _Items(pairs, len(pairs), np.asarray(frame[label]), (), names)


def _named(columns: list[str], among: tuple[str, ...], data: Any) -> str:
    """The column of one of these names. Raises DataError where there is none."""
    found = [column for name in among for column in columns if column.lower() == name]
    if not found:
        raise DataError(
            f"The {type(data).__name__} has no column named {' or '.join(among)}; it has {', '.join(columns)[:200]}.",
            f"Rename its columns to {among[0]}.",
        )
    return found[0]


def _pair(item: Any) -> tuple[Any, Any]:
    """(image, label) of a pair or a dict. Raises DataError."""
    if isinstance(item, Mapping):
        keys = [str(key) for key in item]
        image, label = (_named(keys, among, item) for among in (_IMAGES, _LABELS))
        return item[image], _number(item[label])
    if isinstance(item, list | tuple) and len(item) >= 2:
        return item[0], _number(item[1])
    raise DataError(f"A sample is a {type(item).__name__}, and no (image, label).", HINT)


def _number(label: Any) -> Any:
    """A label, or a batch of them, out of torch."""
    return label.detach().cpu().numpy() if hasattr(label, "detach") else label


def _image(image: Any) -> Array:
    """Its pixels, out of torch or Pillow; palettes and other kinds of pixels as colours. Raises DataError."""
    if hasattr(image, "detach"):
        return np.asarray(image.detach().cpu().numpy())
    if hasattr(image, "convert") and hasattr(image, "mode"):
        return np.asarray(image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB"))
    found = np.asarray(image)
    if found.dtype.kind not in "biuf" or found.ndim < 1:
        raise DataError(f"An image is a {type(image).__name__}, and no array of numbers.", HINT)
    return found


def _stacked(images: list[Array]) -> Array:
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        shown = " and ".join(map(str, sorted(shapes)[:3]))
        raise DataError(
            f"The images differ in shape: {shown}.", "Resize them first, as the model's own preprocessing does."
        )
    if sum(image.nbytes for image in images) > LIMIT:
        raise DataError(f"The images take more than {LIMIT / 2**30:.3g} GiB.", "Evaluate fewer samples.")
    return np.stack(images)
