"""What an attack is after: any wrong class, one class, the least likely one, or each other class in turn."""

from __future__ import annotations

import torch
from torch import Tensor

from robusteval.contracts.classifier import Classifier, ModelInfo
from robusteval.contracts.samples import Samples
from robusteval.engine.source import Source
from robusteval.errors import DataError, RobustEvalError

UNTARGETED, LEAST_LIKELY, ALL = "untargeted", "least-likely", "all"
_PREFIX = "class "
_BATCH = 256


def parse(text: str, info: ModelInfo) -> str:
    """The target as the record names it: "untargeted", "least-likely", "all", or "class 3" for the class 3 (or its
    name).

    Raises RobustEvalError for a class that the model has not.
    """
    if text in (UNTARGETED, LEAST_LIKELY, ALL):
        return text
    if text in info.class_names:
        return f"{_PREFIX}{info.class_names.index(text)}"
    if text.isascii() and text.isdigit() and int(text) < info.classes:
        return f"{_PREFIX}{int(text)}"
    raise RobustEvalError(
        f"The model has no class {text[:60]!r} to be the target.",
        f"Give a number from 0 to {info.classes - 1}, the name of a class, least-likely or all.",
    )


def number(target: str) -> int | None:
    """The class of a target "class 3", or None for the other kinds."""
    return int(target.removeprefix(_PREFIX)) if target.startswith(_PREFIX) else None


def without_target(samples: Samples, target: str) -> Samples:
    """The samples that are not of the target class already. Raises DataError where none is left."""
    rows = attackable(samples.y, target)
    return samples if rows is None else samples[rows]


def attackable(labels: Tensor, target: str) -> Tensor | None:
    """Which samples are not of the target class already, bool [N]; None where all count. Raises DataError where none is
    left."""
    goal = number(target)
    if goal is None:
        return None
    rows: Tensor = labels != goal
    if not bool(rows.any()):
        raise DataError(f"Every sample is of the target class {goal} already.", "Choose another target or other data.")
    return rows


def least_likely(model: Classifier, samples: Source) -> Tensor:
    """The class that the bare model finds least likely for each clean sample, the true one aside: int64 [N]."""
    found = []
    for start in range(0, len(samples), _BATCH):
        y = samples.y[start : start + _BATCH]
        scores = torch.nan_to_num(model.logits(samples.x[start : start + _BATCH]).detach().float())
        found.append(scores.scatter(1, y[:, None], torch.inf).argmin(1))
    return torch.cat(found) if found else samples.y.clone()


def safe_mask(labels: Tensor, goals: Tensor | None, classes: int, pipeline_classes: int) -> Tensor:
    """safe bool [B, K']: every prediction that is no win. labels, goals: int64 [B]; goals None: untargeted.

    Untargeted: the true class, and the class "rejected" where the pipeline has one. Targeted: all but the goal.
    """
    if goals is not None:
        safe = torch.ones(len(labels), pipeline_classes, dtype=torch.bool, device=labels.device)
        return safe.scatter_(1, goals[:, None], False)
    safe = torch.zeros(len(labels), pipeline_classes, dtype=torch.bool, device=labels.device)
    safe[:, classes:] = True
    return safe.scatter_(1, labels[:, None], True)
