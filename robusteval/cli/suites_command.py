"""`robusteval suites`."""

from __future__ import annotations

import json

import click


@click.group("suites")
def command() -> None:
    """List and show suites, and print their schema."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_suites(as_json: bool) -> None:
    """The suites that ship with robusteval."""
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.suite.suite import names, read

    suites = [read(name, discover()) for name in names()]
    if as_json:
        rows = [{"name": suite.name, "version": suite.version, "summary": suite.summary} for suite in suites]
        click.echo(json.dumps(rows, indent=1))
        return
    from robusteval.cli.tables import console, table

    made = table("", "suite", "version", "norms", ">samples", "summary")
    for suite in suites:
        made.add_row(suite.name, suite.version, " ".join(suite.norms), str(suite.samples), suite.summary)
    console().print(made)


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """The text of a suite, checked; a good start for one of your own."""
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.suite.suite import parse, text

    toml = text(name)
    parse(toml, name, discover())
    click.echo(toml, nl=False)


@command.command("schema")
def schema_command() -> None:
    """JSON schema of suite files, with the parameters of every installed attack and defence."""
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.suite.schema import schema

    click.echo(json.dumps(schema(discover()), indent=1))
