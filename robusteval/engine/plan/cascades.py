"""The cell of a cascade: the members that can run, and a name that says which ones could not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robusteval.contracts.params import params_of
from robusteval.engine.suite.suite import CascadeSpec
from robusteval.record.run import Cell

ACCESS = ("decision", "scores", "gradient")


@dataclass(frozen=True)
class Member:
    """One attack of a cascade."""

    name: str
    plugin: str
    attack: Any

    def facts(self) -> dict[str, Any]:
        """Plugin, version and all parameters, as the record keeps them."""
        return {"plugin": self.plugin, "version": self.attack.info.version, **params_of(self.attack)}


def cascade_cell(
    spec: CascadeSpec, members: tuple[Member, ...], unable: Mapping[str, str], share: float, **facts: Any
) -> tuple[Cell, tuple[Member, ...]]:
    """A cascade's cell at the budget `share`, and its members in order. unable: members that cannot run, with the
    reasons; facts: fields of Cell.

    Without some of its members it is another composition than the one whose name it carries: the name says so, the
    parameters and so the variant's hash are those of the rest. With none left it is excluded, for the first reason.
    """
    able = tuple(member for member in members if member.name not in unable)
    named = able or members
    left_out = f" without {', '.join(unable)}" if unable and able else ""
    name = f"{spec.name}{left_out}@{share:.4g}"
    tail = "" if facts["knowledge"] == "none" else f"/{facts['knowledge']}"
    cell = Cell(
        id=f"{facts['defense']}/{name}/{facts['norm']}{tail}",
        attack=name,
        plugin=spec.name,
        params={member.name: member.facts() for member in named},
        family="cascade",
        needs=max((member.attack.info.needs for member in named), key=ACCESS.index),
        threat="budget",
        without=dict(unable) if able else {},
        **facts,
    )
    if not able:
        cell.status, cell.reason = "excluded", next(iter(unable.values()))
    return cell, named
