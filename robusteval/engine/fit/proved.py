"""How much is proved of a file that was trained for certificates: the share of samples that it holds around."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from robusteval.contracts.certificates.certifier import Statement, proved
from robusteval.contracts.certificates.graph import NotCoveredError, graph_of
from robusteval.contracts.classifier import LoadOptions
from robusteval.contracts.params import make
from robusteval.contracts.samples import Samples
from robusteval.contracts.training import Aim
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.catalogue.open_model import load_model
from robusteval.foreign import foreign

_AT_ONCE = 64  # samples


@dataclass(frozen=True)
class ProvedShare:
    """Certified accuracy. proved: of how many samples it is proved that no image within eps, in units of the pixels,
    is answered otherwise than the label; reason: why nothing is known, "" where something is."""

    norm: str
    eps: float
    certifier: str
    version: str
    samples: int
    proved: int = 0
    reason: str = ""

    @property
    def accuracy(self) -> float | None:
        """The share; None where nothing is known, which is not 0."""
        return None if self.reason else self.proved / self.samples


def proved_share(path: Path, aim: Aim, samples: Samples, catalogue: Catalogue) -> ProvedShare:
    """Asks the certifier that is aimed at about each sample, on the written file as ONNX Runtime will run it.

    Raises PluginError where that certifier is not installed.
    """
    entry = catalogue.entry("certifier", aim.certifier)
    whole = ProvedShare(aim.norm, aim.eps, entry.name, entry.version, len(samples))
    certifier = make(entry.plugin, {}, entry.name)
    images = samples.x.dim() == 4  # written channels first, whatever the model's own layout is
    options = LoadOptions(bounds=samples.bounds, layout="NCHW" if images else "")
    count = 0
    try:
        with foreign():
            graph = graph_of(load_model(path, options, catalogue))
        for x, y in zip(samples.x.split(_AT_ONCE), samples.y.split(_AT_ONCE), strict=True):
            right = y[:, None] == torch.arange(graph.classes, device=y.device)
            eps = torch.full((len(x),), aim.eps, dtype=torch.float64, device=x.device)
            asked = Statement(graph, x.double(), y, right, aim.norm, eps, samples.bounds)
            with foreign():
                count += int(proved(asked, certifier.bound(asked)).sum())
    except NotCoveredError as error:
        return ProvedShare(whole.norm, whole.eps, whole.certifier, whole.version, len(samples), 0, error.message)
    return ProvedShare(whole.norm, whole.eps, whole.certifier, whole.version, len(samples), count)
