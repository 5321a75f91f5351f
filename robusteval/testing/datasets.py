"""The checks of a data set: two parts of images with labels, the same every time, with no image in both."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

from robusteval.contracts.plugins import Dataset, Split
from robusteval.testing.checks import fail, require
from robusteval.testing.facts import FACTS, built, global_randomness, split

_PARTS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Part:
    """What a data set gave for one part, as arrays."""

    images: Any  # [N, ...]
    labels: Any  # [N], or one-hot [N, K]
    names: Any

    def numbers(self) -> Any:
        """The labels as whole numbers, int64 [N]."""
        return self.labels.argmax(1) if self.labels.ndim == 2 else self.labels.astype(np.int64)


@dataclass
class DatasetSubject:
    """A data set; each part is asked for once."""

    given: object
    done: dict[Split, Part] = field(default_factory=dict)

    @property
    def plugin(self) -> type:
        return split(self.given)[0]

    def make(self) -> Dataset:
        made: Dataset = built(self.given)
        return made

    def parts(self) -> list[tuple[Split, Part]]:
        """Both parts by name."""
        for name in _PARTS:
            if name not in self.done:
                self.done[name] = self.fresh(name)
        return list(self.done.items())

    def fresh(self, name: Split) -> Part:
        """A part, asked for anew. Ends a check as failed where it is not (images, labels, class names)."""
        given = self.make().raw(name)
        if not isinstance(given, tuple) or len(given) != 3:
            fail(f"raw({name!r}) gives no (images, labels, class names).")
        return Part(np.asarray(given[0]), np.asarray(given[1]), given[2])


def gives_images(subject: DatasetSubject) -> None:
    """Each part has images [N, H, W], [N, H, W, C], [N, C, H, W] or [N, D] of finite numbers, uint8 or floats."""
    for name, part in subject.parts():
        images = part.images
        require(2 <= images.ndim <= 4 and len(images) > 0, f"The images of {name!r} have the shape {images.shape}.")
        known = images.dtype == np.uint8 or images.dtype.kind == "f"
        require(known, f"The images of {name!r} are {images.dtype}, neither uint8 nor floats.")
        require(bool(np.isfinite(images).all()), f"The images of {name!r} hold NaN or infinity.")


def gives_labels(subject: DatasetSubject) -> None:
    """Each part has a label for every image: whole numbers from 0, or one-hot [N, K]; and two classes or more."""
    for name, part in subject.parts():
        labels = part.labels
        require(labels.ndim in (1, 2), f"The labels of {name!r} have the shape {labels.shape}.")
        require(len(labels) == len(part.images), f"{name!r} has {len(part.images)} images but {len(labels)} labels.")
        if labels.ndim == 2:
            hot = bool(np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all())
            require(hot, f"The labels of {name!r} have two axes and are not one-hot.")
        else:
            whole = labels.dtype.kind in "iuf" and bool((labels >= 0).all() and (labels == np.floor(labels)).all())
            require(whole, f"The labels of {name!r} are not whole numbers from 0.")
        require(len(set(part.numbers().tolist())) > 1, f"All images of {name!r} are of one class.")


def names_its_classes(subject: DatasetSubject) -> None:
    """Class names are a tuple of str, none twice, one for every label; or ()."""
    for name, part in subject.parts():
        names, most = part.names, int(part.numbers().max())
        require(isinstance(names, tuple) and all(isinstance(text, str) for text in names), "They are no tuple of str.")
        require(len(set(names)) == len(names), f"{name!r} names a class twice.")
        require(not names or most < len(names), f"{name!r} has the label {most}, but {len(names)} class names.")


def has_parts_that_are_alike(subject: DatasetSubject) -> None:
    """Images of both parts have the same shape and type, and the classes the same names."""
    (_, test), (_, fit) = subject.parts()
    kinds = [(part.images.shape[1:], str(part.images.dtype)) for part in (test, fit)]
    require(kinds[0] == kinds[1], f"The parts have images of {kinds[0]} and {kinds[1]}.")
    require(test.names == fit.names, "The parts name the classes otherwise.")


def has_parts_that_share_no_image(subject: DatasetSubject) -> None:
    """No image is in both parts: what defences learnt from is not evaluated on."""
    test, fit = ({hashlib.sha256(image.tobytes()).digest() for image in part.images} for _, part in subject.parts())
    require(not test & fit, f"{len(test & fit)} images are in both parts.")


def is_the_same_every_time(subject: DatasetSubject) -> None:
    """Asked again, it gives the same images and labels in the same order."""
    for name, part in subject.parts():
        again = subject.fresh(name)
        same = np.array_equal(part.images, again.images) and np.array_equal(part.labels, again.labels)
        require(same, f"Asked again for {name!r} it gives others, or another order.")


def leaves_global_randomness_alone(subject: DatasetSubject) -> None:
    """Reading it leaves the global generators of torch, numpy and random untouched."""
    touched: list[str] = []
    with global_randomness(touched):
        for name in _PARTS:
            subject.fresh(name)
    require(not touched, f"It touched the global generator of {', '.join(touched)}.")


DATASET_CHECKS = (
    *FACTS,
    gives_images,
    gives_labels,
    names_its_classes,
    has_parts_that_are_alike,
    has_parts_that_share_no_image,
    is_the_same_every_time,
    leaves_global_randomness_alone,
)
