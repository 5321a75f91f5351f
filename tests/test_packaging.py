"""What an installer and a type checker read about the distribution."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_groups_of_developers_are_the_extras() -> None:
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert metadata["dependency-groups"] == metadata["project"]["optional-dependencies"]


def test_every_package_says_that_it_is_typed() -> None:
    packages = [path.parent for folder in (ROOT, ROOT / "plugins") for path in folder.glob("robusteval*/__init__.py")]
    assert len(packages) >= 3
    assert [path.name for path in packages if not (path / "py.typed").is_file()] == []


def test_the_version_is_the_same_wherever_it_stands() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(version)} - \d{{4}}-\d\d-\d\d", sections[1])
