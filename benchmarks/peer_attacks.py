"""The peers' attacks as plain functions (Target, eps) -> adversarials; a peer that does not import is left out."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import sys
import types
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

PACKAGES = {
    "foolbox": ("foolbox", "foolbox"),
    "art": ("art.attacks.evasion", "adversarial-robustness-toolbox"),
    "torchattacks": ("torchattacks", "torchattacks"),
    "adv-lib": ("adv_lib.attacks", "adv-lib"),
    "pyautoattack": ("pyautoattack", "pyautoattack"),
}
BATCH = 128
_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}
_ORDERS = {"linf": float("inf"), "l2": 2.0, "l1": 1.0, "l0": 0.0}


class Whole(nn.Module):
    """A module whose parts nobody calls one by one, as ART does with an nn.Sequential: passes are counted at the
    whole."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.module(x)
        return scores


@dataclass
class Target:
    """What a peer is given: the module, the samples, and what it wraps the module in (made outside the clock)."""

    module: nn.Module
    x: Tensor
    y: Tensor
    likeliest: Tensor  # of the wrong classes, int64 [N]: for attacks that need a class to aim at
    wrapped: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, module: nn.Module, x: Tensor, y: Tensor) -> Target:
        with torch.no_grad():
            scores = module(x).scatter(1, y[:, None], -torch.inf)
        return cls(module, x, y, scores.argmax(1))


Peer = Callable[[Target, float], Tensor]


def load_peers() -> tuple[dict[str, Any], dict[str, str]]:
    """The peers' modules by name, and for each peer its version or why it is left out."""
    _stand_in_for_what_is_not_used()
    modules, notes = {}, {}
    for name, (module, distribution) in PACKAGES.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                modules[name] = importlib.import_module(module)
            notes[name] = importlib.metadata.version(distribution)
        except ImportError as error:
            notes[name] = f"left out: {error}"
    return modules, notes


def _stand_in_for_what_is_not_used() -> None:
    """adv-lib imports torchvision.models for a perceptual distance, and visdom for charts; neither is used here."""
    if importlib.util.find_spec("torchvision") is None:
        _stub("torchvision").models = _stub("torchvision.models")  # type: ignore[attr-defined]
    if importlib.util.find_spec("visdom") is None:
        _stub("visdom").Visdom = object  # type: ignore[attr-defined]


def _stub(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    sys.modules[name] = module
    return module


def wrap(target: Target, modules: dict[str, Any]) -> Target:
    """Adds each library's own model object."""
    if "foolbox" in modules:
        target.wrapped["foolbox"] = modules["foolbox"].PyTorchModel(target.module, bounds=(0, 1), device="cpu")
    if "art" in modules:
        estimator = importlib.import_module("art.estimators.classification").PyTorchClassifier
        target.wrapped["art"] = estimator(
            model=target.module,
            loss=nn.CrossEntropyLoss(),
            input_shape=tuple(target.x.shape[1:]),
            nb_classes=10,
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )
    return target


class Peers:
    """Makers of `Peer`s out of the modules that were imported; every maker gives None where its library is missing."""

    def __init__(self, modules: dict[str, Any]) -> None:
        self.modules = modules

    def foolbox(self, name: str, eps: bool = False, **options: Any) -> Peer | None:
        return partial(_foolbox, self.modules["foolbox"], name, eps, options) if "foolbox" in self.modules else None

    def art(
        self, name: str, eps: tuple[str, ...] = (), step: float = 0.0, aim: bool = False, **options: Any
    ) -> Peer | None:
        return partial(_art, self.modules["art"], name, eps, step, aim, options) if "art" in self.modules else None

    def torchattacks(self, name: str, alpha: float = 0.0, aim: bool = False, **options: Any) -> Peer | None:
        module = self.modules.get("torchattacks")
        return None if module is None else partial(_torchattacks, module, name, alpha, aim, options)

    def adv_lib(self, name: str, norm: str = "", eps: str = "", **options: Any) -> Peer | None:
        module = self.modules.get("adv-lib")
        if module is None:
            return None
        return partial(_adv_lib, module, name, {**options, **({"norm": _ORDERS[norm]} if norm else {})}, eps)

    def pyautoattack(self, norm: str, attacks: tuple[str, ...] = ()) -> Peer | None:
        module = self.modules.get("pyautoattack")
        return None if module is None else partial(_pyautoattack, module, norm, attacks)


def _foolbox(module: Any, name: str, eps: bool, options: dict[str, Any], target: Target, budget: float) -> Tensor:
    attack = getattr(module.attacks, name)(**options)
    _, clipped, _ = attack(target.wrapped["foolbox"], target.x, target.y, epsilons=budget if eps else None)
    return torch.as_tensor(clipped)


def _art(
    module: Any,
    name: str,
    eps: tuple[str, ...],
    step: float,
    aim: bool,
    options: dict[str, Any],
    target: Target,
    budget: float,
) -> Tensor:
    if eps:
        options = {**options, eps[0]: budget}
    if step:
        options = {**options, "eps_step": step * budget}
    attack = getattr(module, name)(target.wrapped["art"], **options)
    y = torch.nn.functional.one_hot(target.likeliest if aim else target.y, 10).float().numpy()
    with redirect_stdout(io.StringIO()):
        found = attack.generate(x=target.x.numpy(), y=y)
    return torch.from_numpy(found)


def _torchattacks(
    module: Any, name: str, alpha: float, aim: bool, options: dict[str, Any], target: Target, budget: float
) -> Tensor:
    if budget > 0:
        options = {**options, "eps": budget}
    if alpha:
        options = {**options, "alpha": alpha * budget}
    attack = getattr(module, name)(target.module, **options)
    if aim:
        attack.set_mode_targeted_by_label(quiet=True)
    found: Tensor = attack(target.x.clone(), target.likeliest if aim else target.y)
    return found


def _adv_lib(module: Any, name: str, options: dict[str, Any], eps: str, target: Target, budget: float) -> Tensor:
    if eps:
        options = {**options, eps: budget}
    found: Tensor = getattr(module, name)(target.module, target.x, target.y, **options)
    return found


def _pyautoattack(module: Any, norm: str, attacks: tuple[str, ...], target: Target, budget: float) -> Tensor:
    options: dict[str, Any] = {"version": "custom", "attacks": list(attacks)} if attacks else {"version": "standard"}
    adversary = module.AutoAttack(target.module, norm=_NORMS[norm], eps=budget, seed=0, **options)
    if attacks:
        adversary.apgd.n_restarts = 1  # the others restart no more often
    with redirect_stdout(io.StringIO()):
        found, _ = adversary.run_standard_evaluation(target.x, target.y)
    return torch.as_tensor(found)
