"""What a suite may ask for beside attacks and defences: CLEVER, tests of the attacks, and how models are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from robusteval.ops import NORMS


@dataclass(frozen=True)
class Clever:
    """How CLEVER is estimated. Radii are shares of the pixel range; samples = 0 leaves it out."""

    samples: int = 0
    batches: int = 40  # maxima that the extreme-value law is fitted to
    batch_size: int = 64  # gradients of which each maximum is taken
    radius_l2: float = 2.0
    radius_linf: float = 0.1
    targets: Literal["runner-up", "all"] = "runner-up"


@dataclass(frozen=True)
class Planted:
    """The planted-adversarial test. eps are shares of the pixel range; samples = 0 leaves it out."""

    samples: int = 0
    eps_l2: float = 1.0
    eps_linf: float = 0.05
    inner: int = 200  # points inside the ball on which each readout says "no"


@dataclass(frozen=True)
class NoiseDraws:
    """The search by random points around some samples; samples = 0 leaves it out."""

    samples: int = 0
    draws: int = 10_000


@dataclass(frozen=True)
class Transfer:
    """What is carried from model to model when several are run together. eps: share of the pixel range (l0: pixels)."""

    attack: str = "pgd"  # a fixed-budget attack of the suite, by name, or an installed one with its default parameters
    norm: str = "linf"
    eps: float = 0.2


LARGEST_SHARE = 1e6  # of a budget: no image is so far from another, not even in pixels

_NUMBER = {"type": "number", "exclusiveMinimum": 0, "maximum": LARGEST_SHARE}
_RADIUS = _NUMBER | {"description": "of the ball in which gradients are drawn, as a share of the pixel range"}

SCHEMA: dict[str, Any] = {
    "keep_strengths": {
        "type": "boolean",
        "description": "run every attack at `strengths` and `stretches` too, for accuracy against mean L2",
    },
    "clever": {
        "type": "object",
        "additionalProperties": False,
        "description": "estimate the smallest distance of some samples from gradients (Weng et al. 2018)",
        "properties": {
            "samples": {
                "type": "integer",
                "minimum": 0,
                "maximum": 2**31,
                "description": "so many, the first that are right when clean",
            },
            "batches": {"type": "integer", "minimum": 10, "maximum": 10000},
            "batch_size": {"type": "integer", "minimum": 1, "maximum": 65536},
            "radius_l2": _RADIUS,
            "radius_linf": _RADIUS,
            "targets": {"enum": ["runner-up", "all"], "description": "margins to the second class, or to every class"},
        },
    },
    "planted": {
        "type": "object",
        "additionalProperties": False,
        "description": "plant an adversarial for some samples and see whether the attacks find it (Zimmermann et al. "
        "2022)",
        "properties": {
            "samples": {
                "type": "integer",
                "minimum": 0,
                "maximum": 2**31,
                "description": "so many, the first that are right when clean",
            },
            "eps_l2": _NUMBER | {"description": "size of the ball, as a share of the pixel range"},
            "eps_linf": _NUMBER | {"description": "size of the ball, as a share of the pixel range"},
            "inner": {
                "type": "integer",
                "minimum": 20,
                "maximum": 10000,
                "description": "points that are no adversarials",
            },
        },
    },
    "noise_draws": {
        "type": "object",
        "additionalProperties": False,
        "description": "random points a little nearer than the nearest adversarial found: is any of them one?",
        "properties": {
            "samples": {
                "type": "integer",
                "minimum": 0,
                "maximum": 2**31,
                "description": "so many, the first that are right when clean",
            },
            "draws": {"type": "integer", "minimum": 1, "maximum": 10000000},
        },
    },
    "transfer": {
        "type": "object",
        "additionalProperties": False,
        "description": "whose adversarials fool whom, when several models are run together",
        "properties": {
            "attack": {"type": "string", "description": "a fixed-budget attack, by its name in the suite or installed"},
            "norm": {"enum": list(NORMS)},
            "eps": _NUMBER | {"description": "budget as a share of the pixel range (l0: pixels)"},
        },
    },
}
