"""Every attack and defence that is installed keeps every promise of the published kit."""

from __future__ import annotations

from dataclasses import fields
from importlib.metadata import entry_points
from typing import Any

import pytest

from robusteval.testing import AttackSubject, Check, checks_for

# Enough of the attack to break its promises, in a fraction of the time of its defaults.
SHORT: dict[str, dict[str, object]] = {
    "adversarial-training": {"epochs": 2, "steps": 2},
    "advgan": {"epochs": 40},
    "advgan-blackbox": {"epochs": 3, "distil": 3},
    "alma": {"steps": 100},
    "alpha-crown": {"steps": 6, "inner": 2},
    "beta-crown": {"parts": 4, "steps": 3, "first": 4, "inner": 1},
    "boundary": {"queries": 500},
    "carlini-wagner": {"steps": 50, "searches": 5},
    "denoiser": {"epochs": 2},
    "distillation": {"epochs": 2},
    "ead": {"steps": 40},
    "fab": {"steps": 15},
    "fmn": {"steps": 60},
    "hidden-space": {"epochs": 2},
    "hopskipjump": {"queries": 1000},
    "lbfgs": {"maxiter": 10},
    "ibp": {"epochs": 2},
    "label-embedding": {"epochs": 2},
    "lipschitz": {"epochs": 2},
    "pdgd": {"steps": 100},
    "pdpgd": {"steps": 100},
    "sigma-zero": {"steps": 100},
    "square": {"queries": 120},
    "substitute": {"rounds": 2, "epochs": 3},
}
# It goes to the farthest class by design, so three times the distance of the nearest one need not do.
RATIO = {"least-likely": 12.0}
# It attacks through other models that the user names, and says so when there are none; tests of its own stand in.
NEEDS_MODELS = {"transfer"}
HOOKS = ("robusteval_attacks", "robusteval_certifiers", "robusteval_defenses")


def offered() -> list[Any]:
    modules = [point.load() for point in entry_points(group="robusteval") if point.value.startswith(HOOKS)]
    return [plugin for module in modules for hook in HOOKS for plugin in getattr(module, hook, list)()]


def _short(plugin: Any) -> dict[str, object]:
    """What of SHORT it has: a defence and a certifier share a name."""
    known = {field.name for field in fields(plugin)}
    return {name: value for name, value in SHORT.get(plugin.info.name, {}).items() if name in known}


def promises() -> list[Check]:
    checks: list[Check] = []
    for plugin in offered():
        name = plugin.info.name
        if name not in NEEDS_MODELS:
            made = plugin(**_short(plugin))
            checks += checks_for(AttackSubject(made, RATIO[name]) if name in RATIO else made)
    return checks


@pytest.mark.parametrize("check", promises(), ids=lambda check: f"{check.subject.plugin.info.name}-{check}")
def test_keeps_its_promise(check: Check) -> None:
    check()


def test_every_module_is_offered() -> None:
    names = {plugin.info.name for plugin in offered()}
    first = {"noise", "fgsm", "pgd", "deepfool", "ddn", "square", "bit-depth", "confidence", "logit-odds"}
    assert first <= names, "Install again: an editable install does not see entry points that were added later."
