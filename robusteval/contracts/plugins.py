"""What a plugin is: attacks, defences, metrics and loaders, and the facts that each declares of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Generator, Tensor

from robusteval.contracts.certificates.graph import Node
from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.contracts.problem import Problem
from robusteval.contracts.samples import Samples
from robusteval.ops import Norm
from robusteval.record.run import Record

Needs = Literal["gradient", "scores", "decision"]
Split = Literal["test", "fit"]  # the part of the data that is attacked, and the part that defences may learn from


@dataclass(frozen=True)
class AttackInfo:
    """What an attack declares. `needs` is the most that it may ask of the model; more is an AccessError."""

    name: str  # bare for built-ins, "vendor.name" for others
    version: str  # grows with every change of behaviour; recorded in every cell
    norms: tuple[Norm, ...]
    budget: Literal["minimal", "fixed"]  # smallest distance, or the worst inside problem.eps
    needs: Needs
    summary: str  # one sentence
    reference: str  # authors, title or venue, year
    stochastic: bool = False
    strengths: str = ""
    limits: str = ""
    # Attacks by way of other models: it has a parameter `models` of paths, which the run fills where the suite does
    # not.
    surrogates: bool = False


@dataclass(frozen=True)
class Passes:
    """What one run of an attack costs per sample, counted as the meters do: a gradient is one forward and one backward
    pass, the gradients of C classes one forward and C backward ones. own: passes, there and back, of models of the
    attack's own, which take time and are counted nowhere."""

    forward: float
    backward: float = 0.0
    own: float = 0.0

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.forward + other.forward, self.backward + other.backward, self.own + other.own)

    def __mul__(self, times: float) -> Passes:
        return Passes(self.forward * times, self.backward * times, self.own * times)

    @property
    def total(self) -> float:
        """Forward and backward passes of the attacked model."""
        return self.forward + self.backward


@runtime_checkable
class Foretold(Protocol):
    """An attack that says beforehand what it will cost; the method is optional, and a run says how many attacks lack
    it."""

    def passes(self, norm: str, classes: int) -> Passes:
        """One run on one sample of a model of so many classes, from the parameters: the most that it can take, or what
        a hard sample takes where samples leave long before. Restarts and steps count, the engine's own search does
        not."""
        ...


@runtime_checkable
class Attack(Protocol):
    """A frozen dataclass; its fields are its parameters.

    `run` returns one candidate per sample, [B, *shape] like problem.x, and nothing else: the core judges. Where it
    found nothing it returns anything inside the box, the clean sample for instance.
    """

    info: ClassVar[AttackInfo]

    def run(self, problem: Problem) -> Float[Tensor, " b *shape"]:
        """One candidate for each sample: [B, *shape], in the order of problem.x. One that is not finite, outside the
        box or over the budget counts as none; any exception costs this cell of the run alone."""
        ...


class Detector(Protocol):
    """Says how suspicious an input looks; it fires where score(x) > threshold."""

    @property
    def threshold(self) -> float:
        """In units of the score."""
        ...

    def score(self, x: Float[Tensor, " b *shape"]) -> Float[Tensor, " b"]:
        """[B, *shape] -> [B], on the true pipeline; larger is more suspicious."""
        ...

    def twin(self, x: Float[Tensor, " b *shape"]) -> Float[Tensor, " b"]:
        """The same, differentiable, for an attacker who knows the detector: [B, *shape] -> [B]."""
        ...


@dataclass(frozen=True)
class Defended:
    """A model behind a defence."""

    model: Classifier  # what users query; its twin is what an adaptive attacker differentiates
    detector: Detector | None = None
    certify: Callable[[Tensor], Tensor] | None = None  # x -> certified l2 radius [B], 0 where it abstains
    draw: Callable[[Generator], Defended] | None = None  # random defences: the pipeline with one fresh draw inside
    notes: tuple[str, ...] = ()
    # What a preprocessor does to an image, as nodes of a graph (contracts.certificates.graph): the first is the input,
    # the last what the model that `fit` was given sees. Then certifiers prove balls of the whole; None: they prove none
    steps: tuple[Node, ...] | None = None


@dataclass(frozen=True)
class DefenseInfo:
    """What a defence declares. `needs_data`: fit needs samples to learn from (--fit-data), never the evaluated ones."""

    name: str
    version: str
    kind: Literal["preprocessor", "detector", "corrector", "retrained", "retrofit"]
    needs_data: bool
    summary: str
    reference: str
    stochastic: bool = False
    known_breaks: str = ""


@runtime_checkable
class Defense(Protocol):
    """A frozen dataclass; its fields are its parameters."""

    info: ClassVar[DefenseInfo]

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        """The model behind this defence. data is None unless the user gave samples to learn from."""
        ...


@dataclass(frozen=True)
class LoaderInfo:
    """A loader's facts. The name is what users write in --loader where two read the same ending."""

    name: str
    version: str
    suffixes: tuple[str, ...]  # file endings that it reads, with the dot
    summary: str


@runtime_checkable
class Loader(Protocol):
    """Reads one kind of model files."""

    info: ClassVar[LoaderInfo]

    def load(self, path: Path, options: LoadOptions) -> Classifier:
        """The classifier in the file, read as the options say. One that was given and that the loader cannot heed is
        refused, never passed over. Raises ModelError with one clear sentence and a hint."""
        ...


@dataclass(frozen=True)
class DatasetInfo:
    """A data set's facts. The name is what users write in --data, and models in their metadata."""

    name: str
    summary: str
    licence: str


@runtime_checkable
class Dataset(Protocol):
    """A data set that ships with a package: raw images and labels, split in what is attacked and what may be learnt
    from."""

    info: ClassVar[DatasetInfo]

    def raw(self, split: Split) -> tuple[object, object, tuple[str, ...]]:
        """(images array [N, ...] uint8 or float, labels array [N], class names)."""
        ...


@dataclass(frozen=True)
class ListenerInfo:
    """A listener's facts."""

    name: str
    version: str
    summary: str


@dataclass(frozen=True)
class RunStarted:
    """What is known when the attacks begin. folder: of the run; cells: ids of all that is planned."""

    folder: str
    model: str
    suite: str
    samples: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class CellFinished:
    """A cell whose last unit is in. error: of a unit that failed, which makes the cell fail; else empty."""

    cell: str
    error: str = ""


@runtime_checkable
class RunListener(Protocol):
    """Is told of a run as it goes, in the run's own process; made without arguments, once a run. It changes nothing:
    whatever it raises is said, and the run goes on."""

    info: ClassVar[ListenerInfo]

    def run_started(self, run: RunStarted) -> None:
        """Before the first attack; defences are fitted."""
        ...

    def cell_finished(self, cell: CellFinished) -> None:
        """After the last unit of a cell that this run made; cells of an earlier run that is taken up were told then."""
        ...

    def run_finished(self, record: Record) -> None:
        """At the end, with a copy of the saved record."""
        ...
