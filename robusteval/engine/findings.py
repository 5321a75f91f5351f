"""Findings: why a number might be wrong. Each rule looks at the record only, and says what to do about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from robusteval.engine.envelope import envelope
from robusteval.engine.findings_defenses import defenses, detectors, label_leak
from robusteval.record.document import Finding, Record

Rule = Callable[[Record], Iterator[Finding]]


def find(record: Record, labels_from_model: bool) -> list[Finding]:
    """Every finding of a record, alarms first."""
    found = [finding for rule in RULES for finding in rule(record)]
    if labels_from_model:
        found.append(
            Finding(
                "labels-from-model",
                "warning",
                "The labels are the model's own answers, so clean accuracy is 100 % by construction.",
                {},
                "Give true labels to learn how accurate the model is.",
            )
        )
    order = {"alarm": 0, "warning": 1, "info": 2}
    return sorted(found, key=lambda finding: (order[finding.severity], finding.code))


def _failed_cells(record: Record) -> Iterator[Finding]:
    failed = [cell for cell in record.cells if cell.status == "failed"]
    if failed:
        yield Finding(
            "cells-failed",
            "alarm",
            f"{len(failed)} of {len(record.cells)} cells failed; a failed attack is not robustness.",
            {"first": failed[0].id, "reason": failed[0].reason},
            "Mend the cause and run again: finished cells are kept.",
            [cell.id for cell in failed],
        )


def _nothing_attacked(record: Record) -> Iterator[Finding]:
    norms = sorted({cell.norm for cell in record.cells})
    for norm in norms:
        if not record.done(norm=norm, knowledge="none"):
            yield Finding(
                "nothing-attacked",
                "alarm",
                f"No attack on the bare model completed in {norm}, so nothing is known about it.",
                {"norm": norm},
                "Choose a suite with attacks that this model's access allows, such as square.",
            )
    if not norms:
        yield Finding("nothing-attacked", "alarm", "No attack was run at all.", {}, "Choose another suite.")


def _excluded(record: Record) -> Iterator[Finding]:
    gone = [cell for cell in record.cells if cell.status == "excluded"]
    if gone:
        names = sorted({cell.attack for cell in gone})
        yield Finding(
            "attacks-excluded",
            "warning",
            f"{len(gone)} cells were excluded ({', '.join(names)}), so the robust accuracy is an upper bound with less behind it.",
            {"first": gone[0].id, "reason": gone[0].reason},
            "See the list of threats that are not covered.",
            [cell.id for cell in gone],
        )


def _few_samples(record: Record) -> Iterator[Finding]:
    count = record.data.samples
    if count < 100:
        width = 1.96 * math.sqrt(0.25 / max(count, 1))
        yield Finding(
            "few-samples",
            "alarm" if count < 30 else "warning",
            f"Only {count} samples were evaluated: a share of 50 % is known to about {100 * width:.0f} points either way.",
            {"samples": count},
            "Evaluate at least 100 samples, better 500 (--samples).",
        )


def _gradients(record: Record) -> Iterator[Finding]:
    model = record.model
    if model.gradients == "straight-through":
        yield Finding(
            "straight-through",
            "info",
            "The model's exact gradients are useless; attacks used straight-through ones (BPDA), judged on the true model.",
            {"reason": model.gradients_reason},
            "Trust the worst case over all attacks, black-box ones included.",
        )
    if model.gradients == "none":
        yield Finding(
            "no-gradients",
            "warning",
            "The model gives no useful gradient, so only black-box attacks were run and the robust accuracy is an upper bound.",
            {"reason": model.gradients_reason},
            "If you can, evaluate a differentiable form of the same model.",
        )
    for cell in [*record.cells, *record.probes]:
        asked = sum(cell.backwards)
        if cell.status != "done" or not asked or cell.id.startswith("probe/"):
            continue
        for kind, count in (("zero", cell.zero_gradients), ("non-finite", cell.bad_gradients)):
            share = count / asked
            if share > 0.1:
                yield Finding(
                    "zero-gradients" if kind == "zero" else "bad-gradients",
                    "alarm" if share > 0.5 else "warning",
                    f"{100 * share:.0f} % of the gradients that {cell.attack} asked for ({cell.defense}, {cell.norm}) were {kind}.",
                    {"share": share, "queries": asked},
                    "The model or the defence masks its gradients: believe black-box attacks and straight-through ones.",
                    [cell.id],
                )


def _black_box_stronger(record: Record) -> Iterator[Finding]:
    for defense, norm in sorted({(cell.defense, cell.norm) for cell in record.done() if cell.knowledge != "oblivious"}):
        cells = [cell for cell in record.done(norm=norm, defense=defense) if cell.knowledge != "oblivious"]
        white = [cell for cell in cells if cell.needs == "gradient"]
        black = [cell for cell in cells if cell.needs != "gradient"]
        if not white or not black:
            continue
        best_white, best_black = envelope(white), envelope(black)
        pairs = [(w, b) for w, b in zip(best_white, best_black, strict=True) if w != 0]
        share = sum(b < 0.9 * w for w, b in pairs if not math.isinf(b)) / max(len(pairs), 1)
        if share > 0.1:
            yield Finding(
                "black-box-stronger",
                "alarm" if share > 0.3 else "warning",
                f"On {100 * share:.0f} % of the samples a black-box attack came nearer than every white-box one"
                f" ({defense}, {norm}): gradients are masked.",
                {"share": share},
                "Do not believe the white-box figures of this pipeline; look for what hides the gradient.",
                [cell.id for cell in cells],
            )


def _one_step(record: Record) -> Iterator[Finding]:
    for norm in sorted({cell.norm for cell in record.cells}):
        cells = {cell.plugin: cell for cell in record.done(norm=norm, knowledge="none")}
        one, many = cells.get("fgsm"), cells.get("pgd")
        if one is None or many is None:
            continue
        pairs = [
            (math.inf if a is None else a, math.inf if b is None else b)
            for a, b in zip(one.distance, many.distance, strict=True)
            if a != 0 and (a is not None or b is not None)
        ]
        share = sum(a < 0.9 * b for a, b in pairs) / max(len(pairs), 1)
        if share > 0.1:
            yield Finding(
                "one-step-stronger",
                "alarm" if share > 0.3 else "warning",
                f"On {100 * share:.0f} % of the samples one step came nearer than many ({norm}).",
                {"share": share},
                "Gradients mislead beyond the first step: masked gradients or a bad step size.",
                [one.id, many.id],
            )


def _unbounded(record: Record) -> Iterator[Finding]:
    low, high = record.model.bounds
    for norm in sorted({cell.norm for cell in record.cells}):
        cells = [cell for cell in record.done(norm=norm, knowledge="none") if cell.needs != "decision"]
        if not cells:
            continue
        best = envelope(cells)
        left = sum(math.isinf(value) for value in best) / max(len(best), 1)
        wide = any(cell.family == "minimal" for cell in cells) or (
            norm == "linf" and any((cell.eps or 0) >= 0.5 * (high - low) for cell in cells)
        )
        if wide and left > 0.02:
            yield Finding(
                "unbounded-not-zero",
                "alarm" if left > 0.2 else "warning",
                f"With a budget that allows almost anything, {100 * left:.1f} % of the samples were still not lost in {norm}.",
                {"share": left},
                "An attack that is allowed to grey out the image must win: the attacks fail here, and smaller budgets are in doubt too.",
                [cell.id for cell in cells],
            )


def _probes(record: Record) -> Iterator[Finding]:
    cells = {cell.id: cell for cell in record.cells}
    texts = {
        "twice-steps": ("steps-matter", "twice the steps came nearer", "Give the attack more steps."),
        "other-start": ("start-matters", "another random start came nearer", "Use restarts."),
    }
    for probe in record.probes:
        _, label, base_id = probe.id.split("/", 2)
        base = cells.get(base_id)
        if probe.status != "done" or base is None or base.status != "done" or label not in texts:
            continue
        pairs = [
            (math.inf if a is None else a, math.inf if b is None else b)
            for a, b in zip(base.distance, probe.distance, strict=False)
            if a != 0 and (a is not None or b is not None)
        ]
        share = sum(b < 0.85 * a for a, b in pairs) / max(len(pairs), 1)
        if share > 0.25:
            code, what, advice = texts[label]
            yield Finding(
                code,
                "warning",
                f"{base.attack} ({base.norm}): {what} on {100 * share:.0f} % of {len(pairs)} samples, by more than 15 %.",
                {"share": share, "samples": len(pairs)},
                advice + " The worst case over attacks may still be tight.",
                [base.id],
            )


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
    for note in record.model.notes:
        if "random" in note.lower():
            yield Finding(
                "random-outputs",
                "warning",
                "The model's answers change from call to call.",
                {"note": note},
                "Judge it as a random pipeline, or remove the randomness.",
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
                "Believe the attacks. CLEVER overestimates where few gradients were drawn or where gradients are masked:"
                " give the suite's clever more batches, and look for findings about gradients.",
            )


RULES: tuple[Rule, ...] = (
    _failed_cells,
    _nothing_attacked,
    _excluded,
    _few_samples,
    detectors,
    _gradients,
    _black_box_stronger,
    _one_step,
    _unbounded,
    _probes,
    _clever,
    defenses,
    label_leak,
    _outputs,
)
