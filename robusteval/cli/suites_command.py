"""`robusteval suites`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from robusteval.cli import say, say_block, say_json

if TYPE_CHECKING:
    from robusteval.engine.catalogue.catalogue import Entry


@click.group("suites")
def command() -> None:
    """List and show suites, and print their schema."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_suites(as_json: bool) -> None:
    """The installed suites and where they come from, broken ones with their reason."""
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.suite.suite import faults

    catalogue = discover()
    found = faults(catalogue)
    rows = [(entry, entry.broken or found.get(entry.name, "")) for entry in catalogue.entries if entry.kind == "suite"]
    if as_json:
        say_json([_row(entry, broken) for entry, broken in rows])
        return
    from robusteval.cli.tables import console, table
    from robusteval.engine.suite.suite import read

    listed = table("", "suite", "version", "from", "norms", ">samples", "summary")
    for entry, broken in rows:
        norms, samples = "", ""
        if not broken:
            suite = read(entry.name, catalogue)
            norms, samples = " ".join(suite.norms), str(suite.samples)
        summary = f"BROKEN: {broken}" if broken else entry.summary
        listed.add_row(entry.name, entry.version, entry.distribution, norms, samples, summary)
    console().show(listed)


def _row(entry: Entry, broken: str) -> dict[str, str]:
    return {
        "name": entry.name,
        "version": entry.version,
        "summary": entry.summary,
        "distribution": entry.distribution,
        "entry_point": entry.entry_point,
        "broken": broken,
    }


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """The text of a suite, checked; a good start for one of your own."""
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.suite.suite import parse, text

    catalogue = discover()
    toml = text(name, catalogue)
    parse(toml, name, catalogue)
    say_block(toml)
    for entry in catalogue.of("suite"):
        if entry.name == name:  # beside the text, which stays what it is
            say(f"The suite {name} {entry.version} comes from {entry.distribution} ({entry.entry_point}).", err=True)


@command.command("schema")
def schema_command() -> None:
    """JSON schema of suite files, with the parameters of every installed attack and defence."""
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.suite.schema import schema

    say_json(schema(discover()))
