"""What holds for all tests: nothing that is trained here is kept on the developer's machine, or taken from it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUSTEVAL_CACHE", "off")
