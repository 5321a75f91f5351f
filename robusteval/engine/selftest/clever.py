"""CLEVER (Weng et al. 2018): an estimate of the smallest distance from the largest gradient near a sample.

For the margin g = f_y - f_j, the distance to the boundary is at least g(x) / L, with L the largest dual norm of g's
gradient in a ball around x. L is estimated: gradients are drawn in the ball, the maxima of batches follow a reverse
Weibull law, and its location parameter stands for L. It is an estimate and no bound, and where gradients are masked it
is too large (Goodfellow 2018); so it is only made on models with exact gradients, and shown beside what attacks found.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from robusteval import ops
from robusteval.contracts.classifier import Classifier
from robusteval.engine.seeding import generator
from robusteval.engine.source import Source
from robusteval.engine.suite.options import Clever
from robusteval.foreign import foreign, words
from robusteval.record.run import Estimate

_BATCH = 256
_STEEPEST = 60.0  # largest shape of the law
_FLAT = 1e-5  # maxima that differ by less, relatively, are all the same: the margin is linear there


@dataclass(frozen=True)
class Score:
    """CLEVER of one sample: the distance, the class whose margin gave it, and the p-value of the fit where one was
    made."""

    value: float | None
    target: int
    fit: float | None


def estimate(
    model: Classifier, samples: Source, right: Tensor, settings: Clever, norms: tuple[str, ...], seed: int
) -> list[Estimate]:
    """CLEVER of the first samples that are right when clean, in L2 and Linf as far as the suite has those norms.

    right: bool [N]. Nothing where the suite asks for no samples; an excluded row where gradients are not exact.
    """
    rows = right.nonzero().squeeze(1)[: settings.samples]
    estimates = []
    for norm in (norm for norm in ("l2", "linf") if norm in norms and settings.samples):
        low, high = samples.bounds
        radius = (settings.radius_l2 if norm == "l2" else settings.radius_linf) * (high - low)
        row = Estimate("clever", norm, dataclasses.asdict(settings), "done", limit=radius)
        estimates.append(row)
        if model.info.gradients != "exact":
            lacks = {"none": "gives none", "surrogate": "has a surrogate's only"}
            why = lacks.get(model.info.gradients, f"has {model.info.gradients} ones only")
            row.status, row.reason = "excluded", f"CLEVER needs exact gradients, and the model {why}"
            continue
        try:
            for index in rows.tolist():
                rng = generator(seed, "clever", norm, index)
                with foreign():
                    score = _score(model, samples, index, norm, radius, settings, rng)
                row.samples.append(index)
                row.value.append(score.value)
                row.target.append(score.target)
                row.fit.append(score.fit)
        except Exception as error:  # noqa: BLE001 - an estimate that fails must not lose the attacks' figures
            row.status, row.reason = "failed", words(error)[:500]
            row.samples, row.value, row.target, row.fit = [], [], [], []
    return estimates


def _score(
    model: Classifier, samples: Source, index: int, norm: str, radius: float, settings: Clever, rng: Generator
) -> Score:
    """The smallest estimate over the targets, at most the radius."""
    x, label = samples.x[index], int(samples.y[index])
    with torch.no_grad():
        scores = model.twin(x[None])[0].double()
    order = [int(other) for other in scores.argsort(descending=True) if int(other) != label]
    targets = order if settings.targets == "all" else order[:1]
    maxima = _maxima(model, x, label, targets, norm, radius, samples.bounds, settings, rng)
    best: Score | None = None
    for number, target in enumerate(targets):
        slope, fit = largest(maxima[number])
        gap = float(scores[label] - scores[target])
        value = None if slope is None else min(max(gap, 0.0) / slope, radius) if slope > 0 else radius
        if best is None or best.value is None or (value is not None and value < best.value):
            best = Score(value, target, fit)
    return best if best is not None else Score(None, label, None)


def _maxima(
    model: Classifier,
    x: Tensor,
    label: int,
    targets: list[int],
    norm: str,
    radius: float,
    bounds: tuple[float, float],
    settings: Clever,
    rng: Generator,
) -> NDArray[np.float64]:
    """Largest dual gradient norm of each batch and target: [T, batches]. The same points serve all targets."""
    total = settings.batches * settings.batch_size
    sizes = torch.empty(len(targets), total, dtype=torch.float64, device="cpu")
    classes = torch.tensor([label, *targets], device=x.device)
    for start in range(0, total, _BATCH):
        count = min(_BATCH, total - start)
        points = ops.clip(x + ball(count, x.shape, norm, radius, rng).to(x), bounds)
        _, grads = ops.class_gradients(model.twin, points, classes.expand(count, -1))
        slopes = (grads[:, :1] - grads[:, 1:]).flatten(2).double()
        dual = slopes.norm(dim=2) if norm == "l2" else slopes.abs().sum(2)
        sizes[:, start : start + count] = dual.T.cpu()
    if not bool(torch.isfinite(sizes).all()):
        raise ArithmeticError("some gradients near the sample are not finite")
    found: NDArray[np.float64] = sizes.reshape(len(targets), settings.batches, settings.batch_size).amax(2).numpy()
    return found


def ball(count: int, shape: torch.Size, norm: str, radius: float, rng: Generator) -> Tensor:
    """Points drawn uniformly from the ball of that radius around 0: [count, *shape]."""
    size = math.prod(shape)
    if norm == "linf":
        return (2 * torch.rand(count, *shape, generator=rng, device=rng.device) - 1) * radius
    direction = torch.randn(count, size, generator=rng, device=rng.device)
    length = torch.rand(count, 1, generator=rng, device=rng.device) ** (1 / size)
    points: Tensor = radius * length * direction / direction.norm(dim=1, keepdim=True)
    return points.reshape(count, *shape)


def largest(maxima: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """(location of the reverse Weibull law behind these maxima [N], p-value of the fit), or (None, None) without a fit.

    Never below the largest one seen. Maxima that do not vary are a linear margin: their value is the answer, without a
    fit.
    """
    from scipy import stats  # slow to import, and most runs do without

    top, spread = float(maxima.max()), float(maxima.std())
    if float(np.ptp(maxima)) <= _FLAT * max(abs(top), 1e-300):
        return top, None
    scaled = (maxima - top) / spread
    shape, location = fit_weibull_max(scaled)
    scale = float(((location - scaled) ** shape).mean() ** (1 / shape))
    p = float(stats.kstest(scaled, stats.weibull_max(shape, location, scale).cdf).pvalue)
    return (None, None) if not np.isfinite(p) else (top + spread * location, p)


def fit_weibull_max(scaled: NDArray[np.float64]) -> tuple[float, float]:
    """(shape, location) of largest likelihood for data [N] with maximum 0 and standard deviation 1.

    The scale has a closed form given the other two, so a grid that is refined around its best point does; scipy's own
    `fit` ends far from the optimum on about half of such samples. Shapes below 1 are left out, as the likelihood is
    then unbounded, and so are steep ones, whose law has no upper end in effect: the location would run away.
    """
    shapes, places = np.geomspace(1.0, _STEEPEST, 25), np.geomspace(1e-3, 10 * _STEEPEST, 49)
    best = (1.0, 1.0)
    for _ in range(8):
        grid = np.array([[_likelihood(scaled, shape, location) for location in places] for shape in shapes])
        one, two = (int(index) for index in np.unravel_index(int(grid.argmax()), grid.shape))
        best = (float(shapes[one]), float(places[two]))
        shapes, places = _around(shapes, one), _around(places, two)
    return best


def _likelihood(scaled: NDArray[np.float64], shape: float, location: float) -> float:
    """Mean log-likelihood at the best scale."""
    logs = np.log(location - scaled)
    top = float(logs.max())  # powers of large shapes overflow unless the largest is taken out
    mean = float(np.log(np.exp(shape * (logs - top)).mean())) + shape * top
    return float(np.log(shape)) - mean + (shape - 1) * float(logs.mean()) - 1


def _around(values: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    """A finer grid around one value; wide, as the likelihood is a slanting ridge."""
    return np.geomspace(values[max(index - 3, 0)], values[min(index + 3, len(values) - 1)], 17)
