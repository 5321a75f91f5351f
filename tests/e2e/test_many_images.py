"""The memory of a run does not grow with the images: what benchmarks/many_images.py measures, at a size for tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEW, MANY = 2500, 12_500  # so that each worker makes some units in both
# Of the 10,000 more images 31 MB would be the stored pixels, and 123 MB the pixels as the model takes them. In the
# parent columns grow by about a kilobyte an image; allocators keep what they were given, and never the same.
PARENT, WORKER = 30e6, 30e6
SUITE = """
name = "quick"
version = "1"
norms = ["l2"]
metrics = ["cost"]
samples = 100
probe_samples = 0
[[attack]]
plugin = "fgsm"
search = 1
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks into /proc")
@pytest.mark.parametrize("layout", ["npz", pytest.param("folder", marks=pytest.mark.long)])
def test_memory_is_the_same_for_five_times_the_images(layout: str, tmp_path: Path) -> None:
    (tmp_path / "quick.toml").write_text(SUITE)
    command = [sys.executable, str(ROOT / "benchmarks" / "many_images.py"), "--json", "--time-budget", "none"]
    command += ["--layout", layout, "--suite", str(tmp_path / "quick.toml"), "--count", str(FEW), str(MANY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    few, many = json.loads(done.stdout)
    for row in (few, many):
        assert row["code"] == 0, row["said"]
        assert (row["done"], row["skipped"]) == (1, 0)
        assert row["workers"] >= 2
    assert many["parent"] - few["parent"] < PARENT, (few, many)
    assert many["worker"] - few["worker"] < WORKER, (few, many)
