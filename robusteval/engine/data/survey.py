"""One way through all images before anything is attacked: are they what they should be, and what is there to know?

Everything that has to look at every pixel is done here, a block of images at a time: the check of the values, hashes,
norms, the marks of images that were learnt from, and the model's clean answers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

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
    int64 [N], the model's, -1 where its scores are not finite; empty where it was not asked; digests: uint8 [M, 32], of
    all images that were gone through; rounded: the share of values that the file's whole numbers moved; marks:
    of all images, as `training_fingerprints` has them, where they were asked for."""

    samples: OnDemand
    note: str
    answers: NDArray[np.int64]
    digests: NDArray[np.uint8]
    rounded: float
    marks: set[bytes]

    @property
    def hashes(self) -> list[str]:
        """Of all images that were gone through, as Samples.hashes."""
        return [row.tobytes().hex() for row in self.digests]


class _Book:
    """What is written down on the way, in arrays that are there from the beginning: small ones, made between the large
    ones of each block and kept, would leave the heap in pieces that no next block fits into."""

    def __init__(self, chosen: OnDemand, kept: int, asked: bool) -> None:
        self.seen = Seen(chosen.x.scale)
        self.digest = hashlib.sha256(repr(((kept, *chosen.x.shape[1:]), chosen.bounds)).encode())
        self.hashes = np.empty((len(chosen), _HASH), np.uint8)  # of images as they are in the data
        self.received = np.empty((kept, _HASH), np.uint8)  # of those that are attacked, as the model's file takes them
        self.contents = np.empty((kept, _CONTENT), np.uint8)
        self.l2 = np.empty(kept)
        self.answers = np.empty(kept if asked else 0, np.int64)
        self.labels = np.empty(kept, np.int64)
        self.least, self.most = math.inf, -math.inf
        self.moved = self.values = self.done = 0
        self.marks: set[bytes] = set()


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
    book = _Book(chosen, len(kept), ask is not None)
    attacked = np.zeros(len(chosen), bool)
    attacked[kept] = True
    size = max(1, min(BLOCK, _VALUES // max(math.prod(chosen.x.shape[1:]), 1)))
    for rows in blocks(len(chosen), size):
        stored = chosen.x.stored(np.arange(rows.start, rows.stop))
        book.seen.take(stored)
        if not book.seen.faulty:  # else only how far it goes is still of interest
            _block(chosen, stored, rows, attacked[rows], book, ask, relabel, marks)
    note = book.seen.note()
    book.digest.update(book.labels.tobytes())
    facts = Facts(book.digest.hexdigest(), book.received, book.contents, book.l2, (book.least, book.most))
    return Surveyed(
        chosen.known(facts, torch.from_numpy(book.labels).to(chosen.y.device), kept),
        note,
        book.answers,
        book.hashes,
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
    hashes = book.hashes[rows]
    _hash(x, hashes)
    some = torch.from_numpy(attacked)
    if not bool(some.any()):
        return
    if not bool(some.all()):
        x, hashes = x[some], hashes[attacked]
    clean, place = x, slice(book.done, book.done + len(x))
    if chosen.x.finish is None:
        book.received[place] = hashes
    else:
        x = chosen.x.finish(x)
        _hash(x, book.received[place])
    if chosen.grid:
        step = (chosen.grid[1] - chosen.grid[0]) / chosen.grid[2]
        book.moved += int(((x - clean).abs() > 1e-3 * step).sum())
        book.values += x.numel()
    y = chosen.y[rows].cpu()[some]
    if ask is not None:
        y = _asked(chosen, x, y, book.answers[place], ask, relabel)
    book.labels[place] = y.numpy()
    book.digest.update(x.numpy().data)
    for row, content in zip(book.contents[place], Samples(x, y, chosen.bounds).contents(), strict=True):
        row[:] = np.frombuffer(bytes.fromhex(content), np.uint8)
    book.l2[place] = l2_norms(x).numpy()
    least, most = x.aminmax()
    book.least, book.most = min(book.least, float(least)), max(book.most, float(most))
    book.done = place.stop


def _hash(x: Tensor, into: NDArray[np.uint8]) -> None:
    for row, image in zip(into, x.numpy(), strict=True):
        row[:] = np.frombuffer(hashlib.sha256(image).digest(), np.uint8)


def _asked(chosen: OnDemand, x: Tensor, y: Tensor, answers: NDArray[np.int64], ask: Ask, relabel: bool) -> Tensor:
    """The labels [B] of images that the model is asked about: its own where it is to give them."""
    with torch.no_grad():
        scores = ask(x.to(chosen.x.device))
    answer, finite = scores.argmax(1).cpu(), torch.isfinite(scores).all(1).cpu()
    answers[:] = torch.where(finite, answer, torch.full_like(answer, -1)).numpy()
    return answer.to(y.dtype) if relabel else y
