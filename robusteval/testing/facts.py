"""Checks of what every plugin declares of itself, whatever its kind. A subject has `plugin` (class) and `make()`."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
import pickle
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch

from robusteval.contracts.params import make, params_of, params_schema
from robusteval.hooks import GROUP
from robusteval.testing.checks import applies, case, fail, require


class Subject(Protocol):
    """A plugin under test."""

    @property
    def plugin(self) -> type: ...

    def make(self) -> Any:
        """The instance under test."""
        ...


def split(plugin: object) -> tuple[type, Any]:
    """(class, instance or None) of a plugin given as either."""
    return (plugin, None) if isinstance(plugin, type) else (type(plugin), plugin)


def built(plugin: object) -> Any:
    """The instance given, or one with the class's defaults."""
    kind, instance = split(plugin)
    return kind() if instance is None else instance


def declares_itself(subject: Subject) -> None:
    """`info` has a legal name, a version, and says in words what the plugin is."""
    info = getattr(subject.plugin, "info", None)
    require(dataclasses.is_dataclass(info), "The class has no `info` that describes it.")
    name = str(getattr(info, "name", ""))
    legal = re.fullmatch(r"([a-z0-9][a-z0-9_-]*\.)?[a-z0-9][a-z0-9-]*", name)
    require(legal is not None, f"info.name {name!r} is not lower-case words with hyphens, or vendor.name.")
    own = subject.plugin.__module__.split(".")[0] in _our_packages()
    require(
        "." in name or own, f"info.name {name!r} is bare: bare names are reserved, outside plugins are vendor.name."
    )
    for field in dataclasses.fields(info):  # type: ignore[arg-type]
        if field.name in ("version", "summary", "reference", "licence"):
            value = getattr(info, field.name)
            require(isinstance(value, str) and value.strip() != "", f"info.{field.name} is empty.")


@functools.cache
def _our_packages() -> frozenset[str]:
    """The packages that robusteval's own plugins lie in."""
    points = importlib.metadata.entry_points(group=GROUP)
    ours = {point.value.split(".")[0] for point in points if point.dist is not None and point.dist.name == "robusteval"}
    return frozenset({"robusteval", *ours})


def has_defaults(subject: Subject) -> None:
    """The plugin can be made without arguments."""
    try:
        subject.plugin()
    except TypeError as error:
        fail(f"It cannot be made with its defaults: {error}.")
    case()


def describes_its_parameters(subject: Subject) -> None:
    """Every parameter has a type, a description and a default that its own schema accepts."""
    applies(dataclasses.is_dataclass(subject.plugin), "It is no dataclass, so it has no parameters.")
    schema = params_schema(subject.plugin)
    for name, facts in schema["properties"].items():
        require(bool(facts.get("description")), f"Parameter {name} has no description; declare it with `param`.")
        require("default" in facts, f"Parameter {name} has no default.")
        typed = {"type", "anyOf", "enum", "$ref", "const", "oneOf"} & set(facts)
        require(bool(typed), f"Parameter {name} has no type that a suite file could be checked against.")
    defaults = _as_stored(subject.plugin())
    require(_as_stored(make(subject.plugin, defaults, "plugin")) == defaults, "Its own defaults make another plugin.")


def _as_stored(plugin: object) -> dict[str, Any]:
    """The parameters as a suite file or a record has them: tuples are lists there."""
    stored: dict[str, Any] = json.loads(json.dumps(params_of(plugin)))
    return stored


def is_frozen(subject: Subject) -> None:
    """The plugin is a frozen dataclass: nothing of a run can stay behind in it."""
    free = any(hasattr(subject.plugin, method) for method in ("compute", "load", "raw"))
    applies(not free, "Its kind need not be.")
    require(dataclasses.is_dataclass(subject.plugin), "It is not a dataclass.")
    require(subject.plugin.__dataclass_params__.frozen, "It is a dataclass but not frozen.")  # type: ignore[attr-defined]


def can_be_pickled(subject: Subject) -> None:
    """The plugin travels to a worker process and arrives equal."""
    instance = subject.make()
    try:
        again = pickle.loads(pickle.dumps(instance))  # noqa: S301 - of its own making
    except Exception as error:  # noqa: BLE001 - pickling fails with errors of many types
        fail(f"It cannot be pickled: {error}.")
    require(params_of(again) == params_of(instance), "It comes back from pickling with other parameters.")


FACTS = (declares_itself, has_defaults, describes_its_parameters, is_frozen, can_be_pickled)


def _global_state() -> tuple[object, ...]:
    return torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state(legacy=False)), random.getstate()


@contextmanager
def global_randomness(touched: list[str]) -> Iterator[None]:
    """Notes which global generators (torch, numpy, random) changed in between, and puts them back afterwards.

    They start from states that nobody can have seeded: seeding twice with the same number would go unseen.
    """
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()
    torch.seed()
    np.random.seed(None)
    random.seed(None)
    before = _global_state()
    try:
        yield
        for name, old, new in zip(("torch", "numpy", "random"), before, _global_state(), strict=True):
            if old != new:
                touched.append(name)
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
