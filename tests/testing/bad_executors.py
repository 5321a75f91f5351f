"""Executors that break one promise each (at least that one), and one that keeps all."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from robusteval.api import Done, ExecutorInfo, Unit, Work, unpacked


@dataclass(frozen=True)
class Here:
    """One unit after the other, packed and unpacked."""

    info: ClassVar[ExecutorInfo] = ExecutorInfo("test.here", "1", "One after the other.")

    def start(self, workers: int) -> int:
        return 1

    def stop(self) -> None:
        pass

    def perform(self, work: Work) -> Iterator[Done]:
        worker = unpacked(work.packed())
        for unit in work.units():
            yield worker.attempt(unit.pack())


class Loses(Here):
    def perform(self, work: Work) -> Iterator[Done]:
        for number, done in enumerate(super().perform(work)):
            if number != 3:
                yield done


class Twice(Here):
    def perform(self, work: Work) -> Iterator[Done]:
        for done in super().perform(work):
            yield done
            yield done


class Shortens(Here):
    def perform(self, work: Work) -> Iterator[Done]:
        for done in super().perform(work):
            yield replace(done, content=done.content[:-1])


class Mute(Here):
    def perform(self, work: Work) -> Iterator[Done]:
        for done in super().perform(work):
            yield replace(done, error=done.error and "failed", detail="")


class Greedy(Here):
    def perform(self, work: Work) -> Iterator[Done]:
        units = [*work.units()]
        for unit in units:
            yield work.attempt(unit)


def _made(payload: bytes, unit: bytes) -> Done:
    return unpacked(payload).attempt(unit)


@dataclass(frozen=True)
class Fragile(Here):
    """A pool of one process; when that is gone, so is all that was left."""

    def perform(self, work: Work) -> Iterator[Done]:
        payload, left = work.packed(), work.units()
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            for unit in left:
                try:
                    yield pool.submit(_made, payload, unit.pack()).result()
                except BrokenProcessPool:
                    yield from (Done(item.id, died=True) for item in _and(unit, left))


def _and(first: Unit, rest: Iterator[Unit]) -> Iterator[Unit]:
    yield first
    yield from rest


class Unclosed(Here):
    def perform(self, work: Work) -> Any:
        return iter([*super().perform(work)])


class Wordless(Here):
    info: ClassVar[ExecutorInfo] = ExecutorInfo("test.wordless", "1", "")


class Nameless(Here):
    info: ClassVar[ExecutorInfo] = ExecutorInfo("No Name", "1", "x")


@dataclass(frozen=True)
class Demanding(Here):
    where: str

    def perform(self, work: Work) -> Iterator[Done]:
        return super().perform(work)


@dataclass(frozen=True)
class Undescribed(Here):
    where: str = ""


@dataclass
class Soft:
    """Not frozen."""

    info: ClassVar[ExecutorInfo] = ExecutorInfo("test.soft", "1", "x")

    def start(self, workers: int) -> int:
        return 1

    def stop(self) -> None:
        pass

    def perform(self, work: Work) -> Iterator[Done]:
        return Here().perform(work)


class Stuck(Here):
    def __reduce__(self) -> Any:
        raise TypeError("no")


BAD_EXECUTORS: dict[str, list[type]] = {
    "declares itself": [Wordless, Nameless],
    "has defaults": [Demanding],
    "describes its parameters": [Undescribed],
    "is frozen": [Soft],
    "can be pickled": [Stuck],
    "answers every unit once": [Loses, Twice],
    "brings back what was made": [Shortens],
    "carries failures": [Mute],
    "takes units as they start": [Greedy],
    "survives a dead process": [Fragile],
    "lets go when closed": [Unclosed],
}
