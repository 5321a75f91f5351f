"""Torch's threads: each unit runs on one, unless memory leaves room for fewer workers than were asked for, or fewer
workers of more threads are measured to be faster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
