"""What a loaded model is to the rest of the house: `Classifier`, `Featured`, `ModelInfo`, and `LoadOptions` for
loaders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from robusteval.renamed import formerly
from robusteval.text import as_name, as_sentence

# exact: of the function itself (a final softmax may be taken in logarithms, or cut); straight-through: flat steps are
# passed as if they were not there (BPDA); surrogate: of a copy that answers differently, whose steps still lower the
# true margin more than random steps do on the user's own images; none: no gradient helps at all, so only black-box
# attacks are left.
GRADIENTS = ("exact", "straight-through", "surrogate", "none")

# peek(input_shape, bounds, dataset) -> (x, y) or None: up to 64 of the user's images as a model with this canonical
# input shape and pixel range would get them, float32 [n, *input_shape] in `bounds`, and their labels, int64 [n], as
# stored (they may lie beyond the model's classes). `dataset`: the data set that the file's metadata names, asked where
# the user named no data. None: there are no images, or they do not fit that shape. Never raises.
Peek = Callable[[tuple[int, ...], tuple[float, float], str], tuple[Tensor, Tensor] | None]


# random-outputs: answers change from call to call. training-mode: it was, or still is, as in training
TRAITS = ("random-outputs", "training-mode")


_GATES = dict.fromkeys(("name", "format", "dataset", "class_names", "provider", "precision", "layout"), as_name)
_GATES |= dict.fromkeys(("gradients_reason", "notes", "traits", "parity"), as_sentence)


@formerly("learnt", "training_fingerprints")
@dataclass(frozen=True)
class ModelInfo:
    """Facts about a loaded classifier; every field is JSON-able and goes into the record.

    The canonical input is float32 [B, *input_shape] with values in `bounds`: (C, H, W) for images whatever the file's
    own layout is, (D,) for flat inputs. The loader puts layout, scaling, mean/std and integer casts inside.
    """

    name: str  # shown to people; may come from the file and is hostile text
    format: str  # "onnx", "torch", ...
    sha256: str  # of the file's bytes (with external data), or of the parameters for a module in memory
    input_shape: tuple[int, ...]  # canonical, without the batch axis
    classes: int
    bounds: tuple[float, float] = (0.0, 1.0)  # the stated pixel range; eps is in its units
    mean: tuple[float, ...] = ()  # applied by us, per channel, outside the file; in units of the stated range
    std: tuple[float, ...] = ()
    layout: str = "NCHW"  # the file's own: "NCHW", "NHWC", "flat" or "other"
    gradients: str = "exact"  # one of GRADIENTS
    gradients_reason: str = ""  # why not exact, in one sentence
    rung: str = "A"  # of the ladder: A exact, B straight-through, C in logarithms, D row by row, S surrogate, E none
    output: str = "logits"  # what the file itself returns: "logits", "probabilities", "log-probabilities", "labels"
    provider: str = ""  # what answers: "onnxruntime CPUExecutionProvider", "torch cpu", ...
    precision: str = "float32"  # "float32", "float16", "int8", ...
    batch: int | None = None  # None: any batch size; otherwise the only one that the file takes
    opset: int | None = None
    parity: dict[str, float | str] = field(default_factory=dict)  # twin against truth: named figures and tolerance
    class_names: tuple[str, ...] = ()
    dataset: str = ""  # the data set that the file's metadata names, if any
    notes: tuple[str, ...] = ()  # what a reader of the report should know about how it was understood
    # what checks have to know of it, each with its sentence: one of TRAITS -> what was noticed
    traits: dict[str, str] = field(default_factory=dict)
    # how canonical pixels become the file's input and its outputs become scores, as plain JSON: enough for numpy and
    # ONNX Runtime to ask the file again (robusteval.runtime); empty where the file is no ONNX file
    reading: dict[str, Any] = field(default_factory=dict)
    # (first, last, steps) where the file takes whole numbers: the steps + 1 evenly spaced canonical values from first
    # to last are all that it can tell apart, so candidates and clean images are rounded to them before a distance is
    # measured
    grid: tuple[float, float, int] | tuple[()] = ()
    # marks of the images that it was trained on, by its file (engine.data.training_fingerprints)
    training_fingerprints: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Whatever loader it came from, and whatever the file says: names and sentences of a bounded length, without
        controls. Of ordinary ones nothing changes."""
        for field_name, gate in _GATES.items():
            value = getattr(self, field_name)
            if isinstance(value, str):
                object.__setattr__(self, field_name, gate(value))
            elif isinstance(value, tuple):
                object.__setattr__(self, field_name, tuple(gate(part) for part in value))
            elif isinstance(value, dict):
                shown = {as_name(key): gate(part) if isinstance(part, str) else part for key, part in value.items()}
                object.__setattr__(self, field_name, shown)


@runtime_checkable
class Classifier(Protocol):
    """A trained classifier. `logits` is the truth that users query; `twin` is the copy that attackers differentiate.

    For a PyTorch module both are the module. For an ONNX file `logits` is ONNX Runtime on the untouched file.
    Implementations must be picklable (they travel to worker processes) and must not touch global random state.
    """

    @property
    def info(self) -> ModelInfo:
        """Facts for the record; read only, so that frozen dataclasses and wrappers are classifiers too."""
        ...

    def logits(self, x: Float[Tensor, " b *shape"]) -> Float[Tensor, "b k"]:
        """Scores of x: float32 [B, *input_shape] -> float32 [B, K], no gradient. The prediction is the argmax.

        A file that returns probabilities is given as log-probabilities, so the argmax is the file's own.
        """
        ...

    def twin(self, x: Float[Tensor, " b *shape"]) -> Float[Tensor, "b k"]:
        """Differentiable scores, [B, *input_shape] -> [B, K]. Raises AccessError where info.gradients is "none"."""
        ...


@runtime_checkable
class Featured(Protocol):
    """A classifier that shows its penultimate features, which the planted test reads out; others are read by their
    scores."""

    def features(self) -> Classifier:
        """What the last linear layer reads, as a classifier: `logits` and `twin` give [B, D], `info.classes` is D and
        `info.name` says which layer. A gradient is masked there as it is in the model. Raises AccessError where there
        is no such layer."""
        ...


@dataclass(frozen=True)
class LoadOptions:
    """How the user says a model file is to be read. Nothing here is ever guessed silently."""

    bounds: tuple[float, float] = (0.0, 1.0)  # --range: the pixel range that the model was trained on
    mean: tuple[float, ...] = ()  # --mean, per channel, applied outside the file, after the range
    std: tuple[float, ...] = ()  # --std
    layout: str = ""  # --layout NCHW | NHWC; "" = read off the shape, and said so in the notes
    input_shape: tuple[int, ...] = ()  # for files with fully dynamic axes: canonical shape, from --shape or the data
    arch: str = ""  # --arch module:factory, for state dicts
    trust: bool = False  # --trust: allows formats that can run code
    output: str = (
        ""  # --output NAME: which of several outputs holds the scores; "" = chosen by data and labels, and noted
    )
    loader: str = ""  # --loader NAME: the loader plugin; "" = by the file's ending, where built-in ones go first
    device: str = "cpu"  # where it will be asked, as torch names it; --device
    peek: Peek | None = field(default=None, repr=False, compare=False)  # the user's own images, for the loader's gates
