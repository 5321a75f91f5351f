"""Suites: data files that say what is run. TOML, checked against a schema made from the installed plugins."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jsonschema

from robusteval.assessment.evidence.hashes import suite_sha256
from robusteval.contracts.classifier import ModelInfo
from robusteval.contracts.params import not_finite
from robusteval.contracts.suites import FILE
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.suite import options
from robusteval.engine.suite.schema import schema
from robusteval.errors import RobustEvalError, SuiteError
from robusteval.foreign import words

_OWN = ("exact", "straight-through")  # gradients of the model itself, not of a copy that answers otherwise
PRIORITY = 5  # of an attack whose suite says nothing
TRANSFER = "bare-adversarials"  # the attack that every defence meets: what was found on the bare model
# Largest budgets searched where the suite says nothing, as shares of the pixel range (l0: pixels), for an image of 784
# values.
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
    priority: int = PRIORITY  # under a time budget the lowest is run first
    when: str = ""  # schema.NO_GRADIENTS: only on models that give no gradient of their own


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
class CascadeSpec:
    """Attacks in order at fixed budgets, each on what the ones before it left. eps: budgets by norm, as shares of the
    pixel range."""

    name: str
    eps: dict[str, tuple[float, ...]]
    members: tuple[AttackSpec, ...]
    reason: str
    priority: int = PRIORITY


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
    metrics: tuple[str, ...]  # the only ones that are computed; empty: every installed metric
    strengths: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)
    stretches: tuple[float, ...] = (1.0, 1.25, 1.5, 2.0)
    probe_samples: int = 64
    fit_samples: int | None = None  # defences learn from so many at most, drawn evenly from the classes; None: from all
    levels: int = 0  # Q: only images on the grid {0, ..., Q} / Q of the pixel range count as adversarials; 0: all do
    cascades: tuple[CascadeSpec, ...] = ()
    keep_strengths: bool = False  # of every attack, not only of those that a defence is judged on
    clever: options.Clever = field(default_factory=options.Clever)
    transfer: options.Transfer = field(default_factory=options.Transfer)
    planted: options.Planted = field(default_factory=options.Planted)
    noise_draws: options.NoiseDraws = field(default_factory=options.NoiseDraws)
    stated: frozenset[str] = frozenset()  # norms whose largest budget the suite states itself
    sha256: str = field(default="", compare=False)

    def largest(self, norm: str, shape: tuple[int, ...]) -> float:
        """The largest budget searched for inputs of this shape, as a share of the pixel range (l0: pixels): what the
        suite states, else a default that follows the size of the input."""
        return self.eps[norm] if norm in self.stated else self.eps[norm] * _growth(norm, self.eps[norm], shape)


def _growth(norm: str, usual: float, shape: tuple[int, ...]) -> float:
    """By how much the default budget of an image of 784 values changes with the size of the input, D values in P
    pixels.

    An L2 ball of the same share of the cube's diagonal grows with sqrt(D), an L1 ball with D, an L0 ball with P. Small
    inputs keep the budget of 784 values as far as it is no more than half the range in every value (L2, L1) or all
    pixels (L0): there the same share would be less than Linf 0.5, which is searched in any case.
    """
    values = math.prod(shape)
    pixels = math.prod(shape[1:]) if len(shape) == 3 else values
    if norm == "l2":
        return max(math.sqrt(values / 784), min(1.0, 0.5 * math.sqrt(values) / usual))
    if norm == "l1":
        return max(values / 784, min(1.0, 0.5 * values / usual))
    if norm == "l0":
        return max(round(usual * pixels / 784), min(usual, pixels)) / usual
    return 1.0


def names(catalogue: Catalogue) -> list[str]:
    """Names of the installed suites, those of plugins among them."""
    return [entry.name for entry in catalogue.of("suite")]


def read(name: str, catalogue: Catalogue) -> Suite:
    """The suite of that name, or in that TOML file. Raises SuiteError, PluginError."""
    return parse(text(name, catalogue), name, catalogue)


def text(name: str, catalogue: Catalogue) -> str:
    """The TOML text of an installed suite, or of a file. Raises SuiteError, and PluginError for a broken suite of a
    plugin."""
    path = Path(name)
    if path.suffix != FILE:
        if not any(entry.kind == "suite" and entry.name == name for entry in catalogue.entries):
            known = ", ".join(names(catalogue))
            raise SuiteError(f"There is no suite named {name!r}.", f"Suites: {known}, or a path to a {FILE} file.")
        return str(catalogue.get("suite", name).text)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"Cannot read the suite {name}: {error}.", "Give a TOML file.") from None


def faults(catalogue: Catalogue) -> dict[str, str]:
    """Why suites of the catalogue's usable rows cannot be run here, by name; those that can are left out."""
    rules, found = schema(catalogue), {}
    for entry in catalogue.of("suite"):
        try:
            _parsed(entry.plugin.text, entry.name, catalogue, rules)
        except Exception as error:  # noqa: BLE001
            # a plugin's text may hold anything; it must not take a list of suites down
            found[entry.name] = error.message if isinstance(error, RobustEvalError) else words(error)
    return found


def parse(toml: str, source: str, catalogue: Catalogue) -> Suite:
    """A suite from TOML text, every name and parameter checked. Raises SuiteError, PluginError."""
    return _parsed(toml, source, catalogue, None)


def _parsed(toml: str, source: str, catalogue: Catalogue, rules: dict[str, Any] | None) -> Suite:
    """The same. rules: the catalogue's schema of suites, made here where it is not given."""
    try:
        data = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"The suite {source} is not valid TOML: {error}.") from None
    for where, value in not_finite(data):
        raise SuiteError(
            f"The suite {source} is not valid at {where}: {value} is no number to work with.",
            "`robusteval suites schema` prints what is allowed.",
        )
    _check_names(data, catalogue)
    for problem in jsonschema.Draft202012Validator(rules or schema(catalogue)).iter_errors(data):
        deepest = jsonschema.exceptions.best_match([problem]) or problem
        where = ".".join(str(part) for part in deepest.absolute_path) or "the top level"
        raise SuiteError(
            f"The suite {source} is not valid at {where}: {deepest.message[:300]}.",
            "`robusteval suites schema` prints what is allowed.",
        )
    return _build(data)


def _check_names(data: dict[str, Any], catalogue: Catalogue) -> None:
    """Unknown plugins are answered with the nearest names, which a schema error would not do."""
    for kind, key in (("attack", "attack"), ("defense", "defense")):
        rows = data.get(key, [])
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, dict) and isinstance(row.get("plugin"), str):
                catalogue.entry(kind, row["plugin"])
    cascades = data.get("cascade", [])
    for row in cascades if isinstance(cascades, list) else []:
        members = row.get("member", []) if isinstance(row, dict) else []
        for member in members if isinstance(members, list) else []:
            if isinstance(member, dict) and isinstance(member.get("plugin"), str):
                catalogue.entry("attack", member["plugin"])
    metrics = data.get("metrics", [])
    for name in metrics if isinstance(metrics, list) else []:
        catalogue.entry("metric", str(name))


def _build(data: dict[str, Any]) -> Suite:
    attacks = tuple(_attack(row) for row in data.get("attack", []))
    cascades = tuple(
        CascadeSpec(
            name=row["name"],
            eps={norm: tuple(budgets) for norm, budgets in row["eps"].items()},
            members=tuple(_attack(member) for member in row["member"]),
            reason=row.get("reason", ""),
            priority=row.get("priority", PRIORITY),
        )
        for row in data.get("cascade", [])
    )
    known = [attack.name for attack in attacks]
    plain = [attack.name for attack in attacks if not attack.when]
    all_names = known + [cascade.name for cascade in cascades]
    if not all_names:
        raise SuiteError("The suite has no attack.", "Give at least one [[attack]] or [[cascade]].")
    if len(set(all_names)) != len(all_names):
        raise SuiteError("Two attacks of the suite have the same name.", "Give each a name = '...' of its own.")
    if TRANSFER in known:
        raise SuiteError(f"An attack of the suite is named {TRANSFER}, which is taken.", "Give it another name.")
    defenses = []
    for row in data.get("defense", []):
        for name in [*row.get("oblivious", []), *row.get("adaptive", [])]:
            if name not in (known if name in row.get("oblivious", []) else all_names):
                raise SuiteError(f"The defence {row['plugin']} names the attack {name!r}, which the suite has not.")
        defenses.append(
            DefenseSpec(
                plugin=row["plugin"],
                name=row.get("name", row["plugin"]),
                params=row.get("params", {}),
                oblivious=tuple(row.get("oblivious", plain)),
                adaptive=tuple(row.get("adaptive", plain)),
                draws=row.get("draws", 8),
            )
        )
    labels = [defense.name for defense in defenses]
    if len(set(labels)) != len(labels) or "none" in labels:
        raise SuiteError("Two defences of the suite have the same name, or one is called none.", "Give each a name.")
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
        fit_samples=data.get("fit_samples"),
        levels=data.get("levels", 0),
        cascades=cascades,
        keep_strengths=data.get("keep_strengths", False),
        clever=options.Clever(**data.get("clever", {})),
        transfer=options.Transfer(**data.get("transfer", {})),
        planted=options.Planted(**data.get("planted", {})),
        noise_draws=options.NoiseDraws(**data.get("noise_draws", {})),
        stated=frozenset(data.get("eps", {})),
        sha256=suite_sha256(data),
    )


def _attack(row: dict[str, Any]) -> AttackSpec:
    return AttackSpec(
        plugin=row["plugin"],
        name=row.get("name", row["plugin"]),
        norms=tuple(row.get("norms", ())),
        params=row.get("params", {}),
        search=row.get("search", 6),
        reason=row.get("reason", ""),
        priority=row.get("priority", PRIORITY),
        when=row.get("when", ""),
    )


def applicable(suite: Suite, info: ModelInfo) -> Suite:
    """The suite as it is for this model: attacks for models without gradients are left out where there are some."""
    if info.gradients not in _OWN:
        return suite
    return replace(suite, attacks=tuple(spec for spec in suite.attacks if not spec.when))


def with_surrogates(suite: Suite, catalogue: Catalogue, models: tuple[str, ...]) -> Suite:
    """The suite with these paths as the models of every attack that goes by way of others and names none itself."""
    if not models:
        return suite
    attacks = tuple(
        replace(spec, params=spec.params | {"models": list(models)})
        if catalogue.get("attack", spec.plugin).info.surrogates and not spec.params.get("models")
        else spec
        for spec in suite.attacks
    )
    return replace(suite, attacks=attacks)
