"""AutoAttack (Croce, Hein 2020) as pyautoattack packages it: the plugin `pyautoattack.standard`."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
from typing import Any

import pyautoattack
import torch
from torch import Tensor

from robusteval.api import Attack, AttackInfo, Posed, RobustEvalError, borrowed, hookimpl, param

_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}


def _called(plugin: Any, given: Posed) -> Tensor:
    """Its standard evaluation at the budget: APGD-CE, targeted APGD, targeted FAB and Square."""
    if given.targets is not None:
        raise RobustEvalError("AutoAttack has no targeted form.", "Leave it out, or ask for any wrong class.")
    if given.problem.classes < 4:
        raise RobustEvalError("AutoAttack's DLR loss needs four classes.", "Leave it out, or use apgd.")
    with contextlib.redirect_stdout(io.StringIO()):
        adversary = pyautoattack.AutoAttack(
            given.module, norm=_NORMS[given.problem.norm], eps=given.eps, seed=0, version="standard"
        )
        adversary.apgd.n_restarts = plugin.restarts
        for member in (adversary.apgd_targeted, adversary.fab):  # it is written for ten classes
            member.n_target_classes = min(9, given.problem.classes - 1)
        found, _ = adversary.run_standard_evaluation(given.x, given.labels)
    return torch.as_tensor(found)


PyAutoAttack = borrowed(
    __name__,
    "PyAutoAttack",
    AttackInfo(
        name="pyautoattack.standard",
        version=f"1+{importlib.metadata.version('pyautoattack')}",
        norms=("linf", "l2", "l1"),
        budget="fixed",
        needs="gradient",
        summary="AutoAttack's standard evaluation, as pyautoattack packages it.",
        reference="Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse "
        "parameter-free attacks, 2020",
        stochastic=True,
        limits="Untargeted only, and for four classes or more.",
    ),
    {"restarts": param(1, "Restarts of APGD.", minimum=1, maximum=100)},
    _called,
)


@hookimpl
def robusteval_attacks() -> list[type[Attack]]:
    """The one."""
    return [PyAutoAttack]
