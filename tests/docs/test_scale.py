"""docs/scale.md: its commands are ones that the tool takes, and its files can be read."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from robusteval.cli.merge_command import command as merge
from robusteval.cli.run_command import command as run
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.schedule.executors import executor_of
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "scale.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """The words of every `robusteval run` and `robusteval merge` on the page."""
    lines = re.sub(r"\\\n\s+", " ", TEXT).splitlines()
    found = [re.search(r"robusteval (?:run|merge) [^`#\n|]*", line) for line in lines if "NAME" not in line]
    whole = [item[0].split("   ")[0].strip(' "') for item in found if item is not None]
    return [shlex.split(item.split('" --tmux')[0]) for item in whole]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_of_the_page_is_one(words: list[str]) -> None:
    made = (run if words[1] == "run" else merge).make_context(words[1], words[2:])
    executor_of(made.params["executor"], made.params["address"], discover())


def test_there_are_commands_of_each_kind() -> None:
    told = [" ".join(words) for words in commands()]
    assert len(told) >= 12
    for flag in ("--shard", "merge ", "--executor ray ", "ray:gpus=1", "--address auto", "--workers"):
        assert any(flag in item for item in told), flag


def test_what_is_no_command_is_noticed() -> None:
    with pytest.raises(click.ClickException):
        run.make_context("run", ["model.onnx", "--sharp", "1/3"])


@pytest.mark.parametrize("said", re.findall(r"--executor (ray[\w:=,.]*)", TEXT))
def test_an_executor_of_the_page_is_one(said: str) -> None:
    executor = executor_of(said, "", discover())
    assert executor is not None
    assert executor.info.name == "ray"


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "yaml"])
def test_its_files_can_be_read(text: str) -> None:
    yaml = pytest.importorskip("yaml")
    assert isinstance(yaml.safe_load(text), dict)
