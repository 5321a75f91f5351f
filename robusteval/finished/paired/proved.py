"""How the share of images changed that certificates prove, where both runs have them of the same images."""

from __future__ import annotations

import numpy as np

from robusteval.finished.paired import statistics
from robusteval.finished.paired.document import ProvedChange
from robusteval.finished.paired.runs import Finished
from robusteval.metrics._common import columns
from robusteval.metrics._common.bracket import Edges, edges_of, known_at
from robusteval.record.run import Record
from robusteval.record.units import norm_width


def changes(first: Finished, second: Finished) -> tuple[list[ProvedChange], list[str]]:
    """(a row a norm and budget at which either proves something, why nothing is said of a norm). The second run is in
    the order of the first."""
    rows: list[ProvedChange] = []
    notes: list[str] = []
    for norm in columns.NORMS:
        one, two = edges_of(first.record, norm), edges_of(second.record, norm)
        if one is None and two is None:
            continue
        why = _apart(first, second, norm, one, two)
        if one is None or two is None or why:
            notes.append(f"How the proved share changed in {norm} is not said: {why}.")
        else:
            rows += _at_budgets(first, second, norm, one, two)
    return rows, notes


def _apart(first: Finished, second: Finished, norm: str, one: Edges | None, two: Edges | None) -> str:
    """Why the shares are not of the same question; empty where they are."""
    if one is None or two is None:
        return f"only {(second if one is None else first).key} has certificates there"
    here, there = set(one.rows.tolist()), set(two.rows.tolist())
    seen = {place for place, other in enumerate(second.rows.tolist()) if other in there}
    if here != seen:
        return f"{len(here)} and {len(seen)} images have certificates, of which {len(here & seen)} are the same"
    if _certifiers(first.record, norm) != _certifiers(second.record, norm):
        return "they were proved by other certifiers, or other versions or parameters of them"
    return ""


def _certifiers(record: Record, norm: str) -> list[tuple[str, str, str]]:
    done = [row for row in record.certificates if row.norm == norm and row.status == "done"]
    return sorted((row.certifier, row.version, repr(sorted(row.params.items()))) for row in done)


def _at_budgets(first: Finished, second: Finished, norm: str, one: Edges, two: Edges) -> list[ProvedChange]:
    place = {sample: at for at, sample in enumerate(two.rows.tolist())}
    order = np.asarray([place[int(second.rows[sample])] for sample in one.rows], dtype=np.int64)
    widths = [norm_width(norm, run.record.model.bounds) for run in (first, second)]
    rows = []
    for eps in columns.BUDGETS[norm]:
        before, after = known_at(one, eps * widths[0])[0], known_at(two, eps * widths[1])[0][order]
        if not (before.any() or after.any()):
            continue
        lost, won = int((before & ~after).sum()), int((~before & after).sum())
        low, high = statistics.difference_interval(lost, won, before.size)
        shares = float(before.mean()), float(after.mean())
        p = statistics.mcnemar(lost, won)
        rows.append(ProvedChange(norm, eps, int(before.size), *shares, lost, won, low, high, p))
    return rows
