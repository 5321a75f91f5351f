"""Findings: why a number might be wrong. From the checks, and from rules that only tell. Each looks at the record
only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from robusteval.assessment.checks import run_checks
from robusteval.assessment.evidence.own import FROM_MODEL
from robusteval.assessment.evidence.worst_case import envelope
from robusteval.record.run import Check, Finding, Record

Rule = Callable[[Record], Iterator[Finding]]


def examine(record: Record, labels_from_model: bool) -> tuple[list[Check], list[Finding]]:
    """Every check of a record with its outcome, and every finding, alarms first."""
    checks, found = run_checks(record)
    found += [finding for rule in RULES for finding in rule(record)]
    if labels_from_model:
        found.append(
            Finding(
                FROM_MODEL,
                "warning",
                "The labels are the model's own answers, so clean accuracy is 100 % by construction.",
                {},
                "Give true labels to learn how accurate the model is.",
            )
        )
    order = {"alarm": 0, "warning": 1, "info": 2}
    return checks, sorted(found, key=lambda finding: (order[finding.severity], finding.code))


def _outputs(record: Record) -> Iterator[Finding]:
    if record.model.output == "labels":
        yield Finding(
            "labels-only",
            "warning",
            "The model answers with labels only, so attacks that need scores could not be run.",
            {},
            "Export the model with its scores.",
        )
    elif record.model.output in ("probabilities", "log-probabilities"):
        yield Finding(
            "outputs-are-probabilities",
            "info",
            f"The model returns {record.model.output}, which saturate; attacks were steered by scores that do not.",
            {"rung": record.model.rung},
            "Nothing to do: the judge used the model's own answers.",
        )


def _clever(record: Record) -> Iterator[Finding]:
    """CLEVER beyond a distance at which an attack won: there it is no lower bound."""
    for row in record.estimates:
        cells = record.done(norm=row.norm, knowledge="none")
        if row.status == "excluded" or not cells:
            continue
        if row.status == "failed":
            yield Finding(
                "clever-failed", "info", f"CLEVER could not be estimated in {row.norm}.", {"reason": row.reason},
                "Nothing else depends on it.",
            )  # fmt: skip
            continue
        found = envelope(cells)
        pairs = [
            (value, found[sample])
            for sample, value in zip(row.samples, row.value, strict=True)
            if value is not None and 0 < found[sample] < math.inf
        ]
        above = [value / nearest for value, nearest in pairs if value > nearest]
        if above:
            yield Finding(
                "clever-above-attack",
                "info",
                f"On {len(above)} of {len(pairs)} samples CLEVER is larger than the distance at which an attack won"
                f" ({row.norm}): it is refuted there, and no lower bound.",
                {"samples": len(pairs), "above": len(above), "largest_ratio": max(above)},
                "Believe the attacks. CLEVER overestimates where few gradients were drawn or where gradients are "
                "masked: give the suite's clever more batches, and look for findings about gradients.",
            )


def _time_budget(record: Record) -> Iterator[Finding]:
    cells = [cell for cell in record.cells if cell.status == "skipped"]
    probes = [cell for cell in record.probes if cell.status == "skipped"]
    if not (cells or probes or record.skipped):
        return
    parts = [f"{len(cells)} of {len(record.cells)} cells"] if cells else []
    parts += [f"{len(probes)} of {len(record.probes)} probes"] if probes else []
    parts += [f"the test by {name}" for name in record.skipped]
    *most, last = parts
    yield Finding(
        "time-budget-ended",
        "warning",
        f"The time budget ended the run before {', '.join(most)}{' and ' if most else ''}{last} were done, so what "
        "they would have found is not in the figures.",
        {"skipped": len(cells), "cells": len(record.cells), "probes": len(probes), "tests": ", ".join(record.skipped)},
        going_on(record),
        [cell.id for cell in cells],
    )


def going_on(record: Record) -> str:
    """How a run goes on that a time budget ended."""
    if "units" in record.environment:
        return (
            "Give more time: another --time-budget cuts the samples otherwise, and begins anew; the same one goes on "
            "from here, as all units that were done are kept."
        )
    return "The same command without --time-budget goes on from here: all units that were done are kept."


def _shortened(record: Record) -> Iterator[Finding]:
    """Cascades that ran without some of their members are not what carries their name."""
    cells = [cell for cell in record.done() if cell.without]
    if cells:
        names = list(dict.fromkeys(cell.attack.split("@")[0] for cell in cells))
        yield Finding(
            "cascade-shortened",
            "warning",
            f"Not every attack of a cascade could be run, so its figures are not those of the published composition:"
            f" {'; '.join(names)}.",
            {name: reason for cell in cells for name, reason in cell.without.items()},
            "Compare it with nothing that carries the whole cascade's name.",
            [cell.id for cell in cells],
        )


def _uncertified(record: Record) -> Iterator[Finding]:
    """Certificates that were asked for, and are not there."""
    for row in record.certificates:
        if row.status != "done":
            yield Finding(
                "no-certificate",
                "info" if row.status == "excluded" else "warning",
                f"{row.certifier} gave no certificate in {row.norm}: {row.reason}.",
                {"certifier": row.certifier, "norm": row.norm, "reason": row.reason},
                "What is not proved is unknown, not false; docs/certificates.md lists what is covered.",
            )
    whys = {(row.defense, row.status, row.reason): row for row in record.certificates_behind if row.status != "done"}
    for (defense, status, reason), row in whys.items():
        yield Finding(
            "no-certificate",
            "info" if status == "excluded" else "warning",
            f"Behind {defense} there is no certificate: {reason}.",
            {"certifier": row.certifier, "norm": row.norm, "defense": defense, "reason": reason},
            "What is not proved is unknown, not false; docs/certificates.md lists what is covered.",
        )


def _unusable(record: Record) -> Iterator[Finding]:
    """An attack that proposed nothing which could be judged found nothing, and looks like robustness."""
    for cell in record.done():
        proposed = {reason for reason, count in cell.rejected.items() if count}
        lost = any(value is not None and value > 0 for value in cell.distance)
        if cell.knowledge == "oblivious" or lost or not proposed or proposed - _UNJUDGED:
            continue
        count, why = sum(cell.rejected.values()), " or ".join(sorted(proposed))
        yield Finding(
            "candidates-unusable",
            "alarm",
            f"All {count} candidates of {cell.attack} ({cell.norm}, {cell.defense}) were {why}, so it attacked "
            "nothing; that is not robustness.",
            {"candidates": count},
            "Mend the plugin: candidates are finite, inside problem.bounds and within problem.eps "
            "(robusteval plugins check names the promise that it breaks).",
            [cell.id],
        )


_UNJUDGED = {"not finite", "outside the box", "over budget"}  # the judge's reasons for not asking the model
RULES: tuple[Rule, ...] = (_uncertified, _clever, _outputs, _shortened, _time_budget, _unusable)
