"""Where to split a part of a ball: the ReLU whose lines lose most, by a look at both halves of the likeliest ones.

At the point x of the ball where a part's linear bound is least, the network's true value exceeds the bound by a sum of
one term a ReLU: how far its line lies from its value there, times its coefficient. To split it takes this term away on
the side of x. What it may lose at most between its bounds counts beside that (as in BaBSR, Bunel et al. 2020), and of
the few ReLUs that look best both halves are bounded once (as in filtered smart branching, De Palma et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robusteval.api import activation_value, affine_value
from robusteval_certifiers._branching.bounding import Seen, least, sides_of
from robusteval_certifiers._branching.parts import Frame, Parts, halves
from robusteval_certifiers._common.balls import Ball

_SHARE = 0.25  # of what a ReLU may lose anywhere, beside what it loses at the lowest point
_STEPS = 8  # in search of the lowest point in L2


@dataclass(frozen=True)
class Choice:
    """place, element: [D] of the ReLU to split in each part, an element of its `Undecided`; none: [D] where no open one
    is left; met: [D] the function's values at points of the ball."""

    place: Tensor
    element: Tensor
    none: Tensor
    met: Tensor


def chosen(frame: Frame, parts: Parts, looks: int) -> Choice:
    """Where to split each part. looks: ReLUs of which both halves are bounded."""
    seen, sides = Seen(), sides_of(frame, parts)
    least(frame, parts, sides, seen)
    values = values_at(frame, lowest_point(frame.bounds.ball, seen.pixels))
    met = (parts.rows * values[frame.start]).sum(1)
    scores, places, elements = [torch.full_like(met[:, None], -torch.inf)], [0], [0]
    for place, a in seen.coefficients.items():
        known, (source,) = frame.undecided[place], frame.network.nodes[place].inputs
        z, value = values[source][:, known.index], values[place][:, known.index]
        above, below = known.chord * z + known.shift - value, value - parts.slopes[place] * z
        gap = torch.where(a > 0, a * below, -a * above).clamp_min(0.0) - _SHARE * a.clamp_max(0.0) * known.shift
        scores.append(torch.where(sides[place].split, -torch.inf, gap))
        places += [place] * len(known.index)
        elements += range(len(known.index))
    table = torch.tensor([places, elements], device=met.device)
    best = torch.cat(scores, 1).topk(min(looks, len(places)), 1)
    place, element = table[:, best.indices]
    if looks > 1:
        taken = _looked_at(frame, parts, place, element, best.values)[:, None]
        place, element = place.gather(1, taken), element.gather(1, taken)
    return Choice(place[:, 0], element[:, 0], best.values[:, 0] == -torch.inf, met)


def _looked_at(frame: Frame, parts: Parts, place: Tensor, element: Tensor, scores: Tensor) -> Tensor:
    """Which of its candidates [D, k] to split in each part: the one whose worse half has the best bound."""
    count, looks = place.shape
    rows = torch.arange(count, device=place.device).repeat_interleave(looks)
    both = halves(parts[rows], place.flatten(), element.flatten())
    found = least(frame, both, sides_of(frame, both)).reshape(2, count, looks).amin(0)
    found = torch.where((scores == -torch.inf) | torch.isnan(found), -torch.inf, found)
    return found.argmax(1)


def values_at(frame: Frame, x: Tensor) -> list[Tensor]:
    """The true value of each node up to the start, [D, n], at inputs [D, n]."""
    values = [x]
    for place, node in enumerate(frame.network.nodes[1 : frame.start + 1], 1):
        inputs = [values[source] for source in node.inputs]
        if node.op == "activation":
            values.append(activation_value(node, inputs[0]))
        else:
            values.append(affine_value(node, inputs, frame.network.inputs_of(place)))
    return values


def lowest_point(ball: Ball, a: Tensor) -> Tensor:
    """A point of the ball [D, n] at which a . x is about as small as it gets, a: [D, n]."""
    if ball.norm == "linf":
        return torch.where(a > 0, ball.low, ball.high)
    if ball.norm == "l1":  # the steepest elements first, until the budget is spent
        room = torch.where(a > 0, -ball.down, ball.up.expand_as(a))
        order = a.abs().argsort(dim=-1, descending=True, stable=True)
        sorted_room = room.gather(-1, order)
        before = sorted_room.cumsum(-1) - sorted_room
        taken = torch.minimum(sorted_room, (ball.eps[:, None] - before).clamp_min(0.0))
        return ball.x - torch.zeros_like(a).scatter(-1, order, taken) * a.sign()
    eps = ball.eps[:, None].clamp_min(1e-12)
    rate = (a.norm(dim=-1, keepdim=True) / eps).clamp_min(1e-300)
    for _ in range(_STEPS):
        step = torch.minimum(torch.maximum(-a / rate, ball.down), ball.up)
        rate = (rate * step.norm(dim=-1, keepdim=True) / eps).clamp_min(1e-300)
    return ball.x + torch.minimum(torch.maximum(-a / rate, ball.down), ball.up)
