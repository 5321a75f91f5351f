"""Hashes of what was run, as the engine makes them and `verify` makes them again."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from robusteval.record.run import Cell


def suite_sha256(data: dict[str, Any]) -> str:
    """Of a suite's parsed TOML, without priorities, device and the limit of a unit's time: what is run first, and
    where, or is ended, changes no number but by rounding, so it is no part of what was measured."""
    ordered = {
        kind: [{key: value for key, value in row.items() if key != "priority"} for row in data[kind]]
        for kind in ("attack", "cascade")
        if kind in data
    }
    left_out = ("device", "cell_timeout")
    measured = {key: value for key, value in data.items() if key not in left_out} | ordered
    return hashlib.sha256(json.dumps(measured, sort_keys=True).encode()).hexdigest()


def variant_sha256(cell: Cell, models: dict[str, str]) -> str:
    """sha256 of an attack's plugin, version and parameters: the same name with other parameters is another variant.
    models: path -> sha256 of each model that an attack goes by way of."""
    params = by_content(cell.params, models)
    return hashlib.sha256(json.dumps([cell.plugin, cell.version, params], sort_keys=True).encode()).hexdigest()


def by_content(params: dict[str, Any], models: dict[str, str]) -> dict[str, Any]:
    """Parameters with the hashes of models in the place of their paths."""
    listed = params.get("models")
    if not models or not isinstance(listed, list | tuple):
        return params
    return params | {"models": [models.get(str(path)) or str(path) for path in listed]}
