"""The checks of an executor: units of numbers, made by a worker of the kit's own, come back as they were made."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial

from robusteval.contracts.executors.executor import Done, Executor, Unit, packed
from robusteval.testing.checks import applies, fail, require
from robusteval.testing.facts import FACTS, built, split

_LIMIT_S = 60.0  # an executor that was closed has let go by then


@dataclass(frozen=True)
class Numbers:
    """The worker: a unit is a number's hash; some raise, and some end the process that they are made in."""

    salt: bytes = b"salt"

    def attempt(self, unit: bytes) -> Done:
        """See robusteval.api.Worker."""
        name, _, how = unit.decode().partition(" ")
        if how == "die":
            os._exit(17)
        if how == "raise":
            return Done(name, error="RuntimeError: broken", detail="a traceback")
        if how == "wait":
            time.sleep(0.3)
        content = f"{os.getpid()}".encode() if how == "where" else hashlib.sha256(self.salt + unit).digest() * 1000
        return Done(name, content, seconds=0.5, machine="toy")


@dataclass
class Numbered:
    """The work: units in order, and what an executor did with them."""

    workers: int
    hows: tuple[str, ...]
    given: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    most: int = 0  # units under way at once

    def __post_init__(self) -> None:
        self._units = self._handed_out()

    def units(self) -> Iterator[Unit]:
        """See robusteval.api.Work."""
        return self._units

    def attempt(self, unit: Unit) -> Done:
        """See robusteval.api.Work."""
        return Numbers().attempt(unit.pack())

    def packed(self) -> bytes:
        """See robusteval.api.Work."""
        return packed(Numbers())

    def _handed_out(self) -> Iterator[Unit]:
        for number, how in enumerate(self.hows):
            self.given.append(f"u{number}")
            self.most = max(self.most, len(self.given) - len(self.answered))
            yield Unit(f"u{number}", partial(f"u{number} {how}".encode))


@dataclass
class ExecutorSubject:
    """An executor, and how many units are to be under way at once."""

    given: object
    workers: int = 2

    @property
    def plugin(self) -> type:
        return split(self.given)[0]

    def make(self) -> Executor:
        made: Executor = built(self.given)
        return made

    @cached_property
    def usual(self) -> list[tuple[Numbered, list[Done]]]:
        """A run of units that end well, of none, and of one more: looked at by several checks, as starting processes
        takes long."""
        return self.answers(("",) * 12, (), ("",))

    def answers(self, *rounds: tuple[str, ...]) -> list[tuple[Numbered, list[Done]]]:
        """What comes of one run with several calls of `perform`: (the work, the answers) of each."""
        executor = self.make()
        width = executor.start(self.workers)
        require(
            isinstance(width, int) and width >= 1, f"start gives {width!r}, and not how many units it takes at once."
        )
        made = []
        try:
            for hows in rounds:
                work, answers = Numbered(width, hows), []
                for done in executor.perform(work):
                    require(isinstance(done, Done), f"perform yields {type(done).__name__}, not Done.")
                    work.answered.append(done.unit)
                    answers.append(done)
                made.append((work, answers))
        finally:
            executor.stop()
        return made


def answers_every_unit_once(subject: ExecutorSubject) -> None:
    """Every unit is answered, and none twice, in several calls and where there is nothing to do."""
    for work, answers in subject.usual:
        names = sorted(done.unit for done in answers)
        require(
            names == sorted(f"u{number}" for number in range(len(work.hows))),
            f"Of {len(work.hows)} units it answers {names}.",
        )


def brings_back_what_was_made(subject: ExecutorSubject) -> None:
    """Answers are the worker's, byte for byte, with their seconds and their machine."""
    for done in subject.usual[0][1]:
        require(
            done == Numbers().attempt(f"{done.unit} ".encode()),
            f"The answer for {done.unit} is not what the worker made.",
        )


def carries_failures(subject: ExecutorSubject) -> None:
    """A unit that raised comes back with its reason and its traceback, and the others are made."""
    ((_, answers),) = subject.answers(("", "raise", "", ""))
    said = {done.unit: (done.error, done.detail) for done in answers}
    require(said.get("u1") == ("RuntimeError: broken", "a traceback"), "A unit's failure is lost on the way.")
    require(all(said.get(name) == ("", "") for name in ("u0", "u2", "u3")), "Other units fail with it.")


def takes_units_as_they_start(subject: ExecutorSubject) -> None:
    """No more units are taken than are to be under way at once, so that a time budget is asked in time."""
    work, _ = subject.usual[0]
    require(work.most <= work.workers, f"It holds {work.most} units at once, of {work.workers} that it may.")


def survives_a_dead_process(subject: ExecutorSubject) -> None:
    """A unit that ends its process fails alone, and is said to have died; the others are made."""
    ((_, where),) = subject.answers(("where",))
    applies(where[0].content != f"{os.getpid()}".encode(), "It works in the process of the run.")
    ((_, answers),) = subject.answers(("", "", "die", "", "", ""))
    said = {done.unit: done for done in answers}
    require(len(said) == 6, f"Of 6 units it answers {sorted(said)}.")
    require(said["u2"].died and not said["u2"].content, "The unit that ended its process is not said to have died.")
    others = [done for name, done in said.items() if name != "u2"]
    require(all(done.content and not done.died for done in others), "Units that ended no process failed too.")


def lets_go_when_closed(subject: ExecutorSubject) -> None:
    """Closed after the first answer it takes no more units, ends soon, and works again in another run."""
    executor = subject.make()
    work = Numbered(executor.start(subject.workers), ("", *["wait"] * 40))
    started = time.monotonic()
    try:
        answers = executor.perform(work)
        next(answers)
        close = getattr(answers, "close", None)
        if close is None:
            fail("perform gives an iterator that cannot be closed; write it with yield.")
        close()
        taken = len(work.given)
    finally:
        executor.stop()
    require(time.monotonic() - started < _LIMIT_S, "It goes on after it was closed.")
    require(len(work.given) == taken < 41, "It takes all units, or goes on taking some after it was closed.")
    ((_, again),) = subject.answers(("", ""))
    require(len(again) == 2, "It does not work again after it was closed.")


EXECUTOR_CHECKS = (
    *FACTS,
    answers_every_unit_once,
    brings_back_what_was_made,
    carries_failures,
    takes_units_as_they_start,
    survives_a_dead_process,
    lets_go_when_closed,
)
