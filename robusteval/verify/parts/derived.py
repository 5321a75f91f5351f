"""What follows from the columns, derived again and compared with what is printed: checks, findings, results,
verdict."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import robusteval.metrics
from robusteval import __version__
from robusteval.assessment import looked
from robusteval.assessment.checks import CHECKS
from robusteval.assessment.derive import derive
from robusteval.assessment.evidence.own import FROM_MODEL
from robusteval.record.run import TITLES_ONLY, Check, Finding, Record, Result
from robusteval.verify.parts.result import Verification
from robusteval.verify.parts.same import differences

_MOST = 20  # sentences about one part
FAILED = "metric-failed"
BESIDE = ("pixel-range", "test-failed")
STRANGE = "results of metrics that are plugins beside the core, none of which is imported here"
BROUGHT = {"sources": "1"}  # those of them, with their versions, that are listed as robusteval's own
MEASURED = "checks before the run that ask the model with other settings"
TOLD = "findings before the run, of which only that a check tells of them was checked"


def built_in() -> dict[str, Any]:
    """The metrics that come with robusteval, by name."""
    metrics = {}
    for file in sorted(Path(robusteval.metrics.__path__[0]).glob("*.py")):
        module = importlib.import_module(f"robusteval.metrics.{file.stem}")
        offers = getattr(module, "robusteval_metrics", None)
        for metric in offers() if offers is not None else ():
            metrics[metric.info.name] = metric
    return metrics


def check_derived(record: Record, metrics: dict[str, Any], result: Verification) -> None:
    """Derives a copy of the record again and compares. metrics: those that can be computed here, by name."""
    # columns are shared: rules and metrics only read them
    again = dataclasses.replace(record, checks=[], findings=[], results=[], verdict=None, gates=[])
    before = [check for check in record.checks if check.id in looked.RETOLD + looked.MEASURED]
    preflight = _before(record, {code for check in before for code in check.codes})
    strange = [result for result in record.results if result.metric not in metrics]
    labels_from_model = any(finding.code == FROM_MODEL for finding in record.findings)
    try:
        gates = [(gate.asked, gate.source) for gate in record.gates]
        derive(again, lambda partial: _figures(record, partial, metrics), preflight, labels_from_model, before, gates)
    except Exception as error:  # noqa: BLE001 - columns that were changed may lack whatever the rules take for granted
        result.judge(
            [f"they cannot be derived from its columns ({type(error).__name__}: {error})"], "The derived parts"
        )
        return
    _compare(result, "checks", _by_id(record.checks), _by_id(again.checks), len(CHECKS))
    _compare(result, "findings", record.findings, again.findings, 1)
    if record.schema == TITLES_ONLY:
        again.results = [titles_only(derived) for derived in again.results]
    _compare(result, "results", record.results, again.results, max(len(record.results) - len(strange), 1))
    _compare(result, "verdict", record.verdict, again.verdict, 1)
    if record.gates:
        _compare(result, "gates", record.gates, again.gates, len(record.gates))
    ours = [row for row in record.plugins if row.get("kind") == "metric" and row.get("distribution") == "robusteval"]
    versions = BROUGHT | {name: metric.info.version for name, metric in metrics.items()}
    odd = [
        str(row.get("name"))
        for row in ours
        if str(row.get("name")) not in versions or row.get("version") != versions[str(row.get("name"))]
    ]
    result.judge([f"{', '.join(odd)} is not here, or of another version"] if odd else [], "The metrics that ran")
    listed, asked = {row.get("name") for row in record.plugins if row.get("kind") == "metric"}, record.suite.metrics
    lost = [name for name in metrics if (not asked or name in asked) and name not in listed]
    if record.tool.get("version") == __version__ and lost:  # earlier ones had fewer
        result.judge([f"{', '.join(sorted(lost))} ran in every such run, and is not there"], "The metrics that ran")
    result.leave(STRANGE, len({result.metric for result in strange}))
    _preflight(record, before, preflight, result)


def _figures(printed: Record, again: Record, metrics: dict[str, Any]) -> tuple[list[Result], list[Finding]]:
    """The built-in metrics' results computed again, in the order of the record's plugins; others as they are
    printed."""
    results: list[Result] = []
    names = [str(row.get("name")) for row in printed.plugins if row.get("kind") == "metric"]
    failed = {finding.evidence.get("metric"): finding for finding in printed.findings if finding.code == FAILED}
    kept = []
    for name in names:
        metric = metrics.get(name)
        if metric is None:
            results += [result for result in printed.results if result.metric == name]
        else:
            try:
                results += list(metric().compute(again))
                continue
            except Exception:  # noqa: BLE001, S110 - it failed in the run too, where the record says so
                pass
        if name in failed:
            kept.append(failed[name])
    return results, kept


def titles_only(result: Result) -> Result:
    """A result as a document says it that was written before columns had keys and units: by its titles."""
    return dataclasses.replace(result, columns=result.titles())


def _by_id(checks: list[Check]) -> dict[str, object]:
    rows: dict[str, object] = {check.id: check for check in checks}
    return rows | {"their order": [check.id for check in checks]}


def _before(record: Record, codes: set[str]) -> list[Finding]:
    """The findings that were made before anything was attacked: the first ones that a check of the preflight tells of,
    and notes on the pixel range, and tests of the evaluation that failed, which stand beside any outcome."""
    findings = []
    for finding in record.findings:
        if finding.code not in BESIDE and (finding.code not in codes or finding.code not in looked.CODES):
            break
        findings.append(finding)
    return findings


def _compare(result: Verification, where: str, printed: object, derived: object, claims: int) -> None:
    found = list(differences(printed, derived, where))
    result.claims += claims
    result.confirmed += max(claims - len(found), 0)
    result.failures += [f"{sentence}." for sentence in found[:_MOST]]
    if len(found) > _MOST:
        result.failures.append(f"{where}: {len(found) - _MOST} more entries do not follow from the columns.")


def _preflight(record: Record, before: list[Check], findings: list[Finding], result: Verification) -> None:
    """The checks before the run: their words as they are here, and what the clean answers decide."""
    if before and [check.id for check in before] != list(looked.ORDER):
        result.judge(["they are not each there once, in their order"], "The checks before the run")
    raised = {finding.code for finding in findings}
    for check in before:
        faults = []
        seen = looked.retold(record, check)
        if seen is None:
            result.leave(MEASURED)
        else:
            expected = (seen.outcome or "not-applicable", seen.said, list(seen.codes) or check.codes)
            if (check.outcome, check.measured, check.codes) != expected:
                faults.append(f"it says {check.outcome}, {check.measured!r}, and {expected[0]}, {seen.said!r} is right")
            faults += list(differences(check.value, seen.value, "its value"))
        missing = [code for code in check.codes if code not in raised and code in looked.CODES]
        if missing:
            faults.append(f"there is no finding {missing[0]}")
        if check.outcome in ("pass", "not-applicable") and check.codes:
            faults.append("it passes, and names a finding")
        if check.outcome in ("warn", "fail") and not check.codes:
            faults.append("it warns, and names no finding")
        if faults or seen is not None:
            result.judge(faults, f"checks.{check.id}")
    for finding in findings:
        result.leave(TOLD, finding.code not in looked.RETOLD)
