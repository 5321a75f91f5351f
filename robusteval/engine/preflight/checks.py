"""What is looked at before anything is attacked, as rows of the record's checks. docs/method.md describes each by its
id."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from robusteval.assessment import looked
from robusteval.assessment.checks.spec import percent
from robusteval.assessment.looked import LOW, Seen
from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.data.pixels import show
from robusteval.engine.preflight.clean_accuracy import NARROW, Preflight
from robusteval.engine.source import Source, span_of
from robusteval.record.run import Check, Finding

_OWN = "this project: the usual slips when a model of others is read"
_CARLINI = "Carlini et al. 2019, On evaluating adversarial robustness"
_CHANGE = "accuracy on up to 200 samples as stated and with the usual other settings, Clopper-Pearson 95 %"
_BETTER = "warn: another is above the interval of the stated one, and its interval too"
_WHY = "a model that is fed wrongly is attacked where nobody uses it; nothing is changed silently, the flag is named"


@dataclass(frozen=True)
class Look:
    """What the items are asked of."""

    clean: Preflight
    info: ModelInfo
    samples: Source


@dataclass(frozen=True)
class Item:
    """A check of the preflight."""

    id: str
    title: str
    source: str
    formula: str
    threshold: str
    why: str
    see: Callable[[Look], Seen]

    def check(self, look: Look) -> Check:
        """The item as a row."""
        seen = self.see(look)
        return Check(
            self.id, self.title, self.source, self.formula, self.threshold, self.why,
            seen.outcome or "not-applicable", seen.said, seen.value, list(seen.codes),
        )  # fmt: skip


def preflight_checks(clean: Preflight, info: ModelInfo, samples: Source) -> list[Check]:
    """Every item, in the order of ITEMS."""
    return [item.check(Look(clean, info, samples)) for item in ITEMS]


def findings_of(checks: list[Check], clean: Preflight) -> list[Finding]:
    """A finding for each item that warns and has none yet; settings that would mend a low accuracy are named by its
    own."""
    found = []
    for check in checks:
        if check.outcome == "warn" and not check.codes:
            if clean.low and check.id.startswith(("input-", "label-")):
                check.codes = ["near-chance" if clean.near_chance else "clean-accuracy-low"]
                continue
            check.codes = [check.id]
            found.append(Finding(check.id, "warning", f"Before the run: {check.measured}.", {}, f"{check.why}."))
    return found


def _accuracy(look: Look) -> Seen:
    clean = look.clean
    return looked.clean_accuracy(looked.Accuracy(clean.accuracy, clean.interval, clean.chance))


def _mended(look: Look, about: str, untried: str = "") -> Seen:
    """Whether a setting of this kind would do better. untried: why it makes no sense for such inputs."""
    better = [suggestion for suggestion in look.clean.suggestions if about in suggestion.about]
    if better:
        ways = "; ".join(f"{suggestion.how} would give {100 * suggestion.accuracy:.1f} %" for suggestion in better[:2])
        return Seen("warn", ways, better[0].accuracy)
    if untried:
        return Seen(None, untried)
    if not look.clean.low and about not in ("range", "normalisation"):
        return Seen(None, f"not tried: a clean accuracy of {percent(look.clean.accuracy)} gives no reason to")
    return Seen("pass", f"no other would do better than {100 * look.clean.accuracy:.1f} %", look.clean.accuracy)


def _range(look: Look) -> Seen:
    least, most = span_of(look.samples)
    low, high = look.samples.bounds
    filled = f"pixels from {least:.4g} to {most:.4g} in {show(look.samples.bounds)}"
    if look.clean.narrow:
        way = "state another with --range or --data-range"
        return Seen("warn", f"{filled}; {way}", (most - least) / (high - low), ("pixel-range",))
    seen = _mended(look, "range")
    if seen.outcome != "pass":
        return seen
    return Seen(
        "pass", filled + "".join(f"; {flag} does as well" for flag in look.clean.ties), (most - least) / (high - low)
    )


def _normalisation(look: Look) -> Seen:
    return _mended(look, "normalisation")


def _channels(look: Look) -> Seen:
    shape = look.info.input_shape
    return _mended(look, "channels", "" if len(shape) == 3 and shape[0] == 3 else "the input has no three colours")


def _layout(look: Look) -> Seen:
    shape = look.info.input_shape
    side = math.isqrt(shape[0]) if shape else 0
    square = (len(shape) == 3 and shape[1] == shape[2]) or (len(shape) == 1 and side * side == shape[0])
    return _mended(look, "layout", "" if square else "turned inputs would not fit")


def _labels(look: Look) -> Seen:
    return _mended(look, "labels")


def _classes(look: Look) -> Seen:
    shown = len(set(look.samples.y.tolist()))
    return looked.class_count(shown, look.clean.answered, look.info.classes, len(look.samples))


def _output(look: Look) -> Seen:
    return looked.output_kind(look.info.output)


def _training(look: Look) -> Seen:
    return looked.training_mode(look.info.traits)


ITEMS: tuple[Item, ...] = (
    Item(
        "clean-accuracy", "The model knows its data", _CARLINI,
        "clean samples answered rightly / samples, with its Clopper-Pearson 95 % interval",
        f"warn: less than {100 * LOW:.0f} % of the way from chance to perfect, fail: then, and chance inside the "
        "interval",
        "attacking a model that guesses measures nothing; most often a setting is wrong, not the model", _accuracy,
    ),
    Item(
        "input-range", "The pixels fill the stated range", _OWN,
        f"share of the stated range that the pixels fill; {_CHANGE}, other ranges of model and data",
        f"warn: they fill <= {100 * NARROW:.0f} %; {_BETTER.removeprefix('warn: ')}",
        "in a wrong range the same eps means up to 255 times more or less", _range,
    ),
    Item("input-normalisation", "Mean and std are right", _OWN, f"{_CHANGE}: none, ImageNet, CIFAR-10, MNIST", _BETTER,
         _WHY,
         _normalisation),
    Item("input-channels", "The colours are in order", _OWN, f"{_CHANGE}: channels reversed", _BETTER, _WHY, _channels),
    Item("input-layout", "The images are upright", _OWN, f"{_CHANGE}: height and width swapped", _BETTER, _WHY,
         _layout),
    Item("label-order", "The labels are numbered as the model's outputs", _OWN,
         f"{_CHANGE}: shifted by one, in text order, any renumbering", _BETTER, _WHY, _labels),
    Item(
        "class-count", "Model and data speak of the same classes", _OWN,
        "classes of the model, among the labels, and among its answers",
        "warn: one answer for everything, or the labels show fewer than half of the classes (of the samples, where "
        "those are fewer)",
        "a model that always answers the same cannot be fooled, and classes without samples are not measured", _classes,
    ),
    Item(
        "output-kind", "The model gives scores", _CARLINI, "what the outputs are: logits, probabilities, labels",
        "warn: labels only",
        "probabilities saturate, so losses on them vanish; labels leave black-box attacks by decisions alone", _output,
    ),
    Item(
        "training-mode", "No layer is in training mode",
        "Pintor et al. 2022, Indicators of attack failure, indicator 2",
        "what the loader noted while it read the model", "warn: any",
        "dropout and batch statistics make answers random; a copy in evaluation mode is evaluated, which need not be "
        "what is deployed", _training,
    ),
)  # fmt: skip
