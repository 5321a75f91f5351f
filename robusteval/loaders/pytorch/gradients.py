"""Which gradients a module can give: exact, through logarithms, straight through its steps, or none; by measurement."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from robusteval.errors import ModelError
from robusteval.loaders.gradient_help import ALARM, LEAVE, MIN_ROWS, NO_HELP, Help, gradient_help
from robusteval.loaders.output_head import Head
from robusteval.loaders.pytorch.answers import Reading, first_line
from robusteval.loaders.pytorch.logarithms import LogValues
from robusteval.loaders.pytorch.straight_through import StraightThrough

_CLEARLY = (
    1.1  # straight-through gradients replace exact ones that help only where they lower the margin by so much more
)
_ALIKE = 1e-3  # of the scale of the scores: where a twin answers otherwise than the module it is a surrogate
_SOFT_GAP = 15.0  # between the two largest log-probabilities: beyond it float32 probabilities are nearly one-hot
_ASKED_AT_ONCE = 16


@dataclass(frozen=True)
class Way:
    """How the twin of a module is asked. logs: probabilities in logarithms; straight: straight through what is flat."""

    logs: bool = False
    straight: bool = False


@dataclass(frozen=True)
class Ladder:
    """Where a module stands on the ladder of gradients, and why."""

    way: Way = Way()
    gradients: str = "exact"
    rung: str = "A"
    reason: str = ""
    parity: dict[str, float | str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def none(reason: str, parity: dict[str, float | str] | None = None) -> Ladder:
    """The last rung."""
    return Ladder(gradients="none", rung="E", reason=reason, parity=parity or {})


@dataclass(frozen=True)
class Twin:
    """A module asked in one way: differentiable scores [B, K] of canonical x."""

    module: nn.Module
    reading: Reading
    head: Head
    way: Way

    def scores(self, x: Tensor) -> Tensor:
        """[B, *input_shape] -> [B, K]."""
        return self.watched(x)[0]

    def watched(self, x: Tensor) -> tuple[Tensor, LogValues | None, StraightThrough | None]:
        """The scores, and what the modes saw on the way."""
        with ExitStack() as stack:
            logs = stack.enter_context(LogValues()) if self.way.logs else None
            straight = stack.enter_context(StraightThrough()) if self.way.straight else None
            raw = self.reading.raw(self.module, x)
            known = None if logs is None else logs.of(raw) if self.head.one_score else logs.ordered(raw)
            if known is None or logs is None:
                return self.head.of_file(raw), logs, straight
            if not self.head.one_score:
                return known, logs, straight
            other = logs.complement(raw)
            return (self.head.of_file(raw) if other is None else torch.cat([other, known], 1)), logs, straight


def carried(module: nn.Module, reading: Reading, x: Tensor) -> tuple[LogValues, bool, bool]:
    """What becomes of logarithms in one pass: the mode, and whether the module's own output [B, K] has one in the end,
    or is at least in the order of one."""
    with LogValues() as logs:
        raw = reading.raw(module, x)
    return logs, logs.of(raw) is not None, logs.ordered(raw) is not None


class Ladders:
    """Climbs the ladder with the images x [B, *input_shape], the user's own where there are any."""

    def __init__(self, module: nn.Module, reading: Reading, head: Head, x: Tensor, logs: LogValues | None) -> None:
        self.module, self.reading, self.head, self.x, self.logs = module, reading, head, x, logs
        with torch.no_grad():
            self.truth = head.of_file(reading.raw(module, x)).double()
            # whether what looks like logits are probabilities that something was done to
            self.by_order = (
                logs is not None and head.output == "logits" and carried(module, reading, x)[1:] == (False, True)
            )
        self.top = self.truth.argmax(1)

    def climb(self) -> Ladder:
        """Exact gradients where they serve; straight-through ones where only those do, or clearly better."""
        exact, error = self._exact()
        if exact is None:
            straight = self._straight(None)
            return straight if straight is not None else none(error)
        twin, dead, flat = exact
        mine = self._help(twin, quick=dead < LEAVE and not flat)
        straight = self._straight(mine) if flat else None
        if straight is not None:
            return straight
        # a backward pass of the module's own may say anything, and so may a module that sees whether one is asked for
        if mine.helps or (dead < LEAVE and mine.rows < MIN_ROWS):
            return self._landed(twin, dead, {name: value for name, value in mine.figures().items() if flat})
        if dead >= 1.0:
            return none("Its gradients are zero or not finite.", mine.figures())
        return none(f"Its gradients do not help: {mine.words()}.", mine.figures())

    def _exact(self) -> tuple[tuple[Twin, float, bool] | None, str]:
        """(the exact twin, the share of images without a gradient, whether something is flat), or None and the
        reason."""
        twin = Twin(self.module, self.reading, self.head, Way(logs=self.logs is not None))
        try:
            grad = self._gradient(twin)(self.x)
        except (RuntimeError, ModelError) as error:
            text = error.message.rstrip(".") if isinstance(error, ModelError) else first_line(error)
            return None, f"Torch cannot differentiate it: {text}."
        if grad is None:
            return None, "Its output does not depend on its input in a way that torch can differentiate."
        flat = grad.flatten(1)
        dead = float(((flat == 0).all(1) | ~torch.isfinite(flat).all(1)).double().mean())
        return (twin, dead, bool(self._flat())), ""

    def _flat(self) -> tuple[str, ...]:
        """The flat functions on the way from input to output."""
        twin = Twin(self.module, self.reading, self.head, Way(self.logs is not None, straight=True))
        leaf = self.x[:1].clone().requires_grad_(True)
        try:
            with torch.enable_grad():
                scores, _, straight = twin.watched(leaf)
        except (RuntimeError, ModelError):
            return ()
        return tuple(straight.met) if straight is not None and scores.requires_grad else ()

    def _straight(self, mine: Help | None) -> Ladder | None:
        """The rung of straight-through gradients, where they help, and clearly more than exact ones (`mine`)."""
        flat = self._flat()
        if not flat:
            return None
        twin = Twin(self.module, self.reading, self.head, Way(self.logs is not None, straight=True))
        try:
            help_ = self._help(twin)
            gap = self._gap(twin)
        except (RuntimeError, ModelError):
            return None
        if not help_.helps or (mine is not None and mine.helps and help_.drop < _CLEARLY * mine.drop):
            return None
        figures: dict[str, float | str] = {**help_.figures(), "twin_gap": gap}
        if gap > _ALIKE:
            reason = (
                f"The module's steps ({', '.join(flat)}) are passed straight through in a copy that answers otherwise; "
            )
            return Ladder(twin.way, "surrogate", "B", reason + help_.words() + ".", figures)
        reason = f"Gradients go straight through what is flat almost everywhere or cut off (BPDA): {', '.join(flat)}."
        return Ladder(twin.way, "straight-through", "B", reason, figures)

    def _landed(self, twin: Twin, dead: float, figures: dict[str, float | str]) -> Ladder:
        notes: tuple[str, ...] = ()
        if dead > ALARM:
            notes = (f"The gradient is zero or not finite on {dead:.0%} of {len(self.x)} images.",)
        if not self._saturated(twin):
            return Ladder(twin.way, parity=figures, notes=notes)
        if self.logs is None:
            note = (
                "The module's probabilities saturate, and what they are made from cannot be seen: small ones are "
                "rounded."
            )
            return Ladder(twin.way, parity=figures, notes=(*notes, note))
        steps = ", ".join(self.logs.steps)
        reason = (
            f"The module's probabilities saturate: gradients are those of their logarithms, carried through {steps}."
        )
        return Ladder(twin.way, rung="C", reason=reason, parity=figures, notes=notes)

    def _saturated(self, twin: Twin) -> bool:
        if self.head.output not in ("probabilities", "log-probabilities") and not self.by_order:
            return False
        with torch.no_grad():
            top = twin.scores(self.x).topk(2, 1).values
        return bool(((top[:, 0] - top[:, 1]) > _SOFT_GAP).double().mean() > 0.1)

    def _gap(self, twin: Twin) -> float:
        """How far the twin's scores are from the module's, as a share of their scale."""
        with torch.enable_grad():  # as when it is attacked
            mine = twin.scores(self.x.clone().requires_grad_(True)).detach().double()
        exact = Twin(self.module, self.reading, self.head, Way(self.logs is not None))
        with torch.no_grad():
            theirs = exact.scores(self.x).double()
        return float((mine - theirs).abs().max()) / max(1e-12, float(theirs.abs().max()))

    def _margin(self, x: Tensor) -> Tensor:
        """The true margin of the class on top of each clean image, [B]; in logarithms where those are known."""
        with torch.no_grad():
            scores = Twin(self.module, self.reading, self.head, Way(self.logs is not None)).scores(x).double()
        return _lead(scores, self.top)

    def _gradient(self, twin: Twin) -> Callable[[Tensor], Tensor | None]:
        def gradient(x: Tensor) -> Tensor | None:
            parts = []
            for at in torch.split(torch.arange(len(x), device="cpu"), _ASKED_AT_ONCE):
                leaf = x[at].clone().requires_grad_(True)
                with torch.enable_grad():
                    scores = twin.scores(leaf)
                    if not scores.requires_grad:
                        return None
                    value = _lead(scores, self.top[at]).sum()
                    (grad,) = torch.autograd.grad(value, leaf, allow_unused=True)
                if grad is None:
                    return None
                parts.append(grad)
            return torch.cat(parts)

        return gradient

    def _help(self, twin: Twin, quick: bool = False) -> Help:
        ask = self._gradient(twin)

        def gradient(x: Tensor) -> Tensor:
            found = ask(x)
            return torch.zeros_like(x) if found is None else found

        try:
            return gradient_help(self._margin, gradient, self.x, self.reading.space.bounds, quick)
        except (RuntimeError, ModelError):
            return NO_HELP  # it fails somewhere on the way


def _lead(scores: Tensor, top: Tensor) -> Tensor:
    """By how much the class `top` [B] leads the best other one: [B]."""
    own = scores.gather(1, top[:, None]).squeeze(1)
    hidden = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, top[:, None], True)
    return own - scores.masked_fill(hidden, -torch.inf).amax(1)


def climb(module: nn.Module, reading: Reading, head: Head, x: Tensor, logs: LogValues | None) -> Ladder:
    """The rung of a module, measured on images x. Draws of a random module disturb no one else's numbers."""
    if head.output == "labels":
        return none("The module returns labels only.")
    with torch.random.fork_rng(devices=[]):
        return Ladders(module, reading, head, x, logs).climb()
