"""Labels onto a model's classes, and an even choice among them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.chunks import block_ends
from robusteval.engine.data.npz import Array, RawData
from robusteval.errors import DataError

Labels = NDArray[np.int64]


def class_indices(raw: RawData, info: ModelInfo) -> tuple[Labels, str]:
    """int64 [N] labels, 0 <= label < info.classes, and a note where they had to be converted. Raises DataError."""
    if raw.labels.dtype.kind not in "biuf":
        raise DataError(f"The labels are of type {raw.labels.dtype}, not numbers.", "Store class indices from 0.")
    labels, note = _flat(raw.labels, info.classes)
    if labels.dtype.kind == "f":
        odd = int((~np.isfinite(labels) | (labels != np.round(labels))).sum())
        if odd:
            raise DataError(f"{odd} labels are not whole numbers.", "Store class indices from 0.")
    _check_span(labels, info.classes)
    indices = labels.astype(np.int64)
    return _by_name(indices, raw.class_names, info, note)


def _flat(labels: Array, classes: int) -> tuple[Array, str]:
    """[N] labels from [N], [N, 1] or one-hot [N, K]."""
    if labels.ndim == 1:
        return labels, ""
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0], "labels of shape [N, 1] read as [N]"
    if labels.ndim != 2 or labels.shape[1] != classes:
        raise DataError(
            f"The labels have shape {labels.shape}; the model has {classes} classes.",
            "Store one class index per image, or one-hot rows with one column per class.",
        )
    soft = int(((labels != 0).sum(1) != 1).sum() + (labels.max(1) != 1).sum())
    if soft:
        raise DataError(
            f"{soft} rows of the labels are not one-hot.",
            "Store one class index per image; mixed labels are not evaluated.",
        )
    return labels.argmax(1), "one-hot labels read as class indices"


def _check_span(labels: Array, classes: int) -> None:
    least, most = int(labels.min()), int(labels.max())
    if least >= 0 and most < classes:
        return
    from_one = least == 1 and most == classes
    raise DataError(
        f"Labels run from {least} to {most}; the model's {classes} classes are 0 to {classes - 1}.",
        "They look counted from 1: subtract 1 from every label."
        if from_one
        else "Store the index of the model's output that stands for each class, counted from 0.",
    )


def _by_name(labels: Labels, names: tuple[str, ...], info: ModelInfo, note: str) -> tuple[Labels, str]:
    """Labels in the model's order of classes where both sides name theirs; by position where only one side does."""
    model_names = info.class_names
    if not names or names == model_names:
        return labels, note
    if int(labels.max()) >= len(names):
        raise DataError(
            f"There is a label {int(labels.max())} but only {len(names)} class names.", "Name every class, or none."
        )
    if len(set(model_names)) == len(model_names) and set(names) <= set(model_names):
        order = np.array([model_names.index(name) for name in names], dtype=np.int64)
        return order[labels], "; ".join(filter(None, (note, "labels matched to the model's classes by their names")))
    respelt = _respelled(names, model_names)
    if respelt is not None:
        how = "labels matched to the model's classes by their names, but for case and punctuation"
        return respelt[labels], "; ".join(filter(None, (note, how)))
    if len(names) != info.classes:
        raise DataError(
            f"The data name {len(names)} classes and the model has {info.classes}, so it is not clear which is which.",
            "Name the classes (folders) as the model's metadata name them, or by their index, counted from 0.",
        )
    differ = "the data's class names differ from the model's, so labels are taken by position" if model_names else ""
    return labels, "; ".join(filter(None, (note, differ)))


def _respelled(names: tuple[str, ...], model_names: tuple[str, ...]) -> Labels | None:
    """For each name the model's class that has it in another spelling, such as tshirt_top for T-shirt/top; None where
    some name has none, or two classes are spelt alike."""
    place = {_letters(name): index for index, name in enumerate(model_names)}
    spelt = [_letters(name) for name in names]
    if len(place) != len(model_names) or len(set(spelt)) != len(spelt) or not all(word in place for word in spelt):
        return None
    return np.array([place[word] for word in spelt], dtype=np.int64)


def _letters(name: str) -> str:
    """Letters and digits alone: a folder cannot be named T-shirt/top, nor everywhere in capitals."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def balanced_rows(labels: Labels, samples: int, seed: int) -> NDArray[np.int64]:
    """Sorted rows of `samples` labels (all, if there are fewer), as even over the classes as the data allow.

    The same labels, number and seed give the same rows. Raises DataError when samples < 1.
    """
    return np.sort(_queue(labels, samples, seed))


def drawn_rows(labels: Labels, samples: int, seed: int) -> NDArray[np.int64]:
    """The same rows in the order in which they are attacked: in blocks (`engine/chunks.py`), so that more samples begin
    as fewer do; all that there are in the order of the data. Raises DataError when samples < 1."""
    queue = _queue(labels, samples, seed)
    if len(queue) == len(labels):
        return np.sort(queue)
    return np.concatenate([np.sort(block) for block in np.split(queue, block_ends(len(queue))[:-1])])


def _queue(labels: Labels, samples: int, seed: int) -> NDArray[np.int64]:
    """The first so many of all rows, in an order that is even over the classes wherever it is cut."""
    if samples < 1:
        raise DataError(f"{samples} samples cannot be evaluated.", "Ask for at least one.")
    rng = np.random.default_rng(seed % 2**64)  # a seed may be negative, and is the same as ever where it is not
    shuffled = rng.permutation(len(labels))
    # The n-th image of each class comes before the (n + 1)-th of any: cutting that queue anywhere is balanced.
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    present, counts = np.unique(labels, return_counts=True)
    turn = np.concatenate([np.arange(count) for count in counts])
    lot = np.repeat(rng.permutation(len(present)), counts)  # which class is cut short must not follow its index
    queue: NDArray[np.int64] = by_class[np.lexsort((lot, turn))]
    return queue[:samples]
