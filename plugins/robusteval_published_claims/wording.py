"""What a run says of the sources' claims of defences: the words follow from the figures."""

from __future__ import annotations

from collections.abc import Callable

from robusteval.api import Pipeline, Record
from robusteval_published_claims.figures import (
    Budgets,
    Found,
    Kept,
    PipelineFigures,
    found_text,
    kept_text,
    length,
    percent,
    span,
)

GREY: Budgets = {"linf": (0.2, 0.3), "l2": (3.0, 5.0)}
COLOUR: Budgets = {"linf": (2 / 255, 8 / 255), "l2": (0.5, 2.0)}
HIGH = 0.9  # a share from which on a claim of "about 95 %" is taken to hold

Words = tuple[str, str]  # (we measure, why they differ)


def whole(record: Record, pipeline: Pipeline) -> bool:
    return pipeline.status == "done" and len(pipeline.prediction) == record.data.samples > 0


def _text(oblivious: str, adaptive: str) -> str:
    return f"Oblivious: {oblivious}. Adaptive: {adaptive}."


def _when_known(kept: list[Kept]) -> str:
    """What an attacker who knows the defence leaves, at the budgets that were asked for."""
    if not kept:
        return "No attack that knows it was measured, so its worth is unknown."
    best = max(claim.value() for claim in kept)
    left = span(claim.value() for claim in kept)
    if best < 0.2:
        return f"Known to the attacker it is broken: {left} stay right."
    return f"Known to the attacker, {left} stay right."


def _left(view: PipelineFigures, budgets: Budgets) -> tuple[str, list[Kept]]:
    """The adaptive side of a detector's row: accuracy within the budgets, and how suspicious what evaded it looks.

    Where attacks ran at one budget, theirs count: smallest distances stop just below the threshold.
    """
    kept = view.adaptive(budgets)
    cells = [cell for cell in view.record.done(defense=view.pipeline.defense, knowledge="adaptive") if cell.suspicion]
    past = [cell for cell in cells if cell.threat == "budget"]
    evaded = [
        cell for name in dict.fromkeys(cell.attack for cell in past or cells) for cell in view.found(name, "adaptive")
    ]
    sentence = f"right within {kept_text(kept)}" if kept else "not measured"
    return f"{sentence}; ROC of what evaded it: {found_text(evaded)}" if evaded else sentence, kept


def detector(attacks: tuple[str, ...], budgets: Budgets) -> Callable[[PipelineFigures], Words]:
    """A claim that a detector finds the adversarials of some attacks."""

    def tell(view: PipelineFigures) -> Words:
        found = [claim for name in attacks for claim in view.found(name, "oblivious", budgets)]
        adaptive, kept = _left(view, budgets)
        return _text(found_text(found), adaptive), f"{_detection(found)} {_when_known(kept)}"

    return tell


def _detection(found: list[Found]) -> str:
    rates = [row.rate.value for row in found if row.rate.value is not None]
    if not rates:
        return "There were no adversarials to find."
    alarms = span(row.alarms for row in found)
    if min(rates) >= HIGH:
        return "Reproduced against attacks that do not know it, at 1 % false alarms."
    few = f"to find 95 % of these, {alarms} of the clean images would be flagged as well"
    if max(rates) >= HIGH:
        return f"Reproduced in part: it depends on the strength of the attack; {few}."
    return f"Not reproduced at 1 % false alarms: {few}, so a rate of 95 % is one without its false alarms."


def minimal(budgets: Budgets) -> Callable[[PipelineFigures], Words]:
    """The claim that a detector is useless against adversarials just over the boundary, beside the baseline."""

    def tell(view: PipelineFigures) -> Words:
        names = ("carlini-wagner", "newtonfool")
        found = [claim for name in names for claim in view.found(name, "oblivious")]
        adaptive, kept = _left(view, budgets)
        nearest = [row for row in found if row.case.cell.attack == names[0] and row.case.strength in (None, 1.0)]
        why = "C&W was not measured."
        if nearest and nearest[0].rate.value is not None:
            rate = nearest[0].rate.value
            why = (
                "Reproduced: C&W's adversarials pass."
                if rate < 0.5
                else "Not reproduced: C&W's adversarials lie just over the boundary, where log-odds are even, and that "
                "shows."
            )
            plain = _baseline(view, names[0])
            if plain is not None:
                why += f" Low confidence alone finds {100 * plain:.0f} % of them, this {100 * rate:.0f} %."
        return _text(found_text(found), adaptive), f"{why} {_when_known(kept)}"

    return tell


def _baseline(view: PipelineFigures, attack: str) -> float | None:
    """What the detector of low confidence finds of the same adversarials at 1 % false alarms."""
    plain = [
        pipeline
        for pipeline in view.record.pipelines
        if pipeline.defense == "confidence" and whole(view.record, pipeline)
    ]
    found = PipelineFigures(view.record, plain[0]).found(attack, "oblivious") if plain else []
    return next((row.rate.value for row in found if row.case.strength in (None, 1.0)), None)


def fixed(view: PipelineFigures) -> Words:
    """The published threshold: what it finds, and what it flags of clean images."""
    flagged = view.flagged("bim", GREY)
    alarms = view.false_alarms()
    shares = span(share.value for share in flagged)
    adaptive, kept = _left(view, GREY)
    found = found_text(view.found("bim", "oblivious", GREY))
    oblivious = f"it flags {shares} of BIM's adversarials and {percent(alarms)} of clean images; {found}"
    known = [share.value for share in flagged if share.value is not None]
    if known and max(known) >= HIGH and (alarms.value or 0) > 0.05:
        why = f"A rate like the source's comes out only where false alarms ({percent(alarms)}) are not counted."
    elif known and min(known) >= HIGH:
        why = "Reproduced against attacks that do not know it."
    else:
        why = f"Not reproduced, although {percent(alarms)} of the clean images are flagged too."
    return _text(oblivious, adaptive), f"{why} {_when_known(kept)}"


def corrected(view: PipelineFigures) -> Words:
    kept = view.oblivious("bim")
    known = view.adaptive(GREY)
    oblivious = f"{percent(view.clean())} clean; under BIM, {kept_text(kept)}"
    why = _range(kept, 0.855)
    fixed = [
        pipeline
        for pipeline in view.record.pipelines
        if pipeline.defense == "logit-odds-fixed" and whole(view.record, pipeline)
    ]
    if fixed and kept and min(claim.value() for claim in kept) < 0.855:
        flagged = span(share.value for share in PipelineFigures(view.record, fixed[0]).flagged("bim", GREY))
        too = span(
            claim.fooled_too for claim in kept if any(abs(claim.at - eps) < 1e-3 for eps in GREY.get(claim.norm, ()))
        )
        why += (
            f" Of strong adversarials the detector alone flags {flagged}, and {too} fool the whole all the same: the "
            "machine learnt the scores of one step and does not know those of many."
        )
    return _text(oblivious, f"right within {kept_text(known)}"), f"{why} {_when_known(known)}"


def _range(kept: list[Kept], claimed: float) -> str:
    if not kept:
        return "It was not measured."
    values = [claim.value() for claim in kept]
    if min(values) >= claimed:
        return "Reproduced against attacks that do not know it."
    return f"Not reproduced: accuracy falls to {100 * min(values):.0f} % as the attack grows."


def jump(view: PipelineFigures) -> Words:
    kept, known = view.oblivious("bim"), view.adaptive(GREY)
    oblivious = f"{percent(view.clean())} clean; under BIM, {kept_text(kept)}"
    why = _range(kept, HIGH)
    carried = [claim.fooled_too for claim in kept if claim.fooled_too is not None]
    if carried and min(claim.value() for claim in kept) < HIGH:
        why += (
            f" {span(carried)} of the bare model's adversarials fool it as well, so this k moves the boundary by "
            "little."
        )
    return _text(oblivious, f"right within {kept_text(known)}"), f"{why} {_when_known(known)}"


def masked(view: PipelineFigures) -> Words:
    """What an attack with the zero gradient reports, what is true, and whether the report was deceived."""
    budgets = {"linf": (0.1, 0.2)}
    gradient = view.adaptive(budgets, ("pgd",))
    true = view.adaptive(budgets)
    bare = view.undefended(budgets)
    codes = {"zero-gradients", "black-box-stronger"}
    raised = sorted({finding.code for finding in view.findings() if finding.code in codes})
    adaptive = (
        f"by gradients (PGD), {kept_text(gradient)}; worst case over all attacks, {kept_text(true)}; "
        f"the model without it, {kept_text(bare)}"
    )
    blind = gradient and true and max(a.value() - b.value() for a, b in zip(gradient, true, strict=True)) > 0.1
    why = (
        "Gradients seem to fail, and the accuracy is not there: attacks without gradients, and the bare model's "
        "adversarials, find what they find without it."
        if blind
        else "Seen straight through, it leaves what the model without it leaves."
        if true and bare and max(abs(a.value() - b.value()) for a, b in zip(true, bare, strict=True)) <= 0.1
        else "What is left differs from what the model without it leaves."
    )
    why += f" Findings that distrust it: {', '.join(raised)}." if raised else " No finding distrusts it."
    return _text(kept_text(view.oblivious("bim", {"linf": (0.1, 0.2)})), adaptive), why


def distilled(view: PipelineFigures) -> Words:
    kept = [*view.oblivious("bim", GREY), *view.oblivious("carlini-wagner")]
    known = view.adaptive({"linf": (0.2,), "l2": (3.0,)})
    with_it, without = (
        view.median("carlini-wagner"),
        PipelineFigures(view.record, view.record.pipeline("none")).median("carlini-wagner"),
    )
    if with_it.value is not None and without.value:
        broken = f"C&W needs {length(with_it)} in L2 at the median, {length(without)} without distillation"
        why = (
            f"Not reproduced, as Carlini and Wagner 2017 say: {broken}."
            if with_it.value < 1.5 * without.value
            else f"{broken}: {with_it.value / without.value:.1f} times as far."
        )
    else:
        broken, why = "C&W was not measured or left more than half right", "C&W does not tell."
    oblivious = f"{percent(view.clean())} clean; {kept_text(kept)}"
    return _text(oblivious, f"{broken}; right within {kept_text(known)}"), f"{why} {_when_known(known)}"


def trained(view: PipelineFigures) -> Words:
    """Adversarial training by many steps, at the size of its claim."""
    budgets = {"linf": (0.3,)}
    known, steps = view.adaptive(budgets), view.adaptive(budgets, ("pgd",))
    clean = view.clean()
    oblivious = f"{percent(clean)} clean; under PGD-40, {kept_text(view.oblivious('pgd', budgets))}"
    adaptive = f"under PGD-40, {kept_text(steps)}; worst case, {kept_text(known)}"
    low = min((claim.value() for claim in known), default=0.0)
    epochs, learnt = view.pipeline.params.get("epochs"), view.record.data.fit_samples
    if low >= 0.75 and (clean.value or 0) >= 0.975:
        why = "Reproduced."
    else:
        why = (
            f"Lower: it was trained for {epochs} epochs on {learnt} images, so that the suite takes minutes; "
            "`robusteval train adversarial-training` trains in full."
        )
    return _text(oblivious, adaptive), f"{why} {_when_known(known)}"


def hardened(view: PipelineFigures) -> Words:
    """A file that adversarial training wrote, attacked as it is: what a defence trained in full is worth."""
    budgets = {"linf": (0.3,)}
    steps, worst = view.adaptive(budgets, ("pgd",)), view.adaptive(budgets)
    measured = f"{percent(view.clean())} clean; under PGD-40, {kept_text(steps)}; worst case, {kept_text(worst)}"
    holds = bool(worst) and worst[0].value() >= 0.75 and (view.clean().value or 0) >= 0.975
    gap = steps[0].value() - worst[0].value() if steps and worst else 0.0
    why = "Reproduced." if holds else "Lower: a small net, and a short training."
    return measured, f"{why} PGD-40 alone overstates it by {100 * gap:.0f} points."


def one_step(view: PipelineFigures) -> Words:
    budgets = {"linf": (0.25,)}
    one, worst = view.adaptive(budgets, ("fgsm",)), view.adaptive(budgets)
    oblivious = f"{percent(view.clean())} clean; {kept_text(view.oblivious('fgsm', {'linf': (0.2, 0.3)}))}"
    adaptive = f"under FGSM, {kept_text(one)}; worst case, {kept_text(worst)}"
    leak = any(finding.code == "label-leak" for finding in view.findings())
    sentence = (
        "Label leak: it is more accurate on FGSM's samples than on clean ones." if leak else "No label leak was found."
    )
    gap = one[0].value() - worst[0].value() if one and worst else 0.0
    why = (
        f"It learns the step that it was shown: many steps take {100 * gap:.0f} points more."
        if gap > 0.1
        else "What it learns of one step holds for many, as far as it goes."
    )
    return _text(oblivious, adaptive), f"{why} {sentence} {_when_known(worst)}"


def averaged(view: PipelineFigures) -> Words:
    """The claim that averaging over draws undoes the noise statistic, on a colour model."""
    found = view.found("bim", "oblivious", COLOUR)
    adaptive, kept = _left(view, {"linf": (8 / 255,)})
    draws = view.pipeline.draws * int(view.pipeline.params.get("draws") or 1)
    why = f"Another model than the source's, and {draws} draws averaged at every step. {_when_known(kept)}"
    return _text(found_text(found), adaptive), f"{_detection(found)} {why}"
