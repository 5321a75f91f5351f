"""What a run is evidence for: rows with a figure, not tested, or failed, and nowhere that a requirement is met."""

from __future__ import annotations

import json

from robusteval.assessment.standards import ids
from robusteval.assessment.standards.mapping import Row, mapping, to_json
from robusteval.record.run import Pipeline, Record, Verdict
from tests import records
from tests.engine.test_findings import cell
from tests.finished.made import derived, version


def row(record: Record, name: str) -> Row:
    (found,) = [row for row in mapping(record) if row.id == name]
    return found


def test_evasion_is_measured_and_poisoning_is_not_tested() -> None:
    record = version(1, samples=100)
    evasion = row(record, "Art. 15(5) evasion")
    assert evasion.status == "measured"
    assert {figure.id for figure in evasion.figures} >= {"robust-accuracy/linf@8/255"}
    assert all(figure.value is not None for figure in evasion.figures)
    assert evasion.evidence == [cell.id for cell in record.cells]
    for name in (
        "Art. 15(5) poisoning",
        "Art. 15(4)",
        "ML02:2023",
        "NISTAML.024",
        "AML.T0041",
        "AML.M0003",
        "stability",
    ):
        found = row(record, name)
        assert (found.status, found.figures) == ("not tested", [])
        assert found.said


def test_ids_go_with_what_an_attack_needs() -> None:
    assert ids.technique_of(cell("pgd", 0.1)) == (ids.WHITE_BOX, ids.FULL_ACCESS)
    assert ids.technique_of(cell("square", 0.1, "scores")) == (ids.BLACK_BOX, ids.INFERENCE_ACCESS)
    assert ids.technique_of(cell("substitute", 0.1, "decision")) == (ids.TRANSFER, ids.INFERENCE_ACCESS, ids.PROXY)
    assert ids.technique_of(cell("noise", 0.1, "decision")) == ()
    assert [ids.nist_of(cell(name, 0.1, needs)) for name, needs in (("pgd", "gradient"), ("noise", "decision"))] == [
        ids.NIST_EVASION,
        "",
    ]
    record = version(1, samples=100)
    assert row(record, ids.NIST_BLACK_BOX).status == "not tested"
    record.cells[0].plugin, record.cells[0].needs = "square", "scores"
    assert row(derived(record), ids.NIST_BLACK_BOX).evidence == [record.cells[0].id]
    record.cells[0].status = "failed"
    assert row(record, ids.NIST_BLACK_BOX).status == "failed"


def test_noise_alone_is_no_evasion() -> None:
    record = version(1, samples=100)
    for attacked in record.cells:
        attacked.plugin = "noise"
    assert row(record, "ML01:2023").status == "not tested"


def test_an_inconclusive_run_has_failed_rows_without_figures() -> None:
    record = version(1, samples=100)
    before = {found.id: found.status for found in mapping(record)}
    for verdict in (None, Verdict("inconclusive", "D", "", [])):
        record.verdict = verdict
        rows = mapping(record)
        assert {found.status for found in rows} == {"failed", "not tested"}
        assert not any(found.figures for found in rows)
        assert all(found.status == "failed" for found in rows if before[found.id] == "measured")


def test_a_defence_counts_by_attackers_who_know_it() -> None:
    record = version(1, samples=100)
    record.pipelines.append(Pipeline("jpeg", "jpeg", "1", "preprocessor", {}, "done"))
    assert row(record, "AML.M0010").status == "failed"
    known = cell("pgd", 0.1, defense="jpeg", knowledge="adaptive", id="jpeg/pgd")
    record.cells.append(known)
    assert row(record, "AML.M0010").evidence == ["jpeg/pgd"]


def test_the_document_promises_nothing() -> None:
    for record in (version(1, samples=100), records.with_results(records.make(40))):
        text = to_json(record)
        assert "complian" not in text.lower()
        assert "conform" not in text.lower()
        document = json.loads(text)
        assert document["rows"]
        assert all(found["status"] in ("measured", "not tested", "failed") for found in document["rows"])
        assert all(found["said"] for found in document["rows"])
        assert "No statement that any requirement is met" in document["scope"]
