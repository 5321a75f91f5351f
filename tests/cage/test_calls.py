"""What a plugin does in the command's own process stands on the page too: a fit, a training, a metric that never ends
is ended."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Generator

from robusteval.api import Defended, DefenseInfo, MetricInfo, beat
from robusteval.assessment import results
from robusteval.cage import page as pages
from robusteval.cage import watch as watching
from robusteval.cage.page import HEAD, LEVEL, SLOT, calling, open_page, working
from robusteval.cage.watch import Watch
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.samples import Samples
from robusteval.engine.fit.pipelines import fit_all
from robusteval.engine.fit.train import Lesson
from robusteval.engine.suite import suite as suites
from robusteval.record.run import Record, Result
from tests.cage import plugins
from tests.engine import toys


@pytest.fixture
def memory() -> Iterator[Any]:
    """The page of this process."""
    shared = multiprocessing.get_context("spawn").RawArray("B", SLOT)
    before = pages._open[:]
    open_page(shared)
    yield shared
    pages._open[:] = before


def at(memory: Any) -> list[tuple[str, float, bool]]:
    """What stands on the page, outermost first: words, seconds, whether they are of silence."""
    view = memoryview(memory).cast("B")
    depth = HEAD.unpack_from(view, 0)[3]
    rows = [LEVEL.unpack_from(view, HEAD.size + level * LEVEL.size) for level in range(depth)]
    return [(words.rstrip(b"\0").decode(), limit, bool(silence)) for _, limit, silence, words in rows]


SEEN: list[list[tuple[str, float, bool]]] = []


@dataclass(frozen=True)
class Looks:
    """A defence that looks at the page when it is fitted, and when its model is asked."""

    info: ClassVar[DefenseInfo] = DefenseInfo("test.looks", "1", "preprocessor", False, "toy", "none")

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        SEEN.append(at(pages._open[0].memory))
        for name in ("grad", "recursion", "environment"):
            plugins.SETS[name]()
        return Defended(Asked(model))

    def train(self, model: Classifier, data: Samples | None, rng: Generator, on_epoch: object) -> Defended:
        return self.fit(model, data, rng)


class Asked:
    def __init__(self, inner: Classifier) -> None:
        self.inner, self.info = inner, inner.info

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        SEEN.append(at(pages._open[0].memory))
        return self.inner.logits(x)

    def twin(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner.twin(x)


def test_a_fit_and_what_a_defence_answers(memory: Any) -> None:
    SEEN.clear()
    model, catalogue = toys.linear(), toys.catalogue(*toys.TOYS, ("defense", Looks))
    text = 'name = "s"\nversion = "1"\nnorms = ["linf"]\ncell_timeout = 9000\n[[attack]]\nplugin = "test.sign"\n'
    suite = suites.parse(f'{text}[[defense]]\nplugin = "test.looks"\nname = "d"\n', "s", catalogue)
    before = plugins.facts()
    fit_all(suite, catalogue, model, toys.samples(model, count=4), None, 0)
    assert plugins.facts() == before  # whatever the fit has set
    assert SEEN[0] == [("the fitting of the defence d", 9000.0, True)]
    assert SEEN[1] == [("what the defence d makes of clean samples", 3600.0, True)]
    assert at(memory) == []


def test_a_training(memory: Any) -> None:
    SEEN.clear()
    model = toys.linear()
    samples = toys.samples(model, count=4)
    before = plugins.facts()
    Lesson(Looks(), model, samples, samples, "", 0).train(lambda _: None)
    assert plugins.facts() == before
    assert SEEN == [[("the training of test.looks", 3600.0, True)]]


def test_a_metric(memory: Any) -> None:
    SEEN.clear()

    class Figure:
        info: ClassVar[Any] = MetricInfo("test.figure", "1", "toy", "none")

        def compute(self, record: Record) -> Iterator[Result]:
            SEEN.append(at(memory))  # as late as a generator is
            yield from ()

    entry = SimpleNamespace(name="test.figure", distribution="acme", plugin=Figure)
    assert results.derived([entry], SimpleNamespace()) == ([], [])  # type: ignore[arg-type]  # nothing looks at it
    assert SEEN == [[("the metric test.figure", 3600.0, True)]]


def test_of_what_stands_still_the_innermost_is_named_and_a_beat_is_a_sign_of_life(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(watching, "resident", lambda _: 0.0)
    monkeypatch.setattr(pages, "CALL_S", 3.0)
    watch = Watch(memory, 1)
    with working("the whole"), calling("outer"), calling("inner"):
        for _ in range(20):
            now[0] += 0.5
            beat()
            assert watch.look() is None
        for _ in range(7):
            now[0] += 0.5
            found = watch.look()
    assert found is not None
    assert found.why == "inner stood still for more than 3 s"
