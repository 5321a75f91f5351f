"""What a check is, and the report of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

Status = Literal["passed", "failed", "not applicable"]
_CASES: ContextVar[int] = ContextVar("cases", default=0)  # that the check under way has looked at


class CheckFailed(AssertionError):
    """A promise that the plugin does not keep; the message is one sentence."""


class NotApplicable(Exception):
    """The promise does not concern this plugin; the message says why."""


def fail(sentence: str) -> NoReturn:
    """Ends a check as failed."""
    raise CheckFailed(sentence)


def case() -> None:
    """Counts one thing that a check has looked at. `require` does so itself."""
    _CASES.set(_CASES.get() + 1)


def require(condition: bool, sentence: str) -> None:
    """One case: ends a check as failed, with this sentence, unless the condition holds."""
    case()
    if not condition:
        fail(sentence)


def applies(condition: bool, why_not: str) -> None:
    """Ends a check as not applicable, for this reason, unless the condition holds."""
    if not condition:
        raise NotApplicable(why_not)


@dataclass(frozen=True)
class Outcome:
    """How one check ended."""

    check: str
    status: Status
    sentence: str  # what went wrong, why it does not apply, or the promise that was kept
    cases: int = 0  # how often it looked; 0 unless it passed


@dataclass(frozen=True)
class Check:
    """One promise and the subject that is to keep it. Calling it raises CheckFailed if the promise is broken, or if
    there was nothing to look at: a loop over nothing passes whatever is inside."""

    name: str
    promise: str  # one sentence
    function: Callable[[Any], None]
    subject: Any

    def __str__(self) -> str:
        return self.name

    def __call__(self) -> Outcome:
        before = _CASES.set(0)
        try:
            self.function(self.subject)
            cases = _CASES.get()
        except NotApplicable as reason:
            return Outcome(self.name, "not applicable", str(reason))
        finally:
            _CASES.reset(before)
        if not cases:
            fail("It ran on no case at all, so nothing is known: give the kit something to look at.")
        return Outcome(self.name, "passed", self.promise, cases)

    def outcome(self) -> Outcome:
        """The same, with a broken promise or an exception of the plugin as a failed outcome."""
        try:
            return self()
        except CheckFailed as failure:
            return Outcome(self.name, "failed", str(failure))
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; whatever it raised is the finding
            return Outcome(self.name, "failed", f"It raised {type(error).__name__}: {error}")


def bind(functions: Iterable[Callable[[Any], None]], subject: Any) -> list[Check]:
    """A check for each function: its name with spaces, the first line of its docstring as the promise."""
    return [
        Check(function.__name__.replace("_", " "), (function.__doc__ or "").strip().split("\n")[0], function, subject)
        for function in functions
    ]


@dataclass(frozen=True)
class Report:
    """How all checks of one plugin ended. Good only if something passed and nothing failed."""

    plugin: str
    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.status == "failed")

    @property
    def ok(self) -> bool:
        """No check failed, and at least one passed: a plugin that nothing was checked of does not conform."""
        return not self.failures and any(outcome.status == "passed" for outcome in self.outcomes)

    def summary(self) -> str:
        """How many checks there were and how they ended, in one line."""
        counts = dict.fromkeys(("passed", "not applicable", "failed"), 0)
        for outcome in self.outcomes:
            counts[outcome.status] += 1
        return f"{self.plugin}: {len(self.outcomes)} checks: " + ", ".join(f"{n} {name}" for name, n in counts.items())

    def __str__(self) -> str:
        return "\n".join([self.summary(), *map(_in_words, self.outcomes)])


def _in_words(outcome: Outcome) -> str:
    cases = f" ({outcome.cases} {'case' if outcome.cases == 1 else 'cases'})" if outcome.cases else ""
    return f"  {outcome.status:14}  {outcome.check}: {outcome.sentence}{cases}"
