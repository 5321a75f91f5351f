"""Can the gradients be followed, and does the model answer the same thing twice?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from robusteval.assessment.checks.spec import Measured, Outcome, Spec, graded, measured, percent
from robusteval.assessment.evidence.white_box import ENOUGH, adaptive_share, asked, bare_share, why_blind
from robusteval.record.run import Finding, Record

_CARLINI = "Carlini et al. 2019, On evaluating adversarial robustness"
_ATHALYE = "Athalye, Carlini, Wagner 2018, Obfuscated gradients give a false sense of security"
_PINTOR = "Pintor et al. 2022, Indicators of attack failure"
_TRAMER = "Tramer et al. 2020, On adaptive attacks to adversarial example defenses"
_NEARLY_ALL = 0.95  # of the samples: that gradients fail on the others is no sign of anything


def _available(record: Record) -> Iterator[Measured]:
    model = record.model
    said = f"gradients: {model.gradients}"
    if model.gradients == "exact":
        yield Measured(None, said)
    elif model.gradients == "straight-through":
        note = Finding(
            "straight-through",
            "info",
            "The model's exact gradients are useless; attacks used straight-through ones (BPDA), judged on the true model.",
            {"reason": model.gradients_reason},
            "Trust the worst case over all attacks, black-box ones included.",
        )
        alone = _unchecked(record)
        yield Measured(None, said, "pass", note) if not alone else _lonely(record, said, "warn", alone)
    elif model.gradients == "surrogate":
        note = Finding(
            "surrogate-gradients",
            "warning",
            "The gradients are those of a copy that does not answer as the model does; attacks followed them, judged on the"
            " true model.",
            {"reason": model.gradients_reason},
            "Trust the worst case over all attacks, black-box ones included; if you can, evaluate a differentiable form.",
        )
        alone = _unchecked(record)
        yield Measured(None, said, "warn", note) if not alone else _lonely(record, said, "fail", alone)
    else:
        note = Finding(
            "no-gradients",
            "alarm",
            "The model gives no useful gradient, so only black-box attacks were run, and what they leave is an upper bound that"
            " may be far from the truth.",
            {"gradients": model.gradients, "reason": model.gradients_reason},
            "If you can, evaluate a differentiable form of the same model.",
        )
        yield Measured(None, said, "fail", note)


def _unchecked(record: Record) -> list[str]:
    """The norms in which nothing but gradients that are not the model's own speaks of the bare model: no black-box attack
    but noise, and no planted test."""
    planted = {row.norm for row in record.planted if row.status == "done" and row.samples}
    black = {cell.norm for cell in record.done(knowledge="none") if cell.needs != "gradient" and cell.plugin != "noise"}
    return [norm for norm in asked(record) if norm not in planted | black]


def _lonely(record: Record, said: str, outcome: Outcome, norms: list[str]) -> Measured:
    where = ", ".join(norms)
    return measured(
        float(len(norms)),
        f"{said}; nothing beside them in {where}",
        outcome,
        "gradients-unchecked",
        f"The gradients are not the model's own ({record.model.gradients}), and in {where} neither a black-box attack nor a planted"
        " test shows whether they are of use.",
        "Choose a suite with square or hopskipjump, or with planted = { samples = 32 }.",
        {"reason": record.model.gradients_reason},
    )


def _worked(record: Record) -> Iterator[Measured]:
    """Of the norms in which anything was done: nothing at all is told of by `norms-attacked`."""
    if record.model.gradients == "none":
        return
    for norm in asked(record):
        if not record.done(norm=norm, knowledge="none"):
            continue
        share = bare_share(record, norm)
        yield dataclasses.replace(
            measured(
                share,
                f"{percent(share)} of the attacked samples ({norm})",
                graded(-share, -_NEARLY_ALL, -ENOUGH),
                "white-box-missing",
                f"In {norm} an attack with working gradients was made on {percent(share)} of the attacked samples only, because"
                f" {why_blind(record, [norm])}: what black-box attacks leave is an upper bound that may be far from the truth.",
                "Choose a suite with attacks that use gradients; where these are zero, look for what hides them.",
            ),
            bad=1 - share,
        )


def _adaptive(record: Record) -> Iterator[Measured]:
    """Adaptive attacks on defences; where the model itself gives no gradient there is nothing to be asked."""
    if record.model.gradients == "none":
        return
    places = sorted({(cell.defense, cell.norm) for cell in record.done(knowledge="adaptive")})
    for defense, norm in places:
        share = adaptive_share(record, norm, defense)
        yield dataclasses.replace(
            measured(
                share,
                f"{percent(share)} of the attacked samples ({defense}, {norm})",
                graded(-share, -ENOUGH, -0.5),
                "adaptive-blind",
                f"Attacks that know {defense} had working gradients on {percent(share)} of its samples only ({norm}), so what"
                " they leave is an upper bound of its worth.",
                "Give the defence a differentiable surrogate, and judge it by attacks that use gradients.",
                {"share": share},
            ),
            bad=1 - share,
        )


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
    note = record.model.traits.get("random-outputs")
    if note and not any(row.finding for row in rows):
        finding = Finding(
            "random-outputs",
            "warning",
            "The model's answers change from call to call.",
            {"note": note},
            "Judge it as a random pipeline, or remove the randomness.",
        )
        rows.append(Measured(None, note, "warn", finding))
    return iter(rows)


def _batch(record: Record) -> Iterator[Measured]:
    return _unstable(record, "unstable_batch")


GRADIENTS = (
    Spec(
        "gradients-available",
        "Gradients are available",
        f"{_PINTOR}, indicator 1; {_ATHALYE}",
        "what the loader's gradient gate says: exact, straight-through, surrogate, none; beside those that are not the model's"
        " own, the norms without a black-box attack (noise is none) and without a planted test",
        "warn: surrogate, or straight-through in such a norm; fail: none, or surrogate in such a norm",
        "without gradients only black-box attacks are left, and their figures are upper bounds far from the truth; gradients of a"
        " copy are worth what they find, which something else must show",
        "",
        _available,
    ),
    Spec(
        "gradients-worked",
        "Attacks with gradients worked on nearly every sample",
        f"{_CARLINI}; {_ATHALYE}",
        "attacked samples on which a finished attack on the bare model got gradients, at most half of them zero or not finite, or"
        " which a cascade with gradients lost / attacked samples, the worst norm",
        "warn: < 95 %, fail: < 80 %",
        "black-box attacks alone bound a model far above the truth, so where no gradient was followed nothing is conclusive",
        "the model gives no gradient, which gradients-available tells, or nothing was attacked",
        _worked,
    ),
    Spec(
        "gradients-adaptive",
        "Attacks that know a defence had working gradients",
        f"{_TRAMER}; {_ATHALYE}",
        "the same share for the adaptive attacks on a defence, the worst defence and norm",
        "warn: < 80 %, fail: < 50 %",
        "a defence that hides the gradient looks strong until somebody goes around it",
        "the model gives no gradient, or no attack that knows a defence was finished",
        _adaptive,
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
