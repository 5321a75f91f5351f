"""Suites: data files that say what is run. TOML, checked against what is declared and the installed plugins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from robusteval.assessment.evidence.hashes import suite_sha256
from robusteval.contracts.classifier import ModelInfo
from robusteval.contracts.params import not_finite
from robusteval.contracts.suites import FILE, MAX_LETTERS
from robusteval.contracts.suites import toml as tables
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.suite import sentences
from robusteval.engine.suite.declared import (
    DEFAULT_EPS,
    EVERY,
    PRIORITY,
    AttackSpec,
    CascadeSpec,
    DefenseSpec,
    MemberSpec,
    Settings,
    Suite,
)
from robusteval.engine.suite.schema import adapter
from robusteval.errors import PluginError, RobustEvalError, SuiteError
from robusteval.foreign import words
from robusteval.plain import read_plain

__all__ = [
    "DEFAULT_EPS",
    "PRIORITY",
    "TRANSFER",
    "AttackSpec",
    "CascadeSpec",
    "DefenseSpec",
    "MemberSpec",
    "Suite",
    "applicable",
    "faults",
    "names",
    "parse",
    "read",
    "text",
    "with_surrogates",
]

_OWN = ("exact", "straight-through")  # gradients of the model itself, not of a copy that answers otherwise
TRANSFER = "bare-adversarials"  # the attack that every defence meets: what was found on the bare model


def names(catalogue: Catalogue) -> list[str]:
    """Names of the installed suites, those of plugins among them."""
    return [entry.name for entry in catalogue.of("suite")]


def read(name: str | Mapping[str, Any], catalogue: Catalogue) -> Suite:
    """The suite of that name, in that TOML file, or of tables as such a file has them. Raises SuiteError,
    PluginError."""
    if isinstance(name, Mapping):
        return checked(_plain(name), str(name.get("name", "given")), catalogue)
    return parse(text(str(name), catalogue), str(name), catalogue)


def _plain(tables_given: Mapping[str, Any]) -> dict[str, Any]:
    """As TOML would hold it, so that the same suite has the same hash however it was given. Raises SuiteError."""
    try:
        found: dict[str, Any] = json.loads(json.dumps(tables_given))
    except (TypeError, ValueError, RecursionError) as error:
        raise SuiteError(
            f"The suite holds what no file could: {error}.", "Give dicts, lists, texts, numbers and truths."
        ) from None
    return found


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
        return read_plain(path, 4 * MAX_LETTERS).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"Cannot read the suite {name}: {error}.", "Give a TOML file.") from None


def faults(catalogue: Catalogue) -> dict[str, str]:
    """Why suites of the catalogue's usable rows cannot be run here, by name; those that can are left out."""
    found = {}
    for entry in catalogue.of("suite"):
        try:
            parse(entry.plugin.text, entry.name, catalogue)
        except Exception as error:  # noqa: BLE001 - a plugin's text must not take a list of suites down
            found[entry.name] = error.message if isinstance(error, RobustEvalError) else words(error)
    return found


def parse(toml: str, source: str, catalogue: Catalogue) -> Suite:
    """A suite from TOML text, every name and parameter checked. Raises SuiteError, PluginError."""
    try:
        data = tables(toml)
    except SuiteError as error:
        raise SuiteError(f"The suite {source} {error.message.removeprefix('it ')}.") from None
    return checked(data, source, catalogue)


def checked(data: dict[str, Any], source: str, catalogue: Catalogue) -> Suite:
    """A suite from tables, every name and parameter checked. Raises SuiteError, PluginError."""
    for place, value in not_finite(data):
        raise sentences.invalid(source, [place], f"{value} is no number to work with")
    try:
        settings = adapter().validate_python(data)
    except ValidationError as error:
        raise sentences.from_declaration(source, error) from None
    _check_plugins(settings, source, catalogue)
    _check_names(settings, source)
    _check_budgets(settings, source)
    return _built(settings, data)


def _check_plugins(settings: Settings, source: str, catalogue: Catalogue) -> None:
    """Every plugin is installed, and takes its parameters. Raises PluginError with the nearest names, SuiteError."""
    rows: list[tuple[str, tuple[int | str, ...], MemberSpec | DefenseSpec]] = [
        *(("attack", ("attack", place), spec) for place, spec in enumerate(settings.attacks)),
        *(
            ("attack", ("cascade", place, "member", number), member)
            for place, cascade in enumerate(settings.cascades)
            for number, member in enumerate(cascade.members)
        ),
        *(("defense", ("defense", place), spec) for place, spec in enumerate(settings.defenses)),
    ]
    for kind, place, spec in rows:
        _installed(kind, spec.plugin, source, (*place, "plugin"), catalogue)
    for number, name in enumerate(settings.metrics):
        _installed("metric", name, source, ("metrics", number), catalogue)
    for number, name in enumerate(settings.certify.certifiers if settings.certify.samples else ()):
        _installed("certifier", name, source, ("certify", "certifiers", number), catalogue)
    for kind, place, spec in rows:
        fault = sentences.params_fault(source, place, catalogue.get(kind, spec.plugin), spec.params)
        if fault is not None:
            raise fault


def _installed(kind: str, name: str, source: str, place: tuple[int | str, ...], catalogue: Catalogue) -> None:
    try:
        catalogue.entry(kind, name)
    except PluginError as error:
        at = sentences.where(place)
        raise PluginError(f"The suite {source} is not valid at {at}: {error.message}", error.hint) from None


def _check_names(settings: Settings, source: str) -> None:
    """Attacks and defences are told apart by their names, and defences name attacks that there are. Raises
    SuiteError."""
    known = [spec.name for spec in settings.attacks]
    everything = known + [cascade.name for cascade in settings.cascades]
    if not everything:
        raise SuiteError(f"The suite {source} has no attack.", "Give at least one [[attack]] or [[cascade]].")
    if len(set(everything)) != len(everything):
        raise SuiteError(
            f"Two attacks of the suite {source} have the same name.", "Give each a name = '...' of its own."
        )
    if TRANSFER in known:
        raise SuiteError(
            f"An attack of the suite {source} is named {TRANSFER}, which is taken.", "Give it another name."
        )
    for place, spec in enumerate(settings.defenses):
        for setting, given, offered in (
            ("oblivious", spec.oblivious, known),
            ("adaptive", spec.adaptive, everything),
        ):
            for name in given if given != EVERY else ():
                if name not in offered:
                    said = f"{spec.plugin} names the attack {name!r}, which the suite has not"
                    raise sentences.invalid(source, ("defense", place, setting), said)
    labels = [spec.name for spec in settings.defenses]
    if len(set(labels)) != len(labels) or "none" in labels:
        raise SuiteError(
            f"Two defences of the suite {source} have the same name, or one is called none.", "Give each a name."
        )


def _check_budgets(settings: Settings, source: str) -> None:
    """No budget in Linf is larger than the pixel range: 8 is written where 8/255 is meant. Raises SuiteError."""
    places: list[tuple[tuple[int | str, ...], float]] = [(("eps", "linf"), settings.eps.get("linf", 0.0))]
    for number, cascade in enumerate(settings.cascades):
        places += [(("cascade", number, "eps", "linf"), eps) for eps in cascade.eps.get("linf", ())]
    if settings.transfer.norm == "linf":
        places.append((("transfer", "eps"), settings.transfer.eps))
    for place, eps in places:
        if eps > 1:
            raise sentences.invalid(source, place, f"{eps:g} is larger than the pixel range; write 8/255, not 8")


def _built(settings: Settings, data: dict[str, Any]) -> Suite:
    """The suite with what follows from the rest of it."""
    plain = tuple(spec.name for spec in settings.attacks if not spec.when)
    given = {item.name: getattr(settings, item.name) for item in fields(settings)}
    given["eps"] = DEFAULT_EPS | settings.eps
    given["defenses"] = tuple(
        replace(
            spec,
            oblivious=plain if spec.oblivious == EVERY else spec.oblivious,
            adaptive=plain if spec.adaptive == EVERY else spec.adaptive,
        )
        for spec in settings.defenses
    )
    return Suite(**given, stated=frozenset(settings.eps), sha256=suite_sha256(data))


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
