"""What tests of defences that learn share: seeds, and a part of the samples to learn from."""

from __future__ import annotations

import torch

from robusteval.api import Samples
from tests.plugins.conftest import Trained


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some(fashion: Trained, count: int, start: int = 0) -> Samples:
    return fashion.fit[torch.arange(start, start + count)]
