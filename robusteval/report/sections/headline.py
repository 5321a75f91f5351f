"""The tables of figures: headline, budgets, attacks, rho_adv, defences."""

from __future__ import annotations

from dataclasses import dataclass

from robusteval.assessment.evidence.own import labels_are_own
from robusteval.record.measured.per_sample import numbers, there
from robusteval.record.run import Cell, Record, Result, Scalar
from robusteval.record.units import WORST_CASE, attack_text
from robusteval.report.charts import pieces
from robusteval.report.charts.pieces import Table, Text, Value
from robusteval.report.formats.numbers import MISSING, budget, interval, norm_title, number, percent, scalar
from robusteval.report.sections.budgets import attack_key
from robusteval.report.sections.gallery import behind_cell


@dataclass(frozen=True)
class Card:
    """One headline number."""

    label: str
    value: str
    interval: str
    note: str
    level: float | None = None  # share, for the bar under it
    norm: str = ""  # whose slider it follows
    term: str = ""  # its definition


def share_text(result: Result | None) -> Text:
    """'32.0 %' with '26.8 to 37.6 %' below it."""
    if result is None or result.value is None:
        return MISSING
    return Value(percent(result.value), interval(result.low, result.high))


def _reference(record: Record, norm: str, defense: str, knowledge: str) -> Result | None:
    tags: dict[str, Scalar] = {
        "norm": norm,
        "defense": defense,
        "knowledge": knowledge,
        "reference": True,
    }
    return pieces.first(pieces.matching(record, "robust-accuracy", tags))


def cards(record: Record) -> list[Card]:
    """Clean accuracy, robust accuracy at the reference budgets, median distances, rho_adv; of the bare model. Where the
    labels are its own answers, none is an accuracy."""
    shown, own = [], labels_are_own(record)
    images = f"{record.data.samples:,} images"
    clean = pieces.first(pieces.matching(record, "clean-accuracy", {"defense": "none"}))
    if clean is not None and not own:
        shown.append(
            Card("Clean accuracy", percent(clean.value), interval(clean.low, clean.high), f"{images}, no attack",
                 clean.value, term="clean")
        )  # fmt: skip
    for norm in pieces.norms(record):
        robust = _reference(record, norm, "none", "none")
        if robust is not None:
            at = budget(robust.tags.get("eps"), norm, pieces.width(record))
            what = "Answers that attacks leave" if own else "Accuracy under attack"
            label = f"{what}, {norm_title(norm)} \u2264 {at}"
            shown.append(
                Card(label, percent(robust.value), interval(robust.low, robust.high), f"worst case, {images}",
                     robust.value, norm, "accuracy")
            )  # fmt: skip
    for norm in pieces.norms(record):
        tags: dict[str, Scalar] = {"defense": "none", "norm": norm, "attack": WORST_CASE}
        median = pieces.first(pieces.matching(record, "median-distance", tags))
        if median is not None:
            bounds = interval(median.low, median.high, share=False)
            label = f"Median distance to an error, {norm_title(norm)}"
            shown.append(Card(label, number(median.value), bounds, "worst case, right images", term="median"))
    deepfool = pieces.first(pieces.matching(record, "rho-adv", {"defense": "none", "key": "deepfool"}))
    if deepfool is not None:
        over = f"DeepFool, {scalar(deepfool.tags.get('broken'))} of {scalar(deepfool.tags.get('right'))} images"
        bounds = interval(deepfool.low, deepfool.high, share=False)
        shown.append(Card("\u03c1 adv", number(deepfool.value), bounds, over, term="rho"))
    return shown


def budgets(record: Record, norm: str) -> Table | None:
    """Worst-case accuracy at the reference budgets, a row for each pipeline."""
    found = pieces.matching(record, "robust-accuracy", {"norm": norm})
    found = [result for result in found if result.tags.get("knowledge") != "oblivious"]
    if not found:
        return None
    steps = sorted(
        {result.tags["eps"] for result in found if isinstance(result.tags.get("eps"), float)},
        key=lambda value: float(value or 0),
    )
    rows: list[list[Text]] = []
    for defense in dict.fromkeys(str(result.tags.get("defense")) for result in found):
        mine = {result.tags.get("eps"): result for result in found if result.tags.get("defense") == defense}
        name = pieces.display(defense) + ("" if defense == "none" else " (adaptive)")
        rows.append([name, *(share_text(mine.get(eps)) for eps in steps)])
    names = [f"\u2264 {budget(eps, norm, pieces.width(record))}" for eps in steps]
    caption = f"Worst-case accuracy at {norm_title(norm)} budgets, with 95 % intervals"
    bare = [
        f"{percent(result.value, 0)} at {budget(result.tags.get('eps'), norm, pieces.width(record))}"
        for result in found
        if result.tags.get("defense") == "none"
    ]
    shown = f"{caption}: {', '.join(bare[:4])}" if bare else caption
    return Table(caption, ["Pipeline", *names], rows, summary=shown)


def attacks(record: Record, norm: str, slides: bool = False) -> Table | None:
    """Each attack on the bare model: what it leaves at the budgets that it was asked about, its median distance.
    slides: the first of these follows the slider."""
    rows: list[list[Text]] = []
    found = pieces.matching(record, "attack-accuracy", {"norm": norm, "defense": "none"})
    budgets = list(dict.fromkeys(result.tags.get("eps") for result in found))  # the reference first
    width = pieces.width(record)
    for cell in record.done(norm=norm, knowledge="none", defense="none"):
        mine = {result.tags.get("eps"): result for result in found if result.tags.get("attack") == cell.attack}
        tags = {"norm": norm, "defense": "none", "attack": cell.attack}
        name = behind_cell(record, norm, cell.id, attack_text(cell.attack, norm, cell.eps, cell.threat, width))
        median = _median(pieces.first(pieces.matching(record, "median-distance", tags)))
        kept = [share_text(mine.get(eps)) for eps in budgets]
        if slides and kept:
            kept[0] = live(kept[0], norm, attack_key(record, cell.id))
        rows.append([name, cell.needs, cell.family, *kept, median, percent(_survive(cell), 0)])
    if not rows:
        return None
    heads: list[Text] = [f"Accuracy at {norm_title(norm)} \u2264 {budget(eps, norm, width)}" for eps in budgets]
    if slides and heads:
        heads[0] = live(heads[0], norm, "head")
    columns = ["Attack", "Needs", "Family", *heads, "Median distance", "Wins that survive 8 bits"]
    note = (
        "Median over images right when clean; a dash means that more than half of them were never lost, or that this "
        "budget was not asked about. A cascade asks about its own budget only. Small: 95 % intervals."
    )
    return Table(f"Attacks on the bare model, {norm_title(norm)}", columns, rows, words=(1, 2), note=note)


def live(cell: Text, norm: str, key: str) -> Value:
    """The same cell, which follows the slider of its norm."""
    value = cell if isinstance(cell, Value) else Value(cell)
    return value._replace(live=f"{norm} {key}")


def _median(found: Result | None) -> Text:
    if found is None:
        return number(None)
    bounds = interval(found.low, found.high, share=False)
    return Value(number(found.value), bounds) if bounds else number(found.value)


def _survive(cell: Cell) -> float | None:
    known = numbers(cell.survives_8bit)[there(cell.survives_8bit)]
    return int(known.sum()) / known.size if known.size else None


def rho(record: Record) -> Table | None:
    found = pieces.first(pieces.of_kind(record, "rho-adv", "table"))
    if found is None:
        return None
    rows: list[list[Text]] = []
    for row in pieces.named_rows(found):
        bounds = interval(row.get("low"), row.get("high"), share=False)
        covered = f"{scalar(row.get('broken'))} of {scalar(row.get('right-when-clean'))}"
        rows.append(
            [
                pieces.display(str(row.get("pipeline"))),
                str(row.get("attack")),
                Value(number(row.get("rho_adv")), bounds),
                Value(percent(row.get("coverage")), covered),
            ]
        )
    columns = ["Pipeline", "Attack", "\u03c1 adv, 95 % interval", "Coverage"]
    caption = "\u03c1 adv: how large the smallest perturbation is beside the image"
    return Table(caption, columns, rows, heads=2, note=found.description, summary=_rho_line(record, len(rows)))


def _rho_line(record: Record, count: int) -> str:
    """The values of the bare model that are quoted."""
    quoted = []
    for key, name in (("deepfool", "DeepFool"), ("worst", WORST_CASE)):
        result = pieces.first(pieces.matching(record, "rho-adv", {"defense": "none", "key": key}))
        if result is not None and result.value is not None:
            quoted.append(f"{name} {number(result.value)}")
    return f"{count} values of \u03c1 adv{': ' if quoted else ''}{', '.join(quoted)}"


def defenses(record: Record) -> Table | None:
    """Undefended, oblivious, adaptive; the oblivious figure is withheld where there is no adaptive one."""
    rows: list[list[Text]] = []
    bare_clean = pieces.first(pieces.matching(record, "clean-accuracy", {"defense": "none"}))
    for pipeline in record.pipelines:
        if pipeline.defense == "none":
            continue
        if pipeline.status != "done":
            rows.append(
                [
                    pipeline.defense,
                    pipeline.kind,
                    f"{pipeline.status}: {pipeline.reason}",
                    *[MISSING] * 6,
                ]
            )
            continue
        clean = pieces.first(pieces.matching(record, "clean-accuracy", {"defense": pipeline.defense}))
        rows.extend(
            _defense_row(record, pipeline.defense, pipeline.kind, norm, clean, bare_clean)
            for norm in pieces.norms(record)
        )
    if not rows:
        return None
    columns = ["Defence", "Kind", "Threat", "Clean accuracy", "Undefended", "Adaptive attacker"]
    columns += ["Median distance, adaptive", "Oblivious attacker", "Median distance, oblivious"]
    note = (
        "Only the adaptive columns say what the defence is worth: assume that an attacker knows it. Medians over "
        "images right when clean, with 95 % intervals; a dash means that more than half of them were never lost. "
        "Oblivious ones are of the distances tested."
    )
    return Table("Defences side by side", columns, rows, words=(1, 2), note=note)


def _defense_row(
    record: Record, defense: str, kind: str, norm: str, clean: Result | None, bare: Result | None
) -> list[Text]:
    undefended = _reference(record, norm, "none", "none")
    adaptive = _reference(record, norm, defense, "adaptive")
    oblivious = _reference(record, norm, defense, "oblivious")
    paid: Text = MISSING
    if clean is not None and clean.value is not None:
        paid = percent(clean.value)
        if bare is not None and bare.value is not None:
            paid = Value(percent(clean.value), f"{100 * (clean.value - bare.value):+.1f} points")
    eps = next((share.tags.get("eps") for share in (adaptive, undefended) if share is not None), None)
    threat = f"{norm_title(norm)}\u00a0\u2264\u00a0{budget(eps, norm, pieces.width(record))}"
    if adaptive is None:
        shown, hidden = "not measured", "withheld: no adaptive attack finished"
        return [defense, kind, threat, paid, share_text(undefended), shown, MISSING, hidden, MISSING]
    known, unaware = (
        _median(
            pieces.first(
                pieces.matching(
                    record, "median-distance", {"norm": norm, "defense": defense, "attack": f"{who}worst case"}
                )
            )
        )
        for who in ("", "oblivious ")
    )
    base, seen, unseen = (share_text(share) for share in (undefended, adaptive, oblivious))
    return [defense, kind, threat, paid, base, seen, known, unseen, unaware]
