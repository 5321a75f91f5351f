"""The graph that the certificates of a run are about, kept beside them, so that they can be proved again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import save
from torch import Tensor

from robusteval.contracts.certificates.graph import Graph, NotCoveredError, graph_of
from robusteval.contracts.classifier import Classifier
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.certify.kept_slopes import kept_slopes
from robusteval.engine.source import Source
from robusteval.foreign import foreign
from robusteval.record.run import Proofs, Record
from robusteval.record.store import write_atomically

FILE = "proofs.safetensors"
LIMIT = 1 << 26  # bytes of weights: larger graphs are not kept


def write(record: Record, model: Classifier, samples: Source, catalogue: Catalogue, folder: Path) -> Proofs | None:
    """Writes folder/proofs.safetensors where a certificate was proved, with the slopes of the largest ones. None where
    there is none, or the graph is too large. Raises RecordError where it cannot be written."""
    if not any(value > 0 for row in record.certificates for value in row.radius):
        return None
    try:
        with foreign():
            graph = graph_of(model)
    except NotCoveredError:
        return None
    size = sum(value.numel() * value.element_size() for node in graph.nodes for value in node.tensors.values())
    if size > LIMIT:
        return None
    content = packed(graph, kept_slopes(record, graph, samples, catalogue))
    write_atomically(folder / FILE, content)
    return Proofs(FILE, hashlib.sha256(content).hexdigest())


def packed(graph: Graph, slopes: Mapping[str, Tensor] | None = None) -> bytes:
    """A graph as safetensors: tensors by "place.name", the nodes as JSON in the header; and what else is kept."""
    tensors = {
        f"{place}.{name}": value.detach().cpu().contiguous().numpy()
        for place, node in enumerate(graph.nodes)
        for name, value in node.tensors.items()
    }
    tensors |= {name: value.cpu().contiguous().numpy() for name, value in (slopes or {}).items()}
    nodes = [
        {"op": node.op, "inputs": list(node.inputs), "shape": list(node.shape), "settings": _plain(node.settings)}
        for node in graph.nodes
    ]
    head = json.dumps({"slack": graph.slack, "nodes": nodes}, sort_keys=True)
    return bytes(save(tensors, {"graph": head}))


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON holds them; infinite ends of a clip become the largest numbers."""
    most = torch.finfo(torch.float64).max
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, tuple | list):
            found[key] = list(value)
        else:
            found[key] = min(max(value, -most), most) if isinstance(value, float) else value
    return found
