"""Attacks of Foolbox (Rauber et al. 2017, 2020) as plugins: `foolbox.pgd`, `foolbox.ddn`, ..."""

from __future__ import annotations

from typing import Any

import foolbox
from torch import Tensor

from robusteval.api import Attack, AttackInfo, Norm, Posed, borrowed, hookimpl, param

_FOOLBOX = "Rauber, Zimmermann, Bethge, Brendel: Foolbox Native, 2020"
_STEPS = "Steps of the attack."
# steps of a fixed attack together go so many times as far as the budget: Madry et al. 2018, Dong et al. 2018
_REACH = {"foolbox.pgd": 2.5, "foolbox.mim": 1.0}


def _called(plugin: Any, given: Posed) -> Tensor:
    """Foolbox's own class for the norm, with the plugin's parameters."""
    names, options = _CLASSES[plugin.info.name]
    stated: dict[str, Any] = {theirs: getattr(plugin, ours) for ours, theirs in options.items()}
    if given.eps is not None:
        stated["rel_stepsize"] = _REACH[plugin.info.name] / plugin.steps
    attack = getattr(foolbox.attacks, names[given.problem.norm])(**stated)
    criterion = (
        foolbox.criteria.Misclassification(given.labels)
        if given.targets is None
        else foolbox.criteria.TargetedMisclassification(given.targets)
    )
    model = foolbox.PyTorchModel(given.module, bounds=(0, 1), device=given.x.device)
    _, clipped, _ = attack(model, given.x, criterion, epsilons=given.eps)
    found: Tensor = clipped
    return found


# by our name: Foolbox's classes by norm, and its names of our parameters
_CLASSES: dict[str, tuple[dict[Norm, str], dict[str, str]]] = {
    "foolbox.pgd": ({"linf": "LinfPGD", "l2": "L2PGD", "l1": "L1PGD"}, {"steps": "steps"}),
    "foolbox.mim": (
        {"linf": "LinfMomentumIterativeFastGradientMethod", "l2": "L2MomentumIterativeFastGradientMethod"},
        {"steps": "steps"},
    ),
    "foolbox.ddn": ({"l2": "DDNAttack"}, {"steps": "steps"}),
    "foolbox.fmn": (
        {"linf": "LInfFMNAttack", "l2": "L2FMNAttack", "l1": "L1FMNAttack"},
        {"steps": "steps"},
    ),
    "foolbox.carlini-wagner": ({"l2": "L2CarliniWagnerAttack"}, {"steps": "steps", "searches": "binary_search_steps"}),
    "foolbox.ead": ({"l1": "EADAttack"}, {"steps": "steps", "searches": "binary_search_steps"}),
}
_MINIMAL = ("foolbox.ddn", "foolbox.fmn", "foolbox.carlini-wagner", "foolbox.ead")
_USUAL = {"foolbox.pgd": 40, "foolbox.mim": 10, "foolbox.carlini-wagner": 1000, "foolbox.ead": 1000}


def _made(name: str) -> type[Attack]:
    names, options = _CLASSES[name]
    params = {"steps": param(_USUAL.get(name, 100), _STEPS, minimum=1, maximum=100_000)}
    if "searches" in options:
        params["searches"] = param(9, "Searches for the weight of the loss.", minimum=1, maximum=20)
    info = AttackInfo(
        name=name,
        version=f"1+{foolbox.__version__}",
        norms=tuple(names),
        budget="minimal" if name in _MINIMAL else "fixed",
        needs="gradient",
        summary=f"Foolbox's {' and '.join(names.values())}.",
        reference=_FOOLBOX,
        stochastic=name in ("foolbox.pgd", "foolbox.mim"),
    )
    class_name = "Foolbox" + name.partition(".")[2].title().replace("-", "")
    globals()[class_name] = made = borrowed(__name__, class_name, info, params, _called)
    return made


_ATTACKS = [_made(name) for name in _CLASSES]


@hookimpl
def robusteval_attacks() -> list[type[Attack]]:
    """All of them."""
    return _ATTACKS
