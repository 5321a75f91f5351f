"""From what a model returns to scores: the same for ONNX files and PyTorch modules."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.errors import ModelError
from robusteval.runtime.answers import LOG_ZERO, TINY

_ENOUGH = 8  # single scores between 0 and 1, so that this is no chance
MAX_FEATURES = 32_768  # read out by the planted test at most
NO_FEATURES = "Read out the scores instead."  # the hint where a model shows none


@dataclass(frozen=True)
class Head:
    """How raw outputs become scores [B, K]: the same for the truth and for the twin."""

    output: str = "logits"  # "logits", "probabilities", "log-probabilities" or "labels"
    one_score: bool = False  # a single output stands for two classes
    classes: int = 0
    # not "": the twin's raw output is in logarithms (see onnx.gradients.tail.Soft); of one score it is the logit
    tail: str = ""

    def of_file(self, raw: Tensor) -> Tensor:
        """Scores of the model's own raw output."""
        raw = flat_rows(raw)
        if self.output == "probabilities":
            if self.one_score:
                return torch.cat([(1 - raw).clamp_min(TINY).log(), raw.clamp_min(TINY).log()], 1)
            return raw.clamp_min(TINY).log()
        if self.output == "log-probabilities":
            return raw.masked_fill(torch.isneginf(raw), LOG_ZERO)
        return torch.cat([torch.zeros_like(raw), raw], 1) if self.one_score else raw

    def of_twin(self, raw: Tensor) -> Tensor:
        """Scores of the twin's raw output, which has what saturates taken in logarithms."""
        if not self.tail:
            return self.of_file(raw)
        raw = flat_rows(raw)
        return torch.cat([F.logsigmoid(-raw), F.logsigmoid(raw)], 1) if self.one_score else raw


def flat_rows(raw: Tensor) -> Tensor:
    """[B, ...] -> [B, K]."""
    return raw.flatten(1) if raw.dim() > 1 else raw.reshape(-1, 1)


def read_head(raw: Tensor, tail: str = "", labels: bool = False, blind: bool = False) -> Head:
    """What the raw outputs of some inputs say about the scale of the scores. Raises ModelError.

    `tail`: what makes them, as a prepared graph says it (onnx.gradients.tail.Soft). `labels`: they are one-hot
    decisions. `blind`: nothing shows what makes them, so that a sigmoid may be hidden.
    """
    raw = flat_rows(raw).double()
    one = raw.shape[1] == 1
    if labels:
        return Head("labels", False, raw.shape[1], tail)
    if tail == "Log":
        raw = raw.masked_fill(torch.isneginf(raw), LOG_ZERO)
    if not torch.isfinite(raw).all():
        raise ModelError("The model answers plain inputs with values that are not finite.", "Check the export.")
    within = bool((raw >= -1e-6).all() and (raw <= 1 + 1e-3).all())
    slack = 1e-2 if tail else 1e-3  # half precision and int8 round each of the summands
    sums_to_one = not one and bool(((raw.sum(1) - 1).abs() < slack).all())
    positive = tail not in ("", "Log") and bool((raw >= -1e-6).all()) and (within or not one)
    # a single logit that never leaves [0, 1] would answer one class alone
    hidden = blind and one and within and len(raw) >= _ENOUGH
    if (within and sums_to_one) or positive or hidden:
        return Head("probabilities", one, 2 if one else raw.shape[1], tail)
    below = not one and bool((raw <= 1e-6).all())
    if below and (tail == "Log" or bool((raw.logsumexp(1).abs() < 1e-3).all())):
        return Head("log-probabilities", False, raw.shape[1], tail)
    return Head("logits", one, 2 if one else raw.shape[1], "" if one else tail)
