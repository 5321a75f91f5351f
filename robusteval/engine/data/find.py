"""From what the user points at to `Samples`: finding the data, and mapping them onto a model's range and layout."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from robusteval.contracts.classifier import ModelInfo
from robusteval.contracts.plugins import Dataset, Split
from robusteval.contracts.samples import Samples
from robusteval.engine.data.idx import holds_idx, idx_splits, read_idx
from robusteval.engine.data.image_folder import read_images
from robusteval.engine.data.images import Held
from robusteval.engine.data.labels import class_indices, drawn_rows
from robusteval.engine.data.npz import LIMIT, RawData, npz_keys, read_npz, readable
from robusteval.engine.data.on_demand import OnDemand, Pixels
from robusteval.engine.data.parquet import MAGIC, holds_parquet, parquet_splits, read_parquet
from robusteval.engine.data.pixels import order_of, ordered, scale_of, scaled
from robusteval.errors import DataError
from robusteval.foreign import foreign, words
from robusteval.plain import odd
from robusteval.text import as_name

__all__ = ["Kept", "RawData", "check_disjoint", "find_data", "find_fit", "in_words", "opened", "prepare", "read"]

Kept = dict[tuple[str, Split], RawData]  # what was read before, by the place and the part of it

READS = (
    "Give an .npz file with x and y, an IDX images file with its labels beside it, a folder of class folders, or "
    "Parquet files with the columns image and label."
)


def read(path: Path, split: Split = "test", limit: int = LIMIT) -> RawData:
    """The images and labels at path: an `.npz` file, an IDX pair (or a folder of them), a folder of class folders, or
    Parquet files (or a folder of them). Of large ones only what is needed is read: images when they are asked for.

    split says which part of a file with several parts is meant: "test" is attacked, "fit" is for defences to learn
    from. Raises DataError; nothing larger than `limit` bytes is unpacked.
    """
    if path.is_dir():
        if holds_parquet(path):
            return read_parquet(path, split, limit)
        return read_idx(path, split, limit) if holds_idx(path) else read_images(path, limit)
    if not path.exists():
        raise DataError(f"There is no data at {path}.", READS)
    if what := odd(path):
        raise DataError(f"{path} is {what}, not a file or folder.", READS)
    start = _start(path)
    if start.startswith(b"PK") or path.suffix == ".npz":
        return read_npz(path, split, limit)
    if start == MAGIC or path.suffix == ".parquet":
        return read_parquet(path, split, limit)
    if start[:2] == b"\0\0":
        return read_idx(path, split, limit)
    if path.suffix == ".npy":
        raise DataError(
            f"{path.name} holds one array, so it has no labels.", "Store both: numpy.savez(path, x=..., y=...)."
        )
    raise DataError(f"{path.name} is of a kind that is not read.", READS)


def _start(path: Path) -> bytes:
    """The first bytes, of the content where the file is gzipped. Raises DataError where they cannot be read."""
    with readable(path, READS):
        with path.open("rb") as file:
            start = file.read(4)
        if start[:2] == b"\x1f\x8b":
            with gzip.open(path) as packed:
                start = packed.read(4)
        return start


def prepare(
    raw: RawData,
    info: ModelInfo,
    data_range: tuple[float, float] | None = None,
    samples: int | None = None,
    seed: int = 0,
) -> tuple[Samples, str]:
    """Samples in the model's stated range and canonical layout, all in memory, and a note on how they were understood.

    data_range: the values that stand for black and white in the data, which are mapped onto `info.bounds`; without it
    uint8 means 0..255 and floats are taken as already in `info.bounds`. samples: evaluate only so many, evenly drawn
    from the classes with this seed, in the order of `drawn_rows`. Raises DataError; never resizes, never guesses.
    """
    chosen, notes = opened(raw, info, data_range, samples, seed)
    images = ordered(raw.images[chosen.x.places], chosen.x.order, info.input_shape)
    pixels, range_note = scaled(images, info.bounds, data_range)
    ready = Samples(
        x=torch.from_numpy(np.ascontiguousarray(pixels)),
        y=chosen.y,
        bounds=info.bounds,
        name=raw.name,
        class_names=chosen.class_names,
        names=chosen.names,
    )
    return ready, in_words(range_note, notes)


def opened(
    raw: RawData,
    info: ModelInfo,
    data_range: tuple[float, float] | None = None,
    samples: int | None = None,
    seed: int = 0,
) -> tuple[OnDemand, list[str]]:
    """The same samples, read when they are asked for, and notes; what only the pixels can tell, `survey` says."""
    _check_arrays(raw)
    labels, label_note = class_indices(raw, info)
    rows = np.arange(len(labels)) if samples is None else drawn_rows(labels, samples, seed)
    order, layout_note = order_of(raw.images.shape[1:], info, raw.layout)
    left_out = f"{len(rows)} of the {len(labels)} samples, drawn evenly from the classes with seed {seed}"
    asked = f"all {len(labels)} samples, though {samples} were asked for"
    count_note = "" if samples is None or samples == len(labels) else asked if samples > len(labels) else left_out
    images = Held(raw.images) if isinstance(raw.images, np.ndarray) else raw.images
    scale = scale_of(raw.images.dtype, info.bounds, data_range)
    chosen = OnDemand(
        x=Pixels(images, rows, order, info.input_shape, scale, raw.name),
        y=torch.from_numpy(labels[rows]),
        bounds=info.bounds,
        name=as_name(raw.name),
        class_names=tuple(map(as_name, info.class_names or raw.class_names)),
        names=tuple(as_name(raw.names[row]) if raw.names else f"row {row}" for row in rows),
    )
    return chosen, [layout_note, label_note, count_note, *raw.notes]


def in_words(range_note: str, notes: list[str]) -> str:
    """How the data were understood, as one sentence."""
    note = "; ".join(part for part in (range_note, *notes) if part)
    return note[:1].upper() + note[1:] + "."


def _check_arrays(raw: RawData) -> None:
    """Raises DataError for arrays that are no images with labels at all."""
    if raw.images.dtype.kind not in "biuf":
        raise DataError(f"The images are of type {raw.images.dtype}, not numbers.", "Store uint8 or float32 pixels.")
    if raw.images.ndim < 2 or raw.labels.ndim < 1:
        raise DataError(
            f"The images have shape {raw.images.shape} and the labels {raw.labels.shape}: there is no axis of samples.",
            "Store images as [N, ...] and labels as [N].",
        )
    if len(raw.images) != len(raw.labels):
        raise DataError(
            f"There are {len(raw.images)} images but {len(raw.labels)} labels.", "Store one label for each image."
        )
    if raw.images.size == 0:
        raise DataError(f"The data hold no samples: their shape is {raw.images.shape}.", "Give at least one image.")


def find_data(
    model_path: Path | None,
    info: ModelInfo,
    data: Path | None,
    fit: Path | None,
    datasets: Mapping[str, Dataset],
    kept: Kept | None = None,
    own_fit: bool = True,
) -> tuple[RawData, RawData | None]:
    """(what is attacked, what defences may learn from or None), from the first of these that there is.

    Data: --data (a path, or an installed data set's name), `<model>.npz` beside the model, the data set that the
    model's metadata name. Fit data: --fit-data, or (unless own_fit is False) the fit part of the file or data set that
    the data come from. kept: nothing that is in it is read again, and what is read is put there.
    """
    kept = {} if kept is None else kept
    sibling = model_path.with_suffix(".npz") if model_path is not None else None
    if data is not None:
        path, known = data, datasets
    elif sibling is not None and sibling.exists():
        path, known = sibling, {}
    elif info.dataset in datasets:
        path, known = Path(info.dataset), {info.dataset: datasets[info.dataset]}
    else:
        raise _nothing(sibling, info, datasets)
    raw = _from(path, known, "test", kept)
    if fit is not None:
        return raw, _from(fit, datasets, "fit", kept)
    return raw, _from(path, known, "fit", kept) if own_fit and _has_fit(path, known) else None


def find_fit(
    model_path: Path | None,
    info: ModelInfo,
    fit: Path | None,
    datasets: Mapping[str, Dataset],
    kept: Kept | None = None,
) -> RawData:
    """What may be learnt from, without anything to attack: --fit-data, or the fit part of what find_data would find.

    Raises DataError where there is none.
    """
    kept = {} if kept is None else kept
    if fit is not None:
        return _from(fit, datasets, "fit", kept)
    sibling = model_path.with_suffix(".npz") if model_path is not None else None
    if sibling is not None and sibling.exists():
        own = _from(sibling, {}, "fit", kept) if _has_fit(sibling, {}) else None
    else:
        own = _bundled(datasets[info.dataset], info.dataset, "fit") if info.dataset in datasets else None
    if own is None:
        raise DataError(
            f"There are no labelled images to train {info.name} on.",
            "Name some with --fit-data: a file, a folder, or an installed data set. Keep those that you evaluate out "
            "of them.",
        )
    return own


def _from(path: Path, datasets: Mapping[str, Dataset], split: Split, kept: Kept) -> RawData:
    """One part of the data at a path, or of the installed data set of that name."""
    key = (str(path), split)
    if key not in kept:
        installed = _installed(path, datasets)
        kept[key] = _bundled(datasets[str(path)], str(path), split) if installed else read(path, split)
    return kept[key]


def _installed(path: Path, datasets: Mapping[str, Dataset]) -> bool:
    return str(path) in datasets and not path.exists()


def _has_fit(path: Path, datasets: Mapping[str, Dataset]) -> bool:
    """Whether the data bring a part of their own to learn from: x_train beside x_test, train-images beside
    t10k-images."""
    if _installed(path, datasets):
        return True
    if path.is_dir():
        return parquet_splits(path) if holds_parquet(path) else idx_splits(path)
    return path.is_file() and _start(path).startswith(b"PK") and "x_train" in npz_keys(path)


def _bundled(dataset: Dataset, name: str, split: Split) -> RawData:
    try:
        with foreign():
            images, labels, class_names = dataset.raw(split)
            arrays = np.asarray(images), np.asarray(labels)
    except Exception as error:  # a data set's plugin may raise anything
        raise DataError(
            f"The installed data set {name} cannot be read: {words(error)}.",
            "Tell its author; `robusteval plugins list --kind dataset` shows what is installed.",
        ) from error
    return RawData(*arrays, class_names, name, f"installed data set {name}, {split} part")


def _nothing(sibling: Path | None, info: ModelInfo, datasets: Mapping[str, Dataset]) -> DataError:
    installed = ", ".join(sorted(datasets)) or "none"
    named = f" {info.dataset!r}, which the model's metadata name, is not installed." if info.dataset else ""
    there = f" (2) put {sibling.name} with x and y beside the model;" if sibling is not None else ""
    return DataError(
        f"There are no labelled images to evaluate {info.name} on.{named}",
        f"Any of these will do: (1) --data FILE_OR_FOLDER;{there} (3) name an installed data set (installed: "
        f"{installed}) in the model's metadata, as `robusteval.dataset`, or give its name to --data.",
    )


def check_disjoint(evaluated: Sequence[str], fit: Sequence[str]) -> None:
    """Raises DataError when a defence would learn from images that it is evaluated on, by the hashes of both."""
    shared = set(evaluated) & set(fit)
    if shared:
        raise DataError(
            f"{len(shared)} images are both among the {len(evaluated)} evaluated and the {len(fit)} to learn from.",
            "Give --fit-data that share no image with the evaluated data; figures would look better than they are.",
        )
