"""Before anything is attacked: is the clean accuracy what it should be, and if not, which setting would mend it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from robusteval.assessment.looked import LOW
from robusteval.contracts.classifier import Classifier
from robusteval.engine.data.labels import balanced_rows
from robusteval.engine.data.npz import RawData
from robusteval.engine.data.pixels import Range, show
from robusteval.engine.preflight.input_variants import InputVariant, input_views
from robusteval.engine.preflight.label_variants import relabelled
from robusteval.engine.source import Rows, Source, blocks, span_of
from robusteval.metrics._common.statistics import clopper_pearson

PROBE = 200  # samples that other settings are tried on
TIED = 0.005  # share of the probed samples by which two ranges may differ and still not be told apart
SHOWN = 5  # suggestions that are worth a reader's time
NARROW = 0.02  # share of the range below which the data were probably stored in another one


@dataclass(frozen=True)
class Suggestion:
    """A setting that would have given a better clean accuracy on the probed samples. Nothing is changed by it."""

    setting: str  # what is different, for people
    flags: str  # the flags that state it; "" where the data themselves have to be changed
    by_hand: str  # what no flag can state, as a request; "" where flags do it all
    accuracy: float  # share of the probed samples
    changes: int  # how many things differ from what was stated
    about: tuple[str, ...] = ()  # "range", "normalisation", "channels", "layout", "labels"

    @property
    def how(self) -> str:
        """What to do: flags, and changes of the data."""
        return " and ".join(part for part in (self.flags, self.by_hand) if part)


class Remark(NamedTuple):
    """Something else that was noticed. code: of the finding that it becomes."""

    code: Literal["pixel-range", "constant-answer"]
    severity: Literal["warning", "info"]
    sentence: str


@dataclass(frozen=True)
class Preflight:
    """The clean accuracy, a share, with its exact 95 % interval, and what was found by trying other settings."""

    accuracy: float
    interval: tuple[float, float]  # Clopper-Pearson
    chance: float  # 1 / classes
    samples: int
    probed: int  # samples that the suggestions' accuracies are shares of
    near_chance: bool  # the interval holds chance: attacking this would measure nothing
    low: bool  # worth a second look
    suggestions: tuple[Suggestion, ...]  # best first; several close ones are all given, none is chosen
    remarks: tuple[Remark, ...]
    narrow: bool = False  # the pixels fill so little of the range that they were probably stored in another one
    ties: tuple[str, ...] = ()  # flags of ranges that do as well, so that it cannot be told which is right
    answered: int = 0  # classes among the answers

    @property
    def notes(self) -> tuple[str, ...]:
        """The sentences of the remarks."""
        return tuple(remark.sentence for remark in self.remarks)

    @property
    def sentence(self) -> str:
        """For the error, the finding or the console: the figure, and what would mend it."""
        text = f"Clean accuracy is {100 * self.accuracy:.1f} % (chance is {100 * self.chance:.3g} %)."
        found = [f"{item.how} would give {100 * item.accuracy:.1f} %" for item in self.suggestions]
        if found:
            text += f" {'; '.join(found)} (on {self.probed} samples)."
        elif self.low:
            text += " None of the usual settings (range, mean/std, channel order, labels) would do better."
        return " ".join((text, *self.notes))


def clean_report(
    model: Classifier,
    raw: RawData,
    samples: Source,
    data_range: Range | None = None,
    probe: int = PROBE,
    batch: int = 256,
    answers: NDArray[np.int64] | None = None,
) -> Preflight:
    """The model's accuracy on samples; raw and data_range are what `prepare` made them from. answers: int64 [N], the
    model's, -1 where its scores are not finite; None: it is asked.

    Where it is low, the usual settings are tried on `probe` of the samples; where it is not, only other pixel ranges,
    means and stds.
    """
    answers = _answers(model, samples.x, batch) if answers is None else answers
    labels = samples.y.cpu().numpy()
    right = answers == labels
    chance = 1 / model.info.classes
    interval = _interval(int(right.sum()), len(right))
    low = float(right.mean()) < chance + LOW * (1 - chance)
    suggestions, ties = suggest(model, raw, samples, data_range, thorough=low, probe=probe, batch=batch)
    narrow = _narrow(samples)
    remarks = [
        *(Remark("pixel-range", "warning", text) for text in narrow),
        *(Remark("pixel-range", "info", text) for _, text in ties),
    ]
    if len(np.unique(labels)) > 1 and len(np.unique(answers)) == 1:
        what = "scores that are not finite" if answers[0] < 0 else f"class {answers[0]}"
        remarks.append(Remark("constant-answer", "warning", f"The model answers {what} for every sample."))
    return Preflight(
        accuracy=float(right.mean()),
        interval=interval,
        chance=chance,
        samples=len(right),
        probed=min(probe, len(right)),
        near_chance=low and interval[0] <= chance,
        low=low,
        suggestions=tuple(suggestions),
        remarks=tuple(remarks),
        narrow=bool(narrow),
        ties=tuple(flags for flags, _ in ties),
        answered=len(np.unique(answers)),
    )


def suggest(
    model: Classifier,
    raw: RawData,
    samples: Source,
    data_range: Range | None = None,
    thorough: bool = True,
    probe: int = PROBE,
    batch: int = 256,
) -> tuple[list[Suggestion], list[tuple[str, str]]]:
    """(settings that are clearly better than the stated ones, best first; flags and notes on ranges that cannot be told
    apart).

    Every setting is tried as a map of the input, since scaling, mean and std are affine: no file is read again.
    thorough: also inversion, channel order, transposed images and renumbered labels.
    """
    rows = torch.from_numpy(balanced_rows(samples.y.cpu().numpy(), probe, seed=0))
    part = samples[rows]
    labels = part.y.cpu().numpy()
    stated = _answers(model, part.x, batch)
    right = int((stated == labels).sum())
    found: list[Suggestion] = []
    ties: list[tuple[str, str]] = []
    for view in input_views(model.info, raw, part, data_range, thorough):
        answers = stated if view.changes == 0 else _answers(model, view.apply(part.x), batch)
        correct = int((answers == labels).sum())
        if view.changes:
            found.append(_suggestion(view, correct / len(labels)))
        if view.range_only and abs(correct - right) <= TIED * len(labels) and not thorough:
            ties.append((view.flags, _tie(model.info.bounds, view, right / len(labels), correct / len(labels))))
        if thorough:
            found.extend(
                _suggestion(view, fix.accuracy, fix.setting, fix.by_hand, fix.changes)
                for fix in relabelled(answers, labels, model.info.classes)
            )
    return best_of(found, right, len(labels)), ties


def _narrow(samples: Source) -> list[str]:
    """A note where the pixels fill so little of the range that they were probably stored in another one."""
    low, high = samples.bounds
    least, most = span_of(samples)
    share = (most - least) / (high - low)
    if share > NARROW or most == least:
        return []
    return [
        (
            f"The pixels run from {least:g} to {most:g}, {100 * share:.3g} % of the stated range "
            f"{show(samples.bounds)}, so an eps in its units would mean far more than it seems to; state what the data "
            "are with --data-range, or the model's range with --range."
        )
    ]


def _interval(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share; the whole range where nothing was tried."""
    return clopper_pearson(hits, trials) or (0.0, 1.0)


def _answers(model: Classifier, x: Rows, batch: int) -> NDArray[np.int64]:
    """The predicted class of each x, -1 where its scores are not finite."""
    answers = []
    with torch.no_grad():
        for rows in blocks(len(x), batch):
            logits = model.logits(x[rows])
            finite = torch.isfinite(logits).all(1)
            answers.append(torch.where(finite, logits.argmax(1), torch.full_like(logits.argmax(1), -1)).cpu())
    found: NDArray[np.int64] = torch.cat(answers).numpy()
    return found


def _suggestion(
    view: InputVariant, accuracy: float, setting: str = "", by_hand: str = "", changes: int = 0
) -> Suggestion:
    return Suggestion(
        setting=" and ".join(part for part in (*(setting.words for setting in view.settings), setting) if part),
        flags=view.flags,
        by_hand=" and ".join(part for part in (view.by_hand, by_hand) if part),
        accuracy=accuracy,
        changes=view.changes + changes,
        about=(*view.about, *(("labels",) if setting else ())),
    )


def best_of(found: Sequence[Suggestion], right: int, trials: int) -> list[Suggestion]:
    """Those clearly better than what was stated and not clearly worse than the best; the simpler of equals."""
    bar = _interval(right, trials)[1]
    better = [item for item in found if _interval(round(item.accuracy * trials), trials)[0] > bar]
    if not better:
        return []
    top = max(item.accuracy for item in better)
    floor = _interval(round(top * trials), trials)[0]
    close = [item for item in better if item.accuracy >= floor]
    # What takes more changes than something that does as well is a coincidence of it, not another explanation.
    kept = [
        item
        for item in close
        if not any(other.changes < item.changes and other.accuracy >= item.accuracy for other in close)
    ]
    return sorted(kept, key=lambda item: (-item.accuracy, item.changes, item.setting))[:SHOWN]


def _tie(bounds: Range, view: InputVariant, accuracy: float, other: float) -> str:
    ratio = (view.bounds[1] - view.bounds[0]) / (bounds[1] - bounds[0])
    factor = f"{ratio:g} times less" if ratio > 1 else f"{1 / ratio:g} times more" if ratio < 1 else "as much"
    same = f"the same accuracy ({100 * accuracy:.1f} %)"
    if other != accuracy:
        same = f"nearly the same accuracy ({100 * accuracy:.1f} and {100 * other:.1f} %)"
    return (
        f"{show(bounds)} and {show(view.bounds)} give {same}, so it cannot tell which "
        f"range the model was trained on; the same eps means {factor} with {view.flags}."
    )
