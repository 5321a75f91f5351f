"""Asking a PyTorch module: canonical images in, rows of its own output [B, K] out, and every fault of its in one
sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from robusteval.cage.page import Asking
from robusteval.errors import ModelError, RobustEvalError
from robusteval.loaders.input_space import PixelSpace
from robusteval.loaders.pytorch.outputs import Path, nothing_in, one_hot, picked, rows_of, tensors


def _tensors(module: nn.Module) -> Iterable[Tensor]:
    # one after the other: every pass asks for the first of them
    yield from (t for t in chain(module.parameters(), module.buffers()) if t.is_floating_point())


def dtype_of(module: nn.Module) -> torch.dtype:
    """Of its first tensor of real numbers; float32 where it has none."""
    return next((t.dtype for t in _tensors(module)), torch.float32)


def device_of(module: nn.Module) -> torch.device:
    """Where its first tensor of real numbers lies; the CPU where it has none."""
    return next((t.device for t in _tensors(module)), torch.device("cpu"))


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def call(module: nn.Module, space: PixelSpace, x: Tensor) -> Any:
    """Whatever the module returns for canonical x [B, *input_shape]. The module follows x to its device.

    It is given a copy, which it may write into: gradients through the copy are those of x. Raises ModelError for
    everything that goes wrong inside; no code of a stranger may end the run, be it by SystemExit.
    """
    if device_of(module) != x.device:
        module.to(x.device)
    feed = space.to_file(x).to(dtype_of(module)).clone()
    shape = tuple(feed.shape)
    try:
        with Asking("the module", module, len(feed)):
            return module(feed)
    except (KeyboardInterrupt, GeneratorExit, RobustEvalError):
        raise
    except BaseException as error:
        raise ModelError(
            f"The module does not take inputs of shape {shape}: {first_line(error)}.",
            "Correct --shape or --layout where they are wrong; otherwise the module's own forward fails.",
        ) from error


@dataclass(frozen=True)
class Reading:
    """How a module is asked, and where its class scores are in what it returns.

    batch: the only number of inputs that it takes at once, None for any. least: it takes no fewer than these. path: of
    the output with the scores. labels: the number of classes where it answers with class numbers, else 0.
    """

    space: PixelSpace
    batch: int | None = None
    least: int = 1
    path: Path = ()
    labels: int = 0

    def outputs(self, module: nn.Module, x: Tensor) -> dict[Path, Tensor]:
        """Every output with one value a class, [B, K], of one call. Raises ModelError where there is none."""
        result = call(module, self.space, x)
        found = {path: rows_of(value, len(x)) for path, value in tensors(result)}
        good = {path: rows for path, rows in found.items() if rows is not None}
        if not good:
            raise nothing_in(result)
        return good

    def raw(self, module: nn.Module, x: Tensor) -> Tensor:
        """The module's answers [B, K] to canonical x, in batches that it takes; labels are one-hot."""
        try:
            parts = [self._part(module, part) for part in self.parts(x)]
        except ModelError:
            if self.batch is not None or self.least > 1 or len(x) < 2:
                raise
            # single inputs were seen to work, and this number of them at once was not
            parts = [self._part(module, row) for row in torch.split(x, 1)]
        rows = parts[0] if len(parts) == 1 else torch.cat(parts)
        return one_hot(rows, self.labels) if self.labels else rows

    def parts(self, x: Tensor) -> list[Tensor]:
        """x in batches that the module takes, the last one maybe short."""
        return [x] if self.batch is None else list(torch.split(x, self.batch))

    def filled(self, x: Tensor) -> Tensor:
        """A short batch with its last row repeated until the module takes it."""
        short = (self.batch or self.least) - len(x)
        return torch.cat([x, x[-1:].expand(short, *x.shape[1:])]) if short > 0 else x

    def _part(self, module: nn.Module, x: Tensor) -> Tensor:
        full = self.filled(x)
        value = picked(call(module, self.space, full), self.path)
        rows = rows_of(value, len(full))
        if rows is None:
            raise ModelError(
                f"The module answers {len(full)} inputs with a result of shape {tuple(value.shape)}.",
                "Return one row of scores for every input.",
            )
        return rows if len(full) == len(x) else rows[: len(x)]
