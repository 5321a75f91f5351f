"""The odds are odd: how log-odds move under noise, compared with how they move for clean samples of the same class."""

from __future__ import annotations

from robusteval.api import hookimpl
from robusteval_defenses._common.odds import LogitOdds

__all__ = ["LogitOdds"]


@hookimpl
def robusteval_defenses() -> list[type[LogitOdds]]:
    return [LogitOdds]
