"""The first screen: what was tested, how robust it is, how sure that is, what breaks it, what helps, how to check."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from robusteval.assessment.answers.breaks import NEEDS, Breaker, Broken, what_breaks
from robusteval.assessment.answers.helps import Help, what_helps
from robusteval.assessment.answers.robust import Robust, Standing, beside, how_robust, word
from robusteval.assessment.answers.seen import within
from robusteval.assessment.answers.sure import Sure, how_sure
from robusteval.record.run import Record
from robusteval.report.formats.numbers import interval, number, percent, spoken

MOST = 3  # known models, defences or reasons that are named before "and more"


@dataclass(frozen=True)
class First:
    """What the first screen shows. known: one sentence about known models; breaks, helps: sentences, the first of them
    the answer."""

    tested: Sequence[tuple[str, str]]
    robust: Robust
    sentence: str
    figures: str
    known: str
    others: Sequence[str]
    sure: Sure
    breaks: Sequence[str]
    helps: Sequence[str]
    worth: str


def first(record: Record) -> First:
    """A pure function of the record. An inconclusive run gets no figure here."""
    robust = how_robust(record)
    firm = robust.level != "inconclusive"
    weakest = robust.weakest
    helps = what_helps(record, weakest)
    return First(
        _tested(record),
        robust,
        spoken(robust.sentence),
        spoken(robust.figures),
        _known(record, weakest) if firm and weakest is not None else "",
        [spoken(_other(record, standing)) for standing in robust.standings[1:]] if firm else [],
        how_sure(record),
        [spoken(line) for line in _breaks(record, what_breaks(record, weakest), weakest, firm)],
        [spoken(line) for line in _helps(record, helps, weakest, firm)],
        helps[0].worth if helps and firm else "unknown",
    )


def _tested(record: Record) -> list[tuple[str, str]]:
    """The facts under the title."""
    day = record.times.started[:10]
    try:
        when = f"{dt.date.fromisoformat(day):%d %B %Y}".lstrip("0")
    except ValueError:
        when = ""
    facts = [
        ("Model", f"{record.model.file}, {record.model.classes} classes"),
        ("Data", f"{record.data.samples:,} images of {record.data.name}"),
        ("Suite", f"{record.suite.name} {record.suite.version}"),
        ("Date", when),
    ]
    return [(name, value) for name, value in facts if value]


def _known(record: Record, weakest: Standing) -> str:
    """What known models keep at the same budget."""
    models = sorted(beside(record, weakest), key=lambda model: model[1])
    if not models:
        return ""
    kept = [f"{name} {percent(share)}" for name, share in models[:MOST]]
    more = f", and {len(models) - MOST} more below" if len(models) > MOST else ""
    return f"Known models under the same attacks: {', '.join(kept)}{more}."


def _other(record: Record, standing: Standing) -> str:
    called = word(record, standing)
    where = within(standing.norm, standing.eps, record.model)
    kept = f"{percent(standing.kept.value)} (95 %: {interval(standing.kept.low, standing.kept.high)})"
    return f"{called[:1].upper()}{called[1:]} within {where}: {kept}"


def _breaks(record: Record, broken: Broken | None, weakest: Standing | None, firm: bool) -> list[str]:
    if weakest is None:
        return ["Nothing was measured."]
    where = within(weakest.norm, weakest.eps, record.model)
    if broken is None:
        return [f"No attack that ran takes an image within {where}."]
    if not firm:
        return [f"{broken.first.attack} reaches furthest of those that ran. How far others would is not known."]
    lines = [f"{broken.first.attack} leaves {_left(broken.first)} right within {where}.", _how(broken.first)]
    lines += [
        f"With {NEEDS.get(easier.needs, easier.needs)}, {easier.attack} leaves {_left(easier)}."
        for easier in broken.easier[:1]
    ]
    return lines


def _left(breaker: Breaker) -> str:
    return f"{percent(breaker.kept.value)} (95 %: {interval(breaker.kept.low, breaker.kept.high)})"


def _how(breaker: Breaker) -> str:
    half = "" if breaker.median is None else f"half of the right answers are lost by {number(breaker.median)}; "
    passes = f"{number(float(f'{breaker.passes:.3g}'))} passes an image"
    text = f"{half}it needs {NEEDS.get(breaker.needs, breaker.needs)} and {passes}."
    return text[:1].upper() + text[1:]


def _helps(record: Record, helps: Sequence[Help], weakest: Standing | None, firm: bool) -> list[str]:
    if not helps:
        return []
    known = [defense for defense in helps if defense.kept is not None]
    unknown = [defense for defense in helps if defense.kept is None]
    if weakest is None or not firm:
        return ["Not known: what was measured of the defences cannot be relied on either."]
    where = within(weakest.norm, weakest.eps, record.model)
    lines = []
    good = [defense for defense in known if defense.worth == "helps"]
    if good:
        lines.append(f"{_names(good)} help{'s' * (len(good) == 1)} against an attacker who knows it, within {where}.")
    elif known:
        one = len(known) == 1
        who = f"{known[0].defense} does not hold" if one else f"Not one of {len(known)} defences holds"
        lines.append(f"{who} against an attacker who knows it.")
    if known:
        lines.append(f"{'Best: ' * (len(known) > 1)}{_figure(known[0], weakest)}.")
    if unknown:
        lines.append(f"Worth unknown: {_names(unknown)} ({unknown[0].reason}).")
    return lines


def _figure(best: Help, weakest: Standing) -> str:
    if best.kept is None:
        return best.defense
    cost = ""
    if best.cost is not None:
        points = f"{100 * best.cost:.1f}"
        free = best.cost < 0.0005
        cost = f"; it costs {'nothing' if free else f'{points} points'} in clean accuracy"
    kept = f"{percent(best.kept.value)} (95 %: {interval(best.kept.low, best.kept.high)})"
    return f"{best.defense} keeps {kept}, the bare model {percent(weakest.kept.value)}{cost}"


def _names(defenses: Sequence[Help]) -> str:
    names = ", ".join(defense.defense for defense in defenses[:MOST])
    return names + (f" and {len(defenses) - MOST} more" if len(defenses) > MOST else "")
