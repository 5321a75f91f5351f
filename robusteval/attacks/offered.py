"""The installed attacks under names of Python: a function and a class for each, made from what the plugin declares."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import re
from typing import Any

from robusteval.attacks.single import COMMON, Adversarials, SingleAttack
from robusteval.contracts.params import make
from robusteval.engine.catalogue.catalogue import OURS, Entry, discover

_FIXED = {"Adversarials": Adversarials, "SingleAttack": SingleAttack}


def function_name(entry: Entry) -> str:
    """sigma-zero -> sigma_zero, acme.ascent -> acme_ascent."""
    return re.sub(r"\W", "_", entry.name)


def class_name(entry: Entry) -> str:
    """That of the plugin's class for ours; acme.ascent -> AcmeAscent for others, as two may have one class name."""
    if entry.distribution == OURS:
        return str(entry.plugin.__name__)
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[\W_]+", entry.name))


@functools.cache
def _entries() -> dict[str, Entry]:
    """Every usable attack by both of its names."""
    rows = discover().of("attack")
    return {function_name(row): row for row in rows} | {class_name(row): row for row in rows}


def names() -> list[str]:
    """All names that `named` knows."""
    return [*_entries(), *_FIXED]


@functools.cache
def named(name: str) -> Any:
    """The function or class of that name. Raises AttributeError with the nearest names."""
    if name in _FIXED:
        return _FIXED[name]
    entry = _entries().get(name)
    if entry is None:
        near = difflib.get_close_matches(name, names(), n=3, cutoff=0.5)
        meant = (
            f"; did you mean {' or '.join(near)}?" if near else "; `robusteval plugins list` shows what is installed"
        )
        raise AttributeError(f"There is no installed attack {name!r}{meant}")
    return _function(entry) if name == function_name(entry) else _class(entry)


def _class(entry: Entry) -> type[SingleAttack]:
    def made(self: SingleAttack, **params: Any) -> None:
        SingleAttack.__init__(self, make(entry.plugin, params, entry.name))

    made.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY), *_own(entry)]
    )
    members = {"__init__": made, "__doc__": document(entry), "__module__": "robusteval.attacks"}
    return type(class_name(entry), (SingleAttack,), members)


def _function(entry: Entry) -> Any:
    common = list(inspect.signature(SingleAttack.__call__).parameters.values())[1:]

    def attack(model: Any, x: Any, y: Any, **named_ones: Any) -> Adversarials:
        own = {name: value for name, value in named_ones.items() if name not in COMMON}
        asked = {name: value for name, value in named_ones.items() if name in COMMON}
        return SingleAttack(make(entry.plugin, own, entry.name))(model, x, y, **asked)

    attack.__name__ = attack.__qualname__ = function_name(entry)
    attack.__module__, attack.__doc__ = "robusteval.attacks", document(entry)
    attack.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*common, *_own(entry)], return_annotation=Adversarials
    )
    return attack


def _own(entry: Entry) -> list[inspect.Parameter]:
    """The plugin's own parameters, by keyword alone."""
    return [
        inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=item.default, annotation=item.type)
        for item in dataclasses.fields(entry.plugin)
        if item.init
    ]


def document(entry: Entry) -> str:
    """The docstring: what the attack is, where it comes from, and its parameters."""
    info = entry.plugin.info
    kind = "the smallest distance" if info.budget == "minimal" else "the largest loss within eps"
    lines = [
        info.summary,
        "",
        f"Looks for {kind}; norms: {', '.join(info.norms)}; needs: {info.needs}.",
        info.reference,
    ]
    lines += [
        f"{item.name}: {item.metadata.get('schema', {}).get('description', '')}"
        for item in dataclasses.fields(entry.plugin)
        if item.init
    ]
    return "\n".join(lines)
