"""What the sources claim of defences, and the table of what was measured beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from robusteval.api import Record, Scalar
from robusteval_published_claims.figures import PipelineFigures
from robusteval_published_claims.wording import (
    COLOUR,
    GREY,
    Words,
    averaged,
    corrected,
    detector,
    distilled,
    fixed,
    hardened,
    jump,
    masked,
    minimal,
    one_step,
    trained,
    whole,
)


@dataclass(frozen=True)
class Claim:
    """One figure of a source, of the pipeline with this name; `says` of a pipeline gives what was measured, and why."""

    defense: str
    figure: str
    source: str
    says: str
    tell: Callable[[PipelineFigures], Words]


def rows_of(record: Record, claims: tuple[Claim, ...]) -> list[list[Scalar]]:
    """One row a claim; one that was not measured says so."""
    done = {pipeline.defense: pipeline for pipeline in record.pipelines}
    table: list[list[Scalar]] = []
    for claim in claims:
        pipeline = done.get(claim.defense)
        if pipeline is None:
            continue
        measured, why = (
            claim.tell(PipelineFigures(record, pipeline)) if whole(record, pipeline) else (pipeline.reason, "")
        )
        table.append([claim.figure, claim.source, claim.says, measured if why else f"Not measured: {measured}", why])
    return table


_LOGIT = "Logit detector"
_FOUND = "about 95 % of adversarials found"
MNIST = (
    Claim(
        "logit-odds-noise",
        f"{_LOGIT}, change under noise: BIM",
        "002; Roth et al. 2019",
        _FOUND,
        detector(("bim",), GREY),
    ),
    Claim(
        "logit-odds-noise",
        f"{_LOGIT}, change under noise: minimal adversarials",
        "002",
        "useless against C&W",
        minimal(GREY),
    ),
    Claim("logit-odds-margin", f"{_LOGIT}, log-odds by pair: BIM", "002 eq. 6-9", _FOUND, detector(("bim",), GREY)),
    Claim(
        "logit-odds-margin",
        f"{_LOGIT}, log-odds by pair: minimal adversarials",
        "002",
        "useless against C&W",
        minimal(GREY),
    ),
    Claim("logit-odds-fixed", f"{_LOGIT}, log-odds by pair, fixed threshold 1.28", "002", _FOUND, fixed),
    Claim(
        "confidence",
        "Low confidence, the baseline: BIM",
        "Hendrycks, Gimpel 2017",
        "every other detector must beat it",
        detector(("bim",), GREY),
    ),
    Claim(
        "logit-odds-svm",
        "Logit detector with support vector machine: accuracy over BIM's whole range",
        "002",
        "85.5 to 99.1 %",
        corrected,
    ),
    Claim("jumprelu", "JumpReLU, k = 0.0645: accuracy under BIM", "002 fig. 18", "stays near 95 %", jump),
    Claim(
        "distillation",
        "Distillation: success of attacks",
        "Papernot et al. 2016; 004",
        "falls from 95 % to below 0.5 %",
        distilled,
    ),
    Claim(
        "adversarial-training",
        "PGD-trained net, eps 0.3",
        "002; Madry et al. 2017",
        "about 99 % clean, high under PGD-40",
        trained,
    ),
    Claim(
        "adversarial-training-fgsm",
        "FGSM-trained net: error under FGSM, eps 0.25",
        "Goodfellow et al. 2014; 001",
        "falls from 89.4 % to 17.9 %",
        one_step,
    ),
    Claim(
        "gradient-masking-exact",
        "Masked gradients, as they are",
        "004; Athalye et al. 2018",
        "attacks by gradients fail",
        masked,
    ),
    Claim(
        "gradient-masking",
        "Masked gradients, seen straight through",
        "004; Athalye et al. 2018",
        "broken by other gradients",
        masked,
    ),
)
HARDENED = (
    Claim(
        "none",
        "PGD-trained net, eps 0.3: this file itself",
        "002; Madry et al. 2017",
        "about 99 % clean, high under PGD-40",
        hardened,
    ),
)
CIFAR = (
    Claim(
        "logit-odds-noise",
        "Logit detector, change under noise, attacked by averaging over draws",
        "Tramer et al. 2020",
        "16.3 % with logit matching, 0.0 % averaging over 40 draws (CIFAR-10, Linf 8/255)",
        averaged,
    ),
    Claim(
        "logit-odds-noise",
        f"{_LOGIT}, change under noise: minimal adversarials",
        "002",
        "useless against C&W",
        detector(("newtonfool",), COLOUR),
    ),
    Claim("logit-odds-margin", f"{_LOGIT}, log-odds by pair: BIM", "002 eq. 6-9", _FOUND, detector(("bim",), COLOUR)),
    Claim(
        "confidence",
        "Low confidence, the baseline: BIM",
        "Hendrycks, Gimpel 2017",
        "every other detector must beat it",
        detector(("bim",), COLOUR),
    ),
)
