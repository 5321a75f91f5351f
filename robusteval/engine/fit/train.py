"""Training a defence on its own: the samples to learn from, those held out, and the accuracy before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from robusteval.contracts.classifier import Classifier
from robusteval.contracts.params import make, params_of
from robusteval.contracts.plugins import Defended
from robusteval.contracts.samples import Samples
from robusteval.contracts.training import Aim, Epoch, TrainedDefense, TrainsToProve
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.data.find import Kept, check_disjoint, find_fit, prepare
from robusteval.engine.data.training_fingerprints import marks, trained_on
from robusteval.engine.seeding import generator
from robusteval.engine.state import guest
from robusteval.errors import DataError, PluginError

_HELD = 10  # one sample in so many is held out


@dataclass(frozen=True)
class Lesson:
    """What is to be trained, on what, and what the result is measured on."""

    plugin: TrainedDefense
    model: Classifier
    training: Samples
    held: Samples
    note: str  # how the samples were understood
    seed: int

    def aim(self) -> Aim | None:
        """What is to be proved of the result; None where it is not trained for that."""
        return self.plugin.aim(self.model) if isinstance(self.plugin, TrainsToProve) else None

    def before(self) -> float:
        """Accuracy of the model as it is, on the samples held out."""
        return accuracy(self.model, self.held)

    def seen_before(self) -> int | None:
        """How many of the samples held out the model itself was trained on, by the marks in its file; None where the
        file does not say. Raises ModelError."""
        return trained_on(self.model.info, self.held)

    def train(self, on_epoch: Callable[[Epoch], None]) -> Defended:
        """Trains. Raises RobustEvalError."""
        with guest(f"the training of {self.plugin.info.name}"):
            return self.plugin.train(
                self.model, self.training, generator(self.seed, "fit", self.plugin.info.name), on_epoch
            )

    def marks(self) -> str:
        """The images that the result has seen, its model's own training among them where that file tells them."""
        return marks(self.training, self.model.info.training_fingerprints)

    def facts(self) -> dict[str, Any]:
        """What made the result, JSON-able: it goes into the file that is written."""
        info = self.plugin.info
        return {
            "defence": info.name,
            "version": info.version,
            "params": params_of(self.plugin),
            "seed": self.seed,
            "model_sha256": self.model.info.sha256,
            "learnt": len(self.training),
            "learnt_sha256": self.training.sha256(),
        }


def lesson(
    name: str,
    params: Mapping[str, Any],
    model: Classifier,
    catalogue: Catalogue,
    *,
    model_path: Path | None,
    fit: Path | None,
    data_range: tuple[float, float] | None = None,
    seed: int = 0,
    kept: Kept | None = None,
) -> Lesson:
    """Reads what is needed, but for the data in `kept`.

    Raises PluginError, SuiteError (parameters) and DataError with one clear sentence.
    """
    plugin = make(catalogue.get("defense", name), dict(params), name)
    if not isinstance(plugin, TrainedDefense):
        able = [entry.name for entry in catalogue.of("defense") if hasattr(entry.plugin, "train")]
        raise PluginError(f"The defence {name} needs no training.", f"These do: {', '.join(able)}.")
    datasets = catalogue.datasets()
    samples, note = prepare(find_fit(model_path, model.info, fit, datasets, kept), model.info, data_range)
    training, held = split(samples)
    return Lesson(plugin, model, training, held, note, seed)


def split(samples: Samples) -> tuple[Samples, Samples]:
    """(to learn from, held out): by the hash of each image, so copies of one are never on both sides.

    Raises DataError where there are too few for both.
    """
    out = torch.tensor([int(name[:8], 16) % _HELD == 0 for name in samples.hashes()], dtype=torch.bool, device="cpu")
    if len(samples) < 2 * _HELD or not bool(out.any()) or bool(out.all()):
        raise DataError(
            f"{len(samples)} samples are too few to train on, as one in {_HELD} is held out.", "Give more --fit-data."
        )
    training, held = samples[~out], samples[out]
    check_disjoint(held.hashes(), training.hashes())
    return training, held


def accuracy(model: Classifier, samples: Samples) -> float:
    """Share of right answers."""
    parts = zip(torch.split(samples.x, 256), torch.split(samples.y, 256), strict=True)
    right = sum(int((model.logits(x).argmax(1) == y).sum()) for x, y in parts)
    return right / len(samples)
