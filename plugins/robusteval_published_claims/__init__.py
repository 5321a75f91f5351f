"""What published sources claim of attacks and defences: suites that measure it, and a table that sets both side by
side."""

from __future__ import annotations

from robusteval.api import hookimpl, suites_in
from robusteval_published_claims.metric import Sources


@hookimpl
def robusteval_metrics() -> list[type[Sources]]:
    return [Sources]


@hookimpl
def robusteval_suites() -> dict[str, str]:
    """`seeds` and `seeds-colour` of defences, `seeds-attacks` of attacks."""
    return suites_in("robusteval_published_claims")
