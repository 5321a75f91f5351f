"""The gate that every question to a model goes through: a batch is cut into what fits into memory.

Attacks and defences never notice: a model's answers, and gradients of a loss of each row alone, are the same however
the rows are grouped, but for rounding. What is random over a whole batch is not cut here, but at the model inside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

# truth: the scores that count; scores: of the differentiable twin, without its gradient; gradient: with it
Kind = Literal["truth", "scores", "gradient"]
T = TypeVar("T")

# What the libraries say who have no type of exception for it.
_SAID = (
    "out of memory",
    "can't allocate memory",
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
    "cublas_status_alloc",
)


@dataclass
class Sizes:
    """The most inputs that are asked about at once, by kind of question; None: as many as there are.

    halved: how often one was halved because memory ran out. Each worker process has sizes of its own.
    """

    truth: int | None = None
    scores: int | None = None
    gradient: int | None = None
    halved: int = 0

    def of(self, kind: Kind) -> int | None:
        """Of one kind."""
        size: int | None = getattr(self, kind)
        return size

    def halve(self, kind: Kind, size: int) -> bool:
        """After memory ran out at a batch of `size`: half of it from now on. False where it was a single input."""
        if size <= 1:
            return False
        setattr(self, kind, size // 2)
        self.halved += 1
        return True


def in_parts(sizes: Sizes, kind: Kind, rows: int, ask: Callable[[slice], T]) -> list[T]:
    """What `ask` answers to slices that make up range(rows), in order, none longer than the size of this kind.

    Where memory runs out, the size is halved and that part is asked again; raises what was raised where it does so on a
    single input. Of no rows one question is asked, of an empty slice.
    """
    answers: list[T] = []
    start = 0
    while start < rows or not answers:
        size = max(min(sizes.of(kind) or rows, rows - start), 0)
        try:
            answers.append(ask(slice(start, start + size)))
        except Exception as error:  # whatever it is, it goes on unless it says that memory ran out
            if not (out_of_memory(error) and sizes.halve(kind, size)):
                raise
        else:
            start += size
            continue
        _give_back()  # outside the handler, whose exception holds on to the frames and their tensors
    return answers


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception, or one that it came from, says that memory ran out."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        if any(words in str(error).lower() for words in _SAID):
            return True
        error = error.__cause__ or error.__context__
    return False


def rows_of(x: Tensor, rows: slice) -> Tensor:
    """x[rows]; the very tensor where these are all, so that those who share answers see what they have seen before."""
    return x if rows.start == 0 and rows.stop >= len(x) else x[rows]


def joined(parts: list[Tensor]) -> Tensor:
    """[B, ...] of the answers of `in_parts`."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _give_back() -> None:
    """Returns what the allocator of the GPU keeps for later, so that the next try finds it free."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
