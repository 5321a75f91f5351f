"""The memory of a run does not grow with the images: what benchmarks/many_images.py measures, at a size for tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEW, MANY = 600, 9000
# Of the 9,000 images 28 MB would be the stored pixels, and 110 MB the pixels as the model takes them. Columns grow by
# about a kilobyte an image in the parent, which makes 9 MB; allocators keep what they were given, and never the same.
PARENT, WORKER = 30e6, 15e6


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks into /proc")
@pytest.mark.parametrize("layout", ["npz", "packed", "folder"])
def test_memory_is_the_same_for_fifteen_times_the_images(layout: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "many_images.py"), "--json", "--time-budget", "15s"]
    command += ["--layout", layout, "--count", str(FEW), str(MANY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    few, many = json.loads(done.stdout)
    for row in (few, many):
        assert row["code"] == 0, row["said"]
        assert row["units"] > 0
        assert row["workers"] >= 2
    assert many["parent"] - few["parent"] < PARENT, (few, many)
    assert many["worker"] - few["worker"] < WORKER, (few, many)
