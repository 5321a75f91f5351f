"""The locks pin what constraints.txt and pyproject.toml say, each file by its hash, and CI installs by them."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from tests.release.lock import ROOT, locked, pins, plain

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64", "python_version": "3.11", "os_name": "posix"}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def wanted(rows: list[str]) -> dict[str, Requirement]:
    """Requirements that count on the machine of CI, by name."""
    environment = {name: str(value) for name, value in default_environment().items()} | LINUX
    found = [Requirement(row) for row in rows]
    return {plain(row.name): row for row in found if row.marker is None or row.marker.evaluate(environment)}


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("ci", [*PROJECT["dependencies"], *EXTRAS["test"], *EXTRAS["release"], *EXTRAS["docs"]]),
        ("run", PROJECT["dependencies"]),
    ],
)
def test_a_lock_has_what_is_asked_for(name: str, rows: list[str]) -> None:
    """`make lock` writes it anew."""
    there = locked(name)
    for package, requirement in wanted(rows).items():
        assert package in there, f"{package} is not locked"
        assert requirement.specifier.contains(there[package].version, prereleases=True), package


@pytest.mark.parametrize("name", ["ci", "run"])
def test_every_file_is_pinned_by_a_hash(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line and not line.startswith((" ", "#", "\t"))]
    there = locked(name)
    assert len(there) == len(rows) > 20, "one package a row, and nothing else: no option, no address, no path"
    assert [package for package, pin in there.items() if not pin.hashes] == []


def test_the_lock_has_the_versions_of_the_constraints() -> None:
    constraints = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    there = locked("ci")
    differ = {name: pin.version for name, pin in constraints.items() if name in there}
    assert differ == {name: there[name].version for name in differ}
    # what `make mutants` and `make fuzz` alone install
    others = wanted(EXTRAS["mutants"]).keys() | wanted(EXTRAS["fuzz"]).keys() | {"libcst"}
    assert constraints.keys() - there.keys() <= others


def test_what_is_run_is_what_was_tested() -> None:
    ci, run = locked("ci"), locked("run")
    assert run == {name: ci[name] for name in run}
    assert len(run) < len(ci)


def test_the_reader_reads() -> None:
    text = f"A_b.c[x]==1.0 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{'f' * 64}\n    # via d\ne==2\n"
    found = pins(text)
    assert (found["a-b-c"].version, len(found["a-b-c"].hashes)) == ("1.0", 2)
    assert (found["e"].version, found["e"].hashes) == ("2", ())


def test_workflows_install_by_the_lock_and_take_actions_by_their_commit() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "release.yml"]
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        uses = re.findall(r"^\s*-? *uses: (\S+)(.*)$", text, flags=re.MULTILINE)
        assert uses
        assert [use for use, _ in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", use)] == []
        assert all(re.fullmatch(r" # v\d+\.\d+\.\d+", words) for _, words in uses), "a reader sees which release it is"
        assert 'LOCKED: "1"' in text
        assert "pip install" not in text, "what is installed is the Makefile's business"
        assert "\npermissions:\n  contents: read\n" in text
        assert "pull_request_target" not in text


def test_locked_installs_by_hashes_alone() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    rule = text[text.index("\n.venv/.done:") : text.index("\ninstall:")]
    by_lock, _, other = rule.partition("endif")[0].partition("else")
    assert "ifdef LOCKED" in by_lock
    assert "--require-hashes --only-binary :all: --requirement requirements/ci.lock" in by_lock
    assert "--no-deps --no-build-isolation --editable ." in by_lock
    assert "--require-hashes" not in other
