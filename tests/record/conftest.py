"""A folder with a saved run, for tests of its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from robusteval.record import store
from tests.record.tables import full


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store.save(full(), tmp_path)
    return tmp_path
