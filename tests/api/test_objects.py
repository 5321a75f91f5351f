"""Samples that Python already holds: every kind of object gives the same images with the same labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler, TensorDataset

from robusteval.engine.data.objects import held
from robusteval.errors import DataError
from robusteval.given import source

X = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3)).astype(np.uint8)
Y = np.arange(12) % 3
NAMES = ("cat", "dog", "owl")


class Pictures(Dataset[Any]):
    """As torchvision's: Pillow images, `targets` and `classes`; it counts what was decoded."""

    targets = Y.tolist()
    classes: ClassVar[list[str]] = list(NAMES)
    decoded = 0

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        self.decoded += 1
        return Image.fromarray(X[index]), int(Y[index])


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(zip(torch.from_numpy(X), torch.from_numpy(Y), strict=True))


@dataclass
class Names:
    names: list[str]


class HuggingFace:
    """As `datasets` has them: columns by name, rows as dicts, names of classes among the features."""

    column_names = ("image", "label")

    def __init__(self) -> None:
        self.features = {"image": None, "label": Names(list(NAMES))}

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, key: Any) -> Any:
        if key == "label":
            return Y.tolist()
        return {"image": Image.fromarray(X[key]), "label": int(Y[key])}


OBJECTS: dict[str, Callable[[], Any]] = {
    "dataset": Pictures,
    "tensors": lambda: TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)),
    "loader": lambda: DataLoader(Pictures(), batch_size=5, shuffle=True, collate_fn=list),
    "loader of a stream": lambda: DataLoader(Stream(), batch_size=5),
    "hugging face": HuggingFace,
    "pairs": lambda: list(zip(X, Y.tolist(), strict=True)),
    "pairs in a tuple": lambda: tuple(zip(X, Y.tolist(), strict=True)),
    "generator": lambda: ((x, y) for x, y in zip(X, Y, strict=True)),
    "dicts": lambda: [{"image": x, "label": y} for x, y in zip(X, Y, strict=True)],
    "frame": lambda: pd.DataFrame({"image": list(X), "label": Y}),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_every_kind_holds_the_same(kind: str) -> None:
    state = torch.get_rng_state()
    raw = source(OBJECTS[kind](), None, 0)
    np.testing.assert_array_equal(np.asarray(raw.images), X)
    np.testing.assert_array_equal(raw.labels, Y)
    assert raw.names[:2] == ("row 0", "row 1")
    assert raw.class_names in ((), NAMES)
    assert torch.equal(torch.get_rng_state(), state)


def test_of_many_samples_only_those_are_read_that_are_evaluated() -> None:
    pictures = Pictures()
    raw = held(pictures, 6, 0)
    assert pictures.decoded == 6
    rows = [int(name.removeprefix("row ")) for name in raw.names]
    np.testing.assert_array_equal(np.asarray(raw.images), X[rows])
    assert np.bincount(raw.labels).tolist() == [2, 2, 2]


def test_a_sampler_chooses_and_does_not_shuffle() -> None:
    raw = held(DataLoader(Pictures(), sampler=SubsetRandomSampler([7, 2, 5])), None, 0)
    np.testing.assert_array_equal(np.asarray(raw.images), X[[2, 5, 7]])


def test_a_frame_may_name_files() -> None:
    files = [f"{index}.png" for index in range(12)]
    raw = held(pd.DataFrame({"file": files, "Image": list(X), "Label": Y}), 3, 0)
    assert all(files[list(Y).index(label)] for label in raw.labels)
    assert set(raw.names) < set(files)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "holds no samples"),
        ([1, 2], "no .image, label."),
        ([(X[0], 0), (X[1, :2], 1)], "differ in shape"),
        ([("cat.png", 0), ("dog.png", 1)], "no array of numbers"),
        (pd.DataFrame({"picture": [1], "label": [0]}), "no column named image"),
        (7, "is not data"),
        ((X, Y, Y), "two arrays"),
    ],
)
def test_what_is_no_data_is_one_sentence(data: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        source(data)


def test_what_a_data_set_raises_is_one_sentence() -> None:
    class Broken(Pictures):
        def __getitem__(self, index: int) -> tuple[Any, int]:
            raise RuntimeError("the disk is gone")

    with pytest.raises(DataError, match="the disk is gone"):
        held(Broken(), None, 0)
