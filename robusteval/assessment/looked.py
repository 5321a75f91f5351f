"""The checks of the preflight as far as the record tells them: what is asked of the model before anything is
attacked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robusteval.assessment.checks.spec import Outcome
from robusteval.metrics._common.statistics import clopper_pearson
from robusteval.record.run import Check, Record

LOW = 0.6  # below this share of the way from chance to perfect, other settings are tried
# of checks whose outcome the clean answers, the labels and the model's description decide
RETOLD = ("clean-accuracy", "class-count", "output-kind", "training-mode")
# of checks that were made by asking the model with other settings, or by reading its pixels
MEASURED = ("input-range", "input-normalisation", "input-channels", "input-layout", "label-order")
ORDER = ("clean-accuracy", *MEASURED, "class-count", "output-kind", "training-mode")
CODES = ("near-chance", "clean-accuracy-low", "constant-answer", "pixel-range", *RETOLD, *MEASURED)


@dataclass(frozen=True)
class Seen:
    """What one check saw. outcome None: not applicable, and `said` is why. codes: of the findings that tell of it."""

    outcome: Outcome | None
    said: str
    value: float | None = None
    codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Accuracy:
    """The clean accuracy, a share, with its exact 95 % interval and what it is worth beside chance, 1 / classes."""

    value: float
    interval: tuple[float, float]
    chance: float

    @property
    def low(self) -> bool:
        """Worth a second look."""
        return self.value < self.chance + LOW * (1 - self.chance)

    @property
    def near_chance(self) -> bool:
        """The interval holds chance: attacking this would measure nothing."""
        return self.low and self.interval[0] <= self.chance


def accuracy_of(record: Record) -> Accuracy:
    """From the bare model's answers and the labels."""
    labels = record.data.labels
    hits = sum(a == b for a, b in zip(record.pipeline("none").prediction, labels, strict=True))
    bounds = clopper_pearson(hits, len(labels)) or (0.0, 1.0)
    return Accuracy(hits / max(len(labels), 1), bounds, 1 / record.model.classes)


def clean_accuracy(found: Accuracy) -> Seen:
    low, high = (100 * bound for bound in found.interval)
    sentence = f"{100 * found.value:.1f} % (95 %: {low:.1f} to {high:.1f} %), chance is {100 * found.chance:.3g} %"
    if found.near_chance:
        return Seen("fail", sentence, found.value, ("near-chance",))
    return Seen("warn" if found.low else "pass", sentence, found.value, ("clean-accuracy-low",) if found.low else ())


def class_count(shown: int, answered: int, has: int, samples: int) -> Seen:
    """shown: classes among the labels; answered: among the answers; has: of the model."""
    sentence = f"the model has {has} classes, the data show {shown}, it answers {answered}"
    if has < 4:
        sentence += "; DLR falls back to the margin"
    if answered == 1 and shown > 1:
        return Seen("warn", sentence, float(answered), ("constant-answer",))
    return Seen("warn" if 2 * shown < min(has, samples) else "pass", sentence, float(shown))


def output_kind(kind: str) -> Seen:
    if kind == "labels":
        return Seen("warn", "labels only: attacks that need scores are left out", None, ("labels-only",))
    how = "" if kind == "logits" else "; attacks are steered by scores that do not saturate"
    return Seen("pass", f"{kind}{how}")


def training_mode(traits: Mapping[str, str]) -> Seen:
    """traits: of the model, see contracts.classifier.TRAITS."""
    note = traits.get("training-mode", "")
    return Seen("warn", note) if note else Seen("pass", "none noticed while the file was read")


def retold(record: Record, check: Check) -> Seen | None:
    """What this check of the preflight must have seen; None where the record does not tell."""
    if check.id == "clean-accuracy":
        return clean_accuracy(accuracy_of(record))
    if check.id == "class-count":
        labels, answers = record.data.labels, record.pipeline("none").prediction
        return class_count(len(set(labels)), len(set(answers)), record.model.classes, len(labels))
    if check.id == "output-kind":
        return output_kind(record.model.output)
    return training_mode(record.model.traits) if check.id == "training-mode" else None
