"""A realistic record, made up from a seed: two norms, four attacks, two defences, a detector, failed and excluded
cells."""

from __future__ import annotations

import base64
import io
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robusteval.record.derived import Scalar
from robusteval.record.measured import Knowledge
from robusteval.record.metric import Metric
from robusteval.record.run import (
    Cell,
    Data,
    Estimate,
    Finding,
    Model,
    Picture,
    Pipeline,
    Record,
    Strength,
    Suite,
    Times,
    Verdict,
    Witness,
    Witnesses,
)
from tests.sure import sure

CLASSES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
# attack, plugin, family, needs, factor on the true distance, norms
ATTACKS = [
    ("DeepFool", "deepfool", "minimal", "gradient", 1.15, ("l2", "linf")),
    ("Carlini-Wagner", "carlini-wagner", "minimal", "gradient", 1.0, ("l2",)),
    ("PGD", "pgd", "fixed", "gradient", 1.05, ("l2", "linf")),
    ("Square", "square", "fixed", "scores", 1.9, ("l2", "linf")),
    ("Noise", "noise", "fixed", "decision", 9.0, ("l2", "linf")),
]
SCALE = {"l2": 1.2, "linf": 0.06}
EPS = {"l2": 10.0, "linf": 0.5}


def png(array: np.ndarray) -> str:
    """A base64 PNG of an array [H, W] or [H, W, 3] in [0, 1]."""
    buffer = io.BytesIO()
    Image.fromarray((np.clip(array, 0, 1) * 255).astype(np.uint8)).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def make(samples: int = 300, seed: int = 7) -> Record:
    """The record, without results; `with_results` adds them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(CLASSES), size=samples)
    clean = np.where(rng.random(samples) < 0.92, labels, (labels + 1) % len(CLASSES))
    margin = rng.lognormal(0.0, 0.55, samples)
    suspicion = rng.normal(0.0, 1.0, samples)
    denoised = np.where(rng.random(samples) < 0.95, clean, (labels + 2) % len(CLASSES))
    flagged = suspicion > 2.3
    pipelines = [
        _pipeline("none", "", "model", clean, rng),
        _pipeline("Denoiser", "denoiser", "preprocessor", denoised, rng),
        _pipeline("Logit odds", "logit-odds", "detector", clean, rng),
    ]
    pipelines[1].certified = np.where(rng.random(samples) < 0.8, 0.3 * margin, 0.0).tolist()
    pipelines[2].prediction = np.where(flagged, len(CLASSES), clean).tolist()
    pipelines[2].suspicion = suspicion.tolist()
    pipelines[2].threshold = 2.3
    broken = Pipeline(
        "Distillation", "distillation", "1", "retrained", {}, "failed", "RuntimeError: the loss became NaN"
    )
    cells: list[Cell] = []
    for pipeline, gain in zip(pipelines, (1.0, 1.05, 1.15), strict=True):
        for attack in ATTACKS:
            for norm in attack[5]:
                cells += _cells(attack, norm, pipeline, pipelines[0], labels, margin * gain, rng)
    cells.append(_odd("failed", "JSMA", "jsma", "l0", "MemoryError: pairs of 784 pixels need 2.4 GB; 2 GB were free"))
    cells.append(
        _odd("excluded", "HopSkipJump", "hopskipjump", "l2", "not in the suite: slower than an hour on this model")
    )
    cells.append(_odd("pending", "Boundary", "boundary", "l2", "the run was stopped before this cell"))
    for cell in cells:
        if cell.knowledge == "none":
            cell.strengths = _kept(cell, clean == labels)
    return Record(
        tool={"name": "robusteval", "version": "0.1.0"},
        command="robusteval run lenet-fashion.onnx --suite standard --samples 300 --seed 7",
        seed=seed,
        environment={"python": "3.11.9", "torch": "2.13.0+cpu", "onnxruntime": "1.31.1", "cpu": "2 cores",
                     "platform": "linux"},
        model=_model(),
        data=Data("Fashion-MNIST test", "bundled", "ab" * 32, samples, labels.tolist(),
                  rng.normal(9.2, 1.5, samples).clip(3).tolist(),
                  "0..255 bytes divided by 255", "Fashion-MNIST train", "cd" * 32, 5000),
        suite=Suite("standard", "1", "ef" * 32, "The attacks that matter, in two norms."),
        plan_sha256="12" * 32,
        pipelines=[*pipelines, broken],
        cells=cells,
        estimates=[Estimate("clever", "l2", {"samples": 8}, "done", "", list(range(8)),
                            [0.4, 1.1, None, 5.0, 0.9, 0.7, 3.0, 0.2], 5.0, [1] * 8,
                            [0.6, 0.3, None, 0.01, 0.5, 0.9, 0.2, 0.4])],
        findings=_findings(),
        gallery=_gallery(labels, clean, cells, rng),
        witnesses=Witnesses("witnesses.safetensors", "34" * 32,
                            [Witness("l2/none", 0, 0, cells[0].id, "none", "l2", 1.1, 3, 6)]),
        verdict=Verdict("conclusive", "B", "One warning lowers the grade: a cell failed, so L0 is not covered.", [
            "On clean images the model is right 92 times in 100.",
            "A change of Linf 0.1, hardly visible, is enough to break almost every answer.",
            "Neither defence holds against an attacker who knows it.",
        ]),
        plugins=[
            {"distribution": "robusteval", "name": attack[1], "kind": "attack", "version": "1"} for attack in ATTACKS
        ],
        times=Times("2026-01-01T10:00:00Z", "2026-01-01T10:07:21Z", 441.0,
                    {cell.id: 3.0 + len(cell.id) for cell in cells}, {"Denoiser": 20.0}),
    )  # fmt: skip


def with_results(record: Record) -> Record:
    """The same record with what the built-in metrics derive from it."""
    from robusteval.metrics import (
        accuracy_curve,
        certified_curve,
        clever,
        cost,
        detector_roc,
        label_next,
        oblivious_curve,
        per_class,
        references,
        rho_adv,
        strength_curve,
    )

    metrics: list[Metric] = [
        accuracy_curve.AccuracyCurve(), oblivious_curve.ObliviousCurve(), rho_adv.RhoAdv(),
        detector_roc.DetectorRoc(), cost.Cost(), per_class.PerClass(),
        certified_curve.CertifiedCurve(), clever.Clever(), label_next.LabelNext(), strength_curve.StrengthCurve(),
        references.References(),
    ]  # fmt: skip
    record.results = [result for metric in metrics for result in metric.compute(record)]
    return record


def _model() -> Model:
    return Model(
        "LeNet Fashion-MNIST", "lenet-fashion.onnx", "onnx", "56" * 32, [1, 28, 28], 10, [0.0, 1.0], [0.286], [0.353],
        "NCHW",
        "exact", "", "A", "logits", "CPUExecutionProvider", "float32", None, 17, {"max_abs": 3.1e-6, "rows": 300.0},
        list(CLASSES), "fashion-mnist", ["The input is flattened inside the model."],
    )  # fmt: skip


def _pipeline(defense: str, plugin: str, kind: str, prediction: np.ndarray, rng: np.random.Generator) -> Pipeline:
    confidence = rng.beta(9, 1.2, prediction.size)
    return Pipeline(
        defense,
        plugin,
        "1" if plugin else "",
        kind,
        {},
        "done",
        "",
        prediction.tolist(),
        prediction.tolist(),
        confidence.tolist(),
    )


def _cells(
    attack: tuple[Any, ...],
    norm: str,
    pipeline: Pipeline,
    bare: Pipeline,
    labels: NDArray[Any],
    margin: NDArray[Any],
    rng: np.random.Generator,
) -> list[Cell]:
    """The direct cell on the bare model, or the oblivious and the adaptive one on a defended pipeline."""
    name, plugin, family, needs, factor, _ = attack
    classes, samples = len(CLASSES), labels.size
    right = np.array(pipeline.prediction) == labels
    distance = np.where(right, SCALE[norm] * margin * factor * rng.lognormal(0.1, 0.08, samples), 0.0)
    lost = distance <= EPS[norm]
    flip = (labels + rng.integers(1, 4, samples)) % classes
    detects = bool(pipeline.suspicion)
    column = [float(d) if hit else None for d, hit in zip(distance, lost, strict=True)]
    l2 = [None if d is None else d * (1.0 if norm == "l2" else 20.0) for d in column]
    suspicion = rng.normal(1.4, 0.6, samples).clip(max=2.29)
    passes = {
        "deepfool": (12, 60),
        "carlini-wagner": (900, 900),
        "pgd": (180, 160),
        "square": (1000, 0),
        "noise": (80, 0),
    }[plugin]
    knowledge: Knowledge = "none" if pipeline.defense == "none" else "adaptive"
    direct = Cell(
        f"{pipeline.defense}/{knowledge}/{plugin}/{norm}", name, plugin, "1", {"steps": 40}, family, needs,
        pipeline.defense, knowledge,
        norm, "curve", EPS[norm], "untargeted", "done", "", column, l2,
        [int(f) if hit else int(p) for f, p, hit in zip(flip, pipeline.prediction, lost, strict=True)],
        suspicion.tolist() if detects else [], [bool(hit) if hit else None for hit in lost],
        (passes[0] + rng.integers(0, 9, samples)).tolist(), (passes[1] + rng.integers(0, 2, samples)).tolist(),
    )  # fmt: skip
    if knowledge == "none":
        return [direct]
    oblivious = Cell(
        f"{pipeline.defense}/oblivious/{plugin}/{norm}", name, plugin, "1", {"steps": 40}, family, needs,
        pipeline.defense, "oblivious",
        norm, "curve", EPS[norm], "untargeted", "done", forwards=[4] * samples, backwards=[0] * samples,
    )  # fmt: skip
    grid = (1.0, 1.5, 2.0, 3.0) if family == "minimal" else tuple(SCALE[norm] * k for k in (0.5, 1.0, 2.0, 4.0))
    for step, strength in enumerate(grid, start=1):
        chance = 1 - np.exp(-(step**2) / (2.0 * factor))
        fools = (rng.random(samples) < chance) | (np.array(bare.prediction) != labels)
        holds = ~fools | (rng.random(samples) < 0.97 - 0.04 * step)
        score = rng.normal(1.0 + step, 1.0, samples)
        answer = np.where(holds, pipeline.prediction, flip)
        if detects:
            answer = np.where(score > sure(pipeline.threshold), classes, answer)
        mean_l2 = strength * (1.4 if family == "minimal" else 1.0 if norm == "l2" else 20.0)
        oblivious.strengths.append(
            Strength(
                float(strength),
                float(mean_l2),
                float(strength),
                fools.tolist(),
                answer.tolist(),
                score.tolist() if detects else [],
            )
        )
    return [oblivious, direct]


def _kept(cell: Cell, right: np.ndarray) -> list[Strength]:
    """A bare cell's own candidates at four strengths: they win once the strength is past the smallest distance."""
    distance = np.array([np.inf if distance is None else distance for distance in cell.distance])
    grid = (
        (0.5, 0.8, 1.0, 1.5) if cell.family == "minimal" else tuple(SCALE[cell.norm] * k for k in (0.5, 1.0, 2.0, 4.0))
    )
    made = []
    for strength in grid:
        fools = right & ((distance <= strength) if cell.family == "fixed" else np.full(right.shape, strength >= 1.0))
        size = strength * (1.4 if cell.family == "minimal" else 1.0 if cell.norm == "l2" else 20.0)
        made.append(Strength(float(strength), float(size), float(strength), fools.tolist(), [0] * right.size))
    return made


def _odd(
    status: Literal["done", "failed", "excluded", "skipped", "pending"], name: str, plugin: str, norm: str, reason: str
) -> Cell:
    return Cell(
        f"none/none/{plugin}/{norm}",
        name,
        plugin,
        "1",
        {},
        "minimal",
        "decision",
        "none",
        "none",
        norm,
        "curve",
        status=status,
        reason=reason,
    )


def _findings() -> list[Finding]:
    failed = "1 of 26 attacks did not finish, so L0 is not covered."
    weaker = "Logit odds loses 61 points of accuracy once the attacker knows it."
    shares: dict[str, Scalar] = {"oblivious": 0.72, "adaptive": 0.11}
    more = "Give the run more memory, or leave L0 out of the claim."
    return [
        Finding("cell-failed", "warning", failed, {"failed": 1, "planned": 26}, more),
        Finding(
            "defense-weaker", "alarm", weaker, shares, "Quote the adaptive figure only.", ["Logit odds/adaptive/pgd/l2"]
        ),
        Finding("zero-gradients", "info", "No gradient was zero.", {"share": 0.0}, ""),
    ]


def _gallery(labels: np.ndarray, clean: np.ndarray, cells: list[Cell], rng: np.random.Generator) -> list[Picture]:
    pictures = []
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 28), np.linspace(-1, 1, 28)), axis=0)
    for sample in range(6):
        cell = cells[sample % 4]
        image = np.clip(1.2 - np.hypot(grid[0] * (1 + sample / 4), grid[1]) * 1.4, 0, 1)
        delta = rng.normal(0, 0.08, image.shape)
        pictures.append(
            Picture(sample, cell.id, cell.attack, "none", cell.norm, 1.07 + sample / 10, int(labels[sample]),
                    int(clean[sample]), 0.97,
                    int((labels[sample] + 3) % 10), 0.61, png(image), png(0.5 + delta * 4), png(image + delta), 4.0)
        )  # fmt: skip
    return pictures
