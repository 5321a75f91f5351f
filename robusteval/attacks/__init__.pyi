"""Written by python -m robusteval.attacks.stub: the attacks that come with robusteval, by themselves."""

from pathlib import Path
from typing import Any, Literal

from torch import nn

from robusteval.api import Classifier, LoadOptions
from robusteval.attacks.single import Adversarials as Adversarials
from robusteval.attacks.single import SingleAttack as SingleAttack

def __getattr__(name: str) -> Any: ...
def advgan(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["linf", "l2"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    epochs: int = 60,
    rate: float = 0.002,
    width: int = 16,
    gan: float = 0.001,
    hinge: float = 0.01,
) -> Adversarials:
    """A generator is trained to perturb the samples so that the model errs and a discriminator does not notice.

    Looks for the largest loss within eps; norms: linf, l2; needs: gradient.
    Xiao, Li, Zhu, He, Liu, Song: Generating adversarial examples with adversarial networks, 2018
    epochs: Steps of training per budget; each is one pass over the samples.
    rate: Learning rate of Adam for both networks.
    width: Channels of the networks' first layers.
    gan: Weight of the discriminator's loss.
    hinge: Weight of the hinge on the size beyond the budget, in l2; linf output is bounded.
    """

class AdvGAN(SingleAttack):
    """A generator is trained to perturb the samples so that the model errs and a discriminator does not notice.

    Looks for the largest loss within eps; norms: linf, l2; needs: gradient.
    Xiao, Li, Zhu, He, Liu, Song: Generating adversarial examples with adversarial networks, 2018
    epochs: Steps of training per budget; each is one pass over the samples.
    rate: Learning rate of Adam for both networks.
    width: Channels of the networks' first layers.
    gan: Weight of the discriminator's loss.
    hinge: Weight of the hinge on the size beyond the budget, in l2; linf output is bounded.
    """

    def __init__(
        self,
        *,
        epochs: int = 60,
        rate: float = 0.002,
        width: int = 16,
        gan: float = 0.001,
        hinge: float = 0.01,
    ) -> None: ...

def advgan_blackbox(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["linf", "l2"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    epochs: int = 60,
    rate: float = 0.002,
    width: int = 16,
    gan: float = 0.001,
    hinge: float = 0.01,
    distil: int = 30,
    rounds: int = 3,
    noise: float = 0.1,
) -> Adversarials:
    """As advgan, but against a copy of the model that is distilled from its labels.

    Looks for the largest loss within eps; norms: linf, l2; needs: decision.
    Xiao, Li, Zhu, He, Liu, Song: Generating adversarial examples with adversarial networks, 2018
    epochs: Steps of training per budget; each is one pass over the samples.
    rate: Learning rate of Adam for both networks.
    width: Channels of the networks' first layers.
    gan: Weight of the discriminator's loss.
    hinge: Weight of the hinge on the size beyond the budget, in l2; linf output is bounded.
    distil: Passes over the labelled points in each distillation.
    rounds: Distillations, each followed by training of the generator.
    noise: Noise around the clean samples of the first set, as a share of the range.
    """

class AdvGANBlackBox(SingleAttack):
    """As advgan, but against a copy of the model that is distilled from its labels.

    Looks for the largest loss within eps; norms: linf, l2; needs: decision.
    Xiao, Li, Zhu, He, Liu, Song: Generating adversarial examples with adversarial networks, 2018
    epochs: Steps of training per budget; each is one pass over the samples.
    rate: Learning rate of Adam for both networks.
    width: Channels of the networks' first layers.
    gan: Weight of the discriminator's loss.
    hinge: Weight of the hinge on the size beyond the budget, in l2; linf output is bounded.
    distil: Passes over the labelled points in each distillation.
    rounds: Distillations, each followed by training of the generator.
    noise: Noise around the clean samples of the first set, as a share of the range.
    """

    def __init__(
        self,
        *,
        epochs: int = 60,
        rate: float = 0.002,
        width: int = 16,
        gan: float = 0.001,
        hinge: float = 0.01,
        distil: int = 30,
        rounds: int = 3,
        noise: float = 0.1,
    ) -> None: ...

def alma(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l2", "l1"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 300,
    first: float = 3.0,
    decay: float | None = None,
    smoothing: float = 0.9,
    check: int = 10,
    tau: float = 0.95,
    growth: float = 1.2,
) -> Adversarials:
    """Minimises the distance and a penalty on the margin, whose multiplier is learned on the way.

    Looks for the smallest distance; norms: l2, l1; needs: gradient.
    Rony, Granger, Pedersoli, Ben Ayed: Augmented Lagrangian adversarial attacks, 2021
    steps: Gradient steps.
    first: Length of the first step in units of the linearised distance, or of the range if less.
    decay: Share of the step length that is left at the end; without one 0.005 in l2, 0.0005 in l1.
    smoothing: Weight of the past in multiplier, momentum and scale.
    check: Steps between checks of the penalty weight.
    tau: Progress of the margin below which the weight grows.
    growth: Factor by which the penalty weight grows.
    """

class ALMA(SingleAttack):
    """Minimises the distance and a penalty on the margin, whose multiplier is learned on the way.

    Looks for the smallest distance; norms: l2, l1; needs: gradient.
    Rony, Granger, Pedersoli, Ben Ayed: Augmented Lagrangian adversarial attacks, 2021
    steps: Gradient steps.
    first: Length of the first step in units of the linearised distance, or of the range if less.
    decay: Share of the step length that is left at the end; without one 0.005 in l2, 0.0005 in l1.
    smoothing: Weight of the past in multiplier, momentum and scale.
    check: Steps between checks of the penalty weight.
    tau: Progress of the margin below which the weight grows.
    growth: Factor by which the penalty weight grows.
    """

    def __init__(
        self,
        *,
        steps: int = 300,
        first: float = 3.0,
        decay: float | None = None,
        smoothing: float = 0.9,
        check: int = 10,
        tau: float = 0.95,
        growth: float = 1.2,
    ) -> None: ...

def apgd(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["linf", "l2", "l1"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 50,
    restarts: int = 2,
    loss: Literal["ce", "margin", "dlr", "targeted-dlr"] = "dlr",
    targets: int = 9,
    sparsity: float = 0.2,
    radii: bool = True,
) -> Adversarials:
    """Gradient steps with momentum; the step size halves where progress stalls, from the best point so far.

    Looks for the largest loss within eps; norms: linf, l2, l1; needs: gradient.
    Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks,
    2020; l1: Mind the box: l1-APGD for sparse adversarial attacks on image classifiers, 2021
    steps: Gradient steps per run; 100 in the paper.
    restarts: Random starts; later ones run on the samples that withstood.
    loss: What is climbed; targeted-dlr goes for the likeliest classes one by one.
    targets: Classes that targeted-dlr goes for, the likeliest first.
    sparsity: Share of the values that the first l1 steps move.
    radii: l1: whether a run begins with balls of three and two budgets, as in the paper.
    """

class APGD(SingleAttack):
    """Gradient steps with momentum; the step size halves where progress stalls, from the best point so far.

    Looks for the largest loss within eps; norms: linf, l2, l1; needs: gradient.
    Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks,
    2020; l1: Mind the box: l1-APGD for sparse adversarial attacks on image classifiers, 2021
    steps: Gradient steps per run; 100 in the paper.
    restarts: Random starts; later ones run on the samples that withstood.
    loss: What is climbed; targeted-dlr goes for the likeliest classes one by one.
    targets: Classes that targeted-dlr goes for, the likeliest first.
    sparsity: Share of the values that the first l1 steps move.
    radii: l1: whether a run begins with balls of three and two budgets, as in the paper.
    """

    def __init__(
        self,
        *,
        steps: int = 50,
        restarts: int = 2,
        loss: Literal["ce", "margin", "dlr", "targeted-dlr"] = "dlr",
        targets: int = 9,
        sparsity: float = 0.2,
        radii: bool = True,
    ) -> None: ...

def bim(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["linf", "l2"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 30,
    step: float | None = None,
    stop: bool = True,
    loss: Literal["ce", "margin", "dlr"] = "ce",
) -> Adversarials:
    """The fast gradient method in small steps from the clean sample.

    Looks for the largest loss within eps; norms: linf, l2; needs: gradient.
    Kurakin, Goodfellow, Bengio: Adversarial examples in the physical world, 2016
    steps: Gradient steps.
    step: Length of a step as a share of eps; without one 1 / steps.
    stop: Whether a sample that is lost stops there; else it goes on, as far past the boundary as it gets.
    loss: What is climbed.
    """

class BIM(SingleAttack):
    """The fast gradient method in small steps from the clean sample.

    Looks for the largest loss within eps; norms: linf, l2; needs: gradient.
    Kurakin, Goodfellow, Bengio: Adversarial examples in the physical world, 2016
    steps: Gradient steps.
    step: Length of a step as a share of eps; without one 1 / steps.
    stop: Whether a sample that is lost stops there; else it goes on, as far past the boundary as it gets.
    loss: What is climbed.
    """

    def __init__(
        self,
        *,
        steps: int = 30,
        step: float | None = None,
        stop: bool = True,
        loss: Literal["ce", "margin", "dlr"] = "ce",
    ) -> None: ...

def boundary(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l2"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    queries: int = 3000,
    sphere_step: float = 0.1,
    source_step: float = 0.01,
    adapt: float = 1.05,
    sphere_every: int = 5,
    starts: int = 30,
) -> Adversarials:
    """Steps at random on a sphere around the clean sample, then towards it, and keeps what stays misclassified.

    Looks for the smallest distance; norms: l2; needs: decision.
    Brendel, Rauber, Bethge: Decision-based adversarial attacks, reliable attacks against black-box machine
    learning models, 2018
    queries: Queries per sample, about; the paper spends up to a million.
    sphere_step: First step on the sphere, as a share of the distance.
    source_step: First step towards the clean sample, as a share of the distance.
    adapt: Factor by which steps grow or shrink with the rate of success.
    sphere_every: The step on the sphere is judged without the one towards the sample once in so many.
    starts: Draws of noise until one is misclassified.
    """

class Boundary(SingleAttack):
    """Steps at random on a sphere around the clean sample, then towards it, and keeps what stays misclassified.

    Looks for the smallest distance; norms: l2; needs: decision.
    Brendel, Rauber, Bethge: Decision-based adversarial attacks, reliable attacks against black-box machine
    learning models, 2018
    queries: Queries per sample, about; the paper spends up to a million.
    sphere_step: First step on the sphere, as a share of the distance.
    source_step: First step towards the clean sample, as a share of the distance.
    adapt: Factor by which steps grow or shrink with the rate of success.
    sphere_every: The step on the sphere is judged without the one towards the sample once in so many.
    starts: Draws of noise until one is misclassified.
    """

    def __init__(
        self,
        *,
        queries: int = 3000,
        sphere_step: float = 0.1,
        source_step: float = 0.01,
        adapt: float = 1.05,
        sphere_every: int = 5,
        starts: int = 30,
    ) -> None: ...

def carlini_wagner(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l2", "linf", "l0"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 200,
    searches: int = 6,
    c: float = 0.01,
    guess: float = 1.0,
    confidence: float = 0.0,
    rate: float = 0.05,
    share: float = 0.2,
    abort_early: bool = True,
) -> Adversarials:
    """Adam on a distance plus a margin penalty, whose weight is searched for each sample.

    Looks for the smallest distance; norms: l2, linf, l0; needs: gradient.
    Carlini, Wagner: Towards evaluating the robustness of neural networks, 2017
    steps: Gradient steps of a run: for each c, and in l0 and linf for each round.
    searches: Values of c tried per sample; in l0 and linf up to the first win.
    c: First weight of the margin, squared pixel ranges per score.
    guess: l2: the first weight in units of the one that a linearisation of the margin asks for; the others, two
    at a time in one batch, close in on the one with the nearest win. 0 is the paper's binary search, which begins
    with c and spends the first searches on the way there.
    confidence: Margin to reach (kappa), in units of the scores.
    rate: Adam's step size: in tanh space (l0: four times this), in linf in units of tau.
    share: Share of the free pixels that leave after a win in l0.
    abort_early: Whether samples whose objective stalls leave a run.
    """

class CarliniWagner(SingleAttack):
    """Adam on a distance plus a margin penalty, whose weight is searched for each sample.

    Looks for the smallest distance; norms: l2, linf, l0; needs: gradient.
    Carlini, Wagner: Towards evaluating the robustness of neural networks, 2017
    steps: Gradient steps of a run: for each c, and in l0 and linf for each round.
    searches: Values of c tried per sample; in l0 and linf up to the first win.
    c: First weight of the margin, squared pixel ranges per score.
    guess: l2: the first weight in units of the one that a linearisation of the margin asks for; the others, two
    at a time in one batch, close in on the one with the nearest win. 0 is the paper's binary search, which begins
    with c and spends the first searches on the way there.
    confidence: Margin to reach (kappa), in units of the scores.
    rate: Adam's step size: in tanh space (l0: four times this), in linf in units of tau.
    share: Share of the free pixels that leave after a win in l0.
    abort_early: Whether samples whose objective stalls leave a run.
    """

    def __init__(
        self,
        *,
        steps: int = 200,
        searches: int = 6,
        c: float = 0.01,
        guess: float = 1.0,
        confidence: float = 0.0,
        rate: float = 0.05,
        share: float = 0.2,
        abort_early: bool = True,
    ) -> None: ...

def ddn(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l2"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 60,
    radius: float = 1.0,
    loss: Literal["ce", "margin", "dlr", "nearest"] = "ce",
    gamma: float = 0.15,
    last_gamma: float = 0.02,
) -> Adversarials:
    """Gradient steps on a sphere that shrinks while the sample is lost and grows while it is not.

    Looks for the smallest distance; norms: l2; needs: gradient.
    Rony, Hafemann, Oliveira, Ben Ayed, Sabourin, Granger: Decoupling direction and norm for efficient gradient-
    based L2 adversarial attacks and defenses, 2019
    steps: Gradient steps.
    radius: Largest first radius and step, in units of the range of the pixels.
    loss: What is climbed; nearest: ce, and in the second half the class that a linearisation puts nearest, which
    is exact on linear models.
    gamma: Share by which the radius first shrinks or grows.
    last_gamma: Share by which it does so at last; the paper has 0.05 all the way.
    """

class DDN(SingleAttack):
    """Gradient steps on a sphere that shrinks while the sample is lost and grows while it is not.

    Looks for the smallest distance; norms: l2; needs: gradient.
    Rony, Hafemann, Oliveira, Ben Ayed, Sabourin, Granger: Decoupling direction and norm for efficient gradient-
    based L2 adversarial attacks and defenses, 2019
    steps: Gradient steps.
    radius: Largest first radius and step, in units of the range of the pixels.
    loss: What is climbed; nearest: ce, and in the second half the class that a linearisation puts nearest, which
    is exact on linear models.
    gamma: Share by which the radius first shrinks or grows.
    last_gamma: Share by which it does so at last; the paper has 0.05 all the way.
    """

    def __init__(
        self,
        *,
        steps: int = 60,
        radius: float = 1.0,
        loss: Literal["ce", "margin", "dlr", "nearest"] = "ce",
        gamma: float = 0.15,
        last_gamma: float = 0.02,
    ) -> None: ...

def deepfool(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l2", "linf"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 50,
    candidates: int = 6,
    overshoot: float = 0.005,
    halvings: int = 0,
) -> Adversarials:
    """Newton-like steps to the nearest linearised class boundary, then a search back towards the clean sample.

    Looks for the smallest distance; norms: l2, linf; needs: gradient.
    Moosavi-Dezfooli, Fawzi, Frossard: DeepFool, a simple and accurate method to fool deep neural networks, 2016
    steps: Most linearisations per sample.
    candidates: Classes whose boundaries are looked at in each step.
    overshoot: Share of a step that is added to cross the boundary; 0.02 in the paper.
    halvings: Halvings of a search back to the boundary; the engine does one of its own.
    """

class DeepFool(SingleAttack):
    """Newton-like steps to the nearest linearised class boundary, then a search back towards the clean sample.

    Looks for the smallest distance; norms: l2, linf; needs: gradient.
    Moosavi-Dezfooli, Fawzi, Frossard: DeepFool, a simple and accurate method to fool deep neural networks, 2016
    steps: Most linearisations per sample.
    candidates: Classes whose boundaries are looked at in each step.
    overshoot: Share of a step that is added to cross the boundary; 0.02 in the paper.
    halvings: Halvings of a search back to the boundary; the engine does one of its own.
    """

    def __init__(
        self,
        *,
        steps: int = 50,
        candidates: int = 6,
        overshoot: float = 0.005,
        halvings: int = 0,
    ) -> None: ...

def ead(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l1"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 100,
    searches: int = 9,
    c: float = 0.01,
    beta: float = 0.01,
    confidence: float = 0.0,
    rate: float = 0.01,
) -> Adversarials:
    """Carlini & Wagner's objective with an l1 term, solved by iterated shrinkage.

    Looks for the smallest distance; norms: l1; needs: gradient.
    Chen, Sharma, Zhang, Yi, Hsieh: EAD, elastic-net attacks to deep neural networks via adversarial examples,
    2018
    steps: Shrinkage steps for each c.
    searches: Values of c tried per sample.
    c: First weight of the margin, squared pixel ranges per score.
    beta: Threshold of the shrinkage in every step, in pixel ranges, as published.
    confidence: Margin to reach (kappa), in units of the scores.
    rate: First step size; it falls with the square root of the steps left.
    """

class EAD(SingleAttack):
    """Carlini & Wagner's objective with an l1 term, solved by iterated shrinkage.

    Looks for the smallest distance; norms: l1; needs: gradient.
    Chen, Sharma, Zhang, Yi, Hsieh: EAD, elastic-net attacks to deep neural networks via adversarial examples,
    2018
    steps: Shrinkage steps for each c.
    searches: Values of c tried per sample.
    c: First weight of the margin, squared pixel ranges per score.
    beta: Threshold of the shrinkage in every step, in pixel ranges, as published.
    confidence: Margin to reach (kappa), in units of the scores.
    rate: First step size; it falls with the square root of the steps left.
    """

    def __init__(
        self,
        *,
        steps: int = 100,
        searches: int = 9,
        c: float = 0.01,
        beta: float = 0.01,
        confidence: float = 0.0,
        rate: float = 0.01,
    ) -> None: ...

def fab(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["linf", "l2", "l1"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 120,
    restarts: int = 1,
    targets: int = 0,
    candidates: int = 5,
    alpha: float = 0.1,
    eta: float = 1.05,
    growth: float = 1.2,
    beta: float = 0.9,
) -> Adversarials:
    """Follows the linearised class boundary towards the clean sample, from several starts.

    Looks for the smallest distance; norms: linf, l2, l1; needs: gradient.
    Croce, Hein: Minimally distorted adversarial examples with a fast adaptive boundary attack, 2020
    steps: Linearisations per start; 100 in the paper.
    restarts: Starts; later ones are random points half as far as the nearest win.
    targets: Number of likeliest classes attacked one by one; 0 looks at all in each step.
    candidates: Likeliest classes whose boundaries are looked at in each step; the paper looks at all.
    alpha: Largest weight of the clean sample's projection.
    eta: Extrapolation beyond the boundary.
    growth: Factor by which the part of eta beyond 1 grows with each step without a win so far; 1 for the paper's.
    beta: Share of the perturbation that is kept after a win.
    """

class FAB(SingleAttack):
    """Follows the linearised class boundary towards the clean sample, from several starts.

    Looks for the smallest distance; norms: linf, l2, l1; needs: gradient.
    Croce, Hein: Minimally distorted adversarial examples with a fast adaptive boundary attack, 2020
    steps: Linearisations per start; 100 in the paper.
    restarts: Starts; later ones are random points half as far as the nearest win.
    targets: Number of likeliest classes attacked one by one; 0 looks at all in each step.
    candidates: Likeliest classes whose boundaries are looked at in each step; the paper looks at all.
    alpha: Largest weight of the clean sample's projection.
    eta: Extrapolation beyond the boundary.
    growth: Factor by which the part of eta beyond 1 grows with each step without a win so far; 1 for the paper's.
    beta: Share of the perturbation that is kept after a win.
    """

    def __init__(
        self,
        *,
        steps: int = 120,
        restarts: int = 1,
        targets: int = 0,
        candidates: int = 5,
        alpha: float = 0.1,
        eta: float = 1.05,
        growth: float = 1.2,
        beta: float = 0.9,
    ) -> None: ...

def fgsm(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["linf", "l2"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
) -> Adversarials:
    """One step of size eps along the sign of the gradient (linf) or the normalised gradient (l2).

    Looks for the largest loss within eps; norms: linf, l2; needs: gradient.
    Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples, 2014
    """

class FGSM(SingleAttack):
    """One step of size eps along the sign of the gradient (linf) or the normalised gradient (l2).

    Looks for the largest loss within eps; norms: linf, l2; needs: gradient.
    Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples, 2014
    """

def fmn(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l0", "l1", "l2", "linf"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 200,
    step: float = 1.0,
    last_step: float = 0.01,
    gamma: float = 0.1,
    last_gamma: float = 0.001,
    targets: int = 0,
) -> Adversarials:
    """Gradient steps projected on a ball that shrinks at a win and grows without one.

    Looks for the smallest distance; norms: l0, l1, l2, linf; needs: gradient.
    Pintor, Roli, Brendel, Biggio: Fast minimum-norm adversarial attacks through adaptive norm constraints, 2021
    steps: Gradient steps.
    step: First step as a share of the radius.
    last_step: Last step as a share of the radius.
    gamma: Share by which the radius first shrinks or grows.
    last_gamma: Share by which the radius shrinks or grows at last.
    targets: Likeliest classes that it goes for one by one in further runs.
    """

class FMN(SingleAttack):
    """Gradient steps projected on a ball that shrinks at a win and grows without one.

    Looks for the smallest distance; norms: l0, l1, l2, linf; needs: gradient.
    Pintor, Roli, Brendel, Biggio: Fast minimum-norm adversarial attacks through adaptive norm constraints, 2021
    steps: Gradient steps.
    step: First step as a share of the radius.
    last_step: Last step as a share of the radius.
    gamma: Share by which the radius first shrinks or grows.
    last_gamma: Share by which the radius shrinks or grows at last.
    targets: Likeliest classes that it goes for one by one in further runs.
    """

    def __init__(
        self,
        *,
        steps: int = 200,
        step: float = 1.0,
        last_step: float = 0.01,
        gamma: float = 0.1,
        last_gamma: float = 0.001,
        targets: int = 0,
    ) -> None: ...

def hopskipjump(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l2", "linf"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    queries: int = 5000,
    batch: int = 100,
    largest_batch: int = 10000,
    gamma: float = 50.0,
    starts: int = 30,
) -> Adversarials:
    """Estimates the boundary's normal from the decisions around a boundary point, steps along it and searches back
    to the boundary.

    Looks for the smallest distance; norms: l2, linf; needs: decision.
    Chen, Jordan, Wainwright: HopSkipJumpAttack, a query-efficient decision-based attack, 2020
    queries: Queries per sample, about.
    batch: Probes of the first estimate; later ones grow by the root of the step.
    largest_batch: Probes of one estimate at most.
    gamma: Size of the probes and of the bisection's precision, against the paper's; 1 is lost on quantised
    models.
    starts: Draws of noise until one is misclassified.
    """

class HopSkipJump(SingleAttack):
    """Estimates the boundary's normal from the decisions around a boundary point, steps along it and searches back
    to the boundary.

    Looks for the smallest distance; norms: l2, linf; needs: decision.
    Chen, Jordan, Wainwright: HopSkipJumpAttack, a query-efficient decision-based attack, 2020
    queries: Queries per sample, about.
    batch: Probes of the first estimate; later ones grow by the root of the step.
    largest_batch: Probes of one estimate at most.
    gamma: Size of the probes and of the bisection's precision, against the paper's; 1 is lost on quantised
    models.
    starts: Draws of noise until one is misclassified.
    """

    def __init__(
        self,
        *,
        queries: int = 5000,
        batch: int = 100,
        largest_batch: int = 10000,
        gamma: float = 50.0,
        starts: int = 30,
    ) -> None: ...

def jsma(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l0"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    theta: float = 1.0,
    direction: Literal["up", "down", "either"] = "either",
    gamma: float = 1.0,
    targets: int = 1,
    race: bool = True,
    pairs: int = 4,
    growth: float = 1.0,
    refresh: int = 2,
    prune: bool = True,
) -> Adversarials:
    """Changes, again and again, the two pixels that raise the target's score and lower the others' most.

    Looks for the smallest distance; norms: l0; needs: gradient.
    Papernot, McDaniel, Jha, Fredrikson, Celik, Swami: The limitations of deep learning in adversarial settings,
    2016
    theta: Change of a pixel when it is picked, in pixel ranges.
    direction: Whether picked pixels grow, shrink, or do what helps the target.
    gamma: Largest share of the pixels that may change.
    targets: Winning classes tried per sample, the likeliest first.
    race: Whether only the better half of a sample's targets goes on after each step.
    pairs: Pairs picked from one Jacobian, at least.
    growth: Pairs picked from one Jacobian, as a share of those changed before.
    refresh: Steps that one gradient of the sum of all scores serves; that of the target is always new.
    prune: Whether pixels that turn out needless are put back at the end.
    """

class JSMA(SingleAttack):
    """Changes, again and again, the two pixels that raise the target's score and lower the others' most.

    Looks for the smallest distance; norms: l0; needs: gradient.
    Papernot, McDaniel, Jha, Fredrikson, Celik, Swami: The limitations of deep learning in adversarial settings,
    2016
    theta: Change of a pixel when it is picked, in pixel ranges.
    direction: Whether picked pixels grow, shrink, or do what helps the target.
    gamma: Largest share of the pixels that may change.
    targets: Winning classes tried per sample, the likeliest first.
    race: Whether only the better half of a sample's targets goes on after each step.
    pairs: Pairs picked from one Jacobian, at least.
    growth: Pairs picked from one Jacobian, as a share of those changed before.
    refresh: Steps that one gradient of the sum of all scores serves; that of the target is always new.
    prune: Whether pixels that turn out needless are put back at the end.
    """

    def __init__(
        self,
        *,
        theta: float = 1.0,
        direction: Literal["up", "down", "either"] = "either",
        gamma: float = 1.0,
        targets: int = 1,
        race: bool = True,
        pairs: int = 4,
        growth: float = 1.0,
        refresh: int = 2,
        prune: bool = True,
    ) -> None: ...

def lbfgs(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l2"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    maxiter: int = 20,
    searches: int = 9,
    c: float = 0.01,
    memory: int = 10,
) -> Adversarials:
    """L-BFGS in the box on squared distance plus cross-entropy, whose weight is searched for each sample.

    Looks for the smallest distance; norms: l2; needs: gradient.
    Szegedy, Zaremba, Sutskever, Bruna, Erhan, Goodfellow, Fergus: Intriguing properties of neural networks, 2013
    maxiter: Iterations of L-BFGS for each c.
    searches: Values of c tried per sample.
    c: First weight of the cross-entropy, squared pixel ranges.
    memory: Corrections that approximate the curvature.
    """

class LBFGS(SingleAttack):
    """L-BFGS in the box on squared distance plus cross-entropy, whose weight is searched for each sample.

    Looks for the smallest distance; norms: l2; needs: gradient.
    Szegedy, Zaremba, Sutskever, Bruna, Erhan, Goodfellow, Fergus: Intriguing properties of neural networks, 2013
    maxiter: Iterations of L-BFGS for each c.
    searches: Values of c tried per sample.
    c: First weight of the cross-entropy, squared pixel ranges.
    memory: Corrections that approximate the curvature.
    """

    def __init__(
        self,
        *,
        maxiter: int = 20,
        searches: int = 9,
        c: float = 0.01,
        memory: int = 10,
    ) -> None: ...

def least_likely(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["linf", "l2"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 40,
) -> Adversarials:
    """Iterative gradient steps towards the class that the model finds least likely.

    Looks for the largest loss within eps; norms: linf, l2; needs: gradient.
    Kurakin, Goodfellow, Bengio: Adversarial examples in the physical world, 2016
    steps: Gradient steps, each of length eps / steps.
    """

class LeastLikely(SingleAttack):
    """Iterative gradient steps towards the class that the model finds least likely.

    Looks for the largest loss within eps; norms: linf, l2; needs: gradient.
    Kurakin, Goodfellow, Bengio: Adversarial examples in the physical world, 2016
    steps: Gradient steps, each of length eps / steps.
    """

    def __init__(
        self,
        *,
        steps: int = 40,
    ) -> None: ...

def mim(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["linf", "l2"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 16,
    decay: float = 1.0,
    loss: Literal["ce", "margin", "dlr"] = "ce",
) -> Adversarials:
    """The basic iterative method with momentum on the l1-normalised gradient.

    Looks for the largest loss within eps; norms: linf, l2; needs: gradient.
    Dong, Liao, Pang, Su, Zhu, Hu, Li: Boosting adversarial attacks with momentum, 2018
    steps: Gradient steps, each of length eps / steps.
    decay: Share of the accumulated gradient that is carried on.
    loss: What is climbed.
    """

class MIM(SingleAttack):
    """The basic iterative method with momentum on the l1-normalised gradient.

    Looks for the largest loss within eps; norms: linf, l2; needs: gradient.
    Dong, Liao, Pang, Su, Zhu, Hu, Li: Boosting adversarial attacks with momentum, 2018
    steps: Gradient steps, each of length eps / steps.
    decay: Share of the accumulated gradient that is carried on.
    loss: What is climbed.
    """

    def __init__(
        self,
        *,
        steps: int = 16,
        decay: float = 1.0,
        loss: Literal["ce", "margin", "dlr"] = "ce",
    ) -> None: ...

def newtonfool(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l2"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 400,
    eta: float = 0.01,
    patience: int = 20,
    growth: float = 1.05,
) -> Adversarials:
    """Newton's method on the softmax probability of the original class.

    Looks for the smallest distance; norms: l2; needs: gradient.
    Jang, Wu, Jha: Objective metrics and gradient descent algorithms for adversarial examples in machine learning,
    2017
    steps: Most steps per sample.
    eta: Longest step as a share of the sample's l2 size.
    patience: Steps before eta starts to grow.
    growth: Factor by which eta grows with each further step; 1 for the paper's.
    """

class NewtonFool(SingleAttack):
    """Newton's method on the softmax probability of the original class.

    Looks for the smallest distance; norms: l2; needs: gradient.
    Jang, Wu, Jha: Objective metrics and gradient descent algorithms for adversarial examples in machine learning,
    2017
    steps: Most steps per sample.
    eta: Longest step as a share of the sample's l2 size.
    patience: Steps before eta starts to grow.
    growth: Factor by which eta grows with each further step; 1 for the paper's.
    """

    def __init__(
        self,
        *,
        steps: int = 400,
        eta: float = 0.01,
        patience: int = 20,
        growth: float = 1.05,
    ) -> None: ...

def noise(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l2", "linf"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    repeats: int = 20,
) -> Adversarials:
    """Adds random noise of size eps and keeps the first draw that fools the model.

    Looks for the largest loss within eps; norms: l2, linf; needs: decision.
    Baseline; compare Fawzi, Moosavi-Dezfooli, Frossard: Robustness of classifiers, from adversarial to random
    noise, 2016
    repeats: Draws of noise per sample.
    """

class Noise(SingleAttack):
    """Adds random noise of size eps and keeps the first draw that fools the model.

    Looks for the largest loss within eps; norms: l2, linf; needs: decision.
    Baseline; compare Fawzi, Moosavi-Dezfooli, Frossard: Robustness of classifiers, from adversarial to random
    noise, 2016
    repeats: Draws of noise per sample.
    """

    def __init__(
        self,
        *,
        repeats: int = 20,
    ) -> None: ...

def pdgd(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l2"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 250,
    targets: int = 3,
    rate: float = 0.5,
    decay: float = 0.01,
    fine: float = 0.1,
    dual_rate: float = 0.1,
    dual_decay: float = 0.1,
    ratio: float = 0.1,
    repeats: int = 1,
) -> Adversarials:
    """Minimises the distance and the margin together; their weights move towards whichever is violated.

    Looks for the smallest distance; norms: l2; needs: gradient.
    Matyasko, Chau: PDPGD, primal-dual proximal gradient descent adversarial attack, 2021
    steps: Gradient steps per run.
    targets: Likeliest classes that it goes for one by one after the first run.
    rate: First step of a value, in units of the range.
    decay: Largest share of that step that is left at the end.
    fine: Longest last step of a sample, as a share of its linearised distance.
    dual_rate: First step of the logarithm of the weights.
    dual_decay: Share of that step that is left at the end.
    ratio: First pull of the distance in proportion to the win's.
    repeats: Runs for each class, each with twice the dual rate of the one before: where runs alike end in the
    same valleys, these find others.
    """

class PDGD(SingleAttack):
    """Minimises the distance and the margin together; their weights move towards whichever is violated.

    Looks for the smallest distance; norms: l2; needs: gradient.
    Matyasko, Chau: PDPGD, primal-dual proximal gradient descent adversarial attack, 2021
    steps: Gradient steps per run.
    targets: Likeliest classes that it goes for one by one after the first run.
    rate: First step of a value, in units of the range.
    decay: Largest share of that step that is left at the end.
    fine: Longest last step of a sample, as a share of its linearised distance.
    dual_rate: First step of the logarithm of the weights.
    dual_decay: Share of that step that is left at the end.
    ratio: First pull of the distance in proportion to the win's.
    repeats: Runs for each class, each with twice the dual rate of the one before: where runs alike end in the
    same valleys, these find others.
    """

    def __init__(
        self,
        *,
        steps: int = 250,
        targets: int = 3,
        rate: float = 0.5,
        decay: float = 0.01,
        fine: float = 0.1,
        dual_rate: float = 0.1,
        dual_decay: float = 0.1,
        ratio: float = 0.1,
        repeats: int = 1,
    ) -> None: ...

def pdpgd(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l1", "linf", "l0"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 500,
    rate: float = 1.0,
    decay: float = 0.01,
    dual: float = 10.0,
    travel: float = 33.0,
    dual_decay: float = 0.1,
) -> Adversarials:
    """Gradient steps on the margin and proximal steps on the norm, balanced by a learned multiplier.

    Looks for the smallest distance; norms: l1, linf, l0; needs: gradient.
    Matyasko, Chau: PDPGD, primal-dual proximal gradient descent adversarial attack, 2021
    steps: Gradient steps.
    rate: First step of a value, in units of the range.
    decay: Share of that step that is left at the end.
    dual: First logarithm of the win's weight over the norm's.
    travel: How far that logarithm can move in all steps together.
    dual_decay: Share of its first step that is left at the end.
    """

class PDPGD(SingleAttack):
    """Gradient steps on the margin and proximal steps on the norm, balanced by a learned multiplier.

    Looks for the smallest distance; norms: l1, linf, l0; needs: gradient.
    Matyasko, Chau: PDPGD, primal-dual proximal gradient descent adversarial attack, 2021
    steps: Gradient steps.
    rate: First step of a value, in units of the range.
    decay: Share of that step that is left at the end.
    dual: First logarithm of the win's weight over the norm's.
    travel: How far that logarithm can move in all steps together.
    dual_decay: Share of its first step that is left at the end.
    """

    def __init__(
        self,
        *,
        steps: int = 500,
        rate: float = 1.0,
        decay: float = 0.01,
        dual: float = 10.0,
        travel: float = 33.0,
        dual_decay: float = 0.1,
    ) -> None: ...

def pgd(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["linf", "l2", "l1"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 30,
    step: float = 0.2,
    schedule: Literal["cosine", "constant"] = "cosine",
    restarts: int = 1,
    loss: Literal["ce", "margin", "dlr", "nearest"] = "ce",
    random_start: bool = True,
    sparsity: float = 0.05,
) -> Adversarials:
    """Iterated gradient steps inside the ball from random starts; samples that are lost leave the batch.

    Looks for the largest loss within eps; norms: linf, l2, l1; needs: gradient.
    Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models resistant to adversarial attacks, 2017;
    sparse l1 steps after Tramer, Boneh: Adversarial training and robustness for multiple perturbations, 2019
    steps: Gradient steps per restart.
    step: Mean size of a step as a share of eps.
    schedule: l2, linf. cosine: steps shrink from twice the mean to nothing; constant: all are equal, as
    published.
    restarts: Random starts; later ones run on the samples that withstood.
    loss: What is climbed; nearest: ce, and in the second half the class that a linearisation puts nearest.
    random_start: Whether the first run starts at a random point, not at the clean sample.
    sparsity: Share of the values that the first l1 steps move; later ones move fewer.
    """

class PGD(SingleAttack):
    """Iterated gradient steps inside the ball from random starts; samples that are lost leave the batch.

    Looks for the largest loss within eps; norms: linf, l2, l1; needs: gradient.
    Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models resistant to adversarial attacks, 2017;
    sparse l1 steps after Tramer, Boneh: Adversarial training and robustness for multiple perturbations, 2019
    steps: Gradient steps per restart.
    step: Mean size of a step as a share of eps.
    schedule: l2, linf. cosine: steps shrink from twice the mean to nothing; constant: all are equal, as
    published.
    restarts: Random starts; later ones run on the samples that withstood.
    loss: What is climbed; nearest: ce, and in the second half the class that a linearisation puts nearest.
    random_start: Whether the first run starts at a random point, not at the clean sample.
    sparsity: Share of the values that the first l1 steps move; later ones move fewer.
    """

    def __init__(
        self,
        *,
        steps: int = 30,
        step: float = 0.2,
        schedule: Literal["cosine", "constant"] = "cosine",
        restarts: int = 1,
        loss: Literal["ce", "margin", "dlr", "nearest"] = "ce",
        random_start: bool = True,
        sparsity: float = 0.05,
    ) -> None: ...

def sigma_zero(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["l0"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    steps: int = 1000,
    rate: float = 1.0,
    sigma: float = 0.001,
    threshold: float = 0.3,
    pace: float = 0.01,
) -> Adversarials:
    """Adam on the margin and a smooth L0, with small changes set back to zero on the way.

    Looks for the smallest distance; norms: l0; needs: gradient.
    Cina, Villani, Pintor, Schoenherr, Biggio, Pelillo: sigma-zero, gradient-based optimization of l0-norm
    adversarial examples, 2024
    steps: Gradient steps.
    rate: First step, in units of the range; annealed to a tenth.
    sigma: Smoothness of the count: a squared change of sigma counts half.
    threshold: First change, in units of the range, below which it is undone.
    pace: Change of the threshold per step, as a share of the step.
    """

class SigmaZero(SingleAttack):
    """Adam on the margin and a smooth L0, with small changes set back to zero on the way.

    Looks for the smallest distance; norms: l0; needs: gradient.
    Cina, Villani, Pintor, Schoenherr, Biggio, Pelillo: sigma-zero, gradient-based optimization of l0-norm
    adversarial examples, 2024
    steps: Gradient steps.
    rate: First step, in units of the range; annealed to a tenth.
    sigma: Smoothness of the count: a squared change of sigma counts half.
    threshold: First change, in units of the range, below which it is undone.
    pace: Change of the threshold per step, as a share of the step.
    """

    def __init__(
        self,
        *,
        steps: int = 1000,
        rate: float = 1.0,
        sigma: float = 0.001,
        threshold: float = 0.3,
        pace: float = 0.01,
    ) -> None: ...

def square(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["linf", "l2"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    queries: int = 1000,
    p: float = 0.8,
) -> Adversarials:
    """Random search: squares of extreme values are tried one by one and kept where they help.

    Looks for the largest loss within eps; norms: linf, l2; needs: scores.
    Andriushchenko, Croce, Flammarion, Hein: Square attack, a query-efficient black-box adversarial attack via
    random search, 2020
    queries: Queries per sample at most.
    p: Share of the values that the first squares change.
    """

class Square(SingleAttack):
    """Random search: squares of extreme values are tried one by one and kept where they help.

    Looks for the largest loss within eps; norms: linf, l2; needs: scores.
    Andriushchenko, Croce, Flammarion, Hein: Square attack, a query-efficient black-box adversarial attack via
    random search, 2020
    queries: Queries per sample at most.
    p: Share of the values that the first squares change.
    """

    def __init__(
        self,
        *,
        queries: int = 1000,
        p: float = 0.8,
    ) -> None: ...

def substitute(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["linf", "l2", "l0"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    per_class: int = 10,
    rounds: int = 4,
    reach: float = 0.1,
    growth: int = 2000,
    epochs: int = 10,
    rate: float = 0.001,
    width: int = 16,
    steps: int = 20,
    step: float = 0.15,
) -> Adversarials:
    """Trains a network on labels that the oracle gives to a few samples and to points made from them, and attacks
    that network.

    Looks for the largest loss within eps; norms: linf, l2, l0; needs: decision.
    Papernot, McDaniel, Goodfellow, Jha, Celik, Swami: Practical black-box attacks against machine learning, 2017
    per_class: Samples of each predicted class to start from.
    rounds: Rounds of augmentation; each doubles the set.
    reach: Step of the augmentation, as a share of the range.
    growth: New points per round at most, drawn from the set.
    epochs: Passes over the set in each round.
    rate: Learning rate of Adam.
    width: Channels of the substitute's first layer.
    steps: Gradient steps on the substitute; 1 is FGSM with step = 1.
    step: Size of a gradient step as a share of eps.
    """

class SubstituteAttack(SingleAttack):
    """Trains a network on labels that the oracle gives to a few samples and to points made from them, and attacks
    that network.

    Looks for the largest loss within eps; norms: linf, l2, l0; needs: decision.
    Papernot, McDaniel, Goodfellow, Jha, Celik, Swami: Practical black-box attacks against machine learning, 2017
    per_class: Samples of each predicted class to start from.
    rounds: Rounds of augmentation; each doubles the set.
    reach: Step of the augmentation, as a share of the range.
    growth: New points per round at most, drawn from the set.
    epochs: Passes over the set in each round.
    rate: Learning rate of Adam.
    width: Channels of the substitute's first layer.
    steps: Gradient steps on the substitute; 1 is FGSM with step = 1.
    step: Size of a gradient step as a share of eps.
    """

    def __init__(
        self,
        *,
        per_class: int = 10,
        rounds: int = 4,
        reach: float = 0.1,
        growth: int = 2000,
        epochs: int = 10,
        rate: float = 0.001,
        width: int = 16,
        steps: int = 20,
        step: float = 0.15,
    ) -> None: ...

def transfer(
    model: str | Path | nn.Module | Classifier,
    x: Any,
    y: Any,
    *,
    norm: Literal["linf", "l2", "l1", "l0"] | None = None,
    eps: Any = None,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    options: LoadOptions | None = None,
    seed: int = 0,
    device: str | None = None,
    models: tuple[str, ...] = (),
    steps: int = 40,
    step: float = 0.1,
) -> Adversarials:
    """Climbs the mean margin of other, given models and tries the result on this one.

    Looks for the largest loss within eps; norms: linf, l2, l1, l0; needs: decision.
    Papernot, McDaniel, Goodfellow: Transferability in machine learning, 2016; ensembles after Liu, Chen, Liu,
    Song: Delving into transferable adversarial examples and black-box attacks, 2017
    models: Paths of the models that the adversarials are made on; at least one.
    steps: Gradient steps.
    step: Size of a step as a share of eps.
    """

class Transfer(SingleAttack):
    """Climbs the mean margin of other, given models and tries the result on this one.

    Looks for the largest loss within eps; norms: linf, l2, l1, l0; needs: decision.
    Papernot, McDaniel, Goodfellow: Transferability in machine learning, 2016; ensembles after Liu, Chen, Liu,
    Song: Delving into transferable adversarial examples and black-box attacks, 2017
    models: Paths of the models that the adversarials are made on; at least one.
    steps: Gradient steps.
    step: Size of a step as a share of eps.
    """

    def __init__(
        self,
        *,
        models: tuple[str, ...] = (),
        steps: int = 40,
        step: float = 0.1,
    ) -> None: ...
