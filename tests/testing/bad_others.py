"""Metrics and loaders that break one promise each (at least that one)."""

from __future__ import annotations

import pickle
import random
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from robusteval.api import LoaderInfo, LoadOptions, MetricInfo, Record, Result
from robusteval.record.run import Curve, Point
from robusteval.testing import Linear, NoGradient, linear
from tests.testing.bad_defenses import company, dice, nan_scores
from tests.testing.bad_learners import Altered
from tests.testing.good import Count, Plain


class Metric(Count):
    def results(self, record: Record) -> list[Result]:
        return list(super().compute(record))


class NotResults(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        return ["three"]  # type: ignore[list-item]


class Writer(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        record.cells.pop()
        return self.results(record)


class Dicer(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        return [replace(self.results(record)[0], value=random.random())]


class Misfit(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        return [replace(self.results(record)[0], kind="picture")]  # type: ignore[arg-type]


class Endless(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        yield Result("test.count", "c", "curves", "Curve", curves=[Curve("a", [Point(0.0, float("nan"))])])


class Ghostwriter(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        return [replace(self.results(record)[0], metric="other")]


class Twice(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        return self.results(record) * 2


class Optimist(Metric):
    """Divides by the number of finished cells."""

    def compute(self, record: Record) -> Iterable[Result]:
        return [replace(self.results(record)[0], value=1 / len(record.done()))]


class NeedsCells(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        return self.results(replace(record, cells=[record.cells[0]]))


class Demanding(Metric):
    def __init__(self, level: int) -> None:
        self.level = level


class Unsendable(Metric):
    def __init__(self) -> None:
        self.held = lambda: 0


BAD_METRICS: dict[str, list[type]] = {
    "declares itself": [type("M", (Count,), {"info": MetricInfo("test.count", "1", "", "Nobody, 2000.")})],
    "has defaults": [Demanding],
    "can be pickled": [Unsendable],
    "computes on a full record": [NotResults],
    "leaves the record alone": [Writer],
    "is pure": [Dicer],
    "fits the schema": [Misfit, Endless],
    "has no nan": [Endless],
    "signs its results": [Ghostwriter],
    "names results apart": [Twice],
    "survives failed cells": [Optimist],
    "survives an empty record": [NeedsCells],
}


def loading(change: Callable[[Linear], object]) -> type:
    """A loader whose classifier is changed."""

    class Loading(Plain):
        def load(self, path: Path, options: LoadOptions) -> Any:
            return change(super().load(path, options))

    return Loading


class Gullible(Plain):
    """Makes a model of anything that can be read."""

    def load(self, path: Path, options: LoadOptions) -> Linear:
        return linear(seed=zlib.crc32(path.read_bytes()))


class Imaginative(Plain):
    def load(self, path: Path, options: LoadOptions) -> Linear:
        return super().load(path, options) if path.exists() else linear()


class Tracebacks(Plain):
    def load(self, path: Path, options: LoadOptions) -> Linear:
        pickle.loads(path.read_bytes())
        raise NotADirectoryError


class Reseeding(Plain):
    def load(self, path: Path, options: LoadOptions) -> Linear:
        torch.manual_seed(0)
        return super().load(path, options)


class DemandingLoader(Plain):
    def __init__(self, level: int) -> None:
        self.level = level


class UnsendableLoader(Plain):
    def __init__(self) -> None:
        self.held = lambda: 0


BAD_LOADERS: dict[str, list[type]] = {
    "declares itself": [type("L", (Plain,), {"info": LoaderInfo("", "1", (".plain",), "Reads.")})],
    "has defaults": [DemandingLoader],
    "can be pickled": [UnsendableLoader],
    "names its endings": [type("L", (Plain,), {"info": LoaderInfo("test.plain", "1", ("plain",), "Reads.")})],
    "refuses garbage": [Gullible, Tracebacks],
    "refuses an empty file": [Gullible, Tracebacks],
    "refuses a missing file": [Imaginative, Tracebacks],
    "tells the facts": [loading(lambda model: Altered(model, facts={"sha256": "?"}))],
    "answers with logits": [loading(lambda model: Altered(model, nan_scores))],
    "has a twin that agrees": [
        loading(lambda model: Altered(model, twin_by=lambda scores, x: scores * 2)),
        loading(lambda model: Altered(NoGradient(model), facts={"gradients": "exact"})),
    ],
    "minds each sample alone": [loading(lambda model: Altered(model, company))],
    "makes classifiers that travel": [loading(lambda model: Altered(model, lambda scores, x: scores))],
    "leaves global randomness alone": [Reseeding, loading(lambda model: Altered(model, dice))],
}
