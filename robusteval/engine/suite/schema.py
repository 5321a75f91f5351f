"""What a suite file may hold: a JSON schema made from the installed plugins."""

from __future__ import annotations

from typing import Any

from robusteval.contracts.params import params_schema
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.suite import options
from robusteval.ops import NORMS

NO_GRADIENTS = "no-gradients"


def schema(catalogue: Catalogue) -> dict[str, Any]:
    """JSON schema of a suite file, with the parameters of every installed attack and defence."""
    norm = {"enum": list(NORMS)}
    strings = {"type": "array", "items": {"type": "string"}}
    number = {"type": "number", "exclusiveMinimum": 0, "maximum": options.LARGEST_SHARE}
    priority = {
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
        "description": "under a time budget the lowest of each norm is run first; 5 where it is not said",
    }
    attack = {
        "priority": priority,
        "name": {"type": "string", "pattern": r"^[A-Za-z0-9._+-]{1,60}$"},
        "norms": {"type": "array", "items": norm},
        "search": {"type": "integer", "minimum": 0, "maximum": 30, "description": "halvings of the budget search"},
        "reason": {"type": "string", "description": "why the attack is in the suite"},
        "when": {
            "enum": [NO_GRADIENTS],
            "description": "only on models that give no gradient of their own: none, or a surrogate's",
        },
    }
    budgets = {"type": "array", "items": number, "minItems": 1}
    cascade = {
        "type": "object",
        "required": ["name", "eps", "member"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": r"^[A-Za-z0-9._+-]{1,60}$"},
            "reason": {"type": "string"},
            "priority": priority,
            "eps": {
                "type": "object",
                "properties": dict.fromkeys(NORMS, budgets),
                "additionalProperties": False,
                "minProperties": 1,
                "description": "budgets by norm, as shares of the pixel range",
            },
            "member": {
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": _rows("attack", {key: attack[key] for key in ("name", "reason")}, catalogue)},
            },
        },
        "description": "attacks in order at fixed budgets, each on what the ones before it left",
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
        "required": ["name", "version", "norms"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": r"^[A-Za-z0-9._+-]{1,60}$"},
            "version": {"type": "string"},
            "summary": {"type": "string"},
            "norms": {"type": "array", "items": norm, "minItems": 1, "uniqueItems": True},
            "samples": {"type": "integer", "minimum": 1, "maximum": 2**31, "description": "samples evaluated, at most"},
            "eps": {
                "type": "object",
                "properties": dict.fromkeys(NORMS, number),
                "additionalProperties": False,
                "description": "largest budget searched, as a share of the pixel range (l0: pixels); where it is not "
                "stated it follows the size of the input (docs/architecture.md)",
            },
            "strengths": {"type": "array", "items": number},
            "stretches": {"type": "array", "items": number},
            "probe_samples": {"type": "integer", "minimum": 0, "maximum": 2**31},
            "fit_samples": {
                "type": "integer",
                "minimum": 1,
                "maximum": 2**31,
                "description": "samples that defences learn from, at most",
            },
            "levels": {"type": "integer", "minimum": 0, "maximum": 65535, "description": "255: 8-bit images only"},
            **options.SCHEMA,
            "metrics": strings,
            "cascade": {"type": "array", "items": cascade},
            "attack": {"type": "array", "items": {"anyOf": _rows("attack", attack, catalogue)}},
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
