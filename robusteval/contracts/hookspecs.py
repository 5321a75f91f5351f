"""The hooks, one page. Each returns types (or instances, for data sets and loaders without parameters) to offer; suites
are texts."""

from __future__ import annotations

from collections.abc import Mapping

import pluggy

from robusteval.contracts.certificates.certifier import Certifier
from robusteval.contracts.executors.executor import Executor
from robusteval.contracts.plugins import Attack, Dataset, Defense, Loader, RunListener
from robusteval.hooks import GROUP
from robusteval.record.metric import Metric

hookspec = pluggy.HookspecMarker(GROUP)


class Hooks:
    """An entry point in the group `robusteval` names a module (or object) that implements any of these."""

    @hookspec
    def robusteval_loaders(self) -> list[type[Loader]]:
        """Model loaders, chosen by the file's ending."""
        raise NotImplementedError

    @hookspec
    def robusteval_attacks(self) -> list[type[Attack]]:
        """Attacks: frozen dataclasses with `info` and `run(problem)`."""
        raise NotImplementedError

    @hookspec
    def robusteval_defenses(self) -> list[type[Defense]]:
        """Defences: frozen dataclasses with `info` and `fit(model, data, rng)`."""
        raise NotImplementedError

    @hookspec
    def robusteval_metrics(self) -> list[type[Metric]]:
        """Metrics: pure functions of the record."""
        raise NotImplementedError

    @hookspec
    def robusteval_datasets(self) -> list[type[Dataset]]:
        """Data sets that a model's metadata may name."""
        raise NotImplementedError

    @hookspec
    def robusteval_executors(self) -> list[type[Executor]]:
        """Executors: where units of a run are made."""
        raise NotImplementedError

    @hookspec
    def robusteval_certifiers(self) -> list[type[Certifier]]:
        """Certifiers: frozen dataclasses with `info` and `bound(statement)`."""
        raise NotImplementedError

    @hookspec
    def robusteval_listeners(self) -> list[type[RunListener]]:
        """Listeners: told when a run starts, when a cell is finished and when the run is."""
        raise NotImplementedError

    @hookspec
    def robusteval_suites(self) -> Mapping[str, str]:
        """Suites: the TOML text of each by its name, as in its own `name = "..."`."""
        raise NotImplementedError
