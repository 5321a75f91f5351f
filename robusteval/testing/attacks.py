"""The checks of an attack. Each is a promise to the core, which judges but cannot guess."""

from __future__ import annotations

import torch

from robusteval.errors import AccessError
from robusteval.ops import NORMS
from robusteval.testing.checks import applies, fail, require
from robusteval.testing.facts import FACTS
from robusteval.testing.runs import AttackSubject, Run, Scenario

_EVERYTHING = (0, 1, 2, 3, 4, 5)


def _sane(run: Run, where: str) -> None:
    """What must hold of every answer, whatever the scenario."""
    x, answer = run.originals[0], run.answer
    require(answer.shape == x.shape, f"{where}: shape {tuple(answer.shape)} instead of {tuple(x.shape)}.")
    require(bool(torch.isfinite(answer).all()), f"{where}: the answer holds NaN or infinity.")
    low, high = run.problem.bounds
    require(bool((answer >= low).all() and (answer <= high).all()), f"{where}: the answer leaves [{low}, {high}].")
    if run.problem.eps is not None:
        excess = run.distance - run.problem.eps.double() * (1 + 1e-5)
        inside = bool((excess <= 0).all())
        require(inside, f"{where}: over the {run.problem.norm} budget by {float(excess.max()) if len(x) else 0:.3g}.")


def declares_a_threat(subject: AttackSubject) -> None:
    """info.norms, info.budget and info.needs are values that the core knows."""
    info = subject.info
    norms = tuple(info.norms)
    known = norms and set(norms) <= set(NORMS) and len(set(norms)) == len(norms)
    require(bool(known), f"info.norms is {norms!r}; it must name some of {', '.join(NORMS)}, each once.")
    require(info.budget in ("minimal", "fixed"), f"info.budget is {info.budget!r}, not 'minimal' or 'fixed'.")
    require(info.needs in ("gradient", "scores", "decision"), f"info.needs is {info.needs!r}.")


def answers_like_the_samples(subject: AttackSubject) -> None:
    """The answer has the shape, dtype and device of problem.x, in every norm."""
    for run in subject.runs():
        x, answer = run.originals[0], run.answer
        require(answer.shape == x.shape, f"It returned shape {tuple(answer.shape)} for samples {tuple(x.shape)}.")
        require(answer.dtype == x.dtype, f"It returned {answer.dtype} for samples of {x.dtype}.")
        require(answer.device == x.device, f"It returned a tensor on {answer.device} for samples on {x.device}.")


def stays_in_the_box(subject: AttackSubject) -> None:
    """No value leaves problem.bounds."""
    for run in subject.runs():
        low, high = run.problem.bounds
        out = float(torch.maximum(low - run.answer, run.answer - high).amax())
        require(not out > 0, f"In {run.problem.norm} its answer leaves [{low}, {high}] by {out:.3g}.")


def stays_in_the_budget(subject: AttackSubject) -> None:
    """A fixed attack never exceeds problem.eps, measured in float64, not even a budget of 0."""
    applies(subject.fixed, "A minimal attack has no budget.")
    for norm in subject.info.norms:
        for reach in (2.0, 0.5, 0.0):
            run = subject.run(Scenario(norm, reach=reach))
            over = float((run.distance - run.problem.budget.double() * (1 + 1e-5)).max())
            require(over <= 0, f"It exceeds the {norm} budget (eps = {reach} x smallest) by {over:.3g}.")


def answers_are_finite(subject: AttackSubject) -> None:
    """No NaN and no infinity in the answer."""
    for run in subject.runs():
        require(bool(torch.isfinite(run.answer).all()), f"In {run.problem.norm} its answer holds NaN or infinity.")


def leaves_the_problem_alone(subject: AttackSubject) -> None:
    """problem.x and problem.safe are the same after the run."""
    for run in subject.runs():
        _ = run.answer
        require(torch.equal(run.problem.x, run.originals[0]), "It wrote into problem.x; clone before changing.")
        require(torch.equal(run.problem.safe, run.originals[1]), "It wrote into problem.safe.")


def leaves_global_randomness_alone(subject: AttackSubject) -> None:
    """The global generators of torch, numpy and random are untouched; problem.rng is the only source."""
    for run in subject.runs():
        _ = run.answer
        names = ", ".join(run.touched)
        require(not run.touched, f"It used or seeded the global generator of {names}; use problem.rng.")


def leaves_nothing_behind(subject: AttackSubject) -> None:
    """No gradient hangs on the answer, and torch's global settings are as before."""
    for run in subject.runs():
        _ = run.answer
        require(not run.result.requires_grad, "Its answer still requires a gradient; detach it.")
        require(not run.modes, f"It changed a global setting of torch: {', '.join(run.modes)}.")
        require(torch.equal(run.weight, run.originals[2]), "It changed the model's weights.")


def repeats_itself(subject: AttackSubject) -> None:
    """The same problem with the same generator gives the same answer."""
    first = subject.run(subject.base())
    again = subject.rerun(subject.base())
    require(torch.equal(first.answer, again.answer), "Two runs with the same problem.rng differ.")


def is_random_only_if_it_says_so(subject: AttackSubject) -> None:
    """Without info.stochastic the generator's seed makes no difference."""
    applies(not subject.info.stochastic, "It declares itself stochastic.")
    other = subject.run(Scenario(subject.info.norms[0], seed=1)).answer
    same = torch.equal(subject.run(subject.base()).answer, other)
    require(same, "Its answer depends on problem.rng, but info.stochastic is false.")


def minds_each_sample_alone(subject: AttackSubject) -> None:
    """A sample's answer depends neither on the batch nor on the order of the samples."""
    applies(not subject.info.stochastic, "A stochastic attack draws for the whole batch.")
    whole = subject.run(subject.base()).answer
    for rows in ((4, 1, 3), (2,)):
        part = subject.run(Scenario(subject.info.norms[0], rows=rows)).answer
        near = torch.allclose(part, whole[list(rows)], rtol=0, atol=1e-4)
        require(near, f"Samples {rows} get another answer on their own than among {len(whole)}.")


def takes_a_batch_of_one(subject: AttackSubject) -> None:
    """A single sample is attacked like any other batch."""
    for norm in subject.info.norms:
        _sane(subject.run(Scenario(norm, rows=(2,))), f"Batch of 1 in {norm}")


def takes_a_batch_of_none(subject: AttackSubject) -> None:
    """No samples give no candidates, without an error."""
    for norm in subject.info.norms:
        _sane(subject.run(Scenario(norm, rows=())), f"Batch of 0 in {norm}")


def asks_no_more_than_it_declares(subject: AttackSubject) -> None:
    """It never asks the model for more than info.needs."""
    for run in subject.runs():
        if isinstance(run.error, AccessError):
            fail(f"It asked for more than it declares: {run.error.message}")
        used = run.differentiated == 0 or subject.info.needs == "gradient"
        require(used, f"It reached for the differentiable model with needs = {subject.info.needs!r}.")


def goes_through_the_meter(subject: AttackSubject) -> None:
    """Every pass through the model is counted: it queries the problem, never problem.view."""
    for run in subject.runs():
        _ = run.answer
        counted = int(run.problem.meter.forwards.sum())
        require(counted == run.seen, f"{run.seen} samples passed through the model but {counted} were counted.")


def queries_the_model(subject: AttackSubject) -> None:
    """An attack that needs gradients or scores asks for some."""
    applies(subject.info.needs != "decision", "A decision-based attack may be blind.")
    for run in subject.runs():
        _ = run.answer
        require(run.seen > 0, f"It never queried the model, although it declares needs = {subject.info.needs!r}.")


def finds_small_perturbations(subject: AttackSubject) -> None:
    """A minimal attack comes within the stated ratio of the closed form on a linear model, in every norm."""
    applies(not subject.fixed, "A fixed attack is given its distance.")
    for run in subject.runs():
        won = run.won
        share = float(won.float().mean())
        require(share >= 0.75, f"In {run.problem.norm} it wins {share:.0%} of a linear model's samples.")
        ratio = float((run.distance / run.smallest)[won].median())
        sentence = f"In {run.problem.norm} its median distance is {ratio:.3g} times the smallest one"
        require(ratio <= subject.ratio, f"{sentence}; {subject.ratio:.3g} is allowed.")


def uses_its_budget(subject: AttackSubject) -> None:
    """A fixed attack wins most samples of a linear model at `ratio` times the smallest distance, in every norm."""
    applies(subject.fixed, "A minimal attack has no budget.")
    applies(subject.info.needs != "decision", "A decision-based attack may be blind.")
    for norm in subject.info.norms:
        share = float(subject.run(Scenario(norm, reach=subject.ratio)).won.float().mean())
        sentence = f"In {norm} it wins {share:.0%} of a linear model's samples"
        require(share >= 0.75, f"{sentence} at {subject.ratio:.3g} times the smallest distance.")


def takes_two_classes(subject: AttackSubject) -> None:
    """It works where there are two classes only."""
    for norm in subject.info.norms:
        _sane(subject.run(Scenario(norm, classes=2)), f"Two classes in {norm}")


def takes_many_classes(subject: AttackSubject) -> None:
    """It works with twelve classes."""
    _sane(subject.run(Scenario(subject.info.norms[0], classes=12)), "Twelve classes")


def goes_for_a_target(subject: AttackSubject) -> None:
    """The mask of a targeted problem is understood; a minimal attack with gradients reaches the target."""
    run = subject.run(Scenario(subject.info.norms[0], goal="targeted"))
    _sane(run, "Targeted")
    if not subject.fixed and subject.info.needs == "gradient":
        share = float(run.won.float().mean())
        require(share >= 0.5, f"It reaches the target for {share:.0%} of a linear model's samples.")


def evades_a_detector(subject: AttackSubject) -> None:
    """With the class "rejected" (K + 1 scores) it works; a minimal attack with gradients wins without being seen."""
    run = subject.run(Scenario(subject.info.norms[0], model="detector"))
    _sane(run, "With a detector")
    if not subject.fixed and subject.info.needs == "gradient":
        share = float(run.won.float().mean())
        require(share >= 0.5, f"With a detector it wins {share:.0%} of a linear model's samples.")


def takes_images(subject: AttackSubject) -> None:
    """Samples of shape [B, C, H, W] work like flat ones."""
    for norm in subject.info.norms:
        _sane(subject.run(Scenario(norm, shape=(3, 4, 4), rows=_EVERYTHING[:3])), f"Images in {norm}")


def takes_other_ranges(subject: AttackSubject) -> None:
    """Pixels from 0 to 255 and from -1 to 1 work like those from 0 to 1: no step is meant for one range only."""
    for bounds in ((0.0, 255.0), (-1.0, 1.0)):
        run = subject.run(Scenario(subject.info.norms[0], bounds=bounds, reach=subject.ratio))
        _sane(run, f"Range {bounds}")
        if subject.info.needs != "decision":
            share = float(run.won.float().mean())
            require(share >= 0.5, f"With pixels in {bounds} it wins {share:.0%} of a linear model's samples.")


def survives_zero_gradients(subject: AttackSubject) -> None:
    """A model without any slope gives a valid answer, not a crash and not NaN."""
    for norm in subject.info.norms:
        _sane(subject.run(Scenario(norm, model="staircase")), f"Zero gradients in {norm}")
        _sane(subject.run(Scenario(norm, model="blank")), f"Constant scores in {norm}")


def survives_bad_scores(subject: AttackSubject) -> None:
    """A model that answers NaN in places gives a valid answer, not a crash and not NaN."""
    for norm in subject.info.norms:
        _sane(subject.run(Scenario(norm, model="nan")), f"NaN scores in {norm}")


def takes_random_pipelines(subject: AttackSubject) -> None:
    """A pipeline that is random from draw to draw works, and all draws come from problem.rng."""
    scenario = Scenario(subject.info.norms[0], model="jittered", draws=2)
    run = subject.run(scenario)
    _sane(run, "Random pipeline")
    require(not run.touched, "On a random pipeline it touches a global generator.")
    same = torch.equal(run.answer, subject.rerun(scenario).answer)
    require(same, "On a random pipeline two runs with the same problem.rng differ.")


def wastes_nothing_on_the_lost(subject: AttackSubject) -> None:
    """Samples that are won from the start get a valid answer, for no more queries than the others."""
    run = subject.run(Scenario(subject.info.norms[0], goal="lost"))
    _sane(run, "Already lost")
    on_correct = subject.run(subject.base())
    most, usual = int(run.problem.meter.forwards.max()), int(on_correct.problem.meter.forwards.max())
    require(most <= 2 * usual + 10, f"It spends {most} passes on a lost sample and {usual} on a live one.")
    if not subject.fixed:
        require(bool(run.won.all()), "It turned samples that were wrong when clean into right ones.")


ATTACK_CHECKS = (
    *FACTS,
    declares_a_threat,
    answers_like_the_samples,
    stays_in_the_box,
    stays_in_the_budget,
    answers_are_finite,
    leaves_the_problem_alone,
    leaves_global_randomness_alone,
    leaves_nothing_behind,
    repeats_itself,
    is_random_only_if_it_says_so,
    minds_each_sample_alone,
    takes_a_batch_of_one,
    takes_a_batch_of_none,
    asks_no_more_than_it_declares,
    goes_through_the_meter,
    queries_the_model,
    finds_small_perturbations,
    uses_its_budget,
    takes_two_classes,
    takes_many_classes,
    goes_for_a_target,
    evades_a_detector,
    takes_images,
    takes_other_ranges,
    survives_zero_gradients,
    survives_bad_scores,
    takes_random_pipelines,
    wastes_nothing_on_the_lost,
)
