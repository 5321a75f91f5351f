"""What a few questions tell about a module: batches, outputs, classes, scale of the scores, randomness, gradients.

The user's own images come first; synthetic ones show what those cannot, and stand in where there are none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from robusteval.contracts.classifier import LoadOptions
from robusteval.errors import ModelError
from robusteval.loaders.gradient_help import rows_to_ask
from robusteval.loaders.input_space import PixelSpace
from robusteval.loaders.output_head import Head, read_head
from robusteval.loaders.pytorch.answers import Reading, call, device_of
from robusteval.loaders.pytorch.folding import agrees, folded
from robusteval.loaders.pytorch.frozen import taken_at_once
from robusteval.loaders.pytorch.gradients import Ladder, Way, carried, climb
from robusteval.loaders.pytorch.logarithms import LogValues
from robusteval.loaders.pytorch.outputs import Path, accuracy, choose, labels_in, tensors

_SIZES = (2, 3, 8, 16, 32, 64, 128, 256)  # batches that an exported program may be fixed to
_TOGETHER = 4
RANDOM = "The module's answers differ from call to call: it draws random numbers."


@dataclass(frozen=True)
class Asked:
    """What the questions told."""

    reading: Reading
    head: Head
    ladder: Ladder
    notes: tuple[str, ...]
    traits: dict[str, str]  # see contracts.classifier.TRAITS
    faster: nn.Module | None = None  # a copy for passes of the twin, with batch norms folded


@dataclass(frozen=True)
class Images:
    """What a module is asked about. own: [n, *shape], the user's, maybe none; y: their labels, [n], or None;
    synthetic."""

    own: Tensor
    y: Tensor | None
    synthetic: Tensor

    @property
    def every(self) -> Tensor:
        """The user's first, then the synthetic ones."""
        return torch.cat([self.own, self.synthetic])


def images_for(space: PixelSpace, options: LoadOptions, device: torch.device) -> Images:
    """Up to 64 images of the user's, where they can be seen, and random ones: bright, dark and sparse."""
    low, high = space.bounds
    most = rows_to_ask(space.input_shape)
    found = options.peek(space.input_shape, space.bounds, "") if options.peek is not None else None
    own, y = torch.zeros(0, *space.input_shape, device="cpu"), None
    if found is not None and len(found[0]):
        own, y = found[0][:most].cpu().float().clone(), found[1][:most].cpu().clone()
    rng = np.random.default_rng(11)
    noise = rng.random((8 if y is None else _TOGETHER, *space.input_shape), dtype=np.float32)
    kinds = [noise]
    if y is None:
        kinds += [noise * np.float32(0.1), noise * (rng.random(noise.shape) < 0.1)]
    synthetic = low + (high - low) * torch.from_numpy(np.concatenate(kinds).astype(np.float32))
    return Images(own.to(device), y, synthetic.to(device))


def ask_module(module: nn.Module, space: PixelSpace, options: LoadOptions) -> Asked:
    """Raises ModelError, in one sentence, for a module that is no classifier of such inputs."""
    images = images_for(space, options, device_of(module))
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # a random module must not disturb the caller's numbers
        reading, notes = _batches(module, space, images)
        reading, more = _output(module, reading, images, options.output)
        answers = [reading.raw(module, part) for part in (images.own, images.synthetic) if len(part)]
        usable, finite_notes = _finite(answers, len(images.own))
        reading, coupled = _stable(module, reading, images.every[usable][:_TOGETHER])
        asked = images.every[usable][: max(_TOGETHER, rows_to_ask(space.input_shape))]
        head, logs = _head(module, reading, torch.cat(answers)[usable], asked)
        blank = _constant(module, reading)
    ladder = climb(module, reading, head, _for_gradients(images, usable, asked), logs)
    traits = {"random-outputs": RANDOM} if RANDOM in coupled else {}
    plain = ladder.gradients == "exact" and ladder.way == Way() and not traits
    faster = _faster(module, reading, _for_gradients(images, usable, asked)) if plain else None
    return Asked(reading, head, ladder, (*notes, *more, *finite_notes, *coupled, *blank, *ladder.notes), traits, faster)


def _faster(module: nn.Module, reading: Reading, x: Tensor) -> nn.Module | None:
    """The folded copy, where there is one that answers as the module does."""
    with torch.random.fork_rng(devices=[]):
        made = folded(module)
        return made if made is not None and agrees(module, made, reading, x) else None


def _for_gradients(images: Images, usable: Tensor, asked: Tensor) -> Tensor:
    """The user's images where there are any, else the synthetic ones."""
    own = images.own[usable[: len(images.own)]]
    return own if len(own) else asked


def _try(module: nn.Module, reading: Reading, x: Tensor, n: int) -> dict[Path, Tensor] | ModelError:
    """The module's outputs for n inputs, or why there are none."""
    rows = x.repeat(math.ceil(n / len(x)), *[1] * (x.dim() - 1))[:n]
    try:
        return reading.outputs(module, rows)
    except ModelError as error:
        return error


def _alike(a: dict[Path, Tensor], b: dict[Path, Tensor]) -> bool:
    """Whether two answers have an output in common, with as many values a class."""
    return any(path in b and rows.shape[1] == b[path].shape[1] for path, rows in a.items())


def _batches(module: nn.Module, space: PixelSpace, images: Images) -> tuple[Reading, tuple[str, ...]]:
    """How many inputs the module takes at once. Raises the module's own error where it takes no number of them."""
    reading, x = Reading(space), images.every
    several, single = _try(module, reading, x, _TOGETHER), _try(module, reading, x, 1)
    if isinstance(several, dict) and isinstance(single, dict) and _alike(several, single):
        return reading, _squeezed(module, reading, x[:1])
    if isinstance(single, dict):
        why = several.message if isinstance(several, ModelError) else "their answers cannot be told apart."
        return replace(reading, batch=1), (f"Inputs are asked one by one, since several at once do not work: {why}",)
    if isinstance(several, dict):
        odd = isinstance(_try(module, reading, x, _TOGETHER + 3), dict)
        if odd:
            least = 2 if isinstance(_try(module, reading, x, 2), dict) else _TOGETHER
            return replace(reading, least=least), (f"A single input does not work: {single.message}",)
        return _fixed(reading, _TOGETHER)
    stated = taken_at_once(module)
    for size in _SIZES if stated is None else (stated,):
        if isinstance(_try(module, reading, x, size), dict):
            return _fixed(reading, size)
    raise single


def _squeezed(module: nn.Module, reading: Reading, x: Tensor) -> tuple[str, ...]:
    """A note where a single input's answer comes without its batch axis."""
    shapes = [tuple(value.shape) for _, value in tensors(call(module, reading.space, x))]
    if all(shape[:1] == (1,) for shape in shapes):
        return ()
    return ("The module squeezes the batch axis away where it is asked about one input alone; it is put back.",)


def _fixed(reading: Reading, size: int) -> tuple[Reading, tuple[str, ...]]:
    return replace(reading, batch=size), (f"The module takes {size} inputs at once, no more and no fewer.",)


def _every_output(module: nn.Module, reading: Reading, x: Tensor) -> dict[Path, Tensor]:
    """All outputs [n, K] that every batch of x gives alike."""
    outputs: list[dict[Path, Tensor]] = []
    for part in torch.split(x, reading.batch or _TOGETHER):  # as many as were seen to work
        full = reading.filled(part)
        outputs.append({path: rows[: len(part)] for path, rows in reading.outputs(module, full).items()})
    same = [
        p for p in outputs[0] if all(p in output and output[p].shape[1] == outputs[0][p].shape[1] for output in outputs)
    ]
    return {path: torch.cat([output[path] for output in outputs]) for path in same}


def _output(module: nn.Module, reading: Reading, images: Images, asked: str) -> tuple[Reading, tuple[str, ...]]:
    """Which output holds the class scores, and whether those are labels."""
    x = images.own if len(images.own) else images.synthetic
    found = _every_output(module, reading, x)
    if not found:
        raise ModelError("The module's outputs change their shape from call to call.", "Return one row an input.")
    chosen = choose(found, images.y, asked)
    rows = found[chosen.path]
    if images.y is not None and labels_in(rows):
        noise = _every_output(module, reading, images.synthetic)
        rows = torch.cat([rows, noise[chosen.path]]) if chosen.path in noise else rows
    reading = replace(reading, path=chosen.path)
    notes = (chosen.note,) if chosen.note else ()
    if not labels_in(rows):
        return reading, notes
    if images.y is None:
        raise ModelError(
            "The module returns labels, not scores, and without images nobody can know of how many classes.",
            "Name the data with --data, or let the module return one score a class.",
        )
    classes = max(2, int(rows.max()) + 1, int(images.y.max()) + 1)
    right = accuracy(rows[: len(images.y)].long(), images.y) or 0.0
    note = (
        f"The module returns labels, {right:.0%} of them right on your images: read as decisions among {classes} "
        "classes."
    )
    return replace(reading, labels=classes), (*notes, note)


def _finite(answers: list[Tensor], own: int) -> tuple[Tensor, tuple[str, ...]]:
    """Which rows have answers that are finite, bool [n], and a note about the others. Raises ModelError where none
    has."""
    good = torch.isfinite(torch.cat(answers).double()).all(1)
    mine = good[:own] if own else good
    if not bool(mine.any()):
        whose = "your images" if own else "plain inputs"
        raise ModelError(
            f"The module answers {whose} with values that are not finite.",
            "Check --range, --mean and --std, or mend it.",
        )
    notes = []
    if own and not bool(mine.all()):
        notes.append(
            f"On {int((~mine).sum())} of {own} of your images the answer is not finite: no class is predicted."
        )
    if not bool(good[own:].all()) and own:
        notes.append("On random noise its answers are not finite; on your images they are.")
    return good, tuple(notes)


def _constant(module: nn.Module, reading: Reading) -> tuple[str, ...]:
    """A note where an image of a single grey has no finite answer: it was divided by its own spread."""
    low, high = reading.space.bounds
    grey = torch.full((1, *reading.space.input_shape), (low + high) / 2, device=device_of(module))
    try:
        bad = not bool(torch.isfinite(reading.raw(module, grey).double()).all())
    except ModelError as error:
        return (f"An image of a single grey does not work: {error.message}",)
    return ("An image of a single grey has no finite answer; such an image counts as not recognised.",) if bad else ()


def _stable(module: nn.Module, reading: Reading, x: Tensor) -> tuple[Reading, tuple[str, ...]]:
    """Whether answers change from call to call, or with the rows beside."""
    together, again = reading.raw(module, x).double(), reading.raw(module, x).double()
    scale = max(1e-12, float(together.abs().max()))
    if float((together - again).abs().max()) > 1e-6 * scale:
        return reading, (RANDOM,)
    if reading.batch is not None:
        return reading, ()
    alone = torch.cat([reading.raw(module, row[None]).double() for row in x])
    if float((together - alone).abs().max()) <= 1e-3 * scale:
        return reading, ()
    note = "The module's answers depend on the other rows of a batch: every input is asked alone."
    return replace(reading, batch=reading.least), (note,)


def _head(module: nn.Module, reading: Reading, raw: Tensor, x: Tensor) -> tuple[Head, LogValues | None]:
    """The scale of the scores, and the logarithms of probabilities where they can be seen in a pass."""
    if reading.labels:
        return Head("labels", False, reading.labels), None
    logs, known, in_order = carried(module, reading, x)
    soft = "Sigmoid" if known and any("sigmoid" in step or "expit" in step for step in logs.steps) else ""
    program = isinstance(getattr(module, "inner", module), torch.jit.ScriptModule)
    head = read_head(raw.float(), soft, blind=program)
    if head.classes < 2:
        raise ModelError("The module has a single class.", "Give a classifier with at least two.")
    if known and head.output == "logits" and not head.one_score and bool((raw >= 0).all()) and _sums_alike(raw):
        head = replace(head, output="probabilities")  # a percentage of probabilities
    if known and (head.output == "probabilities" or (head.output == "logits" and not head.one_score)):
        return replace(head, tail=""), logs if _same_answers(module, reading, head, x) else None
    if in_order and not known and not head.one_score:
        return replace(head, tail=""), logs if _same_answers(module, reading, head, x) else None
    return replace(head, tail=""), logs if logs.took else None


def _sums_alike(raw: Tensor) -> bool:
    total = raw.double().sum(1)
    return bool((total - total.mean()).abs().max() < 1e-2 * total.mean().abs())


def _same_answers(module: nn.Module, reading: Reading, head: Head, x: Tensor) -> bool:
    """Whether the carried logarithms put the same classes on top as the module's own answers."""
    with LogValues() as logs:
        raw = reading.raw(module, x)
    known = logs.of(raw) if head.one_score else logs.ordered(raw)
    if known is None:
        return False
    if head.one_score:
        return logs.complement(raw) is not None
    return float((known.argmax(1) == raw.argmax(1)).double().mean()) > 0.9
