"""What a verification says: what was confirmed, what is false, and what could not be checked, each counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

STATEMENT = (
    "What is confirmed follows from the stored adversarials and clean samples, the model's file and the record; no "
    "attack was run again, so a stronger attack, or an adversarial that the record leaves out, is not seen by this "
    "check."
)


@dataclass
class Verification:
    """claims = confirmed + those that failed; `left` counts by reason what is in neither. failures: one sentence
    each."""

    claims: int = 0
    confirmed: int = 0
    failures: list[str] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

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
            self.left[reason] = self.left.get(reason, 0) + count

    def add(self, other: Verification, key: str) -> None:
        """Another one's counts, with its sentences under a name."""
        self.claims += other.claims
        self.confirmed += other.confirmed
        self.failures += [f"{key}: {failure}" for failure in other.failures]
        self.notes += [f"{key}: {note}" for note in other.notes]
        for reason, count in other.left.items():
            self.leave(reason, count)

    @property
    def summary(self) -> str:
        """One line."""
        rest = f"; {self.unchecked} could not be checked" if self.unchecked else ""
        return f"{self.confirmed} of {self.claims} claims confirmed, {len(self.failures)} failures{rest}"

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "claims": self.claims, "confirmed": self.confirmed, "unchecked": self.unchecked, "left": self.left,
            "failures": self.failures, "notes": self.notes, "summary": self.summary, "statement": STATEMENT,
            "held": self.held,
        }  # fmt: skip
