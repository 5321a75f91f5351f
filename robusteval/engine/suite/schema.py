"""The published JSON schema of suite files: what is declared, with the parameters of every installed attack and
defence."""

from __future__ import annotations

import copy
import functools
from typing import Any

from pydantic import TypeAdapter

from robusteval.contracts.params import params_schema
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.suite.declared import Settings


@functools.cache
def adapter() -> TypeAdapter[Settings]:
    """Reads and checks the parsed TOML of a suite."""
    return TypeAdapter(Settings)


@functools.cache
def declared() -> dict[str, Any]:
    """JSON schema of what is declared; any plugin, with any parameters. Not to be written into."""
    return adapter().json_schema()


def schema(catalogue: Catalogue) -> dict[str, Any]:
    """JSON schema of a suite file, with the parameters of every installed attack and defence."""
    made = copy.deepcopy(declared())
    made["title"] = "robusteval suite"
    kinds = made["$defs"]
    made["properties"]["attack"]["items"] = _each(kinds.pop("AttackSpec"), "attack", catalogue)
    made["properties"]["defense"]["items"] = _each(kinds.pop("DefenseSpec"), "defense", catalogue)
    kinds["CascadeSpec"]["properties"]["member"]["items"] = _each(kinds.pop("MemberSpec"), "attack", catalogue)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _each(row: dict[str, Any], kind: str, catalogue: Catalogue) -> dict[str, Any]:
    """One of the rows that there may be: the declared one with each plugin and its parameters."""
    return {
        "anyOf": [
            row
            | {
                "title": entry.name,
                "properties": row["properties"]
                | {"plugin": {"const": entry.name}, "params": params_schema(entry.plugin)},
            }
            for entry in catalogue.of(kind)
        ]
    }


def settings_at(place: tuple[int | str, ...]) -> list[str]:
    """The names of the settings that may stand at a place in a suite; empty where there are none."""
    node: Any = declared()
    for part in place:
        node = _resolved(node)
        inner = node.get("items") if isinstance(part, int) else node.get("properties", {}).get(part)
        node = inner or node.get("additionalProperties") or {}
    return list(_resolved(node).get("properties", {})) if isinstance(node, dict) else []


def _resolved(node: Any) -> dict[str, Any]:
    """A node of the schema, or what it refers to."""
    if not isinstance(node, dict):
        return {}
    name = str(node.get("$ref", "")).rpartition("/")[2]
    return dict(declared()["$defs"][name]) if name else node
