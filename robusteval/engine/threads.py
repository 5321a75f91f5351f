"""Torch's threads: each unit runs on one, unless memory leaves room for fewer workers than were asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


def one_thread() -> AbstractContextManager[None]:
    """Torch on one thread, and back to what it was."""
    return on_threads(1)


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Torch on so many threads, and back to what it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
