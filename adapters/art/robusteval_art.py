"""Attacks of the Adversarial Robustness Toolbox (Nicolae et al. 2018) as plugins: `art.pgd`, `art.deepfool`, ..."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
from typing import Any

import numpy as np
import torch
from art.attacks import evasion
from art.estimators.classification import PyTorchClassifier
from torch import nn

from robusteval.api import Attack, AttackInfo, Norm, Posed, borrowed, hookimpl, param

_NICOLAE = "Nicolae et al.: Adversarial Robustness Toolbox, 2018"
_ORDERS: dict[str, Any] = {"linf": np.inf, "l2": 2, "l1": 1}
_STEP = 2.5  # steps of PGD together go so many times as far as the budget, as Madry et al. have it


def _called(plugin: Any, given: Posed) -> Any:
    """ART's own class, with the plugin's parameters."""
    name, norm = plugin.info.name, given.problem.norm
    classes = given.problem.classes
    model = PyTorchClassifier(
        model=given.module,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(given.x.shape[1:]),
        nb_classes=classes,
        clip_values=(0.0, 1.0),
        device_type="cpu" if given.x.device.type == "cpu" else "gpu",
    )
    options: dict[str, Any] = {"max_iter": plugin.steps, "batch_size": len(given.x), "verbose": False}
    if name != "art.deepfool":
        options["targeted"] = given.targets is not None
    if given.eps is not None:
        options |= {"norm": _ORDERS[norm], "eps": given.eps, "eps_step": _STEP * given.eps / plugin.steps}
    if name == "art.deepfool":
        options["nb_grads"] = classes
    if name == "art.ead":
        options["decision_rule"] = "L1"
    attack = getattr(evasion, _CLASSES[name][0])(model, **options)
    aim = given.labels if given.targets is None else given.targets
    y = torch.nn.functional.one_hot(aim, classes).float().cpu().numpy()
    with contextlib.redirect_stdout(io.StringIO()):
        return attack.generate(x=given.x.cpu().numpy(), y=y)


_CLASSES: dict[str, tuple[str, tuple[Norm, ...], int]] = {
    "art.pgd": ("ProjectedGradientDescentPyTorch", ("linf", "l2", "l1"), 40),
    "art.deepfool": ("DeepFool", ("l2",), 100),
    "art.carlini-wagner": ("CarliniL2Method", ("l2",), 100),
    "art.ead": ("ElasticNet", ("l1",), 100),
}


def _made(name: str) -> type[Attack]:
    theirs, norms, steps = _CLASSES[name]
    info = AttackInfo(
        name=name,
        version=f"1+{importlib.metadata.version('adversarial-robustness-toolbox')}",
        norms=norms,
        budget="fixed" if name == "art.pgd" else "minimal",
        needs="gradient",
        summary=f"ART's {theirs}.",
        reference=_NICOLAE,
        limits="It has no targeted form: asked for a target it takes any wrong class." if "deepfool" in name else "",
    )
    class_name = "Art" + name.partition(".")[2].title().replace("-", "")
    params = {"steps": param(steps, "Steps of the attack.", minimum=1, maximum=100_000)}
    globals()[class_name] = made = borrowed(__name__, class_name, info, params, _called)
    return made


_ATTACKS = [_made(name) for name in _CLASSES]


@hookimpl
def robusteval_attacks() -> list[type[Attack]]:
    """All of them."""
    return _ATTACKS
