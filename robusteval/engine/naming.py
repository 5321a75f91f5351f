"""What a suite's attacks are, as one hash: two runs that share it asked the same of their bare models."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from robusteval.contracts.params import make, params_of
from robusteval.engine import sweep
from robusteval.engine.catalogue import Catalogue
from robusteval.engine.suite import AttackSpec, Suite


def attacks_sha256(suite: Suite, catalogue: Catalogue, target: str) -> str:
    """sha256 of everything that decides the bare model's smallest distances but the model, the samples and the seed.

    Names, versions and all parameters of attacks and cascades, norms, largest budgets, the grid of levels, what counts as a
    win, and the core's own search. Defences, probes, metrics and the wording of the suite have no part in it. Raises
    SuiteError and PluginError.
    """
    attacks = [
        [spec.name, _attack(spec, catalogue), norm, suite.eps[norm], spec.search]
        for spec in suite.attacks
        for norm in norms_of(spec, suite, catalogue)
    ]
    cascades = [
        [spec.name, spec.eps, [[member.name, _attack(member, catalogue)] for member in spec.members]]
        for spec in suite.cascades
    ]
    content = {
        "attacks": sorted(attacks, key=lambda row: json.dumps(row, sort_keys=True)),
        "cascades": sorted(cascades, key=lambda row: json.dumps(row, sort_keys=True)),
        "levels": suite.levels,
        "target": target,
        "search": sweep.VERSION,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def norms_of(spec: AttackSpec, suite: Suite, catalogue: Catalogue) -> list[str]:
    """The norms of one attack: those that the suite asks of it, else all that suite and plugin share."""
    offered = catalogue.get("attack", spec.plugin).info.norms
    return list(spec.norms) or [norm for norm in suite.norms if norm in offered]


def _attack(spec: AttackSpec, catalogue: Catalogue) -> list[Any]:
    plugin = catalogue.get("attack", spec.plugin)
    return [spec.plugin, plugin.info.version, params_of(make(plugin, spec.params, spec.plugin))]
