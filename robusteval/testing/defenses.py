"""The checks of a defence and of what it returns, `Defended`."""

from __future__ import annotations

import math
import pickle
from typing import get_args, get_type_hints

import torch
from torch import Generator, Tensor

from robusteval import ops
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended, DefenseInfo
from robusteval.errors import AccessError, RobustEvalError
from robusteval.testing.certificates.steps import steps_are_what_it_does
from robusteval.testing.checks import NotApplicable, applies, case, fail, require
from robusteval.testing.facts import FACTS, global_randomness
from robusteval.testing.fits import DefenseSubject, Guard, drawn

_WALKED = 32  # samples from which the twin's gradients are followed
_LED = 0.6  # of the samples on which a gradient must lead somewhere: where there are thresholds, not all do


def declares_its_kind(subject: DefenseSubject) -> None:
    """info.kind is one that the report knows, and a detector brings a detector."""
    kinds = get_args(get_type_hints(DefenseInfo)["kind"])
    require(subject.info.kind in kinds, f"info.kind is {subject.info.kind!r}, not one of {', '.join(kinds)}.")
    if subject.info.kind == "detector":
        require(subject.defended().detector is not None, "info.kind is 'detector' but it brings none.")


def fits_without_global_randomness(subject: DefenseSubject) -> None:
    """fit and the defended model leave the global generators of torch, numpy and random untouched."""
    touched: list[str] = []
    with global_randomness(touched):
        drawn(subject.fit()).model.logits(subject.samples())
    require(not touched, f"It used or seeded the global generator of {', '.join(touched)}; use rng.")


def fits_reproducibly(subject: DefenseSubject) -> None:
    """Two fits with the same generator answer the same."""
    x = subject.samples()
    first, second = (drawn(subject.fit(seed=5)).model.logits(x) for _ in range(2))
    require(torch.allclose(first, second, rtol=1e-4, atol=1e-5), "Two fits with the same rng answer differently.")


def leaves_the_model_alone(subject: DefenseSubject) -> None:
    """The undefended model answers the same after fit."""
    model, x = subject.model(), subject.samples()
    before = model.logits(x)
    subject.fit(model)
    require(torch.equal(model.logits(x), before), "fit changed the model it was given.")


def is_honest_about_data(subject: DefenseSubject) -> None:
    """With needs_data fit refuses to go without samples, in words; without it none are needed."""
    try:
        subject.make().fit(subject.model(), None, Generator().manual_seed(0))
    except RobustEvalError as error:
        require(subject.info.needs_data, f"info.needs_data is false, but without data: {error.message}")
    except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
        fail(f"Without data it raises {type(error).__name__}: {error}")
    else:
        require(not subject.info.needs_data, "info.needs_data is true, but it fits without data.")


def answers_with_scores(subject: DefenseSubject) -> None:
    """The defended model gives finite float scores [B, K] without a gradient, also for one sample and for none."""
    model, classes = subject.defended().model, subject.model().info.classes
    for batch in (8, 1, 0):
        logits = model.logits(subject.samples(batch))
        shape = tuple(logits.shape)
        require(shape == (batch, classes), f"logits of {batch} samples has shape {shape}, not {(batch, classes)}.")
        require(bool(torch.isfinite(logits).all()), "logits holds NaN or infinity.")
        require(not logits.requires_grad, "logits carries a gradient.")


def keeps_the_facts(subject: DefenseSubject) -> None:
    """Input shape, classes and range of the defended model are those of the model."""
    old, new = subject.model().info, subject.defended().model.info
    for name in ("input_shape", "classes", "bounds"):
        require(getattr(old, name) == getattr(new, name), f"info.{name} became {getattr(new, name)!r}.")


def leaves_its_input_alone(subject: DefenseSubject) -> None:
    """Asking for scores or detector scores does not write into the samples."""
    defended, x = subject.defended(), subject.samples()
    before = x.clone()
    Pipeline(defended).decide(x)
    require(torch.equal(x, before), "It wrote into the samples it was asked about.")


def answers_from_the_input_alone(subject: DefenseSubject) -> None:
    """Scores and detector scores of a sample do not depend on its neighbours, nor on what was asked before."""
    defended, x = subject.defended(), subject.samples()
    whole = _answers(defended, x)
    _answers(defended, subject.samples(seed=1))
    again, part = _answers(defended, x), _answers(defended, x[3:4])
    for name, first in whole.items():
        require(torch.allclose(again[name], first, rtol=1e-4, atol=1e-5), f"Asked again, the {name} differ.")
        same = torch.allclose(part[name], first[3:4], rtol=1e-3, atol=1e-4)
        require(same, f"The {name} of a sample depend on the rest of the batch.")


def _answers(defended: Defended, x: Tensor) -> dict[str, Tensor]:
    found = {"scores": defended.model.logits(x)}
    if defended.detector is not None:
        found["suspicions"] = defended.detector.score(x)
    return found


def has_a_twin(subject: DefenseSubject) -> None:
    """The twin gives finite scores [B, K] with a finite gradient, or AccessError where info.gradients is "none"."""
    model = subject.defended().model
    leaf = subject.samples().requires_grad_(True)
    if model.info.gradients == "none":
        try:
            model.twin(leaf)
        except AccessError:
            case()
            return
        fail("info.gradients is 'none' but the twin answers.")
    scores = model.twin(leaf)
    require(tuple(scores.shape) == (8, model.info.classes), f"twin has shape {tuple(scores.shape)}.")
    require(bool(torch.isfinite(scores).all()), "The twin's scores hold NaN or infinity.")
    require(scores.requires_grad, "The twin's scores carry no gradient.")
    (grad,) = torch.autograd.grad(scores.sum(), leaf, allow_unused=True)
    require(grad is not None and bool(torch.isfinite(grad).all()), "The twin's gradient is missing or not finite.")


def twin_leads_the_way(subject: DefenseSubject) -> None:
    """The twin's gradient is zero on few samples, and steps along it lower the true margin more than random ones."""
    model, x = subject.defended().model, subject.samples(_WALKED, seed=3)
    applies(model.info.gradients != "none", "It gives no gradients, and says so.")
    safe = torch.nn.functional.one_hot(model.logits(x).argmax(1), model.info.classes).bool()
    leaf = x.clone().requires_grad_(True)
    (grad,) = torch.autograd.grad(ops.loss(model.twin(leaf), safe, "margin").sum(), leaf)
    _is_no_plateau(grad, "the twin")
    dice = torch.randn(x.shape, generator=Generator().manual_seed(0), device="cpu").to(x)
    along, chance = (
        torch.stack([ops.loss(model.logits(there), safe, "margin") for there in subject.walk(x, way)])
        for way in (grad, dice)
    )
    share = float((along.mean(0) > chance.mean(0)).float().mean())
    advice = "its gradient is not that of what the model answers"
    require(share >= _LED, f"Steps along the twin beat random ones on {share:.0%} of the samples only: {advice}.")


def _is_no_plateau(grad: Tensor, whose: str) -> None:
    flat = float((grad.flatten(1).abs().amax(1) == 0).float().mean())
    advice = "let gradients pass straight through what is flat, or an attacker who knows the defence learns nothing"
    require(flat <= 1 - _LED, f"The gradient of {whose} is zero on {flat:.0%} of the samples: {advice}.")


def knows_no_sample_by_heart(subject: DefenseSubject) -> None:
    """Samples that it learnt from are answered like copies of them that differ by next to nothing."""
    applies(subject.info.needs_data, "It learns from no samples.")
    low, high = subject.model().info.bounds
    x = subject.learnable().x[:100]
    dust = torch.randn(x.shape, generator=Generator().manual_seed(0), device="cpu").to(x)
    near = (x + 1e-5 * (high - low) * dust).clamp(low, high)
    defended = subject.defended()
    known, copies = _answers(defended, x), _answers(defended, near)
    for name, first in known.items():
        moved = (copies[name] - first).abs().flatten(1) if first.dim() > 1 else (copies[name] - first).abs()[:, None]
        spread = float(first.std()) + 1e-3 * float(first.abs().max()) + 1e-6
        share = float((moved.amax(1) > 0.1 * spread).float().mean())  # a few may lie on a step of a threshold
        require(share <= 0.1, f"It knows the samples it learnt from: the {name} of {share:.0%} change at a mere touch.")


def can_travel(subject: DefenseSubject) -> None:
    """What fit returns can be pickled and answers the same afterwards."""
    defended, x = subject.fit(), subject.samples()
    try:
        again = pickle.loads(pickle.dumps(defended))  # noqa: S301 - of its own making
    except Exception as error:  # noqa: BLE001 - pickling fails with errors of many types
        fail(f"What fit returns cannot be pickled: {error}.")
    same = torch.allclose(drawn(again).model.logits(x), drawn(defended).model.logits(x), rtol=1e-4, atol=1e-5)
    require(same, "After pickling it answers differently.")


def draws_as_it_says(subject: DefenseSubject) -> None:
    """A random defence offers `draw`, the rng alone decides the draw, and draws differ; others offer none."""
    defended, x = subject.fit(), subject.samples(1000)  # a draw may matter to few samples only
    if not subject.info.stochastic:
        require(defended.draw is None, "It offers draws, but info.stochastic is false.")
        return
    require(defended.draw is not None, "info.stochastic is true, but it offers no draw.")
    one, same, other = (torch.cat([*_padded(drawn(defended, seed), x)]) for seed in (1, 1, 2))
    require(torch.equal(one, same), "The same rng draws another pipeline.")
    require(not torch.equal(one, other), "All draws are alike, but info.stochastic is true.")


def _padded(defended: Defended, x: Tensor) -> list[Tensor]:
    return [values.flatten() for values in _answers(defended, x).values()]


def keeps_the_box(subject: DefenseSubject) -> None:
    """A preprocessor shows the model behind it no value outside the box."""
    applies(subject.info.kind == "preprocessor", "It is no preprocessor.")
    guard = Guard(subject.model())
    defended = drawn(subject.fit(guard))
    low, high = guard.info.bounds
    guard.outside.clear()
    edge = subject.samples()
    for x in (edge, torch.full_like(edge, low), torch.full_like(edge, high)):
        defended.model.logits(x)
    worst = max(guard.outside, default=0.0)
    require(worst <= 1e-5 * (high - low), f"The model behind it saw a value {worst:.3g} outside [{low}, {high}].")


def detects_with_numbers(subject: DefenseSubject) -> None:
    """The detector's score is finite [B], also for one sample and for none, and its threshold is finite."""
    detector = subject.detector()
    require(math.isfinite(detector.threshold), f"The detector's threshold is {detector.threshold}.")
    for batch in (8, 1, 0):
        score = detector.score(subject.samples(batch))
        require(tuple(score.shape) == (batch,), f"score of {batch} samples has shape {tuple(score.shape)}.")
        require(bool(torch.isfinite(score).all()), "The detector's score holds NaN or infinity.")


def detector_has_a_twin(subject: DefenseSubject) -> None:
    """The detector's twin agrees with its score, and has a finite gradient."""
    detector, leaf = subject.detector(), subject.samples().requires_grad_(True)
    twin, score = detector.twin(leaf), detector.score(leaf.detach())
    spread = float(score.abs().max())
    near = torch.allclose(twin.detach(), score, rtol=0.05, atol=0.05 * spread + 1e-6)
    require(near, f"The detector's twin is off by up to {float((twin.detach() - score).abs().max()):.3g}.")
    require(twin.requires_grad, "The detector's twin carries no gradient.")
    (grad,) = torch.autograd.grad(twin.sum(), leaf, allow_unused=True)
    require(grad is not None and bool(torch.isfinite(grad).all()), "The detector's gradient is missing or not finite.")


def detector_twin_leads_the_way(subject: DefenseSubject) -> None:
    """Steps along the gradient of the detector's twin raise its score, and steps against it lower it."""
    detector, x = subject.detector(), subject.samples(_WALKED, seed=3)
    leaf = x.clone().requires_grad_(True)
    (grad,) = torch.autograd.grad(detector.twin(leaf).sum(), leaf)
    _is_no_plateau(grad, "the detector's twin")
    up, down = (torch.stack([detector.score(there) for there in subject.walk(x, way)]) for way in (grad, -grad))
    share = float((up.mean(0) > down.mean(0)).float().mean())
    require(share >= _LED, f"Its twin's gradient leads towards a higher score on {share:.0%} of the samples only.")


def raises_few_false_alarms(subject: DefenseSubject) -> None:
    """On clean samples the detector fires no more often than wanted (three standard deviations allowed)."""
    detector, x = subject.detector(), subject.samples(400, seed=7)
    rate = float((detector.score(x) > detector.threshold).float().mean())
    slack = 3 * math.sqrt(max(subject.false_alarms * (1 - subject.false_alarms), 0.01) / len(x))
    sentence = f"It fires on {rate:.1%} of clean samples"
    require(rate <= subject.false_alarms + slack, f"{sentence}; {subject.false_alarms:.1%} is wanted.")


def certifies_radii(subject: DefenseSubject) -> None:
    """Certified radii are finite, not negative, one a sample."""
    certify = subject.defended().certify
    if certify is None:
        raise NotApplicable("It certifies nothing.")
    radii = certify(subject.samples(2))
    good = tuple(radii.shape) == (2,) and bool(torch.isfinite(radii).all()) and bool((radii >= 0).all())
    require(good, f"Certified radii are {radii.tolist()}.")


def stands_behind_an_adaptive_attack(subject: DefenseSubject) -> None:
    """Seen by an attacker, the pipeline has K scores, or K + 1 with a detector, and rejects where it fires."""
    pipeline, x = Pipeline(subject.defended()), subject.samples()
    scores, (answer, _, _) = pipeline.scores(x), pipeline.decide(x)
    require(tuple(scores.shape) == (8, pipeline.classes), f"The attacker's view has shape {tuple(scores.shape)}.")
    require(torch.equal(scores.argmax(1), answer), "The attacker's view and the pipeline decide differently.")


DEFENSE_CHECKS = (
    *FACTS,
    declares_its_kind,
    fits_without_global_randomness,
    fits_reproducibly,
    leaves_the_model_alone,
    is_honest_about_data,
    answers_with_scores,
    keeps_the_facts,
    leaves_its_input_alone,
    answers_from_the_input_alone,
    has_a_twin,
    twin_leads_the_way,
    knows_no_sample_by_heart,
    can_travel,
    draws_as_it_says,
    keeps_the_box,
    steps_are_what_it_does,
    detects_with_numbers,
    detector_has_a_twin,
    detector_twin_leads_the_way,
    raises_few_false_alarms,
    certifies_radii,
    stands_behind_an_adaptive_attack,
)
