"""Which weights of a checkpoint belong to which architecture: under any prefix, beside anything, or refused with
names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from robusteval.errors import ModelError

NESTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights", "params", "ema", "teacher")
DEPTH = 4
SHOWN = 3  # names in a sentence
_COUNTER = "num_batches_tracked"
MOST_PREFIXES = 12  # tried for one set of weights
_AVERAGED = re.compile(r"(^|[._])(ema|swa|avg|averaged|average|teacher|momentum|shadow)($|[._])")
# What trainers and profilers keep beside a network's own weights: of no use to its answers.
_BESIDE = re.compile(
    r"(^|\.)(n_averaged|num_updates|total_ops|total_params|pos_weight)$"
    r"|^(\w+_)?(criterion|criterions|criteria|crit|loss|losses|loss_fn|loss_func|loss_function|objective|metric|metrics"
    r"|acc|accuracy|auroc|f1|confmat)(_\w+)?(\.|$)"
)


@dataclass(frozen=True)
class Weights:
    """A set of tensors with names, and where in the file it was."""

    name: str
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class _Fit:
    """A set of weights under a prefix that an architecture takes whole."""

    source: str
    prefix: str
    tensors: dict[str, Tensor]
    aside: tuple[str, ...]  # names under no prefix of the network's
    filled: tuple[str, ...]  # names that the file lacks and that need not be there

    @property
    def place(self) -> str:
        """Where the weights were: the key and the prefix."""
        return ".".join(part for part in (self.source, self.prefix.rstrip(".")) if part) or "the file itself"

    @property
    def averaged(self) -> bool:
        return bool(_AVERAGED.search(self.place.lower()))


def weights_in(found: Any, name: str = "", depth: int = 0) -> Iterator[Weights]:
    """Every plausible set of weights in a checkpoint: nested, in lists, or alone."""
    if depth > DEPTH:
        return
    if isinstance(found, list | tuple):
        for number, item in enumerate(found):
            yield from weights_in(item, f"{name}.{number}" if name else str(number), depth + 1)
        return
    if not isinstance(found, dict):
        return
    tensors = {k: v for k, v in found.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors and len(tensors) >= len(found) / 2:
        yield Weights(name, tensors)
    keys = [k for k in NESTS if k in found] + [k for k in found if k not in NESTS]
    for key in keys:
        if isinstance(found[key], dict | list | tuple):
            yield from weights_in(found[key], f"{name}.{key}" if name else str(key), depth + 1)


def fill(module: nn.Module, sets: list[Weights], file: str, arch: str) -> tuple[nn.Module, tuple[str, ...]]:
    """The module with the weights that fit it exactly, in evaluation mode, and notes about what was done to them.

    Exactly: every name of the module is there with its shape, but for counters of batches and for names of a tensor
    that another one of the same tensor gives; and nothing more is there under the same prefix. Raises ModelError with
    names.
    """
    own = {key: value for key, value in module.state_dict().items() if isinstance(value, Tensor)}
    fits: list[_Fit] = []
    nearest: tuple[int, list[str], list[str]] | None = None
    for averaged in sets:
        for prefix in _prefixes(averaged.tensors, own):
            fit = _fitted(module, own, averaged, prefix)
            if isinstance(fit, _Fit):
                fits.append(fit)
            elif nearest is None or fit[0] < nearest[0]:
                nearest = fit
    if not fits:
        lacking, foreign = (nearest[1], nearest[2]) if nearest else (sorted(own), [])
        raise ModelError(
            f"The weights in {file} do not fit {arch}: missing {lacking[:SHOWN]}, not wanted {foreign[:SHOWN]}.",
            "Check that the factory builds the same architecture.",
        )
    chosen = next((fit for fit in fits if not fit.averaged), fits[0])
    try:
        module.load_state_dict(chosen.tensors, strict=False)
    except RuntimeError as error:
        line = str(error).splitlines()[-1].strip()
        raise ModelError(f"The weights in {file} do not fit: {line}", "Check the factory's sizes.") from error
    return module.eval(), _notes(chosen, fits, sets)


def _prefixes(tensors: dict[str, Tensor], own: dict[str, Tensor]) -> list[str]:
    """What may stand before every name: whatever stands before some name of the module's, most frequent first."""
    count: dict[str, int] = {"": 0}
    for name in own:
        for key in tensors:
            if key == name or key.endswith(f".{name}"):
                prefix = key[: len(key) - len(name)]
                count[prefix] = count.get(prefix, 0) + 1
    return sorted(count, key=lambda prefix: (-count[prefix], len(prefix)))[:MOST_PREFIXES]


def _fitted(
    module: nn.Module, own: dict[str, Tensor], one: Weights, prefix: str
) -> _Fit | tuple[int, list[str], list[str]]:
    """The fit of a set of weights without its prefix, or (how many names are wrong, missing ones, unwanted ones)."""
    inside = {key[len(prefix) :]: value for key, value in one.tensors.items() if key.startswith(prefix)}
    outside = [key for key in one.tensors if not key.startswith(prefix)]
    copies = _copies(one.tensors, own, prefix)
    foreign = [key for key in inside if key not in own and prefix + key not in copies]
    aside = [key for key in foreign if _BESIDE.search(key)] + [key for key in outside if _BESIDE.search(key)]
    strange = [key for key in outside if key not in copies and key not in aside]
    unwanted = [key for key in foreign if key not in aside] + strange
    missing = [key for key in own if key not in inside]
    filled = [key for key in missing if _needless(module, key, inside)]
    missing = [key for key in missing if key not in filled]
    wrong = [
        f"{key} {tuple(inside[key].shape)} for {tuple(own[key].shape)}"
        for key in own
        if key in inside and inside[key].shape != own[key].shape
    ]
    if missing or unwanted or wrong:
        return len(missing) + len(unwanted) + len(wrong), sorted(missing), sorted(unwanted) + wrong
    fitting = {key: value for key, value in inside.items() if key in own}
    return _Fit(one.name, prefix, fitting, tuple(sorted(set(aside))), tuple(filled))


def _copies(tensors: dict[str, Tensor], own: dict[str, Tensor], prefix: str) -> set[str]:
    """Names of whole other copies of the network under prefixes of their own; numbered ones are layers, not copies."""
    found: set[str] = set()
    if any(part.isdigit() for part in prefix.split(".")):
        return found
    for other in _prefixes(tensors, own):
        whole = all(
            other + name in tensors and tensors[other + name].shape == value.shape
            for name, value in own.items()
            if not name.endswith(_COUNTER)
        )
        if other != prefix and whole and not any(part.isdigit() for part in other.split(".")):
            found |= {other + name for name in own}
    return found


def _needless(module: nn.Module, name: str, inside: dict[str, Tensor]) -> bool:
    """Whether a name may be missing: a counter of batches, or a second name of a tensor that is there."""
    if name.endswith(_COUNTER):
        return True
    state = module.state_dict(keep_vars=True)
    same = [key for key, value in state.items() if value is state[name] and key != name]
    return any(key in inside for key in same)


def _notes(chosen: _Fit, fits: list[_Fit], sets: list[Weights]) -> tuple[str, ...]:
    notes = []
    if chosen.prefix:
        notes.append(f"The prefix {chosen.prefix!r} was taken off the names of the weights.")
    others = list(dict.fromkeys(fit.place for fit in fits if fit.place != chosen.place))
    if others:
        why = " (weights as trained come before averaged ones)" if any(fit.averaged for fit in fits) else ""
        notes.append(
            f"The file holds {len(others) + 1} sets of weights that fit: {chosen.place!r} was taken{why}, not "
            f"{', '.join(map(repr, others[:SHOWN]))}. Save the one that you mean alone to evaluate another."
        )
    elif len(sets) > 1:
        notes.append(f"The file holds {len(sets)} sets of weights; {chosen.place!r} fits and was taken.")
    if chosen.aside:
        notes.append(f"Left aside, as no part of the network: {', '.join(chosen.aside[:SHOWN])}.")
    counters = [name for name in chosen.filled if name.endswith(_COUNTER)]
    if counters:
        notes.append(
            f"The file lacks {len(counters)} counters of batches (num_batches_tracked), which no answer needs."
        )
    return tuple(notes)
