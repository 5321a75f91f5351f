"""What a run measured: one row a model, a pipeline, a cell; per-sample columns in the order of the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Knowledge = Literal["none", "oblivious", "adaptive"]


@dataclass
class Model:
    """The model as the loader understood it (the fields of ModelInfo)."""

    name: str
    file: str  # name of the file, without its folder
    format: str
    sha256: str
    input_shape: list[int]
    classes: int
    bounds: list[float]
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    layout: str = ""
    gradients: str = "exact"
    gradients_reason: str = ""
    rung: str = "A"
    output: str = "logits"
    provider: str = ""
    precision: str = "float32"
    batch: int | None = None
    opset: int | None = None
    parity: dict[str, float | str] = field(default_factory=dict)
    class_names: list[str] = field(default_factory=list)
    dataset: str = ""
    notes: list[str] = field(default_factory=list)
    # what checks know it by: code (contracts.classifier.TRAITS) -> sentence
    traits: dict[str, str] = field(default_factory=dict)
    path: str = ""  # as the user gave it, so that `verify` finds it again
    grid: list[float] = field(
        default_factory=list
    )  # (first, last, steps) of a file that takes whole numbers; see ModelInfo
    reading: dict[str, Any] = field(default_factory=dict)  # input and outputs of an ONNX file, for robusteval.runtime


@dataclass
class Data:
    """The evaluated samples, without their pixels."""

    name: str
    source: str  # how they were given: a file's name, or the bundled set's
    sha256: str
    samples: int
    labels: list[int] = field(default_factory=list)
    l2: list[float] = field(default_factory=list)  # size of each clean sample, ||x||_2, for rho_adv
    range_note: str = ""  # how pixel values of the file were mapped onto the model's range
    fit_name: str = ""
    fit_sha256: str = ""
    fit_samples: int = 0
    available: int = 0  # samples that the source holds, evaluated or not; 0 where unknown
    names: list[str] = field(
        default_factory=list
    )  # of each sample's file, below the folder; empty where one file has all
    hashes: list[str] = field(default_factory=list)  # content of each sample and its label, in any pixel range


@dataclass
class Suite:
    """What was asked for: the suite as it was read."""

    name: str
    version: str
    sha256: str
    summary: str = ""
    norms: list[str] = field(default_factory=list)  # that it asks about, attacked or not
    levels: int = 0  # Q > 0: only images whose values are multiples of 1 / Q of the range counted as adversarials
    attacks_sha256: str = ""  # of all that decides the bare model's distances: runs that share it can be compared
    metrics: list[str] = field(default_factory=list)  # the only ones that were computed; empty: every installed one
    surrogates: dict[str, str] = field(default_factory=dict)  # path -> sha256 of models that attacks went by way of


@dataclass
class Pipeline:
    """A defence fitted to the model, and what it answers on the clean samples. The bare model is the defence "none"."""

    defense: str  # name, "none" for the bare model
    plugin: str  # the defence plugin; "" for the bare model
    version: str
    kind: str  # preprocessor, detector, corrector, retrained, retrofit; "model" for the bare one
    params: dict[str, Any]
    status: Literal["done", "failed", "pending", "excluded"]  # excluded: it learns from samples, and there are none
    reason: str = ""
    prediction: list[int] = field(default_factory=list)  # clean answer; = classes where a detector fires, -1 not finite
    label: list[int] = field(default_factory=list)  # clean class, the detector aside
    confidence: list[float] = field(default_factory=list)  # top softmax probability on the clean samples
    suspicion: list[float] = field(
        default_factory=list
    )  # detector's score on the clean samples; empty without detector
    threshold: float | None = None
    stochastic: bool = False
    draws: int = 1  # draws per query of an adaptive attack
    surrogate_agreement: float | None = None  # share of clean samples on which twin and truth give the same answer
    certified: list[float] = field(default_factory=list)  # certified l2 radius; empty without certificate
    # share of clean samples whose answer changes when asked again, and when asked in other company; None: not asked
    unstable_again: float | None = None
    unstable_batch: float | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class Strength:
    """One strength of an attack on the bare model, judged on the bare model itself or, in oblivious cells, on the
    defended pipeline.

    The means of a bare cell are over the attacked samples and the attack's own candidates, won or not (a minimal
    attack: where it found one); those of an oblivious cell over all samples and what was judged, 0 where there was no
    adversarial.
    """

    strength: float  # budget in the cell's norm for fixed attacks; multiple of the smallest distance for minimal ones
    mean_l2: float  # mean ||delta||_2
    mean_distance: float  # the same in the cell's norm
    fools_model: list[bool] = field(default_factory=list)  # whether the candidate fools the bare model
    prediction: list[int] = field(default_factory=list)  # the pipeline's answer
    suspicion: list[float] = field(default_factory=list)  # detector's score; empty without detector


@dataclass
class Cell:
    """One attack on one pipeline in one norm."""

    id: str
    attack: str  # display name, unique in the suite
    plugin: str
    version: str
    params: dict[str, Any]
    family: str  # "minimal" | "fixed" | "cascade": attacks in order, each on what the ones before it left
    needs: str  # "gradient" | "scores" | "decision"
    defense: str
    knowledge: Knowledge
    norm: str
    threat: Literal["curve", "budget"]
    eps: float | None = None  # the largest budget searched (curve) or the budget (budget), in the norm
    target: str = "untargeted"  # or "least-likely", "all" (each other class in turn, the nearest counts), "class 3"
    # skipped: a time budget ended before all of its units were done
    status: Literal["done", "failed", "excluded", "skipped", "pending"] = "pending"
    reason: str = ""
    # smallest distance at which each sample is lost; threat "budget": that of a win within eps, not the smallest
    distance: list[float | None] = field(default_factory=list)
    l2: list[float | None] = field(default_factory=list)  # ||delta||_2 of the same candidates
    prediction: list[int | None] = field(default_factory=list)  # the pipeline's answer to the candidate that counts
    suspicion: list[float | None] = field(default_factory=list)  # detector's score of the candidate
    survives_8bit: list[bool | None] = field(default_factory=list)  # whether the win survives rounding to 8 bits
    forwards: list[int] = field(default_factory=list)  # passes per sample, counted at the pipeline
    backwards: list[int] = field(default_factory=list)
    zero_gradients: int = 0  # backward passes answered by a zero gradient, summed over samples
    bad_gradients: int = 0  # and by one that was not finite
    rejected: dict[str, int] = field(default_factory=dict)  # candidates that the judge threw out, by reason
    strengths: list[Strength] = field(
        default_factory=list
    )  # oblivious cells; bare ones where their candidates are kept
    trace: list[dict[str, float]] = field(default_factory=list)
    # counts over samples and runs of the attack: asked; met (a win was seen on the way); lost (met, but what was
    # returned wins nowhere); fooled (what was returned wins, on the twin at least); not_carried (on the twin only)
    watched: dict[str, int] = field(default_factory=dict)
    member: list[str | None] = field(default_factory=list)  # cascades only: which of its attacks, a key of params, won
    # target "all" only: smallest distance to each class, one row a sample; 0 for its true class
    by_target: list[list[float | None]] = field(default_factory=list)
    blind: list[int] = field(default_factory=list)  # zero and not finite ones by sample; empty in older records
    without: dict[str, str] = field(default_factory=dict)  # cascades only: members that could not run, and why
    foretold: float | None = None  # passes, there and back, per attacked sample, as said before the run; None: unsaid
    sha256: str = ""  # of plugin, version and parameters: which variant of the attack this is


@dataclass
class Estimate:
    """An estimate of the smallest distance of some samples, from the model's gradients: neither an attack nor a
    proof."""

    name: str  # "clever"
    norm: str
    params: dict[str, Any]
    status: Literal["done", "failed", "excluded"]
    reason: str = ""
    samples: list[int] = field(default_factory=list)  # which samples were estimated; the columns below go with them
    value: list[float | None] = field(default_factory=list)  # estimated smallest distance, in the norm; None: no fit
    limit: float | None = None  # largest value that the estimate can take: the radius in which gradients were drawn
    target: list[int] = field(default_factory=list)  # class whose margin gave the value
    fit: list[float | None] = field(default_factory=list)  # p-value of the extreme-value fit; None: nothing to fit


@dataclass
class Planted:
    """A test of the attacks themselves: on the model's own features a readout is put that has an adversarial within eps
    by construction, for each sample one (Zimmermann et al. 2022); how many of them do the suite's attacks find?"""

    norm: str
    eps: float  # in the norm, in pixel units
    params: dict[str, Any]
    status: Literal["done", "failed", "excluded"]
    reason: str = ""
    samples: list[int] = field(default_factory=list)  # those for which one could be planted; columns go with them
    random: list[bool] = field(
        default_factory=list
    )  # found by random points of the ball's surface, as many as there were inner ones
    found: dict[str, list[bool]] = field(default_factory=dict)  # by attack
    needs: dict[str, str] = field(default_factory=dict)  # what each attack needs
    failed: dict[str, str] = field(default_factory=dict)  # attacks that raised, with their reasons
    # what was read out: "penultimate: " and what, or "scores: " and why not the former; "" in older records, which read
    # scores
    features: str = ""


@dataclass
class Search:
    """Many random points around a few samples, a little nearer than the nearest adversarial that the attacks found."""

    norm: str
    draws: int
    samples: list[int] = field(default_factory=list)
    eps: list[float] = field(default_factory=list)  # size of the noise, per sample
    hits: list[int] = field(default_factory=list)  # draws that the true pipeline gets wrong, per sample


@dataclass
class Picture:
    """One sample of the gallery; images are base64 PNG files."""

    sample: int
    cell: str
    attack: str
    defense: str
    norm: str
    distance: float
    label: int
    clean_prediction: int
    clean_confidence: float
    prediction: int
    confidence: float
    clean_png: str
    perturbation_png: str
    adversarial_png: str
    perturbation_gain: float = 1.0  # factor by which the perturbation was stretched to be seen


@dataclass
class Witness:
    """One stored adversarial: row `row` of tensor `tensor` in the witness file, and what it proves."""

    tensor: str
    row: int
    sample: int
    cell: str
    defense: str
    norm: str
    distance: float
    label: int
    prediction: int
    sha256: str = ""  # of the row's bytes


@dataclass
class Rounded:
    """The wins of one attack on the bare model as 8-bit images: a uint8 tensor of the witness file, one row for each
    sample whose `survives_8bit` is not None, in the order of the data."""

    cell: str
    tensor: str


@dataclass
class Wins:
    """The wins of one attack in full: a tensor of the witness file, one row for each sample with a distance above 0
    that has no entry by this attack, in the order of the data."""

    cell: str
    tensor: str


@dataclass
class Witnesses:
    """The file with the stored adversarials, and what is in it."""

    file: str
    sha256: str
    entries: list[Witness] = field(default_factory=list)
    rounded: list[Rounded] = field(
        default_factory=list
    )  # attacks whose images would make the file too large are not here
    wins: list[Wins] = field(default_factory=list)  # the same; which those are is the rule of assessment.evidence.proof
    limit: int = 0  # bytes that all wins may have together; 0 in older records, which kept none
