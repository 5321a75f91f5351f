"""What questions to a model need of memory, measured, and how many inputs may be asked about at once.

What is left of the limit after this process and its workers are there is shared among the workers. Sizes are powers of
two, so that a little more or less free memory seldom changes them; they change no figure but by rounding.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from robusteval import plain
from robusteval.cage.page import watched
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.pipeline import Pipeline
from robusteval.errors import SuiteError
from robusteval.ops.batches import Kind, Sizes, out_of_memory

SHARE = 0.8  # of the memory that is free when a run begins, where the user sets no limit
LARGEST = 256  # rows that the engine ever hands over at once
_FEW, _MORE = 1, 3  # rows of the two questions whose needs are compared
_COPIES = 24  # of a unit's samples that an attack holds beside the passes: momentum, best so far, candidates, ...
_ROOMY = 4  # rows at least that a worker should have room for, before another worker is started
# More at once than that is no faster: a ResNet-50's pass over 32 images of 224 x 224 costs each no less than over 8.
_SPAN, _FEWEST = 512 << 20, 8
_FORWARD = 0.2  # of a gradient's memory that a forward pass takes (measured: .05 to .15 for a ResNet-50)
_UNDER_WAY = 4  # tensors of the largest size that a pass holds beside what the graph keeps
_SCRATCH = (
    1.5  # of what it keeps, with what the kernels lay out anew (measured: 60 MB an image of a ResNet-50, 29 kept)
)
_PAGES = 1 << 20  # bytes below which two peaks tell nothing apart


@dataclass(frozen=True)
class Need:
    """Bytes a row of a question takes at its peak, by kind; 0 where it could not be seen."""

    truth: float = 0.0
    scores: float = 0.0
    gradient: float = 0.0


@dataclass(frozen=True)
class Shares:
    """How the memory is shared out. workers: as many as have room, at most those asked for; room: bytes that questions
    of each may take; need: of the bare model; limit: bytes of all processes together, as stated or found; rooms: the
    room of each were there 1, 2, ... workers, up to these."""

    workers: int
    room: float
    need: Need
    limit: float
    rooms: tuple[float, ...] = ()

    def among(self, workers: int) -> Shares:
        """The same for fewer workers."""
        return replace(self, workers=workers, room=self.rooms[workers - 1], rooms=self.rooms[:workers])

    def threads(self, asked: int) -> int:
        """Of each worker: what was asked for and has no room as a worker computes as a thread."""
        return max(1, asked // self.workers)

    def sizes(self, need: Need | None = None) -> Sizes:
        """The most rows at once whose questions stay inside the room; one at least."""
        need = need or self.need
        return Sizes(_size(self.room, need.truth), _size(self.room, need.scores), _size(self.room, need.gradient))


def free(device: torch.device) -> float:
    """Bytes that a run may take there: of the GPU, or of the machine and of the control group that this process is
    in."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    left = plain.memory()
    return 4.0 * 2**30 if left is None else left


def needs(asked: Classifier | Pipeline, x: Tensor) -> Need:
    """Measures questions about samples x [N, *shape], N > 0.

    A gradient needs what its graph keeps, which is counted and so is the same each time, and a few of the largest of
    these for what is under way; a forward pass a share of that. Where there are no gradients it is the resident memory
    at one row and at three, which is less sure: allocators keep what was freed. A question that fails, for whatever
    reason but memory, needs nothing: whoever asks it in earnest will hear of it.
    """
    if isinstance(asked, Pipeline):
        draw, info = asked.draw(torch.Generator().manual_seed(0)), asked.defended.model.info
        truth, twin = draw.scores, draw.twin
    else:
        truth, twin, info = asked.logits, asked.twin, asked.info
    if info.gradients == "none":
        return Need(truth=_slope(truth, x))
    gradient = _kept(twin, x)
    return Need(_FORWARD * gradient, _FORWARD * gradient, gradient)


def shared_out(need: Need, x: Tensor, chunk: int, workers: int, limit: float | None = None) -> Shares:
    """How so many workers, fewer where they have no room, share `limit` bytes (default: a share of what is free).

    need: of the bare model; x: [N, *shape], samples of whose shape and type each unit holds `chunk`. Raises SuiteError
    where the limit is less than this process takes already.
    """
    if x.device.type == "cpu" and not _plenty(need, x, chunk, workers, limit):
        gc.collect()
        _trim()  # what the loader's checks needed and the allocator kept is no worker's
    return _shared_out(need, x, chunk, workers, limit)


def _plenty(need: Need, x: Tensor, chunk: int, workers: int, limit: float | None) -> bool:
    """Whether nobody is short of memory as it is, so that nothing has to be given back first, which takes a while."""
    try:
        shares = _shared_out(need, x, chunk, workers, limit)
    except SuiteError:
        return False
    return shares.workers == workers and shares.room >= chunk * max(need.truth, need.scores, need.gradient)


def _shared_out(need: Need, x: Tensor, chunk: int, workers: int, limit: float | None) -> Shares:
    device, own = x.device, resident()
    if device.type == "cuda":
        allowed = limit if limit is not None else SHARE * free(device)
        base, own = 0.0, 0.0
    else:
        allowed = limit if limit is not None else SHARE * (free(device) + own)
        base = own  # a worker holds the model and the libraries, as this process does now
    if limit is not None and own >= limit:
        raise SuiteError(
            f"A limit of {limit / 1e6:.0f} MB is less than robusteval takes with this model and these samples, "
            f"{own / 1e6:.0f} MB.",
            "Give more with --memory, or evaluate fewer --samples.",
        )
    held = _COPIES * chunk * x[:1].numel() * x.element_size()
    rooms = []
    for count in range(1, workers + 1):
        apart = base if count > 1 or watched() else 0.0  # one worker is this process itself where nobody could end it
        rooms.append((allowed - own) / count - apart - held)
    count = next((n for n in range(workers, 1, -1) if rooms[n - 1] >= _ROOMY * need.gradient), 1)
    rooms = [max(room, 0.0) for room in rooms[:count]]
    return Shares(count, rooms[-1], need, allowed, tuple(rooms))


def in_words(sizes: Sizes, shares: Shares, asked: int) -> str:
    """For the record: what was cut; nothing where nothing was."""
    named: tuple[tuple[Kind, str], ...] = (("truth", "answers"), ("scores", "scores"), ("gradient", "gradients"))
    cut = [f"{words} of {size}" for kind, words in named if (size := sizes.of(kind)) is not None]
    said = [f"at once at most {', '.join(cut)}"] if cut else []
    if shares.workers < asked:
        each = shares.threads(asked)
        more = f" on {each} threads each" if each > 1 else ""
        said.append(f"{shares.workers} of {asked} workers{more}, as more have no room")
    return "; ".join(said)


def resident() -> float:
    """Bytes of this process that lie in memory; 0 where the system does not tell."""
    return _status("VmRSS") or 0.0


def _size(room: float, need: float) -> int | None:
    if need <= 0:
        return None
    rows = min(int(room / need), max(_FEWEST, int(_SPAN / need)))
    return None if rows >= LARGEST else 1 << max(rows, 1).bit_length() - 1


def _kept(twin: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Bytes a row of a gradient: of all storages that the graph holds until it is used, and of what is under way."""
    totals, largest = [], []
    for count in (_FEW, _MORE):
        held: dict[int, int] = {}

        def pack(tensor: Tensor, held: dict[int, int] = held) -> Tensor:
            storage = tensor.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
            return tensor

        leaf = x[:1].expand(count, *x.shape[1:]).clone().requires_grad_(True)
        try:
            with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                scores = twin(leaf)
        except Exception as error:  # noqa: BLE001 - whatever a model raises is told where it is asked in earnest
            return float(2**62) if out_of_memory(error) else 0.0
        del scores
        totals.append(sum(held.values()))
        largest.append(max(held.values(), default=0))
    return _SCRATCH * max(totals[1] - totals[0], 0) / (_MORE - _FEW) + _UNDER_WAY * max(largest[1] - largest[0], 0) / (
        _MORE - _FEW
    )


def _slope(ask: Callable[[Tensor], object], x: Tensor) -> float:
    """Bytes a row: the smaller batch goes first, so that what the allocators keep hides nothing of the larger one."""
    peaks = []
    for count in (_FEW, _MORE):
        some = x[:1].expand(count, *x.shape[1:]).clone()
        try:
            peaks.append(_peak(ask, some))
        except Exception as error:  # noqa: BLE001 - whatever a model raises is told where it is asked in earnest
            if out_of_memory(error):
                return float(2**62)
            return 0.0
    grown = peaks[1] - peaks[0]
    return grown / (_MORE - _FEW) if grown > _PAGES else 0.0


def _peak(ask: Callable[[Tensor], object], x: Tensor) -> float:
    """The most bytes that were taken while x was asked about."""
    gc.collect()
    if x.device.type == "cuda":
        torch.cuda.synchronize(x.device)
        torch.cuda.reset_peak_memory_stats(x.device)
        ask(x)
        torch.cuda.synchronize(x.device)
        return float(torch.cuda.max_memory_allocated(x.device))
    _trim()
    with contextlib.suppress(OSError):  # without it the mark stands as it was, and larger batches still raise it
        Path("/proc/self/clear_refs").write_text("5")  # the kernel starts its high-water mark anew
    ask(x)
    return _status("VmHWM") or 0.0


def _trim() -> None:
    """Hands memory that the allocator keeps back to the system, where it can be asked to."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return


def _status(name: str) -> float | None:
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return float(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None
