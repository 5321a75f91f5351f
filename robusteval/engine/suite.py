"""Suites: data files that say what is run. TOML, checked against a schema made from the installed plugins."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

from robusteval.contracts.params import params_schema
from robusteval.engine.catalogue import Catalogue
from robusteval.errors import SuiteError
from robusteval.ops import NORMS

TRANSFER = "bare-adversarials"  # the attack that every defence meets: what was found on the bare model
# Largest budgets searched, as shares of the pixel range: l2 and l1 are per square root of / number of values elsewhere.
DEFAULT_EPS = {"linf": 0.5, "l2": 6.0, "l1": 60.0, "l0": 200.0}


@dataclass(frozen=True)
class AttackSpec:
    """One attack of a suite."""

    plugin: str
    name: str
    norms: tuple[str, ...]  # empty: all norms that suite and plugin share
    params: dict[str, Any]
    search: int  # halvings of the budget search, for fixed attacks
    reason: str


@dataclass(frozen=True)
class DefenseSpec:
    """One defence of a suite, the attacks that it is judged against, and how often a random one is drawn."""

    plugin: str
    name: str
    params: dict[str, Any]
    oblivious: tuple[str, ...]  # names of attacks; empty: every attack of the suite
    adaptive: tuple[str, ...]
    draws: int


@dataclass(frozen=True)
class Suite:
    """A suite as read. eps: largest budget searched per norm; strengths: budgets (as shares of it) and stretch factors
    at which oblivious adversarials are judged."""

    name: str
    version: str
    summary: str
    norms: tuple[str, ...]
    samples: int
    eps: dict[str, float]
    attacks: tuple[AttackSpec, ...]
    defenses: tuple[DefenseSpec, ...]
    metrics: tuple[str, ...]  # empty: every installed metric
    strengths: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)
    stretches: tuple[float, ...] = (1.0, 1.25, 1.5, 2.0)
    probe_samples: int = 64
    sha256: str = field(default="", compare=False)


def names() -> list[str]:
    """Names of the suites that ship with robusteval."""
    folder = resources.files("robusteval.engine").joinpath("suites")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def read(name: str, catalogue: Catalogue) -> Suite:
    """The suite of that name, or in that TOML file. Raises SuiteError, PluginError."""
    return parse(text(name), name, catalogue)


def text(name: str) -> str:
    """The TOML text of a suite, by name or path. Raises SuiteError."""
    if name in names():
        return resources.files("robusteval.engine").joinpath("suites", f"{name}.toml").read_text(encoding="utf-8")
    path = Path(name)
    if path.suffix != ".toml":
        raise SuiteError(
            f"There is no suite named {name!r}.", f"Suites: {', '.join(names())}, or a path to a .toml file."
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"Cannot read the suite {name}: {error}.", "Give a TOML file.") from None


def parse(toml: str, source: str, catalogue: Catalogue) -> Suite:
    """A suite from TOML text, every name and parameter checked. Raises SuiteError, PluginError."""
    try:
        data = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"The suite {source} is not valid TOML: {error}.") from None
    _check_names(data, catalogue)
    for problem in jsonschema.Draft202012Validator(schema(catalogue)).iter_errors(data):
        deepest = jsonschema.exceptions.best_match([problem]) or problem
        where = ".".join(str(part) for part in deepest.absolute_path) or "the top level"
        raise SuiteError(
            f"The suite {source} is not valid at {where}: {deepest.message[:300]}.",
            "`robusteval suites schema` prints what is allowed.",
        )
    return _build(data, catalogue)


def _check_names(data: dict[str, Any], catalogue: Catalogue) -> None:
    """Unknown plugins are answered with the nearest names, which a schema error would not do."""
    for kind, key in (("attack", "attack"), ("defense", "defense")):
        rows = data.get(key, [])
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, dict) and isinstance(row.get("plugin"), str):
                catalogue.entry(kind, row["plugin"])
    for name in data.get("metrics", []):
        catalogue.entry("metric", str(name))


def _build(data: dict[str, Any], catalogue: Catalogue) -> Suite:
    attacks = tuple(
        AttackSpec(
            plugin=row["plugin"],
            name=row.get("name", row["plugin"]),
            norms=tuple(row.get("norms", ())),
            params=row.get("params", {}),
            search=row.get("search", 6),
            reason=row.get("reason", ""),
        )
        for row in data["attack"]
    )
    known = [attack.name for attack in attacks]
    if len(set(known)) != len(known):
        raise SuiteError("Two attacks of the suite have the same name.", "Give each a name = '...' of its own.")
    if TRANSFER in known:
        raise SuiteError(f"An attack of the suite is named {TRANSFER}, which is taken.", "Give it another name.")
    defenses = []
    for row in data.get("defense", []):
        for name in [*row.get("oblivious", []), *row.get("adaptive", [])]:
            if name not in known:
                raise SuiteError(f"The defence {row['plugin']} names the attack {name!r}, which the suite has not.")
        defenses.append(
            DefenseSpec(
                plugin=row["plugin"],
                name=row.get("name", row["plugin"]),
                params=row.get("params", {}),
                oblivious=tuple(row.get("oblivious", known)),
                adaptive=tuple(row.get("adaptive", known)),
                draws=row.get("draws", 8),
            )
        )
    labels = [defense.name for defense in defenses]
    if len(set(labels)) != len(labels) or "none" in labels:
        raise SuiteError("Two defences of the suite have the same name, or one is called none.", "Give each a name.")
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    return Suite(
        name=data["name"],
        version=data["version"],
        summary=data.get("summary", ""),
        norms=tuple(data["norms"]),
        samples=data.get("samples", 500),
        eps=DEFAULT_EPS | data.get("eps", {}),
        attacks=attacks,
        defenses=tuple(defenses),
        metrics=tuple(data.get("metrics", ())),
        strengths=tuple(data.get("strengths", (0.05, 0.1, 0.2, 0.4))),
        stretches=tuple(data.get("stretches", (1.0, 1.25, 1.5, 2.0))),
        probe_samples=data.get("probe_samples", 64),
        sha256=digest,
    )


def schema(catalogue: Catalogue) -> dict[str, Any]:
    """JSON schema of a suite file, with the parameters of every installed attack and defence."""
    norm = {"enum": list(NORMS)}
    strings = {"type": "array", "items": {"type": "string"}}
    number = {"type": "number", "exclusiveMinimum": 0}
    attack = {
        "name": {"type": "string", "pattern": r"^[A-Za-z0-9._+-]{1,60}$"},
        "norms": {"type": "array", "items": norm},
        "search": {"type": "integer", "minimum": 0, "maximum": 30, "description": "halvings of the budget search"},
        "reason": {"type": "string", "description": "why the attack is in the suite"},
    }
    defense = {
        "name": {"type": "string", "pattern": r"^[A-Za-z0-9._+-]{1,60}$"},
        "oblivious": strings | {"description": "attacks whose oblivious adversarials are judged; default all"},
        "adaptive": strings | {"description": "attacks that are run against the defence; default all"},
        "draws": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "draws averaged per query"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "robusteval suite",
        "type": "object",
        "required": ["name", "version", "norms", "attack"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": r"^[A-Za-z0-9._+-]{1,60}$"},
            "version": {"type": "string"},
            "summary": {"type": "string"},
            "norms": {"type": "array", "items": norm, "minItems": 1, "uniqueItems": True},
            "samples": {"type": "integer", "minimum": 1, "description": "samples evaluated, at most"},
            "eps": {
                "type": "object",
                "properties": dict.fromkeys(NORMS, number),
                "additionalProperties": False,
                "description": "largest budget searched, as a share of the pixel range (l0: pixels)",
            },
            "strengths": {"type": "array", "items": number},
            "stretches": {"type": "array", "items": number},
            "probe_samples": {"type": "integer", "minimum": 0},
            "metrics": strings,
            "attack": {"type": "array", "minItems": 1, "items": {"anyOf": _rows("attack", attack, catalogue)}},
            "defense": {"type": "array", "items": {"anyOf": _rows("defense", defense, catalogue)}},
        },
    }


def _rows(kind: str, common: dict[str, Any], catalogue: Catalogue) -> list[dict[str, Any]]:
    return [
        {
            "type": "object",
            "required": ["plugin"],
            "additionalProperties": False,
            "properties": {"plugin": {"const": entry.name}, "params": params_schema(entry.plugin), **common},
        }
        for entry in catalogue.of(kind)
    ]
