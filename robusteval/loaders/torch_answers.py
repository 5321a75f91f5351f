"""What a PyTorch module answers: its scores for canonical inputs, and what a few questions tell about it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..errors import ModelError
from .head import Head, flat_rows, read_head
from .pixel import PixelSpace

SOFTMAXES = (torch.softmax, torch.nn.functional.softmax, Tensor.softmax)
SIGMOIDS = (torch.sigmoid, torch.nn.functional.sigmoid, Tensor.sigmoid)


class _LastSoft(TorchFunctionMode):
    """Remembers what went into every softmax and sigmoid, so that the last one can be taken in logarithms."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, str, Tensor]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if args and isinstance(out, Tensor) and (func in SOFTMAXES or func in SIGMOIDS):
            self.seen.append((out, "Softmax" if func in SOFTMAXES else "Sigmoid", args[0]))
        return out

    def before(self, out: Tensor) -> tuple[str, Tensor] | None:
        """The operator that made `out`, and what went into it."""
        return next(((kind, x) for made, kind, x in reversed(self.seen) if made is out), None)


@dataclass(frozen=True)
class Asked:
    """What a few questions tell about a module."""

    head: Head
    batch: int | None
    notes: tuple[str, ...]
    gradients: str
    reason: str


def _tensors(module: nn.Module) -> Iterable[Tensor]:
    # one after the other: every pass asks for the first of them
    yield from (t for t in chain(module.parameters(), module.buffers()) if t.is_floating_point())


def dtype_of(module: nn.Module) -> torch.dtype:
    """Of its first tensor of real numbers; float32 where it has none."""
    return next((t.dtype for t in _tensors(module)), torch.float32)


def device_of(module: nn.Module) -> torch.device:
    """Where its first tensor of real numbers lies; the CPU where it has none."""
    return next((t.device for t in _tensors(module)), torch.device("cpu"))


def _scores_in(result: Any) -> Tensor:
    """The class scores in whatever a module returns. Raises ModelError."""
    if isinstance(result, Tensor):
        return result
    if hasattr(result, "logits") and isinstance(result.logits, Tensor):
        return result.logits
    values = list(result.values()) if isinstance(result, dict) else result if isinstance(result, (list, tuple)) else []
    found = [v for v in values if isinstance(v, Tensor) and v.is_floating_point() and v.dim() in (1, 2)]
    if not found:
        raise ModelError(f"The module returns a {type(result).__name__} without class scores.", "Return a tensor.")
    return found[0]


def raw_scores(module: nn.Module, space: PixelSpace, x: Tensor) -> Tensor:
    """The module's own output for canonical x. The module follows x to its device."""
    if device_of(module) != x.device:
        module.to(x.device)
    return _scores_in(module(space.to_file(x).to(dtype_of(module))))


def log_scores(module: nn.Module, space: PixelSpace, head: Head, x: Tensor) -> Tensor:
    """Log-probabilities without the detour over saturated probabilities, where the last operator can be seen."""
    with _LastSoft() as watch:
        raw = raw_scores(module, space, x)
    found = watch.before(raw)
    if found is None:
        return head.of_file(raw)
    kind, before = found
    before = flat_rows(before)
    if kind == "Softmax":
        return F.log_softmax(before, 1)
    if head.one_score:
        return torch.cat([F.logsigmoid(-before), F.logsigmoid(before)], 1)
    return F.logsigmoid(before)


def ask_module(module: nn.Module, space: PixelSpace) -> Asked:
    """Some answers: classes, scale of the scores, randomness, dependence between rows, gradients. Raises ModelError."""
    low, high = space.bounds
    rng = np.random.default_rng(11)
    noise = torch.from_numpy(rng.random((4, *space.input_shape), dtype=np.float32))
    x = low + (high - low) * noise
    x = x.to(device_of(module))
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # a random module must not disturb the caller's numbers
        try:
            with _LastSoft() as watch:
                together = raw_scores(module, space, x)
            again = raw_scores(module, space, x)
            alone = torch.cat([flat_rows(raw_scores(module, space, x[i : i + 1])) for i in range(len(x))])
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(
                f"The module does not take inputs of shape {space.file_shape}: {reason}", "Correct --shape or --layout."
            ) from error
    found = watch.before(together)
    rows = flat_rows(together)
    if rows.shape[0] != len(x):
        raise ModelError(
            f"The module answers 4 inputs with a result of shape {tuple(together.shape)}.", "Keep the batch."
        )
    kind = found[0] if found else ""
    head = read_head(rows.float(), kind)
    if head.classes < 2:
        raise ModelError("The module has a single class.", "Give a classifier with at least two.")
    notes, batch = [], None
    scale = max(1e-12, float(rows.abs().max()))
    if float((rows - flat_rows(again)).abs().max()) > 1e-6 * scale:
        notes.append("The module's answers differ from call to call: it draws random numbers.")
    elif float((rows - alone).abs().max()) > 1e-3 * scale:
        notes.append("The module's answers depend on the other rows of a batch: every input is asked alone.")
        batch = 1
    gradients, reason = _gradients(module, space, head, x)
    if gradients == "exact" and head.output == "probabilities" and _saturated(module, space, head, x):
        reason = "The module's probabilities saturate: gradients are taken before its last softmax or sigmoid."
        reason = reason if found else "The module's probabilities saturate, and what they are made from cannot be seen."
    return Asked(head, batch, tuple(notes), gradients, reason)


def _gradients(module: nn.Module, space: PixelSpace, head: Head, x: Tensor) -> tuple[str, str]:
    leaf = x.clone().requires_grad_(True)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            if head.output == "probabilities":
                scores = log_scores(module, space, head, leaf)
            else:
                scores = head.of_file(raw_scores(module, space, leaf))
            if not scores.requires_grad:
                return "none", "Its output does not depend on its input in a way that torch can differentiate."
            pair = scores.topk(2, 1).values
            grad = torch.autograd.grad((pair[:, 0] - pair[:, 1]).sum(), leaf)[0]
    except RuntimeError as error:
        return "none", f"Torch cannot differentiate it: {str(error).splitlines()[0]}."
    if not math.isfinite(float(grad.abs().max())):
        return "none", "Its gradients are not finite."
    if float(grad.abs().max()) == 0.0:
        return "none", "Its gradients are zero."
    return "exact", ""


def _saturated(module: nn.Module, space: PixelSpace, head: Head, x: Tensor) -> bool:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        top = log_scores(module, space, head, x).topk(2, 1).values
    return bool(((top[:, 0] - top[:, 1]) > 15).double().mean() > 0.1)
