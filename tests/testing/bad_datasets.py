"""Data sets that break one promise each (at least that one)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from robusteval.api import Split
from tests.testing.good import Stripes

Parts = tuple[Any, Any, Any]


def changed(change: Callable[[Parts, Split], object]) -> type:
    """The good data set with another answer."""

    class Changed(Stripes):
        def raw(self, split: Split) -> Any:
            return change(super().raw(split), split)

    return Changed


class Demanding(Stripes):
    def __init__(self, level: int) -> None:
        self.level = level


class Unsendable(Stripes):
    def __init__(self) -> None:
        self.held = lambda: 0


class Whimsical(Stripes):
    def raw(self, split: Split) -> Parts:
        images, labels, names = super().raw(split)
        order = np.random.default_rng().permutation(len(labels))
        return images[order], labels[order], names


class Careless(Stripes):
    def raw(self, split: Split) -> Parts:
        np.random.seed(0)  # noqa: NPY002 - the fault
        return super().raw(split)


def of_test(change: Callable[[Parts], object]) -> type:
    """The good data set, with the part that is attacked changed."""
    return changed(lambda given, split: change(given) if split == "test" else given)


BAD_DATASETS: dict[str, list[type]] = {
    "declares itself": [
        type("D", (Stripes,), {"info": replace(Stripes.info, licence="")}),
        type("D", (Stripes,), {"info": replace(Stripes.info, name="stripes")}),
    ],
    "has defaults": [Demanding],
    "can be pickled": [Unsendable],
    "gives images": [
        changed(lambda given, split: given[:2]),
        of_test(lambda given: (given[0].astype(np.int64), *given[1:])),
        of_test(lambda given: (given[0] * np.nan, *given[1:])),
        of_test(lambda given: (given[0][:0], given[1][:0], given[2])),
    ],
    "gives labels": [
        of_test(lambda given: (given[0], given[1][1:], given[2])),
        of_test(lambda given: (given[0], given[1] - 1, given[2])),
        of_test(lambda given: (given[0], given[1] + 0.5, given[2])),
        of_test(lambda given: (given[0], np.ones((20, 2)), given[2])),
        of_test(lambda given: (given[0], given[1] * 0, given[2])),
    ],
    "names its classes": [
        changed(lambda given, split: (*given[:2], ["up", "down"])),
        changed(lambda given, split: (*given[:2], ("up", "up"))),
        changed(lambda given, split: (*given[:2], ("up",))),
    ],
    "has parts that are alike": [
        of_test(lambda given: (given[0][:, :2], *given[1:])),
        of_test(lambda given: (given[0] / 255, *given[1:])),
        of_test(lambda given: (*given[:2], ("down", "up"))),
    ],
    "has parts that share no image": [changed(lambda given, split: Stripes().raw("fit"))],
    "is the same every time": [Whimsical],
    "leaves global randomness alone": [Careless],
}
