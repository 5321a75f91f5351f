"""The Catalogue: what is installed, found through entry points.

pluggy's own entry-point loader skips a second plugin of the same name without a word and lets one failing import take
the host down; so entry points are loaded here, one by one, and whatever is wrong becomes a row with its reason.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pluggy

from robusteval.cage.page import opening
from robusteval.contracts.hookspecs import Hooks
from robusteval.contracts.params import params_schema
from robusteval.contracts.suites import offered
from robusteval.engine.seeding import generators_kept
from robusteval.errors import PluginError, SuiteError
from robusteval.foreign import foreign, words
from robusteval.hooks import API_VERSION, GROUP
from robusteval.text import as_name, as_sentence

KINDS = ("loader", "attack", "defense", "metric", "dataset", "suite", "executor", "certifier", "listener")
_HOOKS = {
    "loader": "robusteval_loaders",
    "attack": "robusteval_attacks",
    "defense": "robusteval_defenses",
    "metric": "robusteval_metrics",
    "dataset": "robusteval_datasets",
    "executor": "robusteval_executors",
    "certifier": "robusteval_certifiers",
    "listener": "robusteval_listeners",
}
_SUITES = "robusteval_suites"  # these are texts by name, where the others are lists of types
OURS = "robusteval"
_UNSEEN = "its name or version is too long, or holds characters that cannot be seen"
_BARE = "bare names are reserved; outside plugins are named vendor.name"


@dataclass(frozen=True)
class Entry:
    """One row of the catalogue: a plugin, or an entry point that could not be used, with the reason in `broken`."""

    kind: str
    name: str
    version: str
    distribution: str
    entry_point: str
    plugin: Any = None
    broken: str = ""

    def __post_init__(self) -> None:
        """What a plugin says of itself reaches lists, records and pages: of a bounded length, without controls."""
        for field_name in ("kind", "name", "version", "distribution", "entry_point"):
            object.__setattr__(self, field_name, as_name(getattr(self, field_name)))
        object.__setattr__(self, "broken", as_sentence(self.broken))

    @property
    def summary(self) -> str:
        """The plugin's one sentence about itself."""
        return as_sentence(getattr(self.plugin.info, "summary", "")) if self.plugin is not None else ""


@dataclass(frozen=True)
class Catalogue:
    """All rows, in the order of kind and name."""

    entries: tuple[Entry, ...]

    def of(self, kind: str) -> list[Entry]:
        """The usable rows of one kind."""
        return [entry for entry in self.entries if entry.kind == kind and not entry.broken]

    def datasets(self) -> dict[str, Any]:
        """The installed data sets by name, each a contracts.plugins.Dataset."""
        return {entry.name: entry.plugin() for entry in self.of("dataset")}

    def entry(self, kind: str, name: str) -> Entry:
        """The row of that name. Raises PluginError: unknown names get the nearest ones, broken ones their reason."""
        found = [entry for entry in self.entries if entry.name == name and entry.kind in (kind, "?")]
        usable = [entry for entry in found if not entry.broken]  # a broken row of others takes nobody's name
        for entry in usable or found:
            if entry.broken:
                raise PluginError(
                    f"The {kind} {name!r} of {entry.distribution} cannot be used: {entry.broken}",
                    "Mend or uninstall that distribution; `robusteval plugins list` shows every row.",
                )
        if usable:
            return usable[0]
        names = [entry.name for entry in self.of(kind)]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Installed: {', '.join(names) or 'none'}."
        raise PluginError(f"There is no {kind} named {name!r}.", hint)

    def get(self, kind: str, name: str) -> Any:
        """The plugin of that kind and name. Raises PluginError as `entry` does."""
        return self.entry(kind, name).plugin


@functools.cache
def discover() -> Catalogue:
    """The catalogue of this environment; read once per process."""
    return build(importlib.metadata.entry_points(group=GROUP))


def build(points: Iterable[importlib.metadata.EntryPoint]) -> Catalogue:
    """The catalogue of these entry points."""
    rows: list[Entry] = []
    seen: set[tuple[str, str, str]] = set()
    for point in sorted(points, key=lambda point: (point.name, point.value)):
        distribution = point.dist.name if point.dist is not None else "?"
        key = (distribution, point.name, point.value)
        if key in seen:  # the same distribution seen twice on sys.path, as editable installs do
            continue
        seen.add(key)
        rows += _load(point, distribution)
    rows = _refuse_collisions(rows)
    order = {kind: number for number, kind in enumerate(KINDS)}
    return Catalogue(tuple(sorted(rows, key=lambda row: (order.get(row.kind, 9), row.name, row.distribution))))


@functools.cache
def file_sha256(plugin: Any) -> str:
    """Of the file that a plugin's class stands in; empty where there is none, as in a notebook."""
    module = sys.modules.get(getattr(plugin, "__module__", ""))
    try:
        return hashlib.sha256(Path(str(getattr(module, "__file__", None) or "")).read_bytes()).hexdigest()
    except OSError:
        return ""


def _load(point: importlib.metadata.EntryPoint, distribution: str) -> list[Entry]:
    """The rows that one entry point offers; one broken row where it cannot be used."""
    broken = Entry("?", point.name, "", distribution, point.value)
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    try:
        with generators_kept(), foreign(), opening(f"the plugin {as_name(point.name)} of {as_name(distribution)}"):
            module = point.load()
            if reason := _other_api(module):
                return [replace(broken, broken=reason)]
            manager.register(module, name=f"{distribution}:{point.name}")
            manager.check_pending()
            offers = {kind: getattr(manager.hook, hook)() for kind, hook in _HOOKS.items()}
            rows = [
                _row(kind, plugin, distribution, point)
                for kind, lists in offers.items()
                for plugins in lists
                for plugin in plugins
            ]
            rows += list(_suites(getattr(manager.hook, _SUITES)(), distribution, point))
    except Exception as error:  # noqa: BLE001 - a plugin's import may raise anything; it must not take us down
        return [replace(broken, broken=words(error))]
    return rows or [replace(broken, broken="it implements no hook of robusteval")]


def _other_api(module: Any) -> str:
    """Why a module that says which version of the interface it was written for cannot be used with this one, or ""."""
    wanted = getattr(module, "robusteval_api_version", API_VERSION)
    major, minor, *_ = *str(wanted).split("."), "0"
    here = API_VERSION.split(".")
    if major == here[0] and minor.isdigit() and int(minor) <= int(here[1]):
        return ""
    return f"it was written for version {str(wanted)[:20]} of robusteval.api, and this one has {API_VERSION}"


def _row(kind: str, plugin: Any, distribution: str, point: importlib.metadata.EntryPoint) -> Entry:
    info = getattr(plugin, "info", None)
    name, version = getattr(info, "name", None), getattr(info, "version", "1")
    if not isinstance(name, str) or not name:
        return Entry(kind, point.name, "", distribution, point.value, broken=f"{plugin!r} has no info.name")
    row = Entry(kind, name, str(version), distribution, point.value, plugin)
    if row.name != name or row.version != str(version):
        return replace(row, broken=_UNSEEN)
    if distribution != OURS and "." not in name:
        return replace(row, broken=_BARE)
    try:
        params_schema(plugin)
    except Exception as error:  # noqa: BLE001 - it reads the plugin's own annotations and defaults
        return replace(row, broken=f"its parameters cannot be described: {words(error)}")
    return row


def _suites(answers: list[Any], distribution: str, point: importlib.metadata.EntryPoint) -> Iterator[Entry]:
    """A row for each suite that an entry point offers; what its text says beyond its name is checked when it is
    read."""
    for texts in answers:
        if not isinstance(texts, Mapping):
            reason = f"robusteval_suites gave a {type(texts).__name__}, and not the texts of suites by name"
            yield Entry("suite", point.name, "", distribution, point.value, broken=reason)
            continue
        for name, text in texts.items():
            if not isinstance(name, str) or not name:
                yield Entry(
                    "suite", point.name, "", distribution, point.value, broken=f"{name!r} is no name of a suite"
                )
                continue
            row = Entry("suite", name, "", distribution, point.value)
            if row.name != name:
                yield replace(row, broken=_UNSEEN)
                continue
            if distribution != OURS and "." not in name:
                yield replace(row, broken=_BARE)
                continue
            try:
                offer = offered(name, text)
            except SuiteError as error:
                yield replace(row, broken=error.message)
            else:
                yield replace(row, version=offer.info.version, plugin=offer)


def _refuse_collisions(rows: list[Entry]) -> list[Entry]:
    """Rows of the same kind and name are all refused: which one would run would depend on the order of installation."""
    owners: dict[tuple[str, str], list[Entry]] = {}
    for row in rows:
        owners.setdefault((row.kind, row.name), []).append(row)
    done = []
    for row in rows:
        others = [other for other in owners[row.kind, row.name] if other is not row and not other.broken]
        names = ", ".join(sorted({other.distribution for other in others}))
        taken = others and not row.broken
        done.append(replace(row, broken=f"the name is also taken by {names}") if taken else row)
    return done
