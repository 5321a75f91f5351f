"""The suites that come with the engine, offered as any plugin offers its own."""

from __future__ import annotations

from robusteval.contracts.suites import suites_in
from robusteval.hooks import hookimpl


@hookimpl
def robusteval_suites() -> dict[str, str]:
    return suites_in("robusteval.engine.suite", "builtin")
