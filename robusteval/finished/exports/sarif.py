"""SARIF 2.1.0: what the evaluation found, for code scanning of GitHub and others.

Rules are the checks by their ids, findings by their codes, and `gate`; a result is a finding, a gate that is not met,
or, as a note, the robustness that was measured in a norm. Fingerprints depend on rule, norm and cells only, so that
the same thing in the next run is the same alert.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from robusteval.assessment.standards.figures import figures
from robusteval.assessment.standards.ids import ATLAS_EVADE, ATLAS_RELEASE, ATLAS_TECHNIQUES, CWE, technique_of
from robusteval.record.run import Check, Finding, Gate, Record
from robusteval.text import as_sentence, line

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {"alarm": "error", "warning": "warning", "info": "note"}
GATE, ROBUSTNESS = "gate", "adversarial-robustness"
_LARGEST = 5000  # results that GitHub shows of one run


def sarif(record: Record) -> str:
    """The document as JSON."""
    rest = [*_gates(record), *_figures(record)][:_LARGEST]  # what of findings would be too many must not push out
    results = [*itertools.islice(_findings(record), _LARGEST - len(rest)), *rest]
    used = {str(result["ruleId"]) for result in results} | {check.id for check in record.checks}
    rules = [rule for rule in _rules(record) if rule["id"] in used]
    places = {rule["id"]: place for place, rule in enumerate(rules)}
    for result in results:
        result["ruleIndex"] = places[result["ruleId"]]
    failed = [cell for cell in record.cells if cell.status == "failed"]
    taxonomies = [_cwe(), _atlas(record)]
    run = {
        "tool": {
            "driver": {
                "name": "robusteval",
                "version": line(record.tool.get("version", "")),
                "shortDescription": {"text": "Evaluates the adversarial robustness of image classifiers."},
                "rules": rules,
                "supportedTaxonomies": [{"name": taxonomy["name"]} for taxonomy in taxonomies],
            }
        },
        "automationDetails": {"id": f"robusteval/{line(record.suite.name)}/"},
        "invocations": [
            {
                "executionSuccessful": not failed,
                "toolExecutionNotifications": [
                    {"level": "error", "message": {"text": as_sentence(f"{cell.id} failed: {cell.reason}")}}
                    for cell in failed
                ],
            }
        ],
        "artifacts": [{"location": _location(record), "roles": ["analysisTarget"], **_hashes(record)}],
        "taxonomies": taxonomies,
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _location(record: Record) -> dict[str, Any]:
    return {"uri": quote(record.model.file or "model"), "index": 0}


def _hashes(record: Record) -> dict[str, Any]:
    return {"hashes": {"sha-256": record.model.sha256}} if record.model.sha256 else {}


def _rules(record: Record) -> Iterator[dict[str, Any]]:
    """Every rule that a result of this record may name."""
    raised = {code for check in record.checks for code in check.codes}
    for check in record.checks:
        yield _rule(check.id, check.title, _help(check))
    for code in dict.fromkeys(finding.code for finding in record.findings):
        if code not in raised:
            yield _rule(code, f"Finding {code}", "A reason to doubt a figure of this evaluation.")
    yield _rule(GATE, "A threshold that the run was to reach", "Exit code 3: not met, or not measured.")
    yield _rule(
        ROBUSTNESS,
        "Accuracy under attack",
        "Small changes of an image make the model err. What is said is the worst case over the attacks that were "
        "made; a stronger attack may lower it.",
    )


def _help(check: Check) -> str:
    return f"{check.formula} Threshold: {check.threshold}. {check.why} Source: {check.source}."


def _rule(name: str, title: str, told: str) -> dict[str, Any]:
    about = [("CWE", CWE), ("MITRE ATLAS", ATLAS_EVADE)] if name in (GATE, ROBUSTNESS) else []
    tags = ["robustness", *(f"external/cwe/{code.lower()}" if code == CWE else code for _, code in about)]
    rule: dict[str, Any] = {
        "id": line(name),
        "shortDescription": {"text": as_sentence(title)},
        "help": {"text": as_sentence(told)},
        "properties": {"tags": tags},
    }
    if about:
        rule["relationships"] = [
            {"target": {"id": code, "toolComponent": {"name": taxonomy}}, "kinds": ["relevant"]}
            for taxonomy, code in about
        ]
    return rule


def _result(record: Record, rule: str, level: str, text: str, key: tuple[str, ...], **more: Any) -> dict[str, Any]:
    fingerprint = hashlib.sha256(json.dumps([rule, *key]).encode()).hexdigest()
    return {
        "ruleId": line(rule),
        "level": level,
        "message": {"text": as_sentence(text)},
        "locations": [{"physicalLocation": {"artifactLocation": _location(record)}}],
        "partialFingerprints": {"robusteval/v1": fingerprint},
        **more,
    }


def _findings(record: Record) -> Iterator[dict[str, Any]]:
    rules = {code: check.id for check in reversed(record.checks) for code in check.codes}
    seen: dict[tuple[str, ...], int] = {}
    for finding in record.findings:
        key = _key(finding)
        count = seen[key] = seen.get(key, 0) + 1
        told = f"{finding.sentence} {finding.advice}".strip()
        yield _result(record, rules.get(finding.code, finding.code), LEVELS[finding.severity], told, (*key, str(count)))


def _key(finding: Finding) -> tuple[str, ...]:
    """What makes a finding the same one in another run: no figure of it, as those change."""
    about = (str(finding.evidence.get(name, "")) for name in ("norm", "class", "defense", "metric"))
    return (finding.code, *about, *sorted(finding.cells))


def _gates(record: Record) -> Iterator[dict[str, Any]]:
    for gate in record.gates:
        if gate.outcome != "met":
            yield _result(
                record, GATE, "error", f"{gate.asked}: {gate.outcome}, {gate.reason}.", (gate.asked,), **_kind(gate)
            )


def _kind(gate: Gate) -> dict[str, str]:
    """SARIF takes a level other than none for failures alone; what was not measured fails too."""
    return {"kind": "fail"} if gate.outcome in ("not met", "not measured") else {}


def _figures(record: Record) -> Iterator[dict[str, Any]]:
    """What was measured of robustness, as notes; what was not measured says so."""
    for figure in figures(record):
        if figure.kind != "robust-accuracy":
            continue
        if figure.value is None or figure.low is None or figure.high is None:
            told = f"{figure.title}: not measured, {figure.reason}."
        else:
            interval = f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"
            told = f"{figure.title}: {100 * figure.value:.1f} % (95 %: {interval}), of {record.data.samples} images."
        yield _result(record, ROBUSTNESS, "note", told, (figure.id,))


def _cwe() -> dict[str, Any]:
    title = "Automated Recognition Mechanism with Inadequate Detection or Handling of Adversarial Input Perturbations"
    return {
        "name": "CWE",
        "organization": "MITRE",
        "shortDescription": {"text": "Common Weakness Enumeration"},
        "taxa": [{"id": CWE, "shortDescription": {"text": title}}],
    }


def _atlas(record: Record) -> dict[str, Any]:
    done = [technique_of(cell) for cell in record.done(knowledge="none")]
    ids = sorted({ATLAS_EVADE, *(code for codes in done for code in codes)})
    return {
        "name": "MITRE ATLAS",
        "version": ATLAS_RELEASE,
        "organization": "MITRE",
        "shortDescription": {"text": "Adversarial Threat Landscape for Artificial-Intelligence Systems"},
        "taxa": [{"id": code, "shortDescription": {"text": ATLAS_TECHNIQUES[code]}} for code in ids],
    }
