"""The lower edge of the bracket: for each sample the largest radius that a certifier proves, below what attacks broke.

Attacks come first, so that no time goes into what is broken. Where a win is known a certifier is asked about exactly
its distance once: whoever proves that has made a wrong proof, and the check of certificates says so with the image.
What ends a search is work that is counted (`work`), sample by sample, and never a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robusteval.assessment.evidence.worst_case import envelope_of
from robusteval.cage.page import beat
from robusteval.contracts.certificates.certifier import Certifier, Statement, proved
from robusteval.contracts.certificates.graph import Graph, NotCoveredError
from robusteval.contracts.params import make, params_of
from robusteval.engine.catalogue.catalogue import Catalogue, Entry
from robusteval.engine.certify.work import certified_norms, fair, limit_of, spent_of, too_dear, work_of
from robusteval.engine.source import Source
from robusteval.engine.suite.options import Certify
from robusteval.engine.suite.suite import Suite
from robusteval.engine.units.store import UnitStore, columns_unit, sealed_columns
from robusteval.foreign import foreign, words
from robusteval.ops import norm_named
from robusteval.record.run import Certificate, Record

CERTIFICATES = "certificates"  # what this is called among the tests of a run
_CHUNK = 16  # samples that are asked about at once, and stored


@dataclass(frozen=True)
class Subject:
    """What is proved of: a pipeline by the name of its defence, "none" for the bare model; its graph, or raises
    NotCoveredError; right: bool [N], right when clean."""

    defense: str
    graph: Callable[[], Graph]
    right: Tensor


@dataclass(frozen=True)
class _Asked:
    """What all certifiers are asked about in one norm. upper: [n] the nearest win, inf where none is known; right: [n]
    right when clean."""

    defense: str
    graph: Graph
    samples: Source
    count: int
    right: Tensor
    upper: Tensor
    norm: str
    limit: float
    settings: Certify


def certified(
    record: Record, subject: Subject, samples: Source, suite: Suite, catalogue: Catalogue, units: UnitStore
) -> list[Certificate]:
    """A row for each norm and certifier of the suite, each starting where the one before it ended.

    A model of which no graph can be made has rows that say which node is why; a certifier that fails has a row that
    says so, and costs no other its own.
    """
    settings = suite.certify
    count = min(settings.samples, len(samples))
    entries = sorted((catalogue.entry("certifier", name) for name in settings.certifiers), key=_effort)
    norms = certified_norms(settings, suite.norms)
    try:
        with foreign():
            graph = subject.graph().to(samples.x.device)
    except NotCoveredError as error:
        reason = f"no certificate, because of {error.message}"
        return [_row(entry, norm, "excluded", reason) for norm in norms for entry in entries]
    low, high = samples.bounds
    rows = []
    for norm in norms:
        found = envelope_of(record, norm, subject.defense) or [torch.inf] * len(samples)
        nearest = torch.tensor(found, dtype=torch.float64, device="cpu")
        limit = suite.largest(norm, tuple(samples.x.shape[1:])) * (high - low)
        right = subject.right[:count].cpu()
        asked = _Asked(subject.defense, graph, samples, count, right, nearest[:count], norm, limit, settings)
        rows += _in_norm(asked, entries, units)
    return rows


def _effort(entry: Entry) -> tuple[int, str]:
    return int(getattr(entry.plugin.info, "effort", 1)), entry.name


def _row(entry: Entry, norm: str, status: str, reason: str = "") -> Certificate:
    row = Certificate(entry.name, entry.version, params_of(make(entry.plugin, {}, entry.name)), norm, "done", reason)
    row.status = status  # type: ignore[assignment]  # one of the literals, named by the callers
    return row


def _in_norm(asked: _Asked, entries: list[Entry], units: UnitStore) -> list[Certificate]:
    rows, radius = [], torch.zeros(asked.count, dtype=torch.float64, device="cpu")
    left = torch.full_like(radius, limit_of(asked.settings))
    for entry in entries:
        if norm_named(asked.norm) not in entry.plugin.info.norms:
            rows.append(_row(entry, asked.norm, "excluded", f"it proves nothing in {asked.norm}"))
            continue
        row = _row(entry, asked.norm, "done")
        row.limit = asked.limit
        try:
            reason = too_dear(work_of(make(entry.plugin, {}, entry.name), asked.graph, asked.norm), asked.settings)
            if reason:
                rows.append(_row(entry, asked.norm, "excluded", reason))
                continue
            chunks = range(len(range(0, asked.count, _CHUNK)))
            parts = [_chunk(asked, entry, units, number, _Begun(radius, left)) for number in chunks]
        except NotCoveredError as error:
            rows.append(_row(entry, asked.norm, "excluded", f"no certificate, because of {error.message}"))
            continue
        except Exception as error:  # noqa: BLE001 - a certifier may raise anything; the attacks' figures stay
            rows.append(_row(entry, asked.norm, "failed", words(error)[:500]))
            continue
        if parts:
            radius = torch.cat([part.radius for part in parts])
            left = left - torch.cat([part.spent for part in parts])
        row.samples, row.radius = list(range(asked.count)), radius.tolist()
        row.stopped = sum(int(part.stopped.sum()) for part in parts)
        rows.append(row)
    return rows


@dataclass(frozen=True)
class _Begun:
    """Where a certifier starts. radius [n]: proved by others; left [n]: work that may still be spent."""

    radius: Tensor
    left: Tensor


@dataclass(frozen=True)
class _Found:
    """Of the samples of a chunk: radius proved, float64; whether the limit ended the search, bool; multiplications
    spent, float64. [n] each."""

    radius: Tensor
    stopped: Tensor
    spent: Tensor


def _chunk(asked: _Asked, entry: Entry, units: UnitStore, number: int, begun: _Begun) -> _Found:
    """What a certifier finds of one chunk, stored or made."""
    rows = slice(number * _CHUNK, min((number + 1) * _CHUNK, asked.count))
    name = f"certificate {entry.name} {entry.version} {asked.norm}"
    if asked.defense != "none":
        name += f" behind {asked.defense}"
    content = units.content(name, number)
    stored = None if content is None else columns_unit(content, units.plan, name, number)
    if stored is not None and _fits(stored, rows.stop - rows.start):
        return _Found(*(torch.from_numpy(stored[column]) for column in ("radius", "stopped", "spent")))
    with foreign():
        certifier = make(entry.plugin, {}, entry.name)
        found = _search(asked, certifier, rows, _Begun(begun.radius[rows], begun.left[rows]))
    arrays = {"radius": found.radius.numpy(), "stopped": found.stopped.numpy(), "spent": found.spent.numpy()}
    units.put(name, number, sealed_columns(units.plan, name, number, arrays))
    return found


def _fits(stored: Mapping[str, NDArray[Any]], count: int) -> bool:
    """Whether stored columns are those of a chunk of so many samples."""
    kinds = {"radius": np.float64, "stopped": np.bool_, "spent": np.float64}
    if {name: (array.shape, array.dtype) for name, array in stored.items()} != {
        name: ((count,), np.dtype(kind)) for name, kind in kinds.items()
    }:
        return False
    return all(bool((stored[name] >= 0).all()) for name in ("radius", "spent"))


def _search(asked: _Asked, certifier: Certifier, rows: slice, begun: _Begun) -> _Found:
    """The largest radius proved of each sample, by halving between what is proved and what is broken."""
    right, upper = asked.right[rows], asked.upper[rows]
    high = torch.where(torch.isfinite(upper), upper, asked.limit)
    low, spent = begun.radius.clone(), torch.zeros_like(begun.left)
    stopped = torch.zeros_like(right)
    todo = (right & (high > low)).nonzero().squeeze(1)
    whole = statement(asked.graph, asked.samples, rows, asked.norm, 0.0)
    said = work_of(certifier, asked.graph, asked.norm)
    bounds = asked.settings.halvings + 1
    for step in range(bounds):
        left = (begun.left - spent)[todo]
        stopped[todo[left < said.least]] = True
        todo, left = todo[left >= said.least], left[left >= said.least]
        if not len(todo):
            break
        beat()  # the search goes on
        # first the whole interval: of what is broken it has to fail, of what is not it may be all that is needed
        radius = high if step == 0 else (low + high) / 2
        device = whole.x.device
        some = whole[todo.to(device)].with_eps(radius[todo].to(device))
        some = some.with_work(fair(left, bounds - step, said).to(device))
        proof = certifier.bound(some)
        spent[todo] += spent_of(proof, said, len(todo))
        held = proved(some, proof).cpu()
        low[todo[held]] = radius[todo[held]]
        high[todo[~held]] = radius[todo[~held]]
        todo = todo[~held] if step == 0 else todo
    return _Found(low, stopped, spent)


def statement(graph: Graph, samples: Source, rows: slice, norm: str, eps: float) -> Statement:
    """About these samples, each with this radius. Only a sample's own label counts as right."""
    part = samples[rows]
    x, y = part.x, part.y
    right = y[:, None] == torch.arange(graph.classes, device=y.device)
    radius = torch.full((len(x),), eps, dtype=torch.float64, device=x.device)
    return Statement(graph, x.double(), y, right, norm_named(norm), radius, samples.bounds)
