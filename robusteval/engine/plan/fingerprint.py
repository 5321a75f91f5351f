"""What a suite's attacks are, as one hash: two runs that share it asked the same of their bare models."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from robusteval.assessment.evidence.hashes import by_content, variant_sha256
from robusteval.contracts.params import make, params_of
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.search import distance_search
from robusteval.engine.suite.suite import AttackSpec, MemberSpec, Suite
from robusteval.plain import read_plain

__all__ = ["attacks_sha256", "norms_of", "variant_sha256"]

# Of the random starts in these norms (ops.random_in_ball); in the others nothing changed since the first version.
STARTS = {"l1": "2", "l0": "2"}


def attacks_sha256(suite: Suite, catalogue: Catalogue, target: str, shape: tuple[int, ...]) -> str:
    """sha256 of everything that decides the bare model's smallest distances but the model, the samples and the seed.

    shape: of one input, as largest budgets may follow it; models that attacks go by way of count by their content.
    Names, versions and all parameters of attacks and cascades, norms, largest budgets, the grid of levels, what counts
    as a win, and the core's own search. Defences, probes, metrics and the wording of the suite have no part in it.
    Raises SuiteError and PluginError.
    """
    attacks = [
        [spec.name, _attack(spec, catalogue), norm, suite.largest(norm, shape), spec.search, *starts(norm)]
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
        "search": distance_search.VERSION,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def starts(norm: str) -> list[str]:
    """What a hash holds of the random starts in a norm: their version, where there was more than one."""
    return [STARTS[norm]] if norm in STARTS else []


def surrogates(suite: Suite, catalogue: Catalogue) -> dict[str, str]:
    """path -> sha256 of the file, for every model that an attack of the suite goes by way of; "" where there is no such
    file, of which the attack itself will tell."""
    specs = [*suite.attacks, *(member for cascade in suite.cascades for member in cascade.members)]
    paths = [
        str(path)
        for spec in specs
        if catalogue.get("attack", spec.plugin).info.surrogates
        for path in spec.params.get("models", ())
    ]
    return {path: _content(Path(path)) for path in dict.fromkeys(paths)}


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(read_plain(path)).hexdigest()
    except OSError:
        return ""


def norms_of(spec: AttackSpec, suite: Suite, catalogue: Catalogue) -> list[str]:
    """The norms of one attack: those that the suite asks of it, else all that suite and plugin share."""
    offered = catalogue.get("attack", spec.plugin).info.norms
    return list(spec.norms) or [norm for norm in suite.norms if norm in offered]


def _attack(spec: MemberSpec, catalogue: Catalogue) -> list[Any]:
    plugin = catalogue.get("attack", spec.plugin)
    params = params_of(make(plugin, spec.params, spec.plugin))
    models = (
        {str(path): _content(Path(path)) for path in spec.params.get("models", ())} if plugin.info.surrogates else {}
    )
    return [spec.plugin, plugin.info.version, by_content(params, models)]
