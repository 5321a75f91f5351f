"""A complete outside package is really installed, found, conforming, and listed like our own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import whole

SOURCE = Path(__file__).parent / "robusteval_acme"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed a copy of the package (building in place would leave files behind)."""
    copy = tmp_path_factory.mktemp("source") / "robusteval_acme"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    target = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    run([*pip(), "install", *options, "--target", str(target), str(copy)], None)
    return target


def pip() -> list[str]:
    """pip of this interpreter, or of the one that its environment was made with."""
    own = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    python = sys.executable if own.returncode == 0 else str(Path(sys.base_prefix, "bin", "python3"))
    return [python, "-m", "pip"] if python == sys.executable else [python, "-m", "pip", "--python", sys.executable]


def run(command: list[str], target: Path | None) -> str:
    """stdout of a command that sees the installed package; its output is the message if it fails."""
    before = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(part for part in (str(target or ""), before) if part)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_its_entry_point_is_installed(installed: Path) -> None:
    code = (
        "from importlib.metadata import entry_points\n"
        "(one,) = [e for e in entry_points(group='robusteval') if e.name == 'acme']\n"
        "print(one.dist.name, one.dist.version, one.load().__file__)"
    )
    name, version, file = run([sys.executable, "-c", code], installed).split()
    assert (name, version) == ("robusteval-acme", "0.3.0")
    assert Path(file).is_relative_to(installed)


def test_its_own_conformance_test_passes(installed: Path) -> None:
    tests = str(SOURCE / "tests")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--rootdir", tests, tests]
    out = run([*command, "-c", os.devnull], installed)
    assert "34 passed" in out
    assert "acme.coordinate: 33 checks: 31 passed, 2 not applicable, 0 failed" in out


def test_the_command_line_lists_it_like_our_own(installed: Path) -> None:
    rows = json.loads(run([sys.executable, "-m", "robusteval", "plugins", "list", "--json"], installed))
    (row,) = [row for row in rows if row["name"] == "acme.coordinate"]
    assert (row["kind"], row["version"], row["distribution"]) == ("attack", "2", "robusteval-acme")
    assert not row["broken"]
    assert {row["distribution"] for row in rows} >= {"robusteval", "robusteval-acme"}


SUITE = """
name = "detector"
version = "1"
norms = ["l0"]
probe_samples = 0
[[attack]]
plugin = "acme.coordinate"
[[defense]]
plugin = "confidence"
adaptive = ["acme.coordinate"]
oblivious = ["acme.coordinate"]
"""


def test_it_evades_a_detector_of_which_it_knows_nothing(installed: Path, tmp_path: Path) -> None:
    """The class "rejected" is one more class to it: what it returns is neither right nor rejected."""
    (tmp_path / "suite.toml").write_text(SUITE)
    model = Path(__file__).parents[2] / "examples" / "fashion-cnn.onnx"
    command = [sys.executable, "-m", "robusteval", "run", str(model), "--suite", str(tmp_path / "suite.toml")]
    run([*command, "--samples", "40", "--workers", "1", "--out", str(tmp_path / "run")], installed)
    record = whole(tmp_path / "run")
    (pipeline,) = [row for row in record["pipelines"] if row["defense"] == "confidence"]
    cells = {cell["knowledge"]: cell for cell in record["cells"] if cell["plugin"] == "acme.coordinate"}
    rejected, labels = record["model"]["classes"], record["data"]["labels"]
    lost = [n for n, value in enumerate(cells["adaptive"]["distance"]) if value is not None and value > 0]
    right = sum(a == b for a, b in zip(pipeline["prediction"], labels, strict=True))
    assert len(lost) >= 0.9 * right
    for sample in lost:
        assert cells["adaptive"]["prediction"][sample] not in (labels[sample], rejected)
        assert cells["adaptive"]["suspicion"][sample] <= pipeline["threshold"]
    # without the detector in its problem some of what it finds is caught, so that evading it was work
    caught = sum(answer == rejected for answer in cells["oblivious"]["strengths"][0]["prediction"])
    assert caught >= 5


def test_it_is_short_and_knows_only_the_api() -> None:
    lines = (SOURCE / "robusteval_acme.py").read_text().splitlines()
    assert len(lines) < 40
    assert [line for line in lines if "robusteval." in line and "import" in line] == [
        "from robusteval.api import Attack, AttackInfo, Problem, hookimpl, param, per_sample"
    ]
