"""The workflow of docs/ci.md can be read, and every command of it is one, with options that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from robusteval.cli import cli

PAGE = Path(__file__).parents[2] / "docs" / "ci.md"
MADE = {"junit.xml", "robusteval.sarif", "summary.md"}


def workflow() -> dict[Any, Any]:
    yaml = pytest.importorskip("yaml")
    (block,) = re.findall(r"<!-- workflow -->\n```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    read: dict[Any, Any] = yaml.safe_load(block)
    return read


def commands(text: str) -> list[list[str]]:
    """The words of every `robusteval` command in a shell text."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.strip().startswith("robusteval ")]


def test_the_workflow_attacks_on_every_push_and_pull_request() -> None:
    read = workflow()
    assert set(read[True]) == {"push", "pull_request"}, "YAML 1.1 reads `on` as true"
    steps = read["jobs"]["robustness"]["steps"]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    (words,) = [words for step in steps for words in commands(step.get("run", ""))]
    for gate in [words[place + 1] for place, word in enumerate(words) if word == "--fail-under"]:
        assert ">=" in gate
    assert {word for word in words if Path(word).name in MADE} == MADE
    shown = "\n".join(str(step) for step in steps)
    assert all(shown.count(name) >= 2 for name in MADE), "what is written is used"


@pytest.mark.parametrize("page", ["ci.md", "gates.md", "compare.md", "standards.md", "first-run.md"])
def test_options_of_the_pages_are_options(page: str) -> None:
    text = (PAGE.parent / page).read_text()
    found = commands(re.sub(r"^ {4}(?=robusteval)", "", text, flags=re.MULTILINE))
    assert found
    for words in found:
        command = cli.get_command(None, words[1])  # type: ignore[arg-type]  # it looks at the name alone
        assert command is not None, words
        flags = {flag for parameter in command.params for flag in parameter.opts}
        asked = {word for word in words if word.startswith("--")}
        assert asked <= flags, asked - flags
