"""Did the attacks do what they were asked to: run, go to the end, keep what they found, win where anything wins?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from statistics import median

from robusteval.assessment.checks.spec import Measured, Outcome, Spec, graded, measured, percent, where
from robusteval.assessment.evidence.worst_case import envelope
from robusteval.record.run import Cell, Finding, Record

_CARLINI = "Carlini et al. 2019, On evaluating adversarial robustness"
_PINTOR = "Pintor et al. 2022, Indicators of attack failure"
_DIFFERENT = 0.9  # of the samples, below which intervals are too narrow by more than a twentieth
_SHORT = 5  # points at the end of a longer trace below which nothing can be said of it, as samples left shortly before


def _failed_cells(record: Record) -> Iterator[Measured]:
    failed = [cell for cell in record.cells if cell.status == "failed"]
    share = len(failed) / max(len(record.cells), 1)
    sentence = f"{len(failed)} of {len(record.cells)} cells failed"
    finding = None
    if failed:
        finding = Finding(
            "cells-failed",
            "alarm",
            f"{sentence}; a failed attack is not robustness.",
            {"first": failed[0].id, "reason": failed[0].reason},
            "Mend the cause and run again: finished cells are kept.",
            [cell.id for cell in failed],
        )
    yield Measured(share, sentence, "fail" if failed else "pass", finding)


def _nothing_attacked(record: Record) -> Iterator[Measured]:
    norms = sorted({*record.suite.norms, *(cell.norm for cell in record.cells)})
    for norm in norms:
        done = len(record.done(norm=norm, knowledge="none"))
        finding = None
        if not done:
            finding = Finding(
                "nothing-attacked",
                "alarm",
                f"No attack on the bare model completed in {norm}, so nothing is known about it.",
                {"norm": norm},
                "Choose a suite with attacks that this model's access allows, such as square.",
            )
        yield Measured(float(done), f"{done} attacks completed ({norm})", "pass" if done else "fail", finding, -done)
    if not record.cells:
        finding = Finding("nothing-attacked", "alarm", "No attack was run at all.", {}, "Choose another suite.")
        yield Measured(0.0, "no attack was run", "fail", finding)


def _excluded(record: Record) -> Iterator[Measured]:
    """Cells of a defence that was not fitted for want of data say nothing about the bare model or about other
    defences."""
    unfitted = {row.defense: row.reason for row in record.pipelines if row.status == "excluded"}
    gone = [cell for cell in record.cells if cell.status == "excluded" and cell.defense not in unfitted]
    sentence = f"{len(gone)} of {len(record.cells)} cells excluded"
    finding = None
    if unfitted:
        sentence += f", not counting those of {len(unfitted)} defences that were not fitted"
        one = len(unfitted) == 1
        note = Finding(
            "defences-unfitted",
            "info",
            f"{'The defence' if one else 'The defences'} {', '.join(sorted(unfitted))} {'was' if one else 'were'} not "
            "evaluated, as there was nothing to learn from; the figures of the bare model lack nothing by that.",
            {"defences": len(unfitted), "reason": next(iter(unfitted.values()))},
            "Give samples to learn from with --fit-data; they must not be among those that are evaluated.",
        )
        yield Measured(0.0, sentence, "pass", note)
    if gone:
        names = sorted({cell.attack for cell in gone})
        finding = Finding(
            "attacks-excluded",
            "warning",
            f"{len(gone)} cells were excluded ({', '.join(names)}), so the robust accuracy is an upper bound with less "
            "behind it.",
            {"first": gone[0].id, "reason": gone[0].reason},
            "See the list of threats that are not covered.",
            [cell.id for cell in gone],
        )
    yield Measured(float(len(gone)), sentence, "warn" if gone else "pass", finding)


def _few_samples(record: Record) -> Iterator[Measured]:
    count = record.data.samples
    different = len(set(record.data.hashes)) if record.data.hashes else count
    if different < _DIFFERENT * count:  # intervals take each sample for a new one
        yield measured(
            1.96 * math.sqrt(0.25 / max(different, 1)),
            f"{different} of {count} samples are different images",
            "fail" if different < 30 else "warn",
            "repeated-samples",
            f"Only {different} of the {count} samples are different images, and every interval takes each for a new "
            "one: it is too narrow.",
            "Give --data in which no image is there twice.",
            {"samples": count, "different": different},
        )
        return
    width = 1.96 * math.sqrt(0.25 / max(count, 1))
    outcome: Outcome = "fail" if count < 30 else "warn" if count < 100 else "pass"
    yield measured(
        width,
        f"{count} samples: 50 % is known to {100 * width:.0f} points either way",
        outcome,
        "few-samples",
        f"Only {count} samples were evaluated: a share of 50 % is known to about {100 * width:.0f} points either way.",
        "Evaluate at least 100 samples, better 500 (--samples).",
        {"samples": count},
    )


def _unbounded(record: Record) -> Iterator[Measured]:
    low, high = record.model.bounds
    for norm in sorted({cell.norm for cell in record.cells}):
        cells = [cell for cell in record.done(norm=norm, knowledge="none") if cell.needs != "decision"]
        wide = any(cell.family == "minimal" for cell in cells) or (
            norm == "linf" and any((cell.eps or 0) >= 0.5 * (high - low) for cell in cells)
        )
        if not cells or not wide or any(cell.target not in ("untargeted", "all") for cell in cells):
            continue
        best = envelope(cells)
        left = sum(math.isinf(value) for value in best) / max(len(best), 1)
        yield measured(
            left,
            f"{percent(left)} of {len(best)} samples never lost ({norm})",
            graded(left, 0.02, 0.2),
            "unbounded-not-zero",
            f"With a budget that allows almost anything, {100 * left:.1f} % of the samples were still not lost in "
            f"{norm}.",
            "An attack that is allowed to grey out the image must win: the attacks fail here, and smaller budgets are "
            "in doubt too.",
            cells=[cell.id for cell in cells],
        )


def _silent(record: Record) -> Iterator[Measured]:
    for cell in record.done(knowledge="none"):
        met, dropped = cell.watched.get("met", 0), cell.watched.get("lost", 0)
        if met < 20:
            continue
        share = dropped / met
        yield measured(
            share,
            f"{dropped} of {met} wins met on the way were not returned ({where(cell)})",
            graded(share, 0.02, 0.2),
            "silent-success",
            f"{cell.attack} ({cell.norm}) met {met} adversarials on its way and returned something else for {dropped} "
            "of them.",
            "The attack keeps its last iterate or its largest loss instead of what won; mend the plugin.",
            {"share": share, "met": met, "lost": dropped},
            [cell.id],
        )


def _not_carried(record: Record) -> Iterator[Measured]:
    for cell in record.done():
        fooled, short = cell.watched.get("fooled", 0), cell.watched.get("not_carried", 0)
        if cell.needs != "gradient" or cell.knowledge == "oblivious" or fooled < 20:
            continue
        share = short / fooled
        yield measured(
            share,
            f"{short} of {fooled} candidates that fool the differentiable form do not fool the pipeline "
            f"({where(cell)})",
            graded(share, 0.2, 0.6),
            "transfer-failure",
            f"{cell.attack} ({cell.norm}, {cell.defense}): {percent(share)} of what fools the differentiable form of "
            "the pipeline does not fool the pipeline itself.",
            "The attack follows a wrong model: mend the surrogate, or believe black-box attacks only.",
            {"share": share, "fooled": fooled},
            [cell.id],
        )


def slope(cell: Cell) -> float | None:
    """How steep the last tenth of the attack's curve is, relative to its mean slope: 0 stands still, 1 is a straight
    line.

    The median over the runs of the attack on the first chunk; of each run the stretch at its end in which no sample
    left. None where there is too little of a trace.
    """
    key = next(
        (key for key in ("margin", "distance", "loss") if cell.trace and all(key in p for p in cell.trace[-1:])), ""
    )
    if not key:
        return None
    ends = [
        found
        for run in sorted({point.get("run", 0.0) for point in cell.trace})
        if (found := _end([p for p in cell.trace if p.get("run", 0.0) == run and key in p], key)) is not None
    ]
    return median(ends) if ends else None


def _end(run: list[dict[str, float]], key: str) -> float | None:
    if len(run) < 2:
        return None
    if key == "margin" and run[-1].get("won") == 1.0:
        return None  # all won, so nothing was left to be moved
    # of a short run all points count, as hardly two have the same samples in play
    same = [p[key] for p in run if len(run) < _SHORT or p["samples"] == run[-1]["samples"]]
    if len(same) < min(_SHORT, max(len(run), 2)):
        return None
    back = max(1, round(len(same) / 10))
    span = max(same) - min(same)
    if span <= 1e-6 * max(abs(value) for value in same):
        return 0.0
    moved = abs(same[-1] - same[-1 - back]) / span
    return moved / (back / (len(same) - 1))


def _is_short(cell: Cell) -> bool:
    """Whether no run of the attack had as many as five points."""
    counts = Counter(point.get("run", 0.0) for point in cell.trace)
    return max(counts.values(), default=0) < _SHORT


def _incomplete(record: Record) -> Iterator[Measured]:
    """Of each norm the attack that stands stillest counts: one that went to its end is enough."""
    for norm in sorted({cell.norm for cell in record.cells}):
        cells = [cell for cell in record.done(norm=norm, knowledge="none") if cell.needs == "gradient"]
        found = [(value, cell) for cell in cells if (value := slope(cell)) is not None]
        if not found:
            continue
        least, best = min(found, key=lambda row: row[0])
        names = ", ".join(cell.attack for _, cell in found)
        yield measured(
            least,
            f"{least:.2f} of the mean slope ({best.attack}, {norm}; the flattest of {names})",
            graded(least, 0.5, 0.5 if _is_short(best) else 0.8),
            "incomplete-optimisation",
            f"In {norm} no attack with gradients had come to rest: in the last tenth of its steps the flattest, "
            f"{best.attack}, still moved at {least:.2f} of its mean speed.",
            "Give the attacks more steps.",
            {"slope": least},
            [cell.id for _, cell in found],
        )


ATTACKS = (
    Spec(
        "attacks-completed", "No attack crashed", _CARLINI,
        "failed cells / planned cells", "fail: any", "a crashed attack finds nothing and looks like robustness",
        "", _failed_cells,
    ),
    Spec(
        "norms-attacked", "Something attacked the model in every norm", _CARLINI,
        "finished attacks on the bare model, the norm with fewest", "fail: none", "without an attack nothing is known",
        "", _nothing_attacked,
    ),
    Spec(
        "attacks-excluded", "No attack was left out", _CARLINI,
        "cells that this model's access did not allow, but for defences without data to learn from", "warn: any",
        "what did not run bounds nothing",
        "", _excluded,
    ),
    Spec(
        "samples", "Enough samples", _CARLINI,
        "half width of the 95 % interval of a share of 50 %", "warn: < 100 samples, fail: < 30",
        "30 samples know a share to 18 points either way, 100 to 10", "", _few_samples,
    ),
    Spec(
        "unbounded", "An attack without a bound wins", f"{_CARLINI}; {_PINTOR}, indicator 6",
        "samples never lost to attacks that may grey out the image / samples, the worst norm",
        "warn: > 2 %, fail: > 20 %", "a grey image has no class, so every sample must be lost",
        "no attack of the suite may go far enough, or only one class counts as a win", _unbounded,
    ),
    Spec(
        "silent-success", "No adversarial was met and lost", f"{_PINTOR}, indicator 3",
        "runs that met a win within box and budget but returned none / runs that met a win, the worst attack",
        "warn: > 2 %, fail: > 20 %",
        "rounding loses a few at the boundary; more is an attack that keeps the wrong iterate",
        "no attack met 20 wins on its way, or the record does not say", _silent,
    ),
    Spec(
        "transfer", "What fools the twin fools the pipeline", f"{_PINTOR}, indicator 5",
        "candidates that win on the differentiable form only / candidates that win on it, the worst cell",
        "warn: > 20 %, fail: > 60 %",
        "at the boundary a quantised model and its twin differ on some; where most do not carry over, the attack is "
        "blind",
        "no attack with gradients fooled the differentiable form 20 times, or the record does not say", _not_carried,
    ),
    Spec(
        "optimisation-complete", "The optimisation came to rest", f"{_PINTOR}, indicator 4",
        "movement in the last tenth of an attack's curve (margin, distance or loss) / its mean movement per tenth; "
        "median over runs, the flattest attack of the norm",
        "warn: > 0.5, fail: > 0.8 (> 0.5 where it took fewer than 5 steps)",
        "1 is a straight line that more steps would go on with, 0 is rest",
        "no attack with gradients left a long enough trace", _incomplete,
    ),
)  # fmt: skip
