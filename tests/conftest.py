"""What holds for all tests: nothing that is trained or measured here is kept on the developer's machine, or taken from
it."""

from __future__ import annotations

import gc
import os
import random
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import torch

from tests import devices, shapes

shapes.check()  # before anything of robusteval is imported
devices.compute_there()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for the whole session: a model is calibrated once, so that runs which are compared use the same kernels."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("ROBUSTEVAL_CACHE", str(cache))


@pytest.fixture(autouse=True)
def _shapes() -> None:
    """Are checked anew in each test."""
    shapes.again()


@pytest.fixture(autouse=True)
def _own_draws(request: pytest.FixtureRequest) -> None:
    """What a test draws without a generator is the same whichever tests ran before it in the same process."""
    seed = crc32(request.node.nodeid.encode())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the global generator is what is meant
    torch.manual_seed(seed)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The suite has a limit of time: what asks again what a shorter test asks is asked where somebody wants it."""
    if not os.environ.get("ROBUSTEVAL_TEST_LONG"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="ROBUSTEVAL_TEST_LONG=1 runs it"))


def pytest_collection_finish() -> None:
    """What was imported and collected stays till the end: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
