"""Linear bounds by backward substitution (CROWN, Zhang et al. 2018; DeepPoly, Singh et al. 2019).

A linear function of one node's value is rewritten as one of the nodes before it: through an affine node exactly,
through an activation by the line below it where a coefficient is positive and by the line above it where it is
negative. What arrives at the input is linear in the pixels, whose least value on the ball is known. At each node the
sum of |coefficient| * error is taken off: then the bound holds for all values that rounding may make there
(robusteval.contracts.certificates.rounding), the roundings of this substitution itself among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from robusteval.api import rounded_interval
from robusteval_certifiers._common.boxes import Box, View
from robusteval_certifiers._common.intervals import Bounds, onward
from robusteval_certifiers._common.network import Network
from robusteval_certifiers._common.steps import dot, steps_of

FEW = 128  # elements of a node: so many are worth an optimisation of their bounds
WORK = 2e10  # multiplications for the bounds before one activation of one image: where it takes more, intervals stand
Sharper = Callable[[int, Tensor], Tensor]  # (place, coefficients [B, S, n]) -> lower bounds [B, S]
_BYTES = 2**24  # of coefficients at one node at a time: what the caches hold, 3 times as fast as 2**28
_LOCAL = 0.5  # share of all values: where an element depends on less, windows are gone back instead of whole values
_FALLING = ("gelu", "silu", "hard_swish")  # somewhere
_GROWN = 1.4  # how much larger windows may be for elements beside each other to go together


def least(
    network: Network,
    bounds: Bounds,
    start: int,
    coefficients: Tensor,
    slopes: Mapping[int, Tensor] | None = None,
    steps: int = 2,
) -> Tensor:
    """A lower bound of coefficients . value of the node `start`: [B, S, n] -> [B, S].

    slopes: of undecided ReLUs by place, [B, S or 1, n] between `Lines.least` and 1, instead of the lines' own.
    steps: see `Ball.least`.
    """
    return Way(network, bounds, start, slopes).least(coefficients, steps=steps)


class Way:
    """The way back from one node, through bounds as they are now; of several functions of its value."""

    def __init__(
        self, network: Network, bounds: Bounds, start: int, slopes: Mapping[int, Tensor] | None = None
    ) -> None:
        self.network, self.bounds, self.start, self.slopes = network, bounds, start, slopes or {}
        self.steps = steps_of(network, bounds, start)
        for place in self.slopes:
            self.steps.pop(place, None)
        for end, pool in network.pools.items():  # whose ReLUs have slopes of their own: node by node
            if any(pool.source <= place < end for place in self.slopes):
                self.steps.pop(end, None)

    def least(self, coefficients: Tensor, view: View | None = None, steps: int = 2, both: bool = False) -> Tensor:
        """A lower bound of coefficients . value, [B, S, n] -> [B, S]. view: of the part of the value that they are of;
        both: of -coefficients . value behind it too, [B, 2 S]."""
        view = View(self.network, self.start) if view is None else view
        at = {self.start: coefficients}
        total, lost = (coefficients.new_zeros(coefficients.shape[:2]) for _ in range(2))
        paid = set[int]()
        for place in range(self.start, 0, -1):
            if place not in at:
                continue
            step = self.steps.get(place)
            if both and (step is not None or place in self.bounds.lines):
                at, total, lost, both = _mirrored(at), torch.cat([total, -total], 1), torch.cat([lost, lost], 1), False
            a = at.pop(place)
            if step is not None:
                added, part = step.taken(view, a)
                total = total + added
                paid |= {step.target} if step.paid else set()
                _put(at, step.target, part)
                continue
            if place not in paid:
                lost = lost + dot(a.abs(), view.cut(place, self.bounds.error[place]))
            if place in self.bounds.lines:
                added, part = self._turned(place, a)
                total = total + added
                _put(at, self.network.nodes[place].inputs[0], part)
                continue
            if place not in paid:
                total = total + a @ view.cut(place, self.network.constants[place])
            for source, part in zip(self.network.nodes[place].inputs, view.back(place, a), strict=True):
                _put(at, source, part)
        if both:
            at, total, lost = _mirrored(at), torch.cat([total, -total], 1), torch.cat([lost, lost], 1)
        total = total - lost
        return total + self.bounds.ball.part(lambda value: view.cut(0, value)).least(at[0], steps) if 0 in at else total

    def units(self, chosen: Tensor, view: View) -> Tensor:
        """Lower bounds [B, 2 S] of elements [B, S] of the value's part, and of them negated."""
        size = math.prod(view.shape(self.start))
        return self.least(_units(chosen, size), view, both=True)

    def _turned(self, place: int, a: Tensor) -> tuple[Tensor, Tensor]:
        """Through an activation whose lower slopes are given for each row."""
        fitted = self.bounds.lines[place]
        up, down = a.clamp_min(0.0), a.clamp_max(0.0)
        low_slope = torch.where(fitted.free[:, None], self.slopes[place], fitted.low_slope[:, None])
        added = dot(up, fitted.low_shift) + dot(down, fitted.high_shift)
        return added, up * low_slope + down * fitted.high_slope[:, None]


def refined(network: Network, bounds: Bounds, sharper: Sharper | None = None) -> None:
    """Bounds before each activation by substitution, from the first to the last, wherever intervals leave a choice.

    sharper: asked beside `least` for images with no more than FEW elements that are to be bounded.
    """
    for place, node in enumerate(network.nodes):
        if node.op != "activation":
            continue
        source = node.inputs[0]
        open_ = undecided(network, bounds, place)
        # of what maxima were made into there is much, and intervals lose little there
        most = FEW if place in network.exact else WORK / (2 * network.work(source))
        open_ = open_ & (open_.sum(1, keepdim=True) <= most)
        if not bool(open_.any()) or exact(network, bounds, source):
            continue
        sharpened(network, bounds, source, open_, sharper)
        onward(network, bounds, source)


def refined_work(network: Network, bounds: Bounds) -> Tensor:
    """Multiplications that `refined` takes of each image at most, [B]."""
    total = torch.zeros_like(bounds.low[0][:, 0])
    for place, node in enumerate(network.nodes):
        if node.op == "activation" and not exact(network, bounds, node.inputs[0]):
            count = undecided(network, bounds, place).sum(1).double()
            if place in network.exact:
                count = torch.where(count <= FEW, count, 0.0)
            total = total + (2 * row_work(network, node.inputs[0]) * count).clamp_max(WORK)
    return total


def undecided(network: Network, bounds: Bounds, place: int) -> Tensor:
    """Before which elements of an activation tighter bounds could tell more, bool [B, n]."""
    node = network.nodes[place]
    if node.settings["kind"] in ("relu", "leaky_relu"):
        return bounds.lines[place].free
    if node.rounds:
        return _stairs_open(network, bounds, place)
    return bounds.high[node.inputs[0]] - bounds.low[node.inputs[0]] > 1e-9


def _stairs_open(network: Network, bounds: Bounds, place: int) -> Tensor:
    """Where the bounds before a rounding are not what they follow from already, bool [B, n]: behind an activation its
    own bounds say all, but where they reach beyond the last stair."""
    node = network.nodes[place]
    low, high = bounds.low[node.inputs[0]], bounds.high[node.inputs[0]]
    first, last = float(node.settings["low"]), float(node.settings["high"])
    before = node.inputs[0]
    while network.nodes[before].op in ("scale", "gather"):
        (before,) = network.nodes[before].inputs
    if network.nodes[before].op == "activation":
        return ((low < last - 0.5) & (high > last + 0.5)) | ((low < first - 0.5) & (high > first + 0.5))
    least, most = rounded_interval(node, low, high)
    return most > least


def exact(network: Network, bounds: Bounds, place: int) -> bool:
    """Whether intervals are as tight as substitution there: in Linf, up to the first node that mixes values, for what
    rises in each value by itself too."""
    mixed = 0
    while place:
        node = network.nodes[place]
        if node.settings.get("kind") in _FALLING or len(node.inputs) != 1:
            return False
        mixed += node.op not in ("scale", "gather", "activation")
        place = node.inputs[0]
    return bounds.ball.norm == "linf" and mixed <= 1


def sharpened(network: Network, bounds: Bounds, place: int, wanted: Tensor, sharper: Sharper | None = None) -> None:
    """Bounds of the wanted elements of a node by substitution, where they are tighter. wanted: bool [B, n]. Nodes
    behind it stay as they are."""
    below, above = (torch.full_like(bounds.low[place], value) for value in (-torch.inf, torch.inf))
    boxes = _boxes(network, place)
    # windows are alike for many images; of whole values an image's own zeros can be left out
    parts = [torch.arange(len(wanted), device=wanted.device)] if len(boxes) > 1 else _singly(wanted)
    for images in parts:
        way = Way(network, bounds if len(images) == len(wanted) else bounds.of(images), place)
        for box in boxes:
            view = View(network, place, box)
            index = view.cut(place, torch.arange(wanted.shape[1], device=wanted.device))
            for chosen in _chosen(view, place, view.cut(place, wanted[images])):
                down, up = way.units(chosen, view).split(chosen.shape[1], 1)
                below[images[:, None], index[chosen]] = torch.nan_to_num(down, nan=-torch.inf)
                above[images[:, None], index[chosen]] = torch.nan_to_num(-up, nan=torch.inf)
    if sharper is not None:
        _asked(network, place, wanted, sharper, below, above)
    # of what was not wanted nothing is kept: an image's bounds do not depend on the images beside it
    below, above = torch.where(wanted, below, -torch.inf), torch.where(wanted, above, torch.inf)
    bounds.low[place] = torch.maximum(bounds.low[place], below)
    bounds.high[place] = torch.minimum(bounds.high[place], above)


def _singly(wanted: Tensor) -> tuple[Tensor, ...]:
    """The images of which anything is wanted, each by itself."""
    some = wanted.any(1).nonzero().squeeze(1)
    return some.split(1) if len(some) else ()


def _asked(network: Network, place: int, wanted: Tensor, sharper: Sharper, below: Tensor, above: Tensor) -> None:
    """Lets `sharper` raise and lower the bounds of images with few wanted elements."""
    counts = wanted.sum(1, keepdim=True)
    few = counts <= FEW
    if not bool((few & (counts > 0)).any()):
        return
    for chosen in _chosen(View(network, place), place, wanted & few):
        rows = _units(chosen, wanted.shape[1])
        down, up = sharper(place, torch.cat([rows, -rows], 1)).split(chosen.shape[1], 1)
        below.scatter_(1, chosen, torch.fmax(below.gather(1, chosen), torch.nan_to_num(down, nan=-torch.inf)))
        above.scatter_(1, chosen, torch.fmin(above.gather(1, chosen), torch.nan_to_num(-up, nan=torch.inf)))


def row_work(network: Network, place: int) -> float:
    """About how many multiplications one substitution from an element of a node takes, each pass over memory counted
    as 20."""
    boxes = _boxes(network, place)
    view = View(network, place, boxes[len(boxes) // 2])
    total = 0.0
    for at, node in enumerate(network.nodes[: place + 1]):
        dense = node.op in ("linear", "conv", "conv_transpose")
        width = node.tensors["weight"].numel() / max(node.tensors["bias"].numel(), 1) if dense else 0.0
        total += math.prod(view.shape(at)) * (width + 20.0)
    return total


def _boxes(network: Network, place: int) -> list[Box | None]:
    """Boxes that share out the elements of a node, each so small that it depends on little; or none."""
    node = network.nodes[place]
    if len(node.shape) != 3:
        return [None]
    _, height, width = node.shape

    def reach(side: int) -> int:
        top, left = (height - side) // 2, (width - side) // 2
        return View(network, place, Box(top, top + side, left, left + side)).reach(place)[0]

    if min(height, width) < 2 or reach(1) > _LOCAL * View(network, place).reach(place)[0]:
        return [None]
    side = 1
    while side < min(height, width) and reach(side + 1) <= _GROWN * reach(1):
        side += 1
    return [
        Box(top, min(top + side, height), left, min(left + side, width))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


def _chosen(view: View, place: int, wanted: Tensor) -> tuple[Tensor, ...]:
    """Places of the wanted elements of each image, [B, S], in parts that fit the caches; shorter lists are filled up
    with others. wanted: [B, m], of a part of a node's elements."""
    most = int(wanted.sum(1).max())
    if not most:
        return ()
    chosen = wanted.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    size = max(1, int(_BYTES / (8 * 2 * len(wanted) * view.reach(place)[1])))
    parts: tuple[Tensor, ...] = chosen.split(size, 1)
    return parts


def _units(chosen: Tensor, size: int) -> Tensor:
    rows = torch.zeros(*chosen.shape, size, dtype=torch.float64, device=chosen.device)
    return rows.scatter_(2, chosen[..., None], 1.0)


def _mirrored(at: dict[int, Tensor]) -> dict[int, Tensor]:
    return {place: torch.cat([a, -a], 1) for place, a in at.items()}


def _put(at: dict[int, Tensor], place: int, a: Tensor) -> None:
    at[place] = at[place] + a if place in at else a
