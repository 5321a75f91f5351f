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

from robusteval.api import Column, LoaderInfo, LoadOptions, MetricInfo, Record, Result
from robusteval.record.run import Curve, Point
from robusteval.testing import Linear, NoGradient, Rescaled, linear
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


class NormByNorm(Metric):
    """A figure for each norm that the suite asks about; it shows only where the record names some."""

    def compute(self, record: Record) -> Iterable[Result]:
        return [Result("test.count", f"c/{norm}", "scalar", "Cells", value=float("nan")) for norm in record.suite.norms]


class Silent(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        return []


def table(*rows: list[Any]) -> type:
    """A metric that gives a table of two columns."""

    class Table(Metric):
        def compute(self, record: Record) -> Iterable[Result]:
            columns = [Column("name", "Name"), Column("value", "Value")]
            yield Result("test.count", "t", "table", "Table", columns=columns, rows=[list(row) for row in rows])

    return Table


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
    "declares itself": [
        type("M", (Count,), {"info": MetricInfo("test.count", "1", "", "Nobody, 2000.")}),
        type("M", (Count,), {"info": MetricInfo("count", "1", "Counts.", "Nobody, 2000.")}),
    ],
    "has defaults": [Demanding],
    "can be pickled": [Unsendable],
    "computes on a full record": [NotResults, Silent],
    "leaves the record alone": [Writer],
    "is pure": [Dicer],
    "fits the schema": [Misfit, Endless],
    "has no nan": [Endless, NormByNorm, table(["a", float("nan")])],
    "signs its results": [Ghostwriter, table(["a", 1.0], ["b"])],
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


class OneRange(Plain):
    """Reads every file as if its pixels went from 0 to 1."""

    def load(self, path: Path, options: LoadOptions) -> Linear:
        return super().load(path, replace(options, bounds=(0.0, 1.0)))


class Unnormalised(Plain):
    """Passes over a mean and std that were stated."""

    def load(self, path: Path, options: LoadOptions) -> Linear:
        return super().load(path, replace(options, mean=(), std=()))


class Claiming(Plain):
    """Says that it normalises, and does not."""

    def load(self, path: Path, options: LoadOptions) -> Any:
        plain = super().load(path, replace(options, mean=(), std=()))
        return replace(plain, info=replace(plain.info, mean=options.mean, std=options.std))


class Untold(Plain):
    """Normalises, and does not say so in its facts."""

    def load(self, path: Path, options: LoadOptions) -> Any:
        plain = super().load(path, replace(options, mean=(), std=()))
        if not options.std:
            return plain
        return Rescaled(plain, 1 / options.std[0], -options.mean[0] / options.std[0])


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
    "heeds the range": [OneRange],
    "heeds normalisation": [Unnormalised, Claiming, Untold],
    "minds each sample alone": [loading(lambda model: Altered(model, company))],
    "makes classifiers that travel": [loading(lambda model: Altered(model, lambda scores, x: scores))],
    "leaves global randomness alone": [Reseeding, loading(lambda model: Altered(model, dice))],
}
