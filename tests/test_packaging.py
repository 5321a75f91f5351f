"""What an installer and a type checker read about the distribution, and how strict the checkers of the code are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robusteval.verify.parts.facts import EARLIER

ROOT = Path(__file__).parent.parent
PYPROJECT = ROOT / "pyproject.toml"
OURS = ("robusteval", "tests", "benchmarks", "examples")
TYPED = ("robusteval", "plugins", "benchmarks", "tests")
LOOSE = (
    "allow_", "disable_error_code", "exclude", "follow_imports", "ignore_errors", "ignore_missing_imports", "implicit_",
)  # fmt: skip
STRICT = ("check_", "disallow_", "extra_checks", "no_implicit_", "strict_", "warn_")
CONFIGURATIONS = {"ruff.toml", ".ruff.toml", "setup.cfg", "mypy.ini", ".mypy.ini", ".flake8"}


def settings(text: str) -> dict[str, Any]:
    tool: dict[str, Any] = tomllib.loads(text)["tool"]
    return tool


def without_reason(text: str) -> list[str]:
    """The rules of ruff that are left out, for all files or for some, and whose line does not say why."""
    section = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.mccabe]")]
    entries = [line.strip() for line in section.splitlines() if re.match(r'\s+"[A-Z]+\d*"', line)]
    lint = settings(text)["ruff"]["lint"]
    left_out = [*lint["ignore"], *(rule for rules in lint["per-file-ignores"].values() for rule in rules)]
    assert [line.split('"')[1] for line in entries] == left_out, "one rule a line"
    return [line for line in entries if not re.fullmatch(r'"[A-Z]+\d*", # \S.{3,}', line)]


def line_lengths(text: str) -> list[int]:
    """Every number that says how long a line may be."""
    found = re.findall(r"^(?:line-length|max-line-length|max-doc-length|line_length) *= *(\d+)", text, re.MULTILINE)
    return [int(item) for item in found]


def loosened(text: str) -> list[str]:
    """What makes mypy less than strict for modules of ours."""
    mypy = settings(text)["mypy"]
    found = [] if mypy.get("strict") is True else ["not strict"]
    found += [f"{name} = {value}" for name, value in mypy.items() if name.startswith(LOOSE) and value]
    found += [f"{name} = false" for name, value in mypy.items() if name.startswith(STRICT) and value is False]
    found += [f"{name} is not looked at" for name in TYPED if name not in mypy["files"]]
    for override in mypy.get("overrides", []):
        modules = override["module"] if isinstance(override["module"], list) else [override["module"]]
        found += [
            f"an override for {name}" for name in modules if name.split(".")[0].startswith(OURS) or name[0] == "*"
        ]
        found += [f"{name} for {modules}" for name in override if name not in ("module", "ignore_missing_imports")]
    return found


def test_the_groups_of_developers_are_the_extras() -> None:
    metadata = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    assert metadata["dependency-groups"] == metadata["project"]["optional-dependencies"]


def test_every_package_says_that_it_is_typed() -> None:
    packages = [path.parent for folder in (ROOT, ROOT / "plugins") for path in folder.glob("robusteval*/__init__.py")]
    assert len(packages) >= 3
    assert [path.name for path in packages if not (path / "py.typed").is_file()] == []


def test_ruff_checks_every_rule_but_those_with_a_reason() -> None:
    text = PYPROJECT.read_text(encoding="utf-8")
    lint = settings(text)["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    assert without_reason(text) == []
    assert not {"extend-ignore", "extend-select", "extend-per-file-ignores"} & set(lint)
    assert set(lint["per-file-ignores"]) & {"**", "*", "robusteval/**", "*.py"} == set(), "that is the list for all"


def test_there_is_one_line_length() -> None:
    assert line_lengths(PYPROJECT.read_text(encoding="utf-8")) == [120]
    other = [path for top in (ROOT, *(ROOT / name for name in (*OURS, "plugins"))) for path in top.glob("*")]
    assert [path for path in other if path.name in CONFIGURATIONS] == []


def test_mypy_is_strict_for_all_that_is_ours() -> None:
    assert loosened(PYPROJECT.read_text(encoding="utf-8")) == []


def test_an_ignored_error_has_its_code() -> None:
    """Of both checkers; and no file is left out as a whole. This one spells the patterns out."""
    bare = re.compile(r"#\s*type:\s*ignore(?!\[[a-z-]+)|#\s*noqa(?!: [A-Z]+\d)|#\s*(?:ruff|flake8):\s*noqa|#\s*mypy:")
    files = [path for top in (*OURS, "plugins") for path in (ROOT / top).rglob("*.py")]
    assert len(files) > 500
    assert [
        str(path) for path in files if path != Path(__file__) and bare.search(path.read_text(encoding="utf-8"))
    ] == []


@pytest.mark.parametrize(
    ("look", "old", "new"),
    [
        (without_reason, '"TRY003", # the same as EM101', '"TRY003",'),
        (loosened, "\nstrict = true", "\nstrict = false"),
        (loosened, "\nstrict = true", "\nstrict = true\nignore_missing_imports = true"),
        (loosened, "\nstrict = true", "\nstrict = true\ndisallow_untyped_defs = false"),
        (loosened, "\nstrict = true", '\nstrict = true\nexclude = "tests/"'),
        (loosened, ', "tests"]\nmypy_path', "]\nmypy_path"),
        (loosened, "[[tool.mypy.overrides]]", '[[tool.mypy.overrides]]\nmodule = ["tests.*"]\n[[tool.mypy.overrides]]'),
        (loosened, "ignore_missing_imports = true", "ignore_errors = true"),
    ],
)
def test_a_looser_setting_is_seen(look: Callable[[str], list[str]], old: str, new: str) -> None:
    text = PYPROJECT.read_text(encoding="utf-8")
    assert old in text
    assert look(text.replace(old, new, 1)) != []


def test_the_version_is_the_same_wherever_it_stands() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(version)} - \d{{4}}-\d\d-\d\d", sections[1])
    # verify says of their runs that another version made them
    assert {section.split()[0] for section in sections[2:]} <= set(EARLIER)
