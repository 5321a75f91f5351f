"""Every attack and defence that is installed keeps every promise of the published kit."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from robusteval.testing import Check, checks_for

# Enough of the attack to break its promises, in a fraction of the time of its defaults.
SHORT = {"square": {"queries": 120}}
HOOKS = ("robusteval_attacks", "robusteval_defenses")


def offered() -> list[type]:
    modules = [point.load() for point in entry_points(group="robusteval") if point.value.startswith(HOOKS)]
    return [plugin for module in modules for hook in HOOKS for plugin in getattr(module, hook, list)()]


def promises() -> list[Check]:
    return [check for plugin in offered() for check in checks_for(plugin(**SHORT.get(plugin.info.name, {})))]


@pytest.mark.parametrize("check", promises(), ids=lambda check: f"{check.subject.plugin.info.name}-{check}")
def test_keeps_its_promise(check: Check) -> None:
    check()


def test_every_module_is_offered() -> None:
    names = {plugin.info.name for plugin in offered()}
    first = {"noise", "fgsm", "pgd", "deepfool", "ddn", "square", "bit-depth", "confidence", "logit-odds"}
    assert first <= names, "Install again: an editable install does not see entry points that were added later."
