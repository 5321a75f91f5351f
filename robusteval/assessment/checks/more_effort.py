"""Would another effort have found more: a bigger budget, more steps, another start, another goal; and what was planted?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from robusteval.assessment.checks.cross_attack import gap
from robusteval.assessment.checks.spec import Measured, Spec, far, graded, measured, pairs, percent
from robusteval.assessment.evidence.worst_case import envelope, envelope_of
from robusteval.record.run import Cell, Finding, Record
from robusteval.record.units import budget_text

_CARLINI = "Carlini et al. 2019, On evaluating adversarial robustness"
_ATHALYE = "Athalye, Carlini, Wagner 2018, Obfuscated gradients give a false sense of security"
_TRAMER = "Tramer et al. 2020, On adaptive attacks to adversarial example defenses"


def _bigger(record: Record) -> Iterator[Measured]:
    """Only from cells whose candidates were kept at several budgets."""
    for cell in record.done(knowledge="none"):
        right = [value != 0 for value in cell.distance]
        if cell.family != "fixed" or len(cell.strengths) < 2 or not any(right):
            continue
        rows = sorted(cell.strengths, key=lambda row: row.strength)
        shares = [sum(a and b for a, b in zip(row.fools_model, right, strict=True)) / sum(right) for row in rows]
        drop = max(max(shares[: n + 1]) - share for n, share in enumerate(shares))
        stuck = shares[-1] - shares[0] < 0.02 and shares[-1] < 0.9
        if stuck and cell.plugin == "noise":
            continue
        value = max(drop, 0.3 if stuck else 0.0)
        said = (
            f"{percent(shares[0])} fooled at {rows[0].strength:.3g}, {percent(shares[-1])} at {rows[-1].strength:.3g}"
        )
        yield measured(
            value,
            f"{said}; largest fall {percent(drop)} ({cell.attack}, {cell.norm})",
            graded(value, 0.1, 0.5),
            "bigger-budget-no-help",
            f"{cell.attack} ({cell.norm}) gains nothing by a larger budget: {said}.",
            "With more room an attack must win more often: look at its step size and at masked gradients.",
            {"first": shares[0], "last": shares[-1], "fall": drop},
            [cell.id],
        )


_PROBES = {
    "twice-steps": ("steps-matter", "twice the steps came nearer", "Give the attack more steps."),
    "other-start": ("start-matters", "another random start came nearer", "Use restarts."),
}


def _probe(record: Record, label: str) -> Iterator[Measured]:
    cells = {cell.id: cell for cell in record.cells}
    code, what, advice = _PROBES[label]
    for probe in record.probes:
        _, found, base_id = probe.id.split("/", 2)
        base = cells.get(base_id)
        if found != label or probe.status != "done" or base is None or base.status != "done":
            continue
        # a single attack may be far from settled without harm, where another one is: what counts is the reported number
        known = zip(envelope_of(record, base.norm, "none"), far(probe.distance), strict=False)
        both = [(a, b) for a, b in known if a > 0 and not (math.isinf(a) and math.isinf(b))]
        share = sum(b < 0.85 * a for a, b in both) / max(len(both), 1)
        alone = pairs(base, probe)
        own = sum(b < 0.85 * a for a, b in alone) / max(len(alone), 1)
        yield measured(
            share,
            f"{percent(share)} of {len(both)} samples ({base.attack}, {base.norm})",
            graded(share, 0.25, math.inf),
            code,
            f"{base.attack} ({base.norm}): {what} than the worst case over all attacks on {100 * share:.0f} % of {len(both)} "
            "samples, by more than 15 %.",
            advice,
            {"share": share, "samples": len(both), "than the attack itself": own},
            [base.id],
        )


def _steps(record: Record) -> Iterator[Measured]:
    return _probe(record, "twice-steps")


def _start(record: Record) -> Iterator[Measured]:
    return _probe(record, "other-start")


def _is_targeted(cell: Cell) -> bool:
    return cell.plugin == "least-likely" or "targeted" in str(cell.params.get("loss")).split("-")


def _targeted(record: Record) -> Iterator[Measured]:
    """A targeted attack solves a harder problem, so no single one may do better than all untargeted ones."""
    for norm in sorted({cell.norm for cell in record.cells}):
        cells = [cell for cell in record.done(norm=norm, knowledge="none") if cell.needs == "gradient"]
        cells = [cell for cell in cells if cell.threat == "curve" and cell.target == "untargeted"]
        aimed = [cell for cell in cells if _is_targeted(cell)]
        free = [cell for cell in cells if not _is_targeted(cell)]
        if not aimed or not free:
            continue
        share = max(gap(envelope(aimed), envelope(free)), 0.0)
        yield measured(
            share,
            f"{percent(share)} of the samples ({norm})",
            graded(share, 0.1, 0.25),
            "targeted-disagrees",
            f"At some budget targeted attacks take {percent(share)} more of the samples than untargeted ones ({norm}).",
            "The untargeted loss is stuck: its gradient is masked or saturated. Use targeted or margin losses.",
            cells=[cell.id for cell in (*aimed, *free)],
        )


def _planted(record: Record) -> Iterator[Measured]:
    width = record.model.bounds[1] - record.model.bounds[0]
    for row in record.planted:
        if row.status == "excluded":
            continue
        if row.status == "failed":
            note = Finding(
                "planted-failed", "info", f"The planted test could not be made in {row.norm}.", {"reason": row.reason},
                "Nothing else depends on it.",
            )  # fmt: skip
            yield Measured(None, f"could not be made in {row.norm}: {row.reason}", "warn", note)
            continue
        white = any(need == "gradient" for need in row.needs.values())
        share, count = power(row.found, row.needs, "gradient" if white else ""), len(row.samples)
        luck = sum(row.random) / max(count, 1)
        who = "attacks with gradients" if white else "attacks"
        outcome = graded(-share, -0.95, -0.5)  # the less the worse; exact at the limits
        if luck > 0.5 and outcome == "pass":
            outcome = "warn"  # what chance finds too proves nothing
        judged = measured(
            share,
            f"{percent(share)} of {count} planted adversarials found by the {who}, {percent(luck)} by chance ({row.norm})",
            outcome,
            "planted-missed" if share < 0.95 else "planted-too-easy",
            f"The {who} of this suite found {percent(share)} of {count} adversarials that were planted within {row.norm}"
            f" {budget_text(row.eps, row.norm, width)} on this very model (random points: {percent(luck)}).",
            "What they did not find on the model itself proves little: gradients are masked, or the attacks are too weak."
            if share < 0.95
            else "The test was too easy to prove anything here.",
            {"power": share, "random": luck, "samples": count, **({"features": row.features} if row.features else {})},
        )
        yield dataclasses.replace(judged, bad=1 - share)


def power(found: dict[str, list[bool]], needs: dict[str, str], level: str = "") -> float:
    """The share of planted adversarials found by at least one attack, of those that need `level` where it is given."""
    columns = [column for name, column in found.items() if not level or needs.get(name) == level]
    hits = [any(row) for row in zip(*columns, strict=True)]
    return sum(hits) / len(hits) if hits else 0.0


EFFORT = (
    Spec(
        "bigger-budget", "A bigger budget helps", f"{_CARLINI}; {_ATHALYE}",
        "largest fall of the share fooled as the budget grows, over the budgets at which candidates are kept; counts as 30 %"
        " where it does not grow at all and less than 90 % are fooled",
        "warn: > 10 %, fail: > 50 %",
        "the larger ball holds the smaller one; a fixed-step attack may lose a little, masked gradients lose all",
        "no candidates were kept at several budgets (keep_strengths)", _bigger,
    ),
    Spec(
        "twice-steps", "Twice the steps do not help", f"{_CARLINI}; {_TRAMER}",
        "samples for which an attack with twice the steps came nearer than the worst case over all attacks by more than 15 % / "
        "samples, the worst attack",
        "warn: > 25 %", "distances this far from settled bound the model badly, yet they do bound it, so no alarm; an attack that is far"
        " from settled where another is not changes no reported number",
        "the suite runs no probes", _steps,
    ),
    Spec(
        "other-start", "Another start does not help", f"{_CARLINI}; {_TRAMER}",
        "samples for which an attack from another random start came nearer than the worst case over all attacks by more than "
        "15 % / samples, the worst attack",
        "warn: > 25 %", "as for twice the steps", "the suite runs no probes of attacks that start at random", _start,
    ),
    Spec(
        "targeted", "Targeted and untargeted attacks agree", f"{_CARLINI}; {_TRAMER}",
        "largest difference, over all budgets, of the accuracy under untargeted attacks and under targeted ones",
        "warn: > 10 %, fail: > 25 %", "what a targeted attack finds is a win of the untargeted one too",
        "the suite has not both kinds in a norm", _targeted,
    ),
    Spec(
        "planted", "Planted adversarials are found", "Zimmermann, Brendel, Tramer, Carlini 2022, Increasing confidence in"
        " adversarial robustness evaluations",
        "planted adversarials found by the attacks with gradients, or by all where the model gives none / planted ones, the worst norm",
        "warn: < 95 %, or random points find more than half; fail: < 50 %",
        "they exist by construction, so what is missed is the attacks' fault; the paper asks for 95 %",
        "the suite asks for none (planted), or the model's access excludes its attacks", _planted,
    ),
)  # fmt: skip
