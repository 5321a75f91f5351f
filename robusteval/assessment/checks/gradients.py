"""Can the gradients be followed, and does the model answer the same thing twice?"""

from __future__ import annotations

from collections.abc import Iterator

from robusteval.assessment.checks.base import Measured, Spec, graded, measured, percent
from robusteval.record.document import Finding, Record

_ATHALYE = "Athalye, Carlini, Wagner 2018, Obfuscated gradients give a false sense of security"
_PINTOR = "Pintor et al. 2022, Indicators of attack failure"


def _available(record: Record) -> Iterator[Measured]:
    model = record.model
    said = f"gradients: {model.gradients}"
    if model.gradients == "straight-through":
        note = Finding(
            "straight-through",
            "info",
            "The model's exact gradients are useless; attacks used straight-through ones (BPDA), judged on the true model.",
            {"reason": model.gradients_reason},
            "Trust the worst case over all attacks, black-box ones included.",
        )
        yield Measured(None, said, "pass", note)
    elif model.gradients == "none":
        note = Finding(
            "no-gradients",
            "warning",
            "The model gives no useful gradient, so only black-box attacks were run and the robust accuracy is an upper bound.",
            {"reason": model.gradients_reason},
            "If you can, evaluate a differentiable form of the same model.",
        )
        yield Measured(None, said, "warn", note)
    else:
        yield Measured(None, said)


def _share(record: Record, kind: str) -> Iterator[Measured]:
    for cell in record.cells:
        asked = sum(cell.backwards)
        if cell.status != "done" or not asked:
            continue
        share = (cell.zero_gradients if kind == "zero" else cell.bad_gradients) / asked
        yield measured(
            share,
            f"{percent(share)} of {asked} ({cell.attack}, {cell.norm}, {cell.defense})",
            graded(share, 0.1, 0.5),
            "zero-gradients" if kind == "zero" else "bad-gradients",
            f"{100 * share:.0f} % of the gradients that {cell.attack} asked for ({cell.defense}, {cell.norm}) were {kind}.",
            "The model or the defence masks its gradients: believe black-box attacks and straight-through ones.",
            {"share": share, "queries": asked},
            [cell.id],
        )


def _zero(record: Record) -> Iterator[Measured]:
    return _share(record, "zero")


def _bad(record: Record) -> Iterator[Measured]:
    return _share(record, "non-finite")


def _unstable(record: Record, column: str) -> Iterator[Measured]:
    how = "when it was asked again" if column == "unstable_again" else "in a batch of other samples"
    code = "random-outputs" if column == "unstable_again" else "batch-dependent"
    for row in record.pipelines:
        share = getattr(row, column)
        if share is None:
            continue
        who = "The model" if row.defense == "none" else row.defense
        yield measured(
            share,
            f"{percent(share)} of the answers ({row.defense})",
            graded(share, 0.0, 0.01),
            code,
            f"{who} gave another answer to {percent(share)} of the clean samples {how}.",
            "Judge it as a random pipeline, or remove the randomness: a single answer proves nothing here."
            if column == "unstable_again"
            else "Look for layers left in training mode, or export with batch size one.",
        )


def _again(record: Record) -> Iterator[Measured]:
    rows = list(_unstable(record, "unstable_again"))
    if not any(row.finding for row in rows):
        for note in record.model.notes:
            if "random" in note.lower():
                finding = Finding(
                    "random-outputs",
                    "warning",
                    "The model's answers change from call to call.",
                    {"note": note},
                    "Judge it as a random pipeline, or remove the randomness.",
                )
                rows.append(Measured(None, note, "warn", finding))
                break
    return iter(rows)


def _batch(record: Record) -> Iterator[Measured]:
    return _unstable(record, "unstable_batch")


GRADIENTS = (
    Spec(
        "gradients-available",
        "Gradients are available",
        f"{_PINTOR}, indicator 1; {_ATHALYE}",
        "what the loader's gradient gate says: exact, straight-through, none",
        "warn: none",
        "without gradients only black-box attacks are left, and their figures are upper bounds far from the truth",
        "",
        _available,
    ),
    Spec(
        "gradients-zero",
        "Gradients are not zero",
        f"{_PINTOR}, indicator 1; {_ATHALYE}",
        "gradient queries answered by exactly zero / all gradient queries, the worst cell",
        "warn: > 10 %, fail: > 50 %",
        "a saturated sample now and then is normal; where most answers are zero the attack stands still",
        "no finished attack asked for gradients",
        _zero,
    ),
    Spec(
        "gradients-finite",
        "Gradients are finite",
        _ATHALYE,
        "gradient queries answered by NaN or infinity / all gradient queries, the worst cell",
        "warn: > 10 %, fail: > 50 %",
        "such rows are left where they are, so the attack stands still there",
        "no finished attack asked for gradients",
        _bad,
    ),
    Spec(
        "predictions-repeat",
        "The same question gets the same answer",
        f"{_PINTOR}, indicator 2",
        "clean samples whose answer differs when asked a second time in the same batch / clean samples",
        "warn: > 0, fail: > 1 %",
        "a single changed answer is randomness nobody stated; at 1 % wins and losses of that size are luck",
        "the pipeline is random by its own account, and judged by majority over draws",
        _again,
    ),
    Spec(
        "predictions-batch",
        "The company in the batch does not change the answer",
        f"{_PINTOR}, indicator 2",
        "of 128 clean samples, those answered otherwise in batches of 7 in reverse order / samples asked",
        "warn: > 0, fail: > 1 %",
        "an attacker's image is judged alone; layers left in training mode give answers that mean nothing there",
        "the pipeline is random by its own account, and judged by majority over draws",
        _batch,
    ),
)
