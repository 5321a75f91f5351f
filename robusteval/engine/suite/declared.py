"""A suite: every setting with its type, default, limits and what it means, here and nowhere else.

Reading a file, the published schema (`robusteval suites schema`) and the sentences about faults all follow from these
classes. Names of plugins and their parameters are the catalogue's business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, Strict

from robusteval.engine.suite.options import (
    STATED,
    Certify,
    Clever,
    Count,
    Flag,
    NoiseDraws,
    NormName,
    Planted,
    Share,
    Text,
    Transfer,
)

DEVICES = r"^(auto|cpu|cuda(:\d{1,3})?)$"
PRIORITY = 5  # of an attack whose suite says nothing
NO_GRADIENTS = "no-gradients"
EVERY = ("*",)  # attacks of a defence: every one that runs on any model
# Largest budgets searched where the suite says nothing, as shares of the pixel range (l0: pixels), for an image of 784
# values.
DEFAULT_EPS = {"linf": 0.5, "l2": 6.0, "l1": 60.0, "l0": 200.0}


def _each_once(norms: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(norms)) != len(norms):
        raise ValueError("it names a norm twice")
    return norms


def _no_default(schema: dict[str, Any]) -> None:
    """In the schema the default is in words, as it depends on the rest of the file."""
    schema.pop("default", None)


_NAME = r"^[A-Za-z0-9._+-]{1,60}$"
Name = Annotated[str, Strict(), Field(pattern=_NAME)]
OwnName = Annotated[
    Name, Field(description="by which the rest of the suite and the record know it; default: the plugin's")
]
Priority = Annotated[
    int,
    Strict(),
    Field(ge=1, le=9, description="under a time budget the lowest of each norm is run first"),
]


@dataclass(frozen=True, kw_only=True)
class MemberSpec:
    """One attack of a cascade."""

    __pydantic_config__: ClassVar[ConfigDict] = STATED
    plugin: Text
    name: Annotated[OwnName, Field(json_schema_extra=_no_default)] = ""
    params: dict[str, Any] = field(default_factory=dict)
    reason: Annotated[Text, Field(description="why the attack is in the suite")] = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.plugin)


@dataclass(frozen=True, kw_only=True)
class AttackSpec(MemberSpec):
    """One attack of a suite."""

    __pydantic_config__: ClassVar[ConfigDict] = STATED
    norms: Annotated[tuple[NormName, ...], Field(description="default: all norms that suite and plugin share")] = ()
    search: Annotated[
        int, Strict(), Field(ge=0, le=30, description="halvings of the budget search, for fixed attacks")
    ] = 6
    priority: Priority = PRIORITY
    when: Annotated[
        Literal["", "no-gradients"],
        Field(description="no-gradients: only on models that give no gradient of their own: none, or a surrogate's"),
    ] = ""


@dataclass(frozen=True, kw_only=True)
class DefenseSpec:
    """One defence of a suite, and the attacks that it is judged against."""

    __pydantic_config__: ClassVar[ConfigDict] = STATED
    plugin: Text
    name: Annotated[OwnName, Field(json_schema_extra=_no_default)] = ""
    params: dict[str, Any] = field(default_factory=dict)
    oblivious: Annotated[
        tuple[Text, ...], Field(description="names of attacks whose oblivious adversarials are judged; *: all")
    ] = EVERY
    adaptive: Annotated[
        tuple[Text, ...], Field(description="names of attacks and cascades that are run against it; *: all attacks")
    ] = EVERY
    draws: Annotated[
        int, Strict(), Field(ge=1, le=1000, description="draws of a random defence averaged per query")
    ] = 8
    search: Annotated[
        int | None,
        Strict(),
        Field(ge=0, le=30, description="halvings of the budget search against it; not stated: each attack's own"),
    ] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.plugin)


@dataclass(frozen=True, kw_only=True)
class CascadeSpec:
    """Attacks in order at fixed budgets, each on what the ones before it left."""

    __pydantic_config__: ClassVar[ConfigDict] = STATED
    name: Name
    eps: Annotated[
        dict[NormName, Annotated[tuple[Share, ...], Field(min_length=1)]],
        Field(min_length=1, description="budgets by norm, as shares of the pixel range (l0: pixels)"),
    ]
    members: Annotated[tuple[MemberSpec, ...], Field(alias="member", min_length=1)]
    reason: Text = ""
    priority: Priority = PRIORITY


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that a suite's file can say."""

    __pydantic_config__: ClassVar[ConfigDict] = STATED
    name: Name
    version: Text
    summary: Text = ""
    norms: Annotated[
        tuple[NormName, ...],
        Field(min_length=1, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_each_once),
    ]
    samples: Annotated[int, Strict(), Field(ge=1, le=2**31, description="samples evaluated, at most")] = 500
    eps: Annotated[
        dict[NormName, Share],
        Field(
            description="largest budget searched, as a share of the pixel range (l0: pixels); where it is not stated "
            "it follows the size of the input (docs/architecture.md)"
        ),
    ] = field(default_factory=dict)
    attacks: Annotated[tuple[AttackSpec, ...], Field(alias="attack")] = ()
    defenses: Annotated[tuple[DefenseSpec, ...], Field(alias="defense")] = ()
    cascades: Annotated[tuple[CascadeSpec, ...], Field(alias="cascade")] = ()
    metrics: Annotated[
        tuple[Text, ...], Field(description="the only ones that are computed; none named: every installed metric")
    ] = ()
    strengths: Annotated[
        tuple[Share, ...],
        Field(description="budgets, as shares of the largest, at which oblivious adversarials are judged"),
    ] = (0.05, 0.1, 0.2, 0.4)
    stretches: Annotated[
        tuple[Share, ...],
        Field(description="factors by which smallest adversarials are stretched before they are judged obliviously"),
    ] = (1.0, 1.25, 1.5, 2.0)
    probe_samples: Annotated[Count, Field(description="samples that are attacked again with more effort")] = 64
    fit_samples: Annotated[
        int | None,
        Strict(),
        Field(
            ge=1,
            le=2**31,
            description="samples that defences learn from, at most, drawn evenly from the classes; not stated: all",
        ),
    ] = None
    levels: Annotated[
        int,
        Strict(),
        Field(
            ge=0,
            le=65_535,
            description="Q: only images on the grid {0, ..., Q} / Q of the pixel range count as"
            " adversarials (255: 8-bit images only); 0: all do",
        ),
    ] = 0
    cell_timeout: Annotated[
        float,
        Field(
            ge=0,
            le=1e9,
            allow_inf_nan=False,
            description="seconds after which one unit of a cell, some samples of it, is ended and the cell has failed; "
            "0: 50 times what was foretold of it, and five minutes at least",
        ),
    ] = 0
    keep_strengths: Annotated[
        Flag,
        Field(description="run every attack at `strengths` and `stretches` too, for accuracy against mean L2"),
    ] = False
    device: Annotated[
        Text,
        Field(
            pattern=DEVICES,
            description="where models and attacks compute, unless the command says: auto, cpu, cuda, cuda:1",
        ),
    ] = "auto"
    clever: Clever = field(default_factory=Clever)
    transfer: Transfer = field(default_factory=Transfer)
    planted: Planted = field(default_factory=Planted)
    noise_draws: NoiseDraws = field(default_factory=NoiseDraws)
    certify: Certify = field(default_factory=Certify)


@dataclass(frozen=True, kw_only=True)
class Suite(Settings):
    """A suite as read: defences name their attacks, every norm has a largest budget, and there is a hash."""

    stated: frozenset[str] = frozenset()  # norms whose largest budget the suite states itself
    sha256: str = field(default="", compare=False)

    def untested(self) -> Suite:
        """Without what comes beside the attacks."""
        return replace(self, clever=Clever(), planted=Planted(), noise_draws=NoiseDraws(), certify=Certify())

    def largest(self, norm: str, shape: tuple[int, ...]) -> float:
        """The largest budget searched for inputs of this shape, as a share of the pixel range (l0: pixels): what the
        suite states, else a default that follows the size of the input."""
        return self.eps[norm] if norm in self.stated else self.eps[norm] * _growth(norm, self.eps[norm], shape)


def _growth(norm: str, usual: float, shape: tuple[int, ...]) -> float:
    """By how much the default budget of an image of 784 values changes with the size of the input, D values in P
    pixels.

    An L2 ball of the same share of the cube's diagonal grows with sqrt(D), an L1 ball with D, an L0 ball with P. Small
    inputs keep the budget of 784 values as far as it is no more than half the range in every value (L2, L1) or all
    pixels (L0): there the same share would be less than Linf 0.5, which is searched in any case.
    """
    values = math.prod(shape)
    pixels = math.prod(shape[1:]) if len(shape) == 3 else values
    if norm == "l2":
        return max(math.sqrt(values / 784), min(1.0, 0.5 * math.sqrt(values) / usual))
    if norm == "l1":
        return max(values / 784, min(1.0, 0.5 * values / usual))
    if norm == "l0":
        return max(round(usual * pixels / 784), min(usual, pixels)) / usual
    return 1.0
