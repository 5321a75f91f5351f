"""JUnit XML: a test case for the evaluation, for each of its checks, and for each gate.

Of the format's dialects this is what Jenkins, GitLab, GitHub actions and Azure read alike: suites of cases, a case with
a failure, a skip, or neither.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from robusteval.record.run import Check, Gate, Record
from robusteval.text import as_sentence, line

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def junit(record: Record) -> str:
    """The document. A gate that was not measured is a failure, and no skip: nothing may pass for want of a figure."""
    suites = {
        "robusteval.evaluation": [_verdict(record)],
        "robusteval.checks": [_check(check) for check in record.checks],
        "robusteval.gates": [_gate(gate) for gate in record.gates],
    }
    every = [case for cases in suites.values() for case in cases]
    top = ET.Element("testsuites", {"name": f"robusteval {line(record.model.name, 100)}", **_counts(every)})
    for name, cases in suites.items():
        if not cases:
            continue
        suite = ET.SubElement(top, "testsuite", {"name": name, **_counts(cases)})
        if record.times.started:
            suite.set("timestamp", line(record.times.started.partition("+")[0]))
        properties = ET.SubElement(suite, "properties")
        for key, value in _facts(record):
            ET.SubElement(properties, "property", name=key, value=line(value))
        for case in cases:
            case.set("classname", name)
            suite.append(case)
    ET.indent(top, " ")
    return f"{_HEAD}{ET.tostring(top, encoding='unicode')}\n"


def _counts(cases: list[ET.Element]) -> dict[str, str]:
    return {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": "0",
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "time": "0",
    }


def _facts(record: Record) -> list[tuple[str, str]]:
    return [
        ("model", record.model.name), ("model.sha256", record.model.sha256), ("data", record.data.name),
        ("samples", str(record.data.samples)), ("suite", f"{record.suite.name} {record.suite.version}"),
        ("plan.sha256", record.plan_sha256),
    ]  # fmt: skip


def _verdict(record: Record) -> ET.Element:
    case = ET.Element("testcase", name="conclusive", time="0")
    verdict = record.verdict
    if verdict is None or verdict.status != "conclusive":
        why = "There is no verdict." if verdict is None else verdict.grade_reason
        _failure(
            case, "inconclusive", "The evaluation is inconclusive, so its figures are no measure of robustness.", why
        )
    return case


def _check(check: Check) -> ET.Element:
    case = ET.Element("testcase", name=line(check.id), time="0")
    told = "\n".join(
        line(text)
        for text in (
            check.title, f"Measured: {check.measured}", f"Threshold: {check.threshold}", f"Why: {check.why}",
            f"Source: {check.source}",
        )
    )  # fmt: skip
    if check.outcome == "not-applicable":
        ET.SubElement(case, "skipped", message=as_sentence(check.measured or "does not apply"))
    elif check.outcome == "fail":
        _failure(case, "fail", f"{check.title}: {check.measured}", told)
    else:
        ET.SubElement(case, "system-out").text = told if check.outcome == "pass" else f"WARNING\n{told}"
    return case


def _gate(gate: Gate) -> ET.Element:
    case = ET.Element("testcase", name=line(gate.asked), time="0")
    value = gate.grade or ("none" if gate.value is None else f"{gate.value:.6g}")
    low = "none" if gate.low is None else f"{gate.low:.6g}"
    told = f"Measured: {value}; lower end of its 95 % interval: {low}; judged by the {gate.judged}."
    if gate.outcome != "met":
        _failure(case, gate.outcome, f"{gate.outcome}: {gate.reason}", told)
    else:
        ET.SubElement(case, "system-out").text = told
    return case


def _failure(case: ET.Element, kind: str, message: str, told: str) -> None:
    failure = ET.SubElement(case, "failure", type=kind, message=as_sentence(message))
    failure.text = told
