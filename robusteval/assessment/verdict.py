"""The verdict in plain words, and the grade of the evaluation itself. Fails closed."""

from __future__ import annotations

import math
from collections import Counter

from robusteval.assessment.checks.certificates import CERTIFICATES
from robusteval.assessment.checks.more_effort import power
from robusteval.assessment.evidence.own import labels_are_own, own_figures
from robusteval.assessment.evidence.upper_bounds import Bounds
from robusteval.assessment.evidence.white_box import blind_norms, why_blind
from robusteval.assessment.evidence.worst_case import envelope_of, median_loss
from robusteval.assessment.references.known_models import known_models
from robusteval.metrics._common.bracket import edges_of, shares_at
from robusteval.metrics._common.columns import REFERENCE, span
from robusteval.record.run import Grade, Record, Verdict
from robusteval.record.units import NORM_TITLES, WORST_CASE, budget_text

RULE = (
    "A check that fails counts once, however often it does; alarms and warnings of other findings count beside the "
    "checks. A: nothing warns. B: one or two warn. C: three or more warn. D: one fails, or in some norm no attack with "
    "working gradients was made. F: two or more fail, or in some norm nothing was measured. D and F make the verdict "
    "inconclusive."
)

CERTIFIED_RULE = "F too: an adversarial lies inside a ball of which a certifier proved that it holds none."


def write(record: Record) -> Verdict:
    """Grade from checks and findings, sentences from the results. A bad grade never comes with a good number first."""
    fails, warns = _count(record, "fail", "alarm"), _count(record, "warn", "warning")
    blind = blind_norms(record)
    refuted = any(check.id == CERTIFICATES and check.outcome == "fail" for check in record.checks)
    grade = _grade(fails, warns, bool(unmeasured(record)) or refuted)
    if blind and grade in ("A", "B", "C"):
        grade = "D"
    bound = Bounds(tuple(blind), grade in ("D", "F"))
    sentences = _doubts(record, blind) if bound.doubtful else []
    sentences += _accuracy(record)
    sentences += _distances(record, bound)
    sentences += _bracket(record)
    sentences += _skipped(record)
    sentences += _planted(record)
    sentences += _cascades(record, bound)
    sentences += _claims(record, bound)
    known = [] if labels_are_own(record) else known_models(record)  # no other model is judged by this one's answers
    sentences += [bound.said(sentence) for sentence in known]
    sentences += _defenses(record, bound)
    done = sum(check.outcome != "not-applicable" for check in record.checks)
    reason = f"{fails} checks or findings fail and {warns} warn; {done} checks were made. {RULE}"
    if record.certificates or record.certificates_behind:
        reason += f" {CERTIFIED_RULE}"
    return Verdict("inconclusive" if grade in ("D", "F") else "conclusive", grade, reason, sentences)


def _doubts(record: Record, blind: list[str]) -> list[str]:
    """Why nothing can be concluded, in one sentence that stands before all figures."""
    reasons = []
    if blind:
        where = ", ".join(NORM_TITLES.get(norm, norm) for norm in blind) or "any norm"
        reasons.append(
            f"No attack with working gradients was made in {where}, because {why_blind(record, blind)}; what is said "
            "of it is an upper bound from black-box attacks only."
        )
    known = {"no-gradients", "white-box-missing"} if blind else set()
    alarms = [
        finding.sentence for finding in record.findings if finding.severity == "alarm" and finding.code not in known
    ]
    reasons += alarms[:2]
    failing = [check.title for check in record.checks if check.outcome == "fail"]
    if not reasons:
        reasons = [f"This did not hold: {'; '.join(failing)}." if failing else "Nothing was measured in any norm."]
    return ["INCONCLUSIVE: " + " ".join(reasons)]


def unmeasured(record: Record) -> list[str]:
    """The norms that were asked about and in which no attack on the bare model finished; [""] where none was asked
    about."""
    asked = {*record.suite.norms, *(cell.norm for cell in record.cells)}
    return sorted(norm for norm in asked if not record.done(norm=norm, knowledge="none")) if asked else [""]


def _count(record: Record, outcome: str, severity: str) -> int:
    """Checks with that outcome, and findings of that severity that no check raised."""
    known = {code for check in record.checks for code in check.codes}
    others = {finding.code for finding in record.findings if finding.severity == severity and finding.code not in known}
    return sum(check.outcome == outcome for check in record.checks) + len(others)


def _grade(fails: int, warns: int, nothing: bool) -> Grade:
    if nothing or fails >= 2:
        return "F"
    if fails == 1:
        return "D"
    return "A" if warns == 0 else "B" if warns <= 2 else "C"


def _planted(record: Record) -> list[str]:
    """The measured power of the attacks on this model."""
    sentences = []
    for row in record.planted:
        if row.status == "done" and row.samples:
            white = any(need == "gradient" for need in row.needs.values())
            share = power(row.found, row.needs, "gradient" if white else "")
            where = "penultimate features" if row.features.partition(":")[0] == "penultimate" else "scores"
            sentences.append(
                f"Of {len(row.samples)} adversarials planted on this model's {where} within "
                f"{NORM_TITLES.get(row.norm, row.norm)} {_at(record, row.norm, row.eps)}, "
                f"the suite's attacks{' with gradients' if white else ''} found {100 * share:.0f} % (random points: "
                f"{100 * sum(row.random) / len(row.random):.0f} %)."
            )
    return sentences


def _accuracy(record: Record) -> list[str]:
    labels = record.data.labels
    bare = record.pipeline("none")
    clean = sum(a == b for a, b in zip(bare.prediction, labels, strict=True)) / max(len(labels), 1)
    sentences = [f"On {len(labels)} clean samples the model is right on {100 * clean:.1f} %."]
    if labels_are_own(record):
        sentences = [f"The labels of {len(labels)} samples are the model's own answers: how often it is right is open."]
    target = next((cell.target for cell in record.cells if cell.target not in ("untargeted", "all")), "")
    if target:
        sentences.append(f"Only one class counted as a win of the attacks: {_aim(record, target)}.")
    if record.suite.levels:
        sentences.append(
            f"Only images with values on a grid of {record.suite.levels + 1} levels counted as adversarials."
        )
    return sentences


def _distances(record: Record, bound: Bounds) -> list[str]:
    """The median distance in each norm."""
    sentences = []
    low, high = record.model.bounds
    for norm in sorted({cell.norm for cell in record.cells if cell.threat == "curve"}):
        envelope = envelope_of(record, norm, "none")
        if not envelope:
            sentences.append(f"In {NORM_TITLES.get(norm, norm)} nothing was measured.")
            continue
        if not any(value > 0 for value in envelope):
            sentences.append(
                f"In {NORM_TITLES.get(norm, norm)} there was nothing to lose: no sample is right when clean."
            )
            continue
        half = median_loss(envelope)
        reached = "more than half of them survived every attack" if math.isinf(half) else f"{half:.3g}"
        if math.isinf(half):
            sentence = f"In {NORM_TITLES.get(norm, norm)}, of the samples that it gets right, {reached}."
        else:
            share = "" if norm == "l0" else f" (pixels range from {low:g} to {high:g})"
            sentence = (
                f"In {NORM_TITLES.get(norm, norm)}, half of the samples that it gets right are lost at a "
                f"distance of {reached} or less{_spread(record, norm)}{share}."
            )
        sentences.append(bound.said(sentence, norm))
    return sentences


def _bracket(record: Record) -> list[str]:
    """What is proved, broken and unknown at the budget that is quoted first, in each norm with certificates."""
    sentences = []
    for norm in dict.fromkeys(row.norm for row in record.certificates):
        edges = edges_of(record, norm)
        if edges is None:
            continue
        eps = REFERENCE[norm] * span(record)
        shares = shares_at(edges, eps)
        title = NORM_TITLES.get(norm, norm)
        sentences.append(
            f"At {title} {budget_text(eps, norm, span(record))}, of {edges.count} samples "
            f"{100 * shares.proved:.1f} % are proved to be right, {100 * shares.broken:.1f} % are broken or wrong, and "
            f"of {100 * shares.unknown:.1f} % neither is known."
        )
    return sentences


def _spread(record: Record, norm: str) -> str:
    """The interval of the median distance in the worst case over all attacks."""
    requested = {"measure": "median-distance", "defense": "none", "norm": norm, "attack": WORST_CASE}
    for result in own_figures(record):
        if requested.items() <= result.tags.items() and result.low is not None and result.high is not None:
            return f", 95 %: {result.low:.3g} to {result.high:.3g}"
    return ""


def _skipped(record: Record) -> list[str]:
    """What a time budget left out, by pipeline and norm."""
    skipped = [cell for cell in record.cells if cell.status == "skipped"]
    if not skipped:
        return []
    places = []
    for defense in dict.fromkeys(cell.defense for cell in skipped):
        counts = Counter(NORM_TITLES.get(cell.norm, cell.norm) for cell in skipped if cell.defense == defense)
        norms = ", ".join(f"{count} in {norm}" for norm, count in sorted(counts.items()))
        places.append(f"{'the bare model' if defense == 'none' else defense} ({norms})")
    return [f"For want of time {len(skipped)} of {len(record.cells)} attacks were not run: on {', '.join(places)}."]


def _aim(record: Record, target: str) -> str:
    if target == "least-likely":
        return "the one that the model finds least likely"
    number = int(target.removeprefix("class "))
    names = record.model.class_names
    return f"{target} ({names[number]})" if number < len(names) else target


def _cascades(record: Record, bound: Bounds) -> list[str]:
    """One sentence for each budget that a cascade was run at on the bare model: what all attacks together leave there,
    which is the figure that the cards and the tables of the report quote too."""
    sentences = []
    cascades = [cell for cell in record.done(knowledge="none", defense="none") if cell.family == "cascade"]
    for norm, eps in dict.fromkeys((cell.norm, cell.eps or 0.0) for cell in cascades):
        names = sorted({cell.attack.split("@")[0] for cell in cascades if (cell.norm, cell.eps) == (norm, eps)})
        others = any(cell.family != "cascade" for cell in record.done(norm=norm, knowledge="none", defense="none"))
        who = (
            f"{' and '.join(names)} and all other attacks leave"
            if others
            else f"{' and '.join(names)} leave{'s' * (len(names) == 1)}"
        )
        requested = {"measure": "robust-accuracy", "norm": norm, "defense": "none"}
        for result in own_figures(record):
            near = abs(float(result.tags.get("eps") or 0) - eps) <= 1e-6 * eps
            if result.value is not None and near and requested.items() <= result.tags.items():
                kept, low, high = (100 * (share or 0) for share in (result.value, result.low, result.high))
                sentence = (
                    f"Within {NORM_TITLES.get(norm, norm)} {_at(record, norm, eps)}, {who} "
                    f"at most {kept:.1f} % of all samples {_right(record)} (95 %: {low:.1f} to {high:.1f} %)."
                )
                sentences.append(bound.said(sentence, norm))
    return sentences


def _right(record: Record) -> str:
    return "as they are" if labels_are_own(record) else "right"


def _at(record: Record, norm: str, eps: float) -> str:
    """A budget as it is written everywhere."""
    return budget_text(eps, norm, record.model.bounds[1] - record.model.bounds[0])


def _claims(record: Record, bound: Bounds) -> list[str]:
    """The worst case at the reference budget where no cascade answers for the norm; and what a tighter claim would
    take."""
    sentences, needed = [], []
    for result in own_figures(record):
        for facts in result.named() if result.name == "claims" else []:
            if facts["by"] == WORST_CASE:
                kept, low, high = (100 * float(facts[name] or 0) for name in ("robust-accuracy", "low", "high"))
                at = _at(record, str(facts["norm"]).lower(), float(facts["budget"] or 0))
                sentence = (
                    f"Within {facts['norm']} {at} at most {kept:.1f} % of all samples stay {_right(record)} "
                    f"(95 %: {low:.1f} to {high:.1f} %)."
                )
                sentences.append(bound.said(sentence, str(facts["norm"]).lower()))
            needed.append(int(facts["samples-to-halve"] or 0))
    if needed:
        had, held = record.data.samples, record.data.available
        of_all = f"{had:,} of the {held:,} in the data were evaluated" if held > had else f"{had:,} were evaluated"
        which = "this interval" if len(needed) == 1 else "each of these intervals"
        sentences.append(f"To halve {which} takes about {_rounded(max(needed)):,} samples; {of_all}.")
    return sentences


def _rounded(number: int) -> int:
    """Two significant digits."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return round(number / unit) * unit


def _defenses(record: Record, bound: Bounds) -> list[str]:
    """One sentence a defence, always from the adaptive figure: the median distance with and without it."""
    sentences = []
    for row in record.pipelines:
        if row.defense == "none":
            continue
        if row.status != "done":
            sentences.append(f"The defence {row.defense} was not measured: {row.reason}.")
            continue
        parts = []
        for norm in sorted({cell.norm for cell in record.done(knowledge="adaptive", defense=row.defense)}):
            with_it = median_loss(envelope_of(record, norm, row.defense))
            without = median_loss(envelope_of(record, norm, "none"))
            if math.isfinite(with_it) and math.isfinite(without) and without > 0:
                parts.append(f"{with_it / without:.2f} times in {NORM_TITLES.get(norm, norm)}")
            elif math.isinf(with_it):
                parts.append(f"beyond what the attacks found in {NORM_TITLES.get(norm, norm)}")
        if parts:
            sentence = (
                f"Against an attacker who knows it, {row.defense} changes the median distance to {' and '.join(parts)}"
            )
            sentences.append(bound.said(sentence + bound.of_defense(record, row.defense) + "."))
        else:
            sentences.append(
                f"The defence {row.defense} was not attacked by anyone who knows it, so its worth is unknown."
            )
    return sentences
