"""`robusteval plugins`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robusteval.cli import say, say_json
from robusteval.scaffold.new import KINDS, lay_out, stated

if TYPE_CHECKING:
    from robusteval.engine.catalogue.catalogue import Entry

_KINDS = ("loader", "attack", "defense", "metric", "dataset", "suite", "executor", "certifier", "listener")


@click.group("plugins")
def command() -> None:
    """List, show and check the installed attacks, defences, metrics, loaders, data sets and the rest; begin new
    ones."""


@command.command("list")
@click.option("--kind", type=click.Choice(_KINDS), help="Only these.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_plugins(kind: str | None, as_json: bool) -> None:
    """Every plugin, broken ones with their reason."""
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.catalogue.open_model import shared_endings

    rows = _with_faults([entry for entry in discover().entries if kind in (None, entry.kind)])
    if as_json:
        say_json([_row(entry) for entry in rows])
        return
    from robusteval.cli.tables import console, table

    listed = table("", "kind", "name", "version", "from", "summary")
    for entry in rows:
        text = f"BROKEN: {entry.broken}" if entry.broken else entry.summary
        shared = ", ".join(shared_endings(entry, discover()))
        if shared:
            text += f" (for {shared} only with --loader {entry.name}, as another reads these too)"
        listed.add_row(entry.kind, entry.name, entry.version, entry.distribution, text)
    console().show(listed)


@command.command("show")
@click.argument("name")
@click.option("--kind", type=click.Choice(_KINDS), help="Only the one of this kind, where several share the name.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def show(name: str, kind: str | None, as_json: bool) -> None:
    """One plugin: what it is, where it comes from, its parameters with their limits."""
    from robusteval.contracts.params import params_schema
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.errors import PluginError

    catalogue = discover()
    found = [entry for entry in catalogue.entries if entry.name == name and kind in (None, entry.kind)]
    if not found:
        import difflib

        near = difflib.get_close_matches(name, [entry.name for entry in catalogue.entries], n=3, cutoff=0.5)
        raise PluginError(f"There is no plugin named {name!r}.", f"Did you mean {' or '.join(near)}?" if near else "")
    if as_json:
        _check_one(name, [entry.kind for entry in found])
    for entry in _with_faults(found):
        typed = entry.plugin is not None and entry.kind != "suite"  # which is a text, and has no parameters
        schema = params_schema(entry.plugin)["properties"] if typed else {}
        if as_json:
            say_json(_row(entry) | {"params": schema})
        else:
            _print(entry, schema)


def _check_one(name: str, kinds: list[str]) -> None:
    """Raises PluginError where plugins of several kinds have that name, as a defence and a certifier may."""
    from robusteval.errors import PluginError

    several = sorted(set(kinds))
    if len(several) > 1:
        raise PluginError(
            f"There are several plugins named {name!r}: {', '.join(several)}.",
            f"Say which with --kind, as in --kind {several[0]}.",
        )


def _row(entry: Entry) -> dict[str, Any]:
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.catalogue.open_model import shared_endings

    return {
        "kind": entry.kind,
        "name": entry.name,
        "version": entry.version,
        "distribution": entry.distribution,
        "entry_point": entry.entry_point,
        "broken": entry.broken,
        "summary": entry.summary,
        "only_by_name": shared_endings(entry, discover()),  # endings for which a loader has to be named
    }


def _with_faults(rows: list[Entry]) -> list[Entry]:
    """The rows, where a suite that asks for what is not installed is broken too."""
    from dataclasses import replace

    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.suite.suite import faults

    found = faults(discover()) if any(row.kind == "suite" for row in rows) else {}
    return [replace(row, broken=row.broken or found.get(row.name, "")) if row.kind == "suite" else row for row in rows]


def _print(entry: Entry, schema: dict[str, Any]) -> None:
    from robusteval.cli.tables import console, table

    screen = console()
    screen.say(f"  ({entry.kind}, version {entry.version}, {entry.distribution})", bold=entry.name)
    if entry.broken:
        screen.say(f"BROKEN: {entry.broken}")
        return
    info = entry.plugin.info
    for label, name in (
        ("", "summary"),
        ("source", "reference"),
        ("norms", "norms"),
        ("family", "budget"),
        ("needs", "needs"),
        ("kind", "kind"),
        ("good at", "strengths"),
        ("limits", "limits"),
        ("known breaks", "known_breaks"),
        ("licence", "licence"),
    ):
        value = getattr(info, name, "")
        if value:
            text = ", ".join(value) if isinstance(value, tuple) else str(value)
            screen.say(f"{label}: {text}" if label else text)
    if schema:
        screen.say()
        listed = table("parameters", "name", "default", "limits", "what it is")
        for name, rules in schema.items():
            limits = " ".join(f"{key} {rules[key]}" for key in ("minimum", "maximum", "enum") if key in rules)
            listed.add_row(name, str(rules.get("default", "")), limits, str(rules.get("description", "")))
        screen.show(listed)


@command.command("new")
@click.argument("name", metavar="VENDOR.NAME")
@click.option("--kind", type=click.Choice(list(KINDS)), required=True, help="What it is to be.")
@click.option("--into", default=".", type=click.Path(), show_default=True, help="Where its folder is made.")
def new(name: str, kind: str, into: str) -> None:
    """Write a plugin to begin with: a whole distribution whose own tests pass at once."""
    made = stated(name, kind)
    folder = lay_out(made, Path(into))
    for path in made.files():
        say(str(folder / path))
    say(f"Next: pip install -e {folder}[test], pytest {folder}, robusteval plugins check {name}")


@command.command("check")
@click.argument("name")
@click.option("--file", "path", type=click.Path(), help="A good file for a loader; without it refusals are checked.")
@click.option("--kind", type=click.Choice(_KINDS), help="Which one, where several share the name.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def check(name: str, path: str | None, kind: str | None, as_json: bool) -> None:
    """Run the conformance kit on an installed plugin: every promise with its outcome and reason.

    Exit code 1 where a promise is broken.
    """
    import robusteval
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.errors import PluginError
    from robusteval.testing.kit import check_loader, report_on

    kinds = [entry.kind for entry in discover().entries if entry.name == name and kind in (None, entry.kind)]
    _check_one(name, [found for found in kinds if found != "suite"])
    kind = next((found for found in kinds if found != "suite"), "")
    if not kind and kinds:
        raise PluginError(f"{name} is a suite, which the kit does not check.", "`robusteval suites show` reads it.")
    plugin = discover().get(kind or "attack", name)
    report = check_loader(plugin, path=Path(path)) if kind == "loader" and path else report_on(plugin)
    said = f"{report.summary()} (kit of robusteval {robusteval.__version__})"
    if kind == "loader" and not path:
        said += "; without --file nothing was asked of a model that it loads"
    if as_json:
        rows = [
            {"check": row.check, "status": row.status, "cases": row.cases, "reason": row.sentence}
            for row in report.outcomes
        ]
        say_json(
            {"plugin": name, "kind": kind, "kit": robusteval.__version__, "ok": report.ok, "file": path, "checks": rows}
        )
    else:
        for line in str(report).splitlines()[1:]:
            say(line)
        say(said)
    if not report.ok:
        sys.exit(1)
