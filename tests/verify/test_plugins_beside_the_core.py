"""Suites and metrics that plugins bring: `verify` imports none, says that it did not check them, and confirms nothing
of them."""

from __future__ import annotations

from typing import Any

import pytest

from robusteval.assessment.evidence.hashes import suite_sha256
from robusteval.engine.catalogue.catalogue import discover
from robusteval.record.decode import decode
from robusteval.record.run import Record
from robusteval.verify.parts.derived import BROUGHT, STRANGE, built_in
from robusteval.verify.parts.facts import SUITE, shipped_suites
from robusteval.verify.parts.result import Verification
from robusteval.verify.run import check
from tests.verify.runs import Honest

RESULT = {
    "metric": "sources",
    "name": "sources",
    "kind": "table",
    "title": "t",
    "columns": ["c"],
    "rows": [["made up"]],
}


def verified(honest: Honest, data: dict[str, Any]) -> Verification:
    return check(decode(Record, data), honest.evidence, honest.metrics, honest.shipped)


def test_what_it_takes_for_a_plugin_of_ours_is_one() -> None:
    ours = {row.name: row.version for row in discover().of("metric") if row.distribution == "robusteval"}
    assert {name: version for name, version in ours.items() if name not in built_in()} == BROUGHT
    assert not set(BROUGHT) & set(built_in())


def test_suites_of_plugins_are_not_among_those_it_knows() -> None:
    rows = [row for row in discover().of("suite") if row.entry_point == "robusteval.engine.suite.shipped"]
    assert {suite["name"] for suite in shipped_suites()} == {row.name for row in rows}


@pytest.mark.parametrize("name", ["seeds", "acme.quick"])
def test_a_suite_of_a_plugin_is_not_checked(honest: Honest, name: str) -> None:
    """Nothing fails and nothing is confirmed: neither its hash nor that each of its attacks has a cell."""
    data = honest.changed()
    data["suite"]["name"], data["suite"]["sha256"] = name, "12" * 32
    before, found = verified(honest, honest.data), verified(honest, data)
    assert (found.failures, found.left[SUITE]) == ([], 1)
    assert (found.confirmed, found.claims) == (before.confirmed, before.claims)


def test_results_of_a_metric_of_a_plugin_are_not_checked(honest: Honest) -> None:
    data = honest.changed()
    place = [row["name"] for row in data["plugins"] if row["kind"] == "metric"].index("sources")
    later = [row["name"] for row in data["plugins"] if row["kind"] == "metric"][place:]
    first = next((n for n, row in enumerate(data["results"]) if row["metric"] in later), len(data["results"]))
    data["results"].insert(first, RESULT)
    before, found = verified(honest, honest.data), verified(honest, data)
    assert STRANGE not in before.left
    assert (found.failures, found.left[STRANGE]) == ([], 1)
    assert (found.confirmed, found.claims) == (before.confirmed, before.claims)


@pytest.mark.parametrize("change", [{"version": "2"}, {"name": "sources-again"}, {"name": "rho-adv-again"}])
def test_what_is_listed_as_ours_and_is_not_is_a_failure(honest: Honest, change: dict[str, str]) -> None:
    data = honest.changed()
    (row,) = [row for row in data["plugins"] if row["kind"] == "metric" and row["name"] == "sources"]
    row |= change
    (failure,) = [said for said in verified(honest, data).failures if said.startswith("The metrics that ran")]
    assert "is not here, or of another version" in failure


def test_a_metric_that_every_run_has_cannot_be_left_out_with_its_results(honest: Honest) -> None:
    """Whatever it says of the model, nobody would miss it: all else follows from the columns as before."""
    data = honest.changed()
    data["plugins"] = [row for row in data["plugins"] if (row["kind"], row["name"]) != ("metric", "per-class")]
    data["results"] = [row for row in data["results"] if row["metric"] != "per-class"]
    assert verified(honest, data).failures == [
        "The metrics that ran: per-class ran in every such run, and is not there."
    ]
    data["suite"]["metrics"] = [row["name"] for row in data["plugins"] if row["kind"] == "metric"]
    assert verified(honest, data).failures == [], "the user's own suite may name those that it wants"


def test_a_suite_that_ships_has_its_own_metrics(honest: Honest) -> None:
    suite = next(suite for suite in shipped_suites() if suite["name"] == "smoke")
    data = honest.changed()
    data["suite"] |= {"name": "smoke", "version": suite["version"], "sha256": suite_sha256(suite), "metrics": ["cost"]}
    assert any("its metrics are []" in failure for failure in verified(honest, data).failures)
