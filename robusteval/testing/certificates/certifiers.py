"""The checks of a certifier: no bound is larger than a margin that somebody met in the ball, however it was met."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robusteval.contracts.certificates.certifier import CERTIFIED_NORMS, Certifier, Proof, Statement, proved
from robusteval.contracts.certificates.evaluate import scores
from robusteval.contracts.certificates.graph import Graph, Node, NotCoveredError
from robusteval.testing.certificates.graphs import lowest, networks, statement
from robusteval.testing.checks import fail, require
from robusteval.testing.facts import FACTS, built, global_randomness, split

_RADII = (0.0, 0.01, 0.08, 0.3)
_ROUNDING = 1e-9  # of the margins that bounds are held against


@dataclass
class CertifierSubject:
    """A certifier, how many random networks it is tried on, and with how many points a ball."""

    given: object
    nets: int = 24
    points: int = 64

    @property
    def plugin(self) -> type:
        """The class."""
        return split(self.given)[0]

    def make(self) -> Certifier:
        """The instance under test."""
        made: Certifier = built(self.given)
        return made

    def bound(self, asked: Statement) -> Tensor | None:
        """The bounds [B], each of the right type; None where the graph is not covered."""
        try:
            found = self.make().bound(asked).margin
        except NotCoveredError as error:
            require("node" in error.message, f"It refuses a graph without naming the node: {error.message}")
            return None
        require(
            isinstance(found, Tensor) and found.shape == asked.eps.shape and found.dtype == torch.float64,
            "Its margin is no float64 tensor with an entry an image.",
        )
        return found


def names_its_norms(subject: CertifierSubject) -> None:
    """It states norms in which there are certificates, and an effort."""
    info = subject.make().info
    require(bool(info.norms), "It names no norm.")
    odd = [norm for norm in info.norms if norm not in CERTIFIED_NORMS]
    require(not odd, f"There are no certificates in {odd[:1]}.")
    require(isinstance(info.effort, int) and info.effort >= 0, "info.effort is no whole number from 0 on.")


def is_no_larger_than_what_was_met(subject: CertifierSubject) -> None:
    """No bound is larger than a margin met in its ball: corners, random points, descent; float64 and float32."""
    covered = 0
    for name, asked in _asked(subject):
        found = subject.bound(asked)
        if found is None:
            continue
        covered += 1
        rng = torch.Generator("cpu").manual_seed(covered)
        met = lowest(asked, subject.points, rng)
        wrong = found > met + _ROUNDING * (1 + met.abs())
        if bool(wrong.any()):
            at = int(wrong.nonzero()[0])
            fail(
                f"On a network ({name}) it says that the margin is at least {float(found[at]):.6g} within {asked.norm} "
                f"{float(asked.eps[at]):g}, and a point there has {float(met[at]):.6g}."
            )
    require(covered > 0, "It covers none of the networks.")


def is_no_larger_on_linear_models(subject: CertifierSubject) -> None:
    """Of a linear model no bound is larger than the closed form, in any norm and with the box in the way."""
    for asked in _linear(subject):
        found = subject.bound(asked)
        require(found is not None, "It does not cover a linear model.")
        exact = _closed_form(asked)
        if found is not None and bool((found > exact + _ROUNDING).any()):
            fail(f"In {asked.norm} it exceeds the closed form by {float((found - exact).max()):.3g}.")


def proves_what_is_plain(subject: CertifierSubject) -> None:
    """Of a linear model it proves balls of a hundredth of the true distance."""
    for asked in _linear(subject):
        found = subject.bound(asked.with_eps(asked.eps / 100))
        plain = _closed_form(asked) > 0
        require(found is not None and bool((found > 0)[plain].all()), f"It proves nothing in {asked.norm}.")


def counts_only_wrong_classes(subject: CertifierSubject) -> None:
    """Where one more class counts as right no less is proved."""
    for _, asked in _asked(subject, 7):
        runner_up = scores(asked.graph, asked.x).scatter(1, asked.label[:, None], -torch.inf).argmax(1)
        wider = replace(asked, right=asked.right.scatter(1, runner_up[:, None], True))
        found, plain = subject.bound(wider), subject.bound(asked)
        if found is not None and plain is not None:
            still = (found >= plain - _ROUNDING) | proved(wider, Proof(found))
            require(bool(still.all()), "It is held up by classes that count as right.")


def answers_each_image_alone(subject: CertifierSubject) -> None:
    """An image's bound does not depend on the images beside it."""
    for _, asked in _asked(subject, 4):
        whole = subject.bound(asked)
        if whole is None:
            continue
        for row in range(len(asked.x)):
            single = subject.bound(asked[torch.tensor([row], device="cpu")])
            close = single is not None and abs(float(single[0]) - float(whole[row])) <= 1e-6 * (
                1 + abs(float(whole[row]))
            )
            require(close or not bool(torch.isfinite(whole[row])), "An image alone has another bound than in a batch.")


def is_repeatable(subject: CertifierSubject) -> None:
    """The same statement twice has the same bounds, is left as it was, and no global generator is touched."""
    for _, asked in _asked(subject, 3):
        before, touched = copy.deepcopy(asked), list[str]()
        with global_randomness(touched):
            first, second = subject.bound(asked), subject.bound(asked)
        require((first is None) == (second is None), "It covers a graph once, and not the second time.")
        if first is not None and second is not None:
            require(torch.equal(first, second), "The same statement has other bounds the second time.")
        require(torch.equal(before.x, asked.x) and torch.equal(before.eps, asked.eps), "It changed the statement.")
        require(not touched, f"It touched the global generator of {', '.join(touched)}.")


def proves_nothing_of_no_numbers(subject: CertifierSubject) -> None:
    """Of an image that holds a value which is not finite it proves nothing."""
    for _, asked in _asked(subject, 2):
        broken = replace(asked, x=asked.x.clone())
        broken.x[0].view(-1)[0] = torch.nan
        try:
            found = subject.make().bound(broken)
        except Exception:  # noqa: BLE001, S112 - to raise is fine: it proves nothing
            continue
        require(not bool(proved(broken, found)[0]), "It proves something of an image that holds NaN.")


def _asked(subject: CertifierSubject, most: int | None = None) -> Iterator[tuple[str, Statement]]:
    norms = subject.make().info.norms
    rng = torch.Generator("cpu").manual_seed(0)
    for number, (name, graph) in enumerate(networks(most or subject.nets)):
        eps = _RADII[(number // 3) % len(_RADII)] if most is None else 0.05
        norm = norms[number % len(norms)]
        yield name, statement(graph, norm, eps * (1.0 if norm == "linf" else 3.0), rng)


def _linear(subject: CertifierSubject) -> Iterator[Statement]:
    rng = torch.Generator("cpu").manual_seed(1)
    for norm in subject.make().info.norms:
        for eps in (0.05, 0.5, 2.0):
            weight, bias = torch.randn(3, 7, generator=rng, device="cpu"), torch.randn(3, generator=rng, device="cpu")
            tensors = {"weight": weight.double(), "bias": bias.double()}
            graph = Graph((Node("input", (), (7,)), Node("linear", (0,), (3,), tensors)))
            yield statement(graph, norm, eps, rng, images=6)


def _closed_form(asked: Statement) -> Tensor:
    """The true margin over ball and box of a linear model, [B], by filling the budget value by value."""
    weight, bias = (asked.graph.nodes[1].tensors[key] for key in ("weight", "bias"))
    low, high = asked.bounds
    exact = torch.full_like(asked.eps, torch.inf)
    for row, (x, label, eps) in enumerate(zip(asked.x, asked.label, asked.eps, strict=True)):
        for other in range(len(weight)):
            if bool(asked.right[row, other]):
                continue
            a = weight[label] - weight[other]
            room = torch.where(a > 0, x - low, high - x)
            lead = a @ x + bias[label] - bias[other]
            exact[row] = torch.minimum(exact[row], lead - _largest_gain(a.abs(), room, float(eps), asked.norm))
    return exact


def _largest_gain(steep: Tensor, room: Tensor, eps: float, norm: str) -> Tensor:
    """The most that sum(steep * d) can be, for d in [0, room] of that size."""
    if norm == "linf":
        return (steep * room.clamp_max(eps)).sum()
    if norm == "l1":
        order = steep.argsort(descending=True)
        spent = torch.cat([torch.zeros(1, dtype=torch.float64, device="cpu"), room[order].cumsum(0)[:-1]])
        return (steep[order] * torch.minimum(room[order], (eps - spent).clamp_min(0))).sum()
    rate_low, rate_high = 0.0, 1e9  # d = min(rate * steep, room); its length rises with the rate
    if float(room.norm()) <= eps:
        return (steep * room).sum()
    for _ in range(200):
        rate = (rate_low + rate_high) / 2
        longer = float(torch.minimum(rate * steep, room).norm()) > eps
        rate_low, rate_high = (rate_low, rate) if longer else (rate, rate_high)
    return (steep * torch.minimum(rate_low * steep, room)).sum()


CERTIFIER_CHECKS = (
    *FACTS,
    names_its_norms,
    is_no_larger_on_linear_models,
    proves_what_is_plain,
    is_no_larger_than_what_was_met,
    counts_only_wrong_classes,
    answers_each_image_alone,
    is_repeatable,
    proves_nothing_of_no_numbers,
)
