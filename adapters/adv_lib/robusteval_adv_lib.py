"""Attacks of adversarial-library (Rony, Ben Ayed) as plugins: `adv-lib.ddn`, `adv-lib.fmn`, ..."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from robusteval.api import Attack, AttackInfo, Norm, Posed, borrowed, hookimpl, param

_RONY = "Rony, Ben Ayed: Adversarial library, 2020"
_ORDERS = {"l0": 0.0, "l1": 1.0, "l2": 2.0, "linf": float("inf")}
_UNUSED = {"torchvision": ("models",), "visdom": ("Visdom",)}  # for a perceptual distance and for charts


@contextmanager
def _without_what_is_unused() -> Iterator[None]:
    """Stand-ins for packages that adv-lib imports and that no attack here needs, as long as it is imported."""
    made = []
    for name, members in _UNUSED.items():
        if importlib.util.find_spec(name) is None:
            module = types.ModuleType(name)
            module.__spec__ = importlib.machinery.ModuleSpec(name, None)
            for member in members:
                setattr(module, member, types.ModuleType(f"{name}.{member}"))
                sys.modules[f"{name}.{member}"] = getattr(module, member)
            sys.modules[name] = module
            made += [name, *(f"{name}.{member}" for member in members)]
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]


with _without_what_is_unused():
    _library = importlib.import_module("adv_lib.attacks")


def _called(plugin: Any, given: Posed) -> Tensor:
    """adv-lib's own function, with the plugin's parameters."""
    function, argument = _FUNCTIONS[plugin.info.name][0], _FUNCTIONS[plugin.info.name][2]
    norm = given.problem.norm
    options: dict[str, Any] = {"num_steps" if function in _NUM_STEPS else "steps": plugin.steps}
    if argument:
        options[argument] = norm if function == "alma" else _ORDERS[norm]
    aim = given.labels if given.targets is None else given.targets
    found: Tensor = getattr(_library, function)(
        model=given.module, inputs=given.x, labels=aim, targeted=given.targets is not None, **options
    )
    return found


# by our name: adv-lib's function, its norms, and what it calls the norm
_FUNCTIONS: dict[str, tuple[str, tuple[Norm, ...], str]] = {
    "adv-lib.ddn": ("ddn", ("l2",), ""),
    "adv-lib.fmn": ("fmn", ("linf", "l2", "l1", "l0"), "norm"),
    "adv-lib.alma": ("alma", ("l2", "l1"), "distance"),
    "adv-lib.pdpgd": ("pdpgd", ("linf", "l2", "l1"), "norm"),
}
_NUM_STEPS = ("alma", "pdpgd")  # these call them so
_USUAL = {"adv-lib.alma": 1000, "adv-lib.pdpgd": 500, "adv-lib.fmn": 100}


def _made(name: str) -> type[Attack]:
    function, norms, _ = _FUNCTIONS[name]
    info = AttackInfo(
        name=name,
        version=f"1+{importlib.metadata.version('adv-lib')}",
        norms=norms,
        budget="minimal",
        needs="gradient",
        summary=f"adversarial-library's {function}.",
        reference=_RONY,
        limits="Its loss needs four classes." if function == "alma" else "",
    )
    class_name = "AdvLib" + function.title()
    params = {"steps": param(_USUAL.get(name, 300), "Steps of the attack.", minimum=1, maximum=100_000)}
    globals()[class_name] = made = borrowed(__name__, class_name, info, params, _called)
    return made


_ATTACKS = [_made(name) for name in _FUNCTIONS]


@hookimpl
def robusteval_attacks() -> list[type[Attack]]:
    """All of them."""
    return _ATTACKS
