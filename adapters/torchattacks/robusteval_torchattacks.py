"""Attacks of torchattacks (Kim 2020) as plugins: `torchattacks.pgd`, `torchattacks.cw`, ..."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import torchattacks
from torch import Tensor

from robusteval.api import Attack, AttackInfo, Norm, Posed, borrowed, hookimpl, param

_KIM = "Kim: Torchattacks, a PyTorch repository for adversarial attacks, 2020"
# steps together go so many times as far as the budget: Madry et al. 2018, Dong et al. 2018
_REACH = {"torchattacks.pgd": 2.5, "torchattacks.mim": 1.0}


def _called(plugin: Any, given: Posed) -> Tensor:
    """torchattacks' own class for the norm, with the plugin's parameters."""
    norm = given.problem.norm
    options: dict[str, Any] = {"steps": plugin.steps}
    if given.eps is not None:
        options["eps"] = given.eps
    name = _CLASSES[plugin.info.name][norm]
    if name in ("PGD", "PGDL2", "MIFGSM"):
        options["alpha"] = _REACH[plugin.info.name] * options["eps"] / plugin.steps
    if name == "APGD":
        options["norm"] = {"linf": "Linf", "l2": "L2"}[norm]
    attack = getattr(torchattacks, name)(given.module, **options)
    targeted = given.targets is not None and name != "APGD"
    if targeted:
        attack.set_mode_targeted_by_label(quiet=True)
    found: Tensor = attack(given.images, given.targets if targeted else given.labels)
    return found


_CLASSES: dict[str, dict[Norm, str]] = {
    "torchattacks.pgd": {"linf": "PGD", "l2": "PGDL2"},
    "torchattacks.mim": {"linf": "MIFGSM"},
    "torchattacks.apgd": {"linf": "APGD", "l2": "APGD"},
    "torchattacks.cw": {"l2": "CW"},
}
_USUAL = {"torchattacks.cw": 200}


def _made(name: str) -> type[Attack]:
    names = _CLASSES[name]
    info = AttackInfo(
        name=name,
        version=f"1+{importlib.metadata.version('torchattacks')}",
        norms=tuple(names),
        budget="minimal" if name == "torchattacks.cw" else "fixed",
        needs="gradient",
        summary=f"torchattacks' {' and '.join(dict.fromkeys(names.values()))}.",
        reference=_KIM,
        stochastic=name in ("torchattacks.pgd", "torchattacks.apgd"),
        limits="APGD has no targeted form: asked for a target it takes any wrong class." if "apgd" in name else "",
    )
    class_name = "Torchattacks" + name.partition(".")[2].title()
    params = {"steps": param(_USUAL.get(name, 20), "Steps of the attack.", minimum=1, maximum=100_000)}
    globals()[class_name] = made = borrowed(__name__, class_name, info, params, _called)
    return made


_ATTACKS = [_made(name) for name in _CLASSES]


@hookimpl
def robusteval_attacks() -> list[type[Attack]]:
    """All of them."""
    return _ATTACKS
