"""What `--json` says of a run: all of it, and nothing where nothing was measured."""

from __future__ import annotations

from robusteval.report.summary import headline
from tests.records import make, with_results


def test_figures_cascades_and_findings_are_those_of_the_record() -> None:
    record = with_results(make())
    said = headline(record)
    assert len(said["figures"]) == sum(row.kind == "scalar" for row in record.results) > 10
    assert {row["code"] for row in said["findings"]} == {row.code for row in record.findings}
    assert said["verdict"] == (record.verdict.sentences if record.verdict is not None else [])


def test_a_cascade_says_what_it_left() -> None:
    record = make()
    cell, failed = record.done()[0], record.done()[1]
    cell.threat, cell.eps, cell.distance = "budget", 0.25, [0.0, None, 0.1, None]
    failed.threat, failed.status, failed.distance = "budget", "failed", []
    rows = {row["status"]: row for row in headline(record)["cascades"]}
    assert (rows["done"]["robust_accuracy"], rows["done"]["eps"]) == (0.5, 0.25)
    assert rows["failed"]["robust_accuracy"] is None
