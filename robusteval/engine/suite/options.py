"""What a suite may ask for beside attacks and defences: CLEVER, tests of the attacks, and how models are compared.

As in `declared`, a setting's type, default, limits and description stand here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, Strict, ValidatorFunctionWrapHandler, WrapValidator

from robusteval.assessment.gates import form
from robusteval.ops import NORMS

LARGEST_SHARE = 1e6  # of a budget: no image is so far from another, not even in pixels
STATED = ConfigDict(extra="forbid")  # a setting that is not declared is an error


def _as_written(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """The value itself, once it is checked: 1 does not become 1.0, which would be another hash."""
    check(value)
    return value


def _norm(value: str) -> str:
    if value not in NORMS:
        raise ValueError(f"it should be one of {', '.join(NORMS)}, not {value[:40]!r}")
    return value


Text = Annotated[str, Strict()]
Flag = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(ge=0, le=2**31)]
Share = Annotated[float, Strict(), Field(gt=0, le=LARGEST_SHARE), WrapValidator(_as_written)]
NormName = Annotated[str, Strict(), AfterValidator(_norm), Field(json_schema_extra={"enum": list(NORMS)})]
_First = Annotated[Count, Field(description="so many, the first that are right when clean; 0: none")]
_Radius = Annotated[Share, Field(description="of the ball in which gradients are drawn, as a share of the pixel range")]
_Ball = Annotated[Share, Field(description="size of the ball, as a share of the pixel range")]


def _gate(text: str) -> str:
    form.parse(text)
    return text


@dataclass(frozen=True)
class Gates:
    """Thresholds that a run of this suite is to reach, or it ends with exit code 3 (docs/gates.md)."""

    __pydantic_config__: ClassVar[ConfigDict] = STATED
    fail_under: Annotated[
        tuple[Annotated[Text, AfterValidator(_gate)], ...],
        Field(description=f"each one text, such as {form.EXAMPLES}; also those of --fail-under"),
    ] = ()


@dataclass(frozen=True)
class Clever:
    """Estimate the smallest distance of some samples from gradients (Weng et al. 2018)."""

    __pydantic_config__: ClassVar[ConfigDict] = STATED
    samples: _First = 0
    batches: Annotated[
        int, Strict(), Field(ge=10, le=10_000, description="maxima that the extreme-value law is fitted to")
    ] = 40
    batch_size: Annotated[
        int, Strict(), Field(ge=1, le=65_536, description="gradients of which each maximum is taken")
    ] = 64
    radius_l2: _Radius = 2.0
    radius_linf: _Radius = 0.1
    targets: Annotated[
        Literal["runner-up", "all"], Field(description="margins to the second class, or to every class")
    ] = "runner-up"


@dataclass(frozen=True)
class Planted:
    """Plant an adversarial for some samples and see whether the attacks find it (Zimmermann et al. 2022)."""

    __pydantic_config__: ClassVar[ConfigDict] = STATED
    samples: _First = 0
    eps_l2: _Ball = 1.0
    eps_linf: _Ball = 0.05
    inner: Annotated[
        int,
        Strict(),
        Field(ge=20, le=10_000, description='points inside the ball on which each readout says "no": no adversarials'),
    ] = 200


@dataclass(frozen=True)
class NoiseDraws:
    """Random points a little nearer than the nearest adversarial found: is any of them one?"""

    __pydantic_config__: ClassVar[ConfigDict] = STATED
    samples: _First = 0
    draws: Annotated[int, Strict(), Field(ge=1, le=10_000_000, description="points for each sample")] = 10_000


@dataclass(frozen=True)
class Certify:
    """Prove, for some samples, that no adversarial lies nearer than a radius: the lower edge."""

    __pydantic_config__: ClassVar[ConfigDict] = STATED
    samples: Annotated[Count, Field(description="so many, the first of the data; 0: none")] = 0
    seconds: Annotated[
        float,
        Field(
            gt=0,
            le=1e6,
            allow_inf_nan=False,
            description="of search for a sample and norm, all certifiers together, counted as work and not by the "
            "clock: 4e9 multiplications each, whatever the machine",
        ),
    ] = 2.0
    halvings: Annotated[
        int, Strict(), Field(ge=1, le=40, description="of the interval between what is proved and what is broken")
    ] = 8
    certifiers: Annotated[
        tuple[Text, ...], Field(description="installed ones, asked from the cheapest to the dearest")
    ] = ("crown", "alpha-crown")
    norms: Annotated[
        tuple[NormName, ...], Field(description="default: those of the suite in which the certifiers prove anything")
    ] = ()


@dataclass(frozen=True)
class Transfer:
    """Whose adversarials fool whom, when several models are run together."""

    __pydantic_config__: ClassVar[ConfigDict] = STATED
    attack: Annotated[
        Text,
        Field(description="a fixed-budget attack, by its name in the suite, or an installed one with its own defaults"),
    ] = "pgd"
    norm: NormName = "linf"
    eps: Annotated[Share, Field(description="budget as a share of the pixel range (l0: pixels)")] = 0.2
