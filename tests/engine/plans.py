"""Plans and suites that a test writes down, as far as the time budget looks at them: Any, as they stand in for more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def planned(attack: str, norm: str = "l2", defense: str = "none", needs: str = "gradient", **more: Any) -> Any:
    family = more.pop("family", "fixed")
    name = more.pop("id", f"{defense}/{attack}/{norm}")
    cell = SimpleNamespace(
        id=name, attack=attack, plugin=attack, norm=norm, defense=defense, needs=needs, family=family
    )
    return SimpleNamespace(cell=cell, **({"source": "", "starts": (), "members": ()} | more))


def suite(**priorities: int) -> Any:
    """Names with an underscore are cascades."""
    rows = [SimpleNamespace(name=name, priority=priority) for name, priority in priorities.items()]
    return SimpleNamespace(
        attacks=[row for row in rows if "_" not in row.name], cascades=[row for row in rows if "_" in row.name]
    )


def plan(*ones: Any, probes: tuple[Any, ...] = ()) -> Any:
    return SimpleNamespace(planned=list(ones), probes=list(probes))
