"""One way through all images before anything is attacked: are they what they should be, and what is there to know?

Everything that has to look at every pixel is done here, a block of images at a time: the check of the values, hashes,
norms, the marks of images that were learnt from, and the model's clean answers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robusteval.contracts.samples import Samples
from robusteval.engine.data.on_demand import Facts, OnDemand
from robusteval.engine.data.pixels import Seen
from robusteval.engine.source import BLOCK, blocks, l2_norms

_VALUES = 8_000_000  # of a block: of larger images fewer are looked at together
_CONTENT, _HASH = 16, 32  # bytes

Ask = Callable[[Tensor], Tensor]  # images [B, *shape] on the run's device -> scores [B, K]


@dataclass(frozen=True)
class Surveyed:
    """samples: those that are attacked, with what is known of them; note: how their values were understood; answers:
    int64 [N], the model's, -1 where its scores are not finite; empty where it was not asked; hashes: of all images
    that were gone through, as Samples.hashes; rounded: the share of values that the file's whole numbers moved; marks:
    of all images, as `training_fingerprints` has them, where they were asked for."""

    samples: OnDemand
    note: str
    answers: NDArray[np.int64]
    hashes: list[str]
    rounded: float
    marks: set[bytes]


@dataclass
class _Book:
    """What is written down on the way."""

    seen: Seen
    digest: Any  # a hash of hashlib's
    hashes: list[bytes] = field(default_factory=list)  # of images as they are in the data
    received: list[bytes] = field(default_factory=list)  # of those that are attacked, as the model's file takes them
    contents: list[bytes] = field(default_factory=list)
    l2: list[NDArray[np.float64]] = field(default_factory=list)
    answers: list[NDArray[np.int64]] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    least: float = math.inf
    most: float = -math.inf
    moved: int = 0
    values: int = 0
    marks: set[bytes] = field(default_factory=set)


def survey(
    chosen: OnDemand,
    keep: Tensor | None = None,
    ask: Ask | None = None,
    relabel: bool = False,
    marks: Callable[[Samples], set[bytes]] | None = None,
) -> Surveyed:
    """Goes through all images of `chosen`. keep: bool [N], those that are attacked, None for all; ask: the model;
    relabel: its answers become the labels; marks: of some images.

    Raises DataError for values that are not finite or outside the range, once all were looked at, and for images that
    cannot be read.
    """
    kept = np.arange(len(chosen)) if keep is None else keep.cpu().nonzero().squeeze(1).numpy()
    book = _Book(Seen(chosen.x.scale), hashlib.sha256(repr(((len(kept), *chosen.x.shape[1:]), chosen.bounds)).encode()))
    attacked = np.zeros(len(chosen), bool)
    attacked[kept] = True
    size = max(1, min(BLOCK, _VALUES // max(math.prod(chosen.x.shape[1:]), 1)))
    for rows in blocks(len(chosen), size):
        stored = chosen.x.stored(np.arange(rows.start, rows.stop))
        book.seen.take(stored)
        if not book.seen.faulty:  # else only how far it goes is still of interest
            _block(chosen, stored, rows, attacked[rows], book, ask, relabel, marks)
    note = book.seen.note()
    y = torch.cat(book.labels).to(chosen.y.device)
    book.digest.update(y.cpu().to(torch.int64).contiguous().numpy().tobytes())
    facts = Facts(
        book.digest.hexdigest(),
        np.frombuffer(b"".join(book.received), np.uint8).reshape(-1, _HASH),
        np.frombuffer(b"".join(book.contents), np.uint8).reshape(-1, _CONTENT),
        np.concatenate(book.l2),
        (book.least, book.most),
    )
    return Surveyed(
        chosen.known(facts, y, kept),
        note,
        np.concatenate(book.answers) if book.answers else np.empty(0, np.int64),
        [digest.hex() for digest in book.hashes],
        book.moved / max(book.values, 1),
        book.marks,
    )


def _block(
    chosen: OnDemand,
    stored: NDArray[np.float32],
    rows: slice,
    attacked: NDArray[np.bool_],
    book: _Book,
    ask: Ask | None,
    relabel: bool,
    marks: Callable[[Samples], set[bytes]] | None,
) -> None:
    """One block of images. attacked: bool [B]."""
    x = chosen.x.scaled(stored)
    if marks is not None:
        book.marks |= marks(Samples(x, chosen.y[rows].cpu(), chosen.bounds))
    hashes = _hashes(x)
    book.hashes += hashes
    some = torch.from_numpy(attacked)
    if not bool(some.any()):
        return
    if not bool(some.all()):
        x, hashes = x[some], [digest for digest, wanted in zip(hashes, attacked.tolist(), strict=True) if wanted]
    clean = x
    if chosen.x.finish is not None:
        x = chosen.x.finish(x)
        hashes = _hashes(x)
    book.received += hashes
    if chosen.grid:
        step = (chosen.grid[1] - chosen.grid[0]) / chosen.grid[2]
        book.moved += int(((x - clean).abs() > 1e-3 * step).sum())
        book.values += x.numel()
    y = chosen.y[rows].cpu()[some]
    if ask is not None:
        y = _asked(chosen, x, y, book, ask, relabel)
    book.labels.append(y)
    book.digest.update(x.numpy().tobytes())
    part = Samples(x, y, chosen.bounds)
    book.contents += [bytes.fromhex(content) for content in part.contents()]
    book.l2.append(l2_norms(x).numpy())
    least, most = x.aminmax()
    book.least, book.most = min(book.least, float(least)), max(book.most, float(most))


def _hashes(x: Tensor) -> list[bytes]:
    return [hashlib.sha256(image.tobytes()).digest() for image in x.numpy()]


def _asked(chosen: OnDemand, x: Tensor, y: Tensor, book: _Book, ask: Ask, relabel: bool) -> Tensor:
    """The labels [B] of images that the model is asked about: its own where it is to give them."""
    with torch.no_grad():
        scores = ask(x.to(chosen.x.device))
    answer, finite = scores.argmax(1).cpu(), torch.isfinite(scores).all(1).cpu()
    book.answers.append(torch.where(finite, answer, torch.full_like(answer, -1)).numpy())
    return answer.to(y.dtype) if relabel else y
