"""Asking an attack plugin: it gets copies, and what it returns is looked at and copied."""

from __future__ import annotations

from jaxtyping import Shaped
from torch import Tensor

from robusteval.contracts.plugins import Attack
from robusteval.contracts.problem import Problem


def candidates_of(attack: Attack, problem: Problem) -> Shaped[Tensor, " *any"]:
    """The attack's candidates, [B, *shape], in tensors that the plugin does not hold.

    Whatever it raises comes out. Raises TypeError for an answer that is no tensor.
    """
    candidates = attack.run(problem.lent())
    if not isinstance(candidates, Tensor):
        raise TypeError(f"the attack returned {type(candidates).__name__}, not a tensor")
    return candidates.detach().clone()
