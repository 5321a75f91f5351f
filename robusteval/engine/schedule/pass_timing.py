"""The fastest way to do a model's passes on this machine: measured once, kept by the hash of the model.

Only what is at least a tenth faster than torch's defaults is chosen, so that noise chooses nothing. The batch is not
tuned: from 32 samples on, its size changed the cost of a pass by less than that on every model tried.
"""

from __future__ import annotations

import contextlib
import json
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from itertools import product
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor

from robusteval import ops
from robusteval.cache import cache_folder
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.tuning import AUTO, FULL, FULL_ONLY, REDUCED, TF32, Tuning, tuning_of
from robusteval.engine.carried import passes_on
from robusteval.engine.schedule.environment import processor
from robusteval.engine.schedule.precision import computes, rounded, usable
from robusteval.engine.source import Source
from robusteval.errors import RecordError
from robusteval.record.store import write_atomically

T = TypeVar("T")
_BATCH = 64
_REPEATS = 3
_GAIN = 0.9
_REDUCED_GAIN = 0.7  # of TF32 and bfloat16, whose rounding is larger, on the best way in float32
_FEW, _LONG_S = 8, 0.25  # where a pass of few images takes so long, few are enough to time it by,
_LEAST = 2  # and these where they take so long
_HOPELESS = 1.5  # times the best: what takes so long the first time is not tried again
_SURE_S = 0.3  # two tries of what takes so long say as much as three
CHEAP_S = 3e-3  # a batch that is through in less is mostly overhead, which no choice of kernels changes
_CLASSES = 10


@dataclass(frozen=True)
class PassTiming:
    """What was chosen. pass_ms: processor time of one forward and backward pass per sample, time by the clock where
    a GPU computes; forward_ms: of one query of the true model; 0 where unknown."""

    tuning: Tuning = field(default_factory=Tuning)
    pass_ms: float = 0.0
    forward_ms: float = 0.0


def timed(model: Classifier, x: Tensor, precision: str = FULL_ONLY) -> PassTiming:
    """The timing of a model, from the cache or by measurement on samples x [N, *shape]; precision: one of
    PRECISIONS."""
    if len(x) == 0:
        return PassTiming()
    return kept("pass-timing", key(model, x, precision), _read, lambda: measure(model, x[:_BATCH], precision), asdict)


def kept(kind: str, key: str, read: Callable[[Any], T], make: Callable[[], T], plain: Callable[[T], Any]) -> T:
    """What the cache's file of this kind and key holds, or what is made now, which it holds from now on. read, plain:
    from JSON and to it; whatever read refuses is made anew. Never raises for the cache's sake: a folder that cannot be
    used is the same as an empty one."""
    folder = cache_folder(kind)
    if folder is None:
        return make()
    path = folder / f"{key}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return read(json.loads(path.read_text(encoding="utf-8")))
    found = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(plain(found)).encode())
    except (OSError, RecordError):
        return found  # it is measured anew the next time
    return found


def some(samples: Source) -> Tensor:
    """As many of the samples as passes are timed on."""
    return samples.x[: min(_BATCH, len(samples))]


def measure(model: Classifier, x: Tensor, precision: str = FULL_ONLY) -> PassTiming:
    """Times passes over x [B, *shape] in every way, each the best of three; in TF32 and bfloat16 too where the
    precision is AUTO."""
    default, there = Tuning(), passes_on(model, x.device)
    x = enough(model.logits, x)
    forward = 1e3 * _seconds(lambda: model.logits(x), default, x.device) / len(x)
    if model.info.gradients == "none":
        return PassTiming(default, 0.0, forward)
    cost = _seconds(lambda: gradient(model, x, default), default, there)
    if cost < CHEAP_S:
        return PassTiming(default, 1e3 * cost / len(x), forward)
    best, least, bare = default, cost * _GAIN, True
    kernels = (True, False) if there.type == "cpu" else (True,)
    for onednn, channels_last, own in product(kernels, (False, True), sorted({False, there.type == "cpu"})):
        tuning = Tuning(onednn, channels_last, own_kernels=own)
        if tuning == default or ((channels_last or own) and x.dim() != 4) or not (onednn or bare):
            continue
        spent = _seconds(lambda way=tuning: gradient(model, x, way), tuning, there, least)  # type: ignore[misc]
        if spent < least:
            best, least, cost = tuning, spent, spent
        bare = bare and (onednn or spent <= _HOPELESS * cost)  # without oneDNN convolutions of some size never pay
    if precision == AUTO and there == x.device and usable(model, x):
        best, cost = _reduced(model, x, best, cost)
    if (
        cost / len(x) < _LONG_S / _FEW
    ):  # Jacobians in one pass take the room of as many, and large passes gain nothing by it
        best = _with_jacobian(model, x, best)
    return PassTiming(best, 1e3 * cost / len(x), forward)


def _reduced(model: Classifier, x: Tensor, best: Tuning, cost: float) -> tuple[Tuning, float]:
    """The fastest of TF32 (on a GPU) and bfloat16, and its seconds, where it takes .7 of the time of the best of
    float32 at most and points the same way; else that."""
    exact, least = best, cost * _REDUCED_GAIN
    layouts = (False, True) if x.dim() == 4 else (False,)
    for precision, channels_last in product((REDUCED,) if x.device.type == "cpu" else (TF32, REDUCED), layouts):
        tuning = rounded(model, x, exact, Tuning(channels_last=channels_last, precision=precision))
        if tuning is None:
            continue
        spent = _seconds(lambda way=tuning: gradient(model, x, way), tuning, x.device, least)  # type: ignore[misc]
        if spent < least:
            best, least, cost = tuning, spent, spent
    return best, cost


def contention(seconds: float = 0.1) -> float:
    """Seconds by the clock that a second of CPU takes just now, 1 or more: what other work on this machine costs."""
    matrix = torch.ones(64, 64, device="cpu")
    clock, spent = time.perf_counter(), time.process_time()
    while time.perf_counter() - clock < seconds:
        matrix @ matrix
    return max(1.0, (time.perf_counter() - clock) / max(time.process_time() - spent, 1e-3))


def behind(pipeline: Pipeline, x: Tensor, tuning: Tuning) -> PassTiming:
    """The cost of passes through a defence, measured on x [B, *shape]; nothing is chosen."""
    x, rng = x[:_BATCH], Generator().manual_seed(0)
    if len(x) == 0:
        return PassTiming(tuning)
    x = enough(lambda some: pipeline.draw(rng).decide(some), x)
    forward = 1e3 * _seconds(lambda: pipeline.draw(rng).decide(x), tuning, x.device) / len(x)
    if pipeline.defended.model.info.gradients == "none":
        return PassTiming(tuning, 0.0, forward)
    there = passes_on(pipeline.defended.model, x.device)
    cost = _seconds(lambda: gradient(pipeline.draw(rng), x, tuning), tuning, there)
    return PassTiming(tuning, 1e3 * cost / len(x), forward)


@contextmanager
def applied(tuning: Tuning) -> Iterator[None]:
    """Torch's kernels as the tuning says, and back to what they were."""
    before = torch.backends.mkldnn.enabled
    if tuning.onednn or not before:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of a setting for other hardware that it sets along with this one
        flags = torch.backends.mkldnn.flags(enabled=False)
        flags.__enter__()
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flags.__exit__(None, None, None)


def _with_jacobian(model: Classifier, x: Tensor, tuning: Tuning) -> Tuning:
    some = min(_CLASSES, model.info.classes)
    classes = torch.arange(some, device=x.device).expand(len(x), some)
    batched = replace(tuning, batched_jacobian=True)
    there = passes_on(model, x.device)
    apart = _seconds(lambda: _jacobian(model, x, classes, tuning), tuning, there)
    try:
        together = _seconds(lambda: _jacobian(model, x, classes, batched), batched, there)
    except RuntimeError:  # an operator that cannot be batched
        return tuning
    return batched if together < apart * _GAIN else tuning


def enough(ask: Callable[[Tensor], object], x: Tensor) -> Tensor:
    """Fewer images where asking some of them takes long; what a pass costs an image is much the same."""
    if len(x) <= _LEAST:
        return x
    ask(x[:1])  # the first question to a model takes longer than any other
    for few in (_LEAST, _FEW):
        if len(x) <= few:
            return x
        started = _clock(x.device)
        ask(x[:few])
        if _clock(x.device) - started > _LONG_S / 3:  # a gradient takes three times as long
            return x[:few]
    return x


def _clock(device: torch.device) -> float:
    """Seconds of processor time; by the clock where a GPU computes, once it has done what it was told."""
    if device.type == "cpu":
        return time.process_time()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _seconds(work: Callable[[], object], tuning: Tuning, device: torch.device, best: float = float("inf")) -> float:
    """The least seconds of some tries, by `_clock`. best: of what it has to be faster than."""
    least = float("inf")
    with applied(tuning):
        for tries in range(1, _REPEATS + 1):
            started = _clock(device)
            work()
            least = min(least, _clock(device) - started)
            if least > _HOPELESS * best or (tries > 1 and least > _SURE_S):
                break
    return least


def gradient(model: Classifier | Pipeline, x: Tensor, tuning: Tuning) -> None:
    """One pass there and back over x [B, *shape]."""
    leaf = tuning.laid(x.detach()).requires_grad_(True)
    with torch.enable_grad(), tuning.there_and_back(x.device.type):
        with tuning.kernels(x.device.type):
            scores = model.twin(leaf)
        if scores.requires_grad:
            torch.autograd.grad(scores.to(x.dtype).logsumexp(1).sum(), leaf, allow_unused=True)


def _jacobian(model: Classifier, x: Tensor, classes: Tensor, tuning: Tuning) -> None:
    def twin(leaf: Tensor) -> Tensor:
        with tuning.kernels(leaf.device.type):
            return model.twin(leaf).to(leaf.dtype)

    with tuning.there_and_back(x.device.type):
        ops.class_gradients(twin, tuning.laid(x), classes, tuning.batched_jacobian)


def key(model: Classifier, x: Tensor, precision: str) -> str:
    """Of the model, of how it is read, of what may be chosen, and of the machine."""
    facts = (
        precision if computes(x.device) else FULL_ONLY,
        tuple(field.name for field in fields(Tuning)),
        model.info.sha256,
        model.info.rung,
        str(model.info.input_shape),
        model.info.provider,
        torch.cuda.get_device_name(x.device) if x.device.type == "cuda" else passes_on(model, x.device).type,
        platform.machine(),
        processor(),
        torch.__version__,
    )
    return sha256(repr(facts).encode()).hexdigest()[:32]


def _read(data: Any) -> PassTiming:
    return PassTiming(tuning_of(data["tuning"]), float(data["pass_ms"]), float(data["forward_ms"]))


def in_words(tuning: Tuning) -> str:
    """For the record."""
    parts = [
        "oneDNN" if tuning.onednn else "without oneDNN",
        "channels last" if tuning.channels_last else "channels first",
        *(["own convolutions and pools"] if tuning.own_kernels else []),
        "batched Jacobians" if tuning.batched_jacobian else "Jacobians row by row",
        *([f"proposals in {tuning.precision}"] if tuning.precision != FULL else []),
    ]
    return ", ".join(parts)
