"""The check of what a preprocessor says that it does, as steps of a graph."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from robusteval.contracts.certificates.enclosure import enclosure
from robusteval.contracts.certificates.graph import Graph, Node, NotCoveredError
from robusteval.contracts.classifier import Classifier, ModelInfo
from robusteval.testing.checks import applies, fail, require
from robusteval.testing.fits import DefenseSubject

_OPEN = 0.1  # of the pixels, those that lie on an edge between two levels


@dataclass
class Seen:
    """A model that keeps what it is shown."""

    base: Classifier
    images: list[Tensor] = field(default_factory=list)

    @property
    def info(self) -> ModelInfo:
        """The model's own."""
        return self.base.info

    def logits(self, x: Tensor) -> Tensor:
        """Scores [B, K]."""
        self.images.append(x.detach().clone())
        return self.base.logits(x)

    def twin(self, x: Tensor) -> Tensor:
        """Differentiable scores [B, K]."""
        return self.base.twin(x)


def steps_are_what_it_does(subject: DefenseSubject) -> None:
    """The steps that it describes itself by make of an image what the model behind it sees."""
    told, kind = subject.fit().steps, subject.info.kind
    applies(told is not None, "It describes no steps.")
    require(
        kind == "preprocessor" and not subject.info.stochastic, "It describes steps, and is random or no preprocessor."
    )
    seen = Seen(subject.model())
    defended = subject.fit(seen)
    (low, high), shape = seen.info.bounds, seen.info.input_shape
    drawn = torch.rand((64, *shape), generator=Generator("cpu").manual_seed(0), device="cpu") * (high - low) + low
    levels = torch.linspace(low, high, 65, device="cpu").reshape(-1, *[1] * len(shape)).expand(-1, *shape)
    for x in (subject.samples(), drawn, levels.contiguous()):
        seen.images.clear()
        answers = defended.model.logits(x)
        shown = torch.cat(seen.images) if seen.images else torch.zeros(0, device="cpu")
        require(shown.shape == x.shape, "It describes steps, and does not show the model each image once.")
        _made(tuple(defended.steps or ()), x, shown.double(), 1e-6 * (high - low))
        same = torch.allclose(answers, seen.base.logits(shown), rtol=1e-4, atol=1e-5)
        require(same, "Its answers are not those of the model to the images that it shows it.")


def _made(steps: tuple[Node, ...], x: Tensor, shown: Tensor, room: float) -> None:
    try:
        graph = Graph(steps)
    except NotCoveredError as error:
        fail(f"Its steps are no graph: {error.message}.")
    shape = tuple(x.shape[1:])
    require(
        (graph.nodes[0].shape, graph.nodes[-1].shape) == (shape, shape),
        f"Its steps make {graph.nodes[-1].shape} of {graph.nodes[0].shape}, where images are {shape}.",
    )
    first, last = (values.unflatten(1, shape) for values in enclosure(graph, x))
    far = float(torch.maximum(first - shown, shown - last).amax())
    require(far <= room, f"The model behind it sees what its steps do not make, by {far:.3g}.")
    open_ = float((last - first > 1e3 * room).double().mean())
    require(open_ <= _OPEN, f"Its steps leave open what {open_:.0%} of the pixels become.")
