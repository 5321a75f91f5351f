"""Planted adversarials (Zimmermann, Brendel, Tramer, Carlini 2022): how many does the suite find on this very model?

For each sample x a linear readout is put on the model's penultimate features f: what its last linear layer reads. It
says "inner" on x, on noise well inside the ball and on noise on its surface, and "planted" on one more point of the
surface, which is thus an adversarial by construction. The suite's attacks are then asked to turn "inner" into "planted"
within the ball. A gradient that is masked before the features is as masked here as in the model itself.

A target of the run changes nothing here: "planted" is the only class to be reached. Grids are kept: all points lie on
them.

Where a classifier shows no such features, its scores are read out instead, and the record says so. Where a readout
exists for no point of many, nothing is planted for the sample.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from robusteval import ops
from robusteval.contracts.classifier import Classifier, Featured, ModelInfo
from robusteval.contracts.meter import Meter
from robusteval.contracts.params import make
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Attack, Defended
from robusteval.contracts.problem import Problem
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.search.asking import candidates_of
from robusteval.engine.search.judge import Grid, Threat, common_grid, judge
from robusteval.engine.seeding import generator
from robusteval.engine.selftest.max_margin import outstanding
from robusteval.engine.source import Rows, Source
from robusteval.engine.suite.suite import MemberSpec, Suite, applicable
from robusteval.errors import AccessError
from robusteval.foreign import foreign, words
from robusteval.ops import norm_named
from robusteval.record.run import Planted

_BATCH = 256
_INNER = 0.9  # radius of the inner points as a share of eps; the paper's eta
TRIES = 128  # points of the surface, of which the one that stands out most is planted
_PLACE = 0.8  # of the way from the last other point to the planted one stands the boundary: chance must not pass it
_ORDERS = {"l2": 2.0, "linf": float("inf")}
_MARGIN = 4.0  # readout of the clean sample: so far from the boundary, whatever the model's own scale is


@dataclass
class Readouts:
    """A binary classifier with one linear readout per sample on features: class 0 inner, class 1 planted.

    A point is given to the readout of the clean sample that it is nearest to in the norm. The samples' balls are
    disjoint.
    """

    features: Classifier
    x0: Tensor  # [N, *shape]
    weight: Tensor  # float64 [N, D]: features of many dimensions cancel in the sum
    bias: Tensor  # float64 [N]
    order: float  # of the norm
    info: ModelInfo

    def logits(self, x: Tensor) -> Tensor:
        """[B, *shape] -> [B, 2], by the true features."""
        return self._read(x, self.features.logits(x))

    def twin(self, x: Tensor) -> Tensor:
        """[B, *shape] -> [B, 2], differentiable."""
        return self._read(x, self.features.twin(x))

    def _read(self, x: Tensor, features: Tensor) -> Tensor:
        with torch.no_grad():
            owner = _gaps(x.detach(), self.x0, self.order).argmin(1) if len(x) else x.new_zeros(0).long()
        value = ((features.double() * self.weight[owner]).sum(1) - self.bias[owner]).to(features.dtype)
        return torch.stack([-value, value], dim=1)


def test(
    model: Classifier, samples: Source, right: Tensor, suite: Suite, catalogue: Catalogue, seed: int
) -> list[Planted]:
    """The planted test in L2 and Linf as far as the suite has those norms; nothing where it asks for no samples.

    right: bool [N], right when clean. A norm without an attack that the model's access allows is excluded.
    """
    settings, tests = suite.planted, []
    low, high = samples.bounds
    grid = common_grid(suite.levels, samples.bounds, samples.grid)
    for norm in (norm for norm in ("l2", "linf") if norm in suite.norms and settings.samples):
        eps = (settings.eps_l2 if norm == "l2" else settings.eps_linf) * (high - low)
        row = Planted(norm, eps, dataclasses.asdict(settings), "done")
        tests.append(row)
        attacks = attacks_of(model.info, suite, catalogue, norm)
        if not attacks or model.info.output == "labels":
            row.status = "excluded"
            row.reason = (
                "the model answers with labels only, so there is nothing to read out"
                if attacks
                else "the suite has no attack that fits"
            )
            continue
        try:
            with foreign():
                chosen = _disjoint(samples.x, right, settings.samples, norm, eps)
                features, row.features = features_of(model)
                _run(row, features, samples, chosen, attacks, grid, seed)
        except Exception as error:  # noqa: BLE001 - a test that fails must not lose the attacks' figures
            row.status, row.reason = "failed", words(error)[:500]
            row.samples, row.random, row.found = [], [], {}
    return tests


def _disjoint(x: Rows, right: Tensor, count: int, norm: str, eps: float) -> Tensor:
    """The first `count` samples that are right when clean and whose balls do not meet: int64 [n]."""
    chosen: list[int] = []
    images = x[:0]
    for index in right.nonzero().squeeze(1).tolist():
        if len(chosen) == count:
            break
        image = x[index : index + 1]
        if bool((_gaps(image, images, _ORDERS[norm]) > 2 * eps).all()):
            chosen.append(index)
            images = torch.cat([images, image])
    return torch.tensor(chosen, dtype=torch.long, device="cpu")


def _gaps(x: Tensor, others: Tensor, order: float) -> Tensor:
    """Distances [B, N] in the norm of that order."""
    return torch.cdist(x.flatten(1), others.flatten(1), p=order)


def features_of(model: Classifier) -> tuple[Classifier, str]:
    """What is read out, [B, D], and what that is in words: "penultimate: ..." or "scores: " and why not the former."""
    if not isinstance(model, Featured):
        return model, "scores: this kind of model does not show its penultimate features"
    try:
        features = model.features()
    except AccessError as error:
        return model, f"scores: {error.message}"
    return features, f"penultimate: {features.info.name}, {features.info.classes} numbers"


def attacks_of(info: ModelInfo, suite: Suite, catalogue: Catalogue, norm: str) -> list[tuple[str, Attack]]:
    """The suite's own attacks in this norm that the model's access allows; members of cascades too."""
    suite = applicable(suite, info)
    specs: list[MemberSpec] = [spec for spec in suite.attacks if norm in (spec.norms or suite.norms)]
    specs += [member for cascade in suite.cascades if norm in cascade.eps for member in cascade.members]
    chosen = []
    for spec in specs:
        plugin = catalogue.get("attack", spec.plugin)
        if norm not in plugin.info.norms or plugin.info.surrogates:
            continue
        if plugin.info.needs == "gradient" and info.gradients == "none":
            continue
        chosen.append((spec.name, make(plugin, spec.params, spec.plugin)))
    return chosen


def _run(
    row: Planted,
    features: Classifier,
    samples: Source,
    chosen: Tensor,
    attacks: list[tuple[str, Attack]],
    grid: tuple[int, Grid],
    seed: int,
) -> None:
    free = Threat(torch.empty(0, 2, dtype=torch.bool, device="cpu"), norm_named(row.norm), samples.bounds, *grid)
    planted = [
        (int(index), found)
        for index in chosen
        if (found := plant(features, samples, int(index), free, row.eps, row.params["inner"], seed)) is not None
    ]
    if not planted:
        row.status, row.reason = "excluded", "no point of the ball can be told from the others by the model's features"
        return
    row.samples = [index for index, _ in planted]
    x0 = samples.x[torch.tensor(row.samples, device=samples.x.device)]
    weight = torch.stack([found[0] for _, found in planted])
    bias = torch.stack([found[1] for _, found in planted])
    info = dataclasses.replace(features.info, classes=2, class_names=(), output="logits", name="planted")
    pipeline = Pipeline(Defended(Readouts(features, x0, weight, bias, _ORDERS[row.norm], info)))
    safe = torch.tensor([[True, False]], device=x0.device).expand(len(x0), 2).clone()
    threat = dataclasses.replace(free, safe=safe)
    row.random = _chance(pipeline, x0, threat, row, seed)
    for name, attack in attacks:
        row.needs[name] = attack.info.needs
        try:
            with foreign():
                row.found[name] = _find(
                    pipeline, x0, threat, row.eps, attack, generator(seed, "planted", row.norm, name)
                )
        except Exception as error:  # noqa: BLE001 - one plugin's fault: it found nothing, and the reason is kept
            row.failed[name] = words(error)[:200]
            row.found[name] = [False] * len(row.samples)


def _find(
    pipeline: Pipeline, x0: Tensor, threat: Threat, eps: float, attack: Attack, rng: torch.Generator
) -> list[bool]:
    """Which planted adversarials one attack finds: bool [N]."""
    budget = torch.full((len(x0),), eps, dtype=x0.dtype, device=x0.device)
    fixed = attack.info.budget == "fixed"
    rows = torch.arange(len(x0), device=x0.device)
    problem = Problem(
        x0, threat.safe, threat.norm, budget if fixed else None, threat.bounds, rng, attack.info.needs, pipeline,
        Meter(len(x0)), rows,
    )  # fmt: skip
    candidates = candidates_of(attack, problem)
    # a minimal attack may stop beyond the budget, or a hair's breadth before the boundary
    further = candidates if fixed else ops.clip(x0 + 1.01 * (candidates - x0), threat.bounds)
    won = torch.zeros(len(x0), dtype=torch.bool, device=x0.device)
    for points in (candidates, further)[: 1 if fixed else 2]:
        inside = ops.project(x0, points, threat.norm, budget, threat.bounds)
        won |= judge(pipeline, x0, inside, threat, budget, rng).won
    return [bool(value) for value in won]


def plant(
    features: Classifier, samples: Source, index: int, threat: Threat, eps: float, inner: int, seed: int
) -> tuple[Tensor, Tensor] | None:
    """A readout (weight float64 [D], bias []) that is positive on one point of the ball's surface, and negative on the
    sample, on `inner` points around it and on all other points of the surface that were drawn; None where none of these
    can be told from the rest by a line. All of them are images that the threat allows: on its grid where it has one."""
    rng = generator(seed, "plant", threat.norm, index)
    x0 = samples.x[index : index + 1]
    near = torch.cat([x0, _noise(x0, threat, _INNER * eps, inner, rng, False)])
    far = _noise(x0, threat, eps, TRIES, rng, True)
    read = torch.cat([features.logits(part) for part in torch.split(torch.cat([near, far]), _BATCH)]).double()
    if not bool(torch.isfinite(read).all()):
        return None
    found = outstanding(read[: len(near)], read[len(near) :])
    if found is None:
        return None
    _, direction, top, value = found
    bias = top + _PLACE * (value - top)
    scale = _MARGIN / (bias - read[0] @ direction).clamp_min(1e-300)
    return scale * direction, scale * bias


def _noise(x0: Tensor, threat: Threat, eps: float, count: int, rng: torch.Generator, surface: bool) -> Tensor:
    """Points [count, *shape] of the ball around x0 [1, *shape], or of its surface, inside the box; on the grid, towards
    x0."""
    x = x0.expand(count, *x0.shape[1:])
    size = torch.full((count,), eps, dtype=x.dtype, device=x.device)
    draw = ops.random_on_sphere if surface else ops.random_in_ball
    return threat.round_directed(x, ops.clip(x + draw(x, threat.norm, size, rng).to(x), threat.bounds), away=False)


def _chance(pipeline: Pipeline, x0: Tensor, threat: Threat, row: Planted, seed: int) -> list[bool]:
    """Which planted adversarials fresh random points of the ball's surface find, as many as there were inner ones."""
    rng = generator(seed, "planted-random", row.norm)
    budget = torch.full((len(x0),), row.eps, dtype=x0.dtype, device=x0.device)
    hit = torch.zeros(len(x0), dtype=torch.bool, device=x0.device)
    for _ in range(int(row.params["inner"])):
        points = ops.clip(x0 + ops.random_on_sphere(x0, threat.norm, budget, rng).to(x0), threat.bounds)
        hit |= pipeline.decide(threat.round_directed(x0, points, away=False))[0] == 1
    return [bool(value) for value in hit]
