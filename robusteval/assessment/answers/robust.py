"""How robust the bare model is, in one word and one sentence. Fails closed: what was not measured is never good news.

The word is of the answers that are right without an attack, and of how many of them every attack leaves standing at
the budget that is quoted first: "robust" needs at least 80 % of them by the lower end of the 95 % interval, below 50 %
it is "fragile", and between the two "partly robust". docs/method.md says where the limits come from. The weakest norm
decides, as an attacker chooses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from robusteval.assessment.answers.figures import Share, budget_of, quoted, scalars, share_of
from robusteval.assessment.answers.seen import change, within
from robusteval.assessment.evidence.own import METRIC, labels_are_own
from robusteval.assessment.evidence.white_box import asked
from robusteval.metrics._common.columns import right_when_clean
from robusteval.metrics._common.statistics import share
from robusteval.record.column import at_budget
from robusteval.record.run import Record
from robusteval.record.units import NORM_TITLES, WORST_CASE

# fragile, partly and robust as above; undecided: what was measured holds, but not all of it was measured;
# inconclusive: the evaluation cannot be relied on
Level = Literal["robust", "partly", "fragile", "undecided", "inconclusive"]
ROBUST, FRAGILE = 0.8, 0.5  # shares of the right answers
_WORDS: tuple[Level, ...] = ("fragile", "partly", "robust")
_NEAR = 1e-6
_NOTHING = "So nothing is said of how robust the model is."


@dataclass(frozen=True)
class Standing:
    """What every attack in one norm leaves of the bare model at one budget."""

    norm: str
    eps: float
    level: Level  # fragile, partly or robust
    kept: Share  # of all images
    of_right: Share  # of those that are right without an attack
    clean: float  # share of all images that are right without an attack
    samples: int
    median: float | None  # distance at which half of the right answers are lost; None: not reached, or not asked
    open: tuple[str, ...]  # attacks that were to run in this norm and did not, or not whole


@dataclass(frozen=True)
class Robust:
    """The answer. heading: a few words; sentence: one sentence, in words that need no norm; figures: the same as
    numbers; standings: one a norm, the weakest word first, and of the same word Linf; unmeasured: norms that were asked
    about, without a figure."""

    level: Level
    heading: str
    sentence: str
    figures: str
    standings: tuple[Standing, ...]
    unmeasured: tuple[str, ...]

    @property
    def weakest(self) -> Standing | None:
        """What decides; None where nothing was measured."""
        return self.standings[0] if self.standings else None


def how_robust(record: Record) -> Robust:
    """From verdict, cells and results of the record alone."""
    found = [standing for norm in asked(record) if (standing := _standing(record, norm)) is not None]
    found.sort(key=lambda standing: (_WORDS.index(standing.level), standing.norm != "linf", standing.of_right.value))
    standings, measured = tuple(found), {standing.norm for standing in found}
    missing = tuple(norm for norm in asked(record) if norm not in measured)
    if record.verdict is None or record.verdict.status != "conclusive" or not standings:
        return Robust("inconclusive", "INCONCLUSIVE", _doubt(record), "", standings, missing)
    level = _level(record, standings, missing)
    weakest = standings[0]
    return Robust(
        level,
        _heading(record, level, standings),
        _sentence(record, weakest) + _gaps(record, standings, missing),
        _figures(record, weakest),
        standings,
        missing,
    )


def _standing(record: Record, norm: str) -> Standing | None:
    """None where there is no figure, or no answer that an attack could have taken."""
    found = quoted(record, norm)
    kept, eps = share_of(found), budget_of(found) if found is not None else None
    samples = record.data.samples
    bare = next((pipeline for pipeline in record.pipelines if pipeline.defense == "none"), None)
    if kept is None or eps is None or bare is None or len(bare.prediction) != samples:
        return None
    right, left = int(right_when_clean(record, bare).sum()), round(kept.value * samples)
    if not 0 <= left <= right or right == 0:
        return None
    of = share(left, right)
    of_right = Share(of.value or 0.0, of.low or 0.0, 1.0 if of.high is None else of.high)
    level: Level = "fragile" if of_right.value < FRAGILE else "robust" if of_right.low >= ROBUST else "partly"
    medians = scalars(record, "median-distance", norm=norm, defense="none", attack=WORST_CASE)
    median = medians[0].value if medians else None
    return Standing(norm, eps, level, kept, of_right, right / samples, samples, median, _unfinished(record, norm))


def _unfinished(record: Record, norm: str) -> tuple[str, ...]:
    """What was to attack the bare model in this norm and did not, or not whole. What the model's access excludes is no
    gap: the verdict speaks of that."""
    cells = [cell for cell in record.cells if cell.norm == norm and cell.knowledge == "none"]
    gaps = [cell.attack for cell in cells if cell.status not in ("done", "excluded") or cell.without]
    return tuple(dict.fromkeys(gaps))


def _level(record: Record, standings: tuple[Standing, ...], missing: tuple[str, ...]) -> Level:
    levels = {standing.level for standing in standings}
    if "fragile" in levels:
        return "fragile"
    if "partly" in levels:
        return "partly"
    whole = not missing and not any(standing.open for standing in standings) and not aimed(record)
    return "robust" if whole else "undecided"


def word(record: Record, standing: Standing) -> str:
    """What one norm's figure is called, for itself."""
    if standing.level == "robust" and (standing.open or aimed(record)):
        return "not known to be robust"
    return {"fragile": "fragile", "partly": "partly robust", "robust": "robust"}[standing.level]


def aimed(record: Record) -> str:
    """The only class that counted as a win, where attacks had an aim: then the rest is not known."""
    cells = [cell for cell in record.cells if cell.knowledge == "none"]
    return next((cell.target for cell in cells if cell.target not in ("untargeted", "all")), "")


def _heading(record: Record, level: Level, standings: tuple[Standing, ...]) -> str:
    if level == "robust":
        return f"Robust within {_budgets(record, standings)}"
    if level == "undecided":
        return "Not known to be robust"
    word = "Fragile" if level == "fragile" else "Partly robust"
    return f"{word} within {_budgets(record, [standing for standing in standings if standing.level == level])}"


def _budgets(record: Record, standings: Sequence[Standing]) -> str:
    return " and ".join(within(standing.norm, standing.eps, record.model) for standing in standings)


def _sentence(record: Record, weakest: Standing) -> str:
    """What the deciding norm's figure means for one who looks at the images."""
    median = weakest.median
    if weakest.level == "fragile" and median is not None and median <= weakest.eps * (1 + _NEAR):
        subject = change(weakest.norm, median, record.model)
        if labels_are_own(record):
            return f"{subject} changes half of its answers."
        return f"{subject} makes it err on half of the images that it gets right."
    subject = change(weakest.norm, weakest.eps, record.model)
    left = _of_hundred(weakest.of_right.value)
    few = weakest.level == "partly" and weakest.of_right.value >= ROBUST
    too_few = f"; {weakest.samples:,} images are too few to call that robust" if few else ""
    answers = "answers" if labels_are_own(record) else "right answers"
    return f"{subject} leaves at most {left} of 100 {answers} standing{too_few}."


def _of_hundred(share: float) -> str:
    return f"{100 * share:.0f}" if share in (0.0, 1.0) or 0.01 <= share <= 0.99 else f"{100 * share:.1f}"


def _figures(record: Record, weakest: Standing) -> str:
    kept, where = weakest.kept, within(weakest.norm, weakest.eps, record.model)
    if labels_are_own(record):
        return (
            f"Within {where} the attacks leave {100 * kept.value:.1f} % of all {weakest.samples:,} answers as they are "
            f"(95 %: {100 * kept.low:.1f} to {100 * kept.high:.1f} %); the labels are these very answers, so how many "
            "are right is open."
        )
    return (
        f"Within {where} the attacks leave {100 * kept.value:.1f} % of all {weakest.samples:,} images right (95 %: "
        f"{100 * kept.low:.1f} to {100 * kept.high:.1f} %); without an attack it is {100 * weakest.clean:.1f} %."
    )


def _gaps(record: Record, standings: tuple[Standing, ...], missing: tuple[str, ...]) -> str:
    """What is not known, after the sentence."""
    parts = []
    gaps = list(dict.fromkeys(name for standing in standings for name in standing.open))
    if gaps:
        some = ", ".join(gaps[:3]) + (f" and {len(gaps) - 3} more" if len(gaps) > 3 else "")
        parts.append(f"not all attacks ran whole ({some})")
    if missing:
        parts.append(f"nothing was measured in {', '.join(NORM_TITLES.get(norm, norm) for norm in missing)}")
    if aim := aimed(record):
        parts.append(f"only one class counted as a win ({aim})")
    return f" It may be less robust than that: {'; '.join(parts)}." if parts else ""


def _doubt(record: Record) -> str:
    """Why nothing is said about robustness."""
    if record.verdict is None:
        return "This run holds figures but no judgement on them."
    if record.verdict.status == "conclusive":  # and yet there is no figure to say it by
        if record.suite.metrics and METRIC not in record.suite.metrics:
            return f"The suite computes only the metrics that it names, and {METRIC} is none of them. {_NOTHING}"
        return f"No attacked accuracy at a budget was worked out. {_NOTHING}"
    first = next(iter(record.verdict.sentences), "")
    reason = first.removeprefix("INCONCLUSIVE: ") if first.startswith("INCONCLUSIVE: ") else ""
    return reason or f"This evaluation cannot be relied on. {_NOTHING}"


def beside(record: Record, standing: Standing) -> list[tuple[str, float]]:
    """Known models at the same budget, with the share of the common images that each keeps; those whose figure is false
    on purpose, and the very file that was evaluated, are left out. None beside labels that are its own answers."""
    if labels_are_own(record):
        return []
    key = at_budget("accuracy", standing.norm, f"{standing.eps:.10g}")
    found: dict[str, float] = {}
    for result in record.results:
        if result.metric != "references" or result.kind != "table" or result.tags.get("norm") != standing.norm:
            continue
        for row in result.named():
            kept = row.get(key)
            if row.get("role") == "reference" and isinstance(kept, int | float):
                found.setdefault(str(row.get("model")), float(kept))
    return list(found.items())
