"""What a verification says: what was confirmed, what is false, and what could not be checked, each counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Self, SupportsIndex

from robusteval.text import as_sentence

STATEMENT = (
    "What is confirmed follows from the stored adversarials and clean samples, the model's file and the record; no "
    "attack was run again, so a stronger attack, or an adversarial that the record leaves out, is not seen by this "
    "check."
)


@dataclass
class Count:
    """Claims of one kind. failed: those that do not hold; the sentences about them, where these are more."""

    confirmed: int = 0
    failed: int = 0
    unchecked: int = 0


class Sentences(list[str]):
    """A list of sentences, each as the gate for text shows it."""

    def append(self, said: str, /) -> None:
        """As of any list."""
        super().append(as_sentence(said))

    def insert(self, place: SupportsIndex, said: str, /) -> None:
        """As of any list."""
        super().insert(place, as_sentence(said))

    def extend(self, more: Iterable[str], /) -> None:
        """As of any list."""
        super().extend(map(as_sentence, more))

    def __iadd__(self, more: Iterable[str], /) -> Self:  # type: ignore[override, misc]  # as of any list
        self.extend(more)
        return self


@dataclass
class Verification:
    """claims = confirmed + those that failed; `left` counts by reason what is in neither. failures: one sentence
    each. kinds: the same claims by what they are about. statement: what a clean bill means.

    Sentences name files and repeat words of the record, so they go through the gate for text, however they are added.
    """

    claims: int = 0
    confirmed: int = 0
    failures: list[str] = field(default_factory=Sentences)
    left: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=Sentences)
    kinds: dict[str, Count] = field(default_factory=dict)
    statement: str = STATEMENT

    @property
    def unchecked(self) -> int:
        """How many claims could not be checked."""
        return sum(self.left.values())

    @property
    def held(self) -> bool:
        """Whether something was checked, and all of it was right."""
        return bool(self.claims) and not self.failures

    def judge(self, faults: Sequence[str], where: str, claims: int = 1) -> None:
        """Counts so many claims about one thing: confirmed where there is no fault."""
        self.claims += claims
        if faults:
            self.failures.append(f"{where}: {' and '.join(faults)}.")
        else:
            self.confirmed += claims

    def leave(self, reason: str, count: int = 1) -> None:
        """Counts what could not be checked."""
        if count:
            shown = as_sentence(reason)
            self.left[shown] = self.left.get(shown, 0) + count

    @contextmanager
    def kind(self, name: str) -> Iterator[None]:
        """What is checked in this context is counted as claims of one kind too, also where the check breaks off."""
        claims, confirmed, failures, unchecked = self.claims, self.confirmed, len(self.failures), self.unchecked
        try:
            yield
        finally:
            count = self.kinds.setdefault(name, Count())
            count.confirmed += self.confirmed - confirmed
            count.failed += max(self.claims - claims - (self.confirmed - confirmed), len(self.failures) - failures)
            count.unchecked += self.unchecked - unchecked

    def add(self, other: Verification, key: str) -> None:
        """Another one's counts, with its sentences under a name."""
        self.claims += other.claims
        self.confirmed += other.confirmed
        self.failures += [f"{key}: {failure}" for failure in other.failures]
        self.notes += [f"{key}: {note}" for note in other.notes]
        for reason, count in other.left.items():
            self.leave(reason, count)
        for name, added in other.kinds.items():
            there = self.kinds.setdefault(name, Count())
            there.confirmed += added.confirmed
            there.failed += added.failed
            there.unchecked += added.unchecked

    @property
    def summary(self) -> str:
        """One line."""
        rest = f"; {self.unchecked} could not be checked" if self.unchecked else ""
        return f"{self.confirmed} of {self.claims} claims confirmed, {len(self.failures)} failures{rest}"

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "claims": self.claims, "confirmed": self.confirmed, "unchecked": self.unchecked, "left": self.left,
            "failures": self.failures, "notes": self.notes, "summary": self.summary, "statement": self.statement,
            "held": self.held, "kinds": {name: asdict(count) for name, count in self.kinds.items()},
        }  # fmt: skip
