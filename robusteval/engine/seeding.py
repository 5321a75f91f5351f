"""Randomness by what it is for: numbers do not depend on order, executor, other cells or a resume."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Generator


def generator(seed: int, *parts: object) -> Generator:
    """A generator that depends on the seed and these parts only, never on what ran before."""
    text = repr((seed, *parts)).encode()
    number = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
    return Generator().manual_seed(number)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Around what others do: the global generators of torch, numpy and Python are afterwards as they were. A library
    may draw from them as soon as it is imported."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002 - these are kept
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])  # noqa: NPY002 - as above
        random.setstate(before[2])
