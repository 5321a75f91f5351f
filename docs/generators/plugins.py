"""A page for each kind of plugin, from what each plugin that comes with robusteval declares of itself."""

from __future__ import annotations

from typing import Any

from docs.generators.markdown import code, page, plain, table
from robusteval.contracts.params import params_schema
from robusteval.engine.catalogue.catalogue import KINDS, OURS, Entry, discover

TITLES = {
    "loader": "Loaders",
    "attack": "Attacks",
    "defense": "Defences",
    "metric": "Metrics",
    "dataset": "Data sets",
    "suite": "Suites",
    "executor": "Executors",
    "certifier": "Certifiers",
    "listener": "Listeners",
}
_FACTS = (  # of the classes *Info of robusteval.api: the field, and how it is called on the page
    ("version", "Version"),
    ("norms", "Norms"),
    ("budget", "Finds"),
    ("needs", "Needs of the model"),
    ("kind", "Kind"),
    ("needs_data", "Learns from data (`--fit-data`)"),
    ("stochastic", "Random"),
    ("surrogates", "Goes by way of other models"),
    ("suffixes", "Reads"),
    ("strengths", "Good at"),
    ("limits", "Limits"),
    ("known_breaks", "Known breaks"),
    ("licence", "Licence"),
    ("reference", "Source"),
)
_LIMITS = (("minimum", "at least"), ("maximum", "at most"), ("enum", "one of"))  # of a JSON schema
_WORDS = {"minimal": "the smallest distance", "fixed": "the worst within a budget"}


def ours(kind: str) -> list[Entry]:
    """The usable plugins of a kind that robusteval itself brings, by name: the same on every machine."""
    return sorted((entry for entry in discover().of(kind) if entry.distribution == OURS), key=lambda entry: entry.name)


def texts() -> dict[str, str]:
    """The pages by kind, of the kinds of which there are any."""
    return {kind: _page(kind, found) for kind in KINDS if (found := ours(kind))}


def _page(kind: str, found: list[Entry]) -> str:
    said = (
        f"What `robusteval plugins list --kind {kind}` and `robusteval plugins show NAME` print, of all that come with "
        "robusteval. Generated from what each declares of itself."
    )
    return page(f"# {TITLES[kind]}", said, *(_section(entry) for entry in found))


def _section(entry: Entry) -> str:
    info = entry.plugin.info
    rows = [(label, said) for name, label in _FACTS if (said := _said(getattr(info, name, "")))]
    suite = entry.kind == "suite"
    declared = f"```toml\n{entry.plugin.text.strip()}\n```" if suite else ""
    parameters = "" if suite else _parameters(params_schema(entry.plugin)["properties"])
    return page(f"## {entry.name}", plain(info.summary), table(("What", "As declared"), rows), parameters, declared)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return plain(", ".join(value) if isinstance(value, tuple) else _WORDS.get(value, value))


def _listed(limit: Any) -> str:
    return " ".join(code(value) for value in (limit if isinstance(limit, list) else [limit]))


def _parameters(schema: dict[str, dict[str, Any]]) -> str:
    rows = [
        (
            code(name),
            code(rules.get("default", "")) if rules.get("default") != "" else "empty",
            plain(", ".join(f"{words} {_listed(rules[key])}" for key, words in _LIMITS if key in rules)),
            plain(rules.get("description", "")),
        )
        for name, rules in schema.items()
    ]
    return table(("Parameter", "Default", "Limits", "What it is"), rows)
