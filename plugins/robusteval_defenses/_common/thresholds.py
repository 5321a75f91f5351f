"""What the detectors share: the clean samples to learn from, and a threshold for a wanted false-alarm rate."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from robusteval.api import Classifier, DataError, RobustEvalError, Samples

BATCH = 256


def batched(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """function over x [N, *shape] in batches, without gradients; its answers put together again."""
    with torch.no_grad():
        return torch.cat([function(part) for part in torch.split(x, BATCH)])


def clean_samples(model: Classifier, data: Samples | None, name: str) -> Samples:
    """The samples that the model gets right. Raises RobustEvalError without data, DataError when none is right."""
    if data is None or len(data) == 0:
        raise RobustEvalError(
            f"The defence {name} learns from clean samples, and none were given.",
            "Name some that are not evaluated with --fit-data.",
        )
    right = batched(model.logits, data.x).argmax(1) == data.y.to(data.x.device)
    if not bool(right.any()):
        raise DataError(
            f"The model gets none of the {len(data)} samples right that the defence {name} was to learn from.",
            "Check the labels, the range and the preprocessing of --fit-data.",
        )
    return data[right]


def threshold_at(detector_score: Tensor, false_alarm: float) -> float:
    """The smallest observed score [N] that at most the share `false_alarm` of the scores exceeds."""
    ordered = detector_score.sort().values
    allowed = math.floor(false_alarm * len(ordered) + 1e-9)
    return float(ordered[len(ordered) - 1 - min(allowed, len(ordered) - 1)])


def few_samples(count: int, false_alarm: float) -> tuple[str, ...]:
    """A note where there are too few samples for a rate: below one false alarm in all of them."""
    if count * false_alarm >= 1:
        return ()
    return (
        (
            f"The threshold for {false_alarm:.2%} false alarms was set by only {count} clean samples, so it is the "
            "largest score among them."
        ),
    )
