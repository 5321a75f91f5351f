"""The page of all commands, from click's own declarations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from docs.generators.markdown import code, page, plain, table
from robusteval.cli import cli

_LINES_STAY = "\b"  # click's sign for a paragraph whose lines stay as they are


def commands() -> Iterator[click.Context]:
    """Every command and group, each after the group that it is in, in the order of `robusteval --help`."""
    yield from _below(click.Context(cli, info_name="robusteval"))


def _below(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            found = context.command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _below(click.Context(found, info_name=name, parent=context))


def text() -> str:
    """The page."""
    said = "What `robusteval COMMAND --help` prints, of all commands. Generated from their declarations."
    return page("# Commands", said, *(_section(context) for context in commands()))


def _section(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    rows = [row for item in command.params if (row := item.get_help_record(context)) is not None]  # without --help
    options = table(("Option", "What it is"), [(code(names), plain(words)) for names, words in rows if words])
    level = "#" * max(2, 1 + context.command_path.count(" "))
    return page(f"{level} {context.command_path}", f"    {usage}", _help(command.help or ""), options)


def _help(text: str) -> str:
    """A help text: paragraphs, and those as code whose lines stay as they are."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text.split("\f", maxsplit=1)[0]))
    return page(*(_paragraph(paragraph) for paragraph in paragraphs))


def _paragraph(text: str) -> str:
    if text.startswith(_LINES_STAY):
        return "\n".join(f"    {line}" for line in text.removeprefix(_LINES_STAY).strip("\n").splitlines())
    return plain(text)
