"""Errors that a user can mend. Anything else is a bug and keeps its traceback."""

from __future__ import annotations

from robusteval.text import line


class RobustEvalError(Exception):
    """Expected trouble: one clear sentence, and how to mend it. The CLI prints both and exits with 2.

    Sentences quote names of files, classes and plugins: they go through the gate here, for notebooks and records too.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = line(message)
        self.hint = line(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[type[RobustEvalError], tuple[str, str]]:
        # Exception's own pickling would drop the hint on the way back from a worker process.
        return type(self), (self.message, self.hint)


class ModelError(RobustEvalError):
    """The model file cannot be used."""


class DataError(RobustEvalError):
    """The data cannot be used."""


class SuiteError(RobustEvalError):
    """The suite is not valid."""


class PluginError(RobustEvalError):
    """A plugin is unknown, broken or collides with another."""


class RecordError(RobustEvalError):
    """A record, a run folder or a witness file cannot be used."""


class AccessError(RobustEvalError):
    """An attack asked the model for more than it declared that it needs."""
