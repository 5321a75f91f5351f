"""PyTorch files from strangers: what may be opened, what runs code, and which weights belong to which architecture."""

from __future__ import annotations

import hashlib
import importlib
import io
import pickle
import sys
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts.classifier import LoadOptions
from ..errors import ModelError

MAX_BYTES = 8 * 2**30
NESTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights", "params", "ema", "teacher")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.")
TRUST_HINT = "If you trust where it comes from, repeat the command with --trust; or save the weights with safetensors."


@dataclass(frozen=True)
class Opened:
    """A module out of a file."""

    module: nn.Module
    sha256: str
    notes: tuple[str, ...] = ()


class FromBytes(nn.Module):
    """A TorchScript or exported program that travels as its file's bytes."""

    def __init__(self, kind: str, blob: bytes) -> None:
        super().__init__()
        self.kind, self.blob = kind, blob
        self.inner = _run_loader(kind, blob)

    def forward(self, x: Tensor) -> Any:
        """The program's own answer."""
        return self.inner(x)

    def train(self, mode: bool = True) -> FromBytes:
        """Exported programs are fixed in the mode that they were exported in."""
        self.training = mode
        if self.kind == "TorchScript":
            self.inner.train(mode)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FromBytes:
        return FromBytes(self.kind, self.blob)

    def __reduce__(self) -> tuple[type[FromBytes], tuple[str, bytes]]:
        return FromBytes, (self.kind, self.blob)


def _run_loader(kind: str, blob: bytes) -> nn.Module:
    stream = io.BytesIO(blob)
    try:
        if kind == "TorchScript":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # addressed to those who write such files
                module: nn.Module = torch.jit.load(stream, map_location="cpu")  # type: ignore[no-untyped-call]
            return module
        return torch.export.load(stream).module()
    except Exception as error:  # the file's own code runs here: anything may happen
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"The {kind} file cannot be opened: {reason}", "Save it again.") from error


def open_torch_file(path: Path, options: LoadOptions) -> Opened:
    """Opens safetensors, weights-only state dicts, and, behind trust, TorchScript and .pt2. Raises ModelError."""
    blob = _content(path)
    digest = hashlib.sha256(blob).hexdigest()
    if path.suffix.lower() == ".safetensors":
        return _with_architecture([_safetensors(blob, path.name)], digest, options, path.name)
    kind = _kind(blob, path.name)
    if kind in ("TorchScript", "exported program"):
        if not options.trust:
            raise ModelError(f"{path.name} is a {kind}: opening it can run code that it brings along.", TRUST_HINT)
        return Opened(FromBytes(kind, blob), digest, (f"Opened as a {kind} under --trust.",))
    states = list(_state_dicts(_weights(blob, path.name)))
    if not states:
        raise ModelError(f"{path.name} holds no tensors with names.", "Save model.state_dict().")
    return _with_architecture(states, digest, options, path.name)


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size == 0:
            raise ModelError(f"{path.name} is empty.", "Save the model again.")
        if size > MAX_BYTES:
            raise ModelError(
                f"{path.name} has {size} bytes, more than the limit of {MAX_BYTES}.", "Use a smaller model."
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions.") from error


def _kind(blob: bytes, name: str) -> str:
    """What a file is by its content. Refuses zip files that would grow when opened."""
    if not zipfile.is_zipfile(io.BytesIO(blob)):
        return "legacy"
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ModelError(f"{name} is a damaged archive.", "Save the model again.") from error
    kind = "zip"
    names = [m.filename for m in members]
    if any(n.endswith(("constants.pkl", "/code/__torch__.py")) or "/code/" in n for n in names):
        kind = "TorchScript"
    elif any(n.endswith(("archive_format", "serialized_exported_program.json")) or "/models/" in n for n in names):
        kind = "exported program"
    packed = any(m.compress_type != zipfile.ZIP_STORED for m in members)
    total = sum(m.file_size for m in members)
    if (kind == "zip" and packed) or total > MAX_BYTES or total > (len(blob) if kind == "zip" else 64 * len(blob)):
        raise ModelError(
            f"{name} is a compressed archive, which torch.save never writes.", "Save the weights with torch.save."
        )
    return kind


def _safetensors(blob: bytes, name: str) -> dict[str, Tensor]:
    import safetensors
    import safetensors.torch

    try:
        return dict(safetensors.torch.load(blob))
    except (safetensors.SafetensorError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{name} is not a safetensors file: {error}", "Save it with safetensors.torch.save_file."
        ) from error


def _weights(blob: bytes, name: str) -> Any:
    try:
        return torch.load(io.BytesIO(blob), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Weights only" in str(error) or "weights_only" in str(error) or "Unsupported" in str(error):
            raise ModelError(
                f"{name} holds pickled Python objects (perhaps a whole module), and opening those runs code.",
                "Save the weights alone with torch.save(model.state_dict(), ...), or export the model to ONNX.",
            ) from error
        raise ModelError(f"{name} is not a PyTorch file: its content cannot be read.", "Save it again.") from error
    except (
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        AttributeError,
        IndexError,
        TypeError,
        OverflowError,
    ) as error:
        raise ModelError(
            f"{name} is not a PyTorch file, or a damaged one.", "Save it again with torch.save."
        ) from error


def _state_dicts(found: Any, depth: int = 0) -> Iterator[dict[str, Tensor]]:
    """Every plausible state dict in a checkpoint: nested, in lists, or alone."""
    if depth > 4:
        return
    if isinstance(found, (list, tuple)):
        for item in found:
            yield from _state_dicts(item, depth + 1)
        return
    if not isinstance(found, dict):
        return
    tensors = {k: v for k, v in found.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors and len(tensors) >= len(found) / 2:
        yield tensors
    keys = [k for k in NESTS if k in found] + [k for k in found if k not in NESTS]
    for key in keys:
        if isinstance(found[key], (dict, list, tuple)):
            yield from _state_dicts(found[key], depth + 1)


def _with_architecture(states: list[dict[str, Tensor]], digest: str, options: LoadOptions, name: str) -> Opened:
    """Finds the state dict, and the prefix to strip, that fit the architecture exactly."""
    if not options.arch:
        raise ModelError(
            f"{name} holds weights without an architecture.",
            "Name the function that builds the module with --arch module:factory, or export the model to ONNX.",
        )
    if not options.trust:
        raise ModelError(f"--arch {options.arch} imports and runs that module.", "If you trust it, add --trust.")
    module = build_architecture(options.arch)
    own = set(module.state_dict())
    best: tuple[int, dict[str, Tensor]] | None = None
    for position, state in enumerate(states):
        for prefix, candidate in _stripped(state):
            miss = len(own ^ set(candidate))
            if not miss:
                return Opened(_filled(module, candidate, name), digest, _notes(prefix, position, len(states)))
            if best is None or miss < best[0]:
                best = (miss, candidate)
    lacking = sorted(own - set(best[1] if best else {}))[:3]
    foreign = sorted(set(best[1] if best else {}) - own)[:3]
    raise ModelError(
        f"The weights in {name} do not fit {options.arch}: missing {lacking}, not wanted {foreign}.",
        "Check that the factory builds the same architecture.",
    )


def _notes(prefix: str, position: int, count: int) -> tuple[str, ...]:
    notes = []
    if prefix:
        notes.append(f"The prefix {prefix!r} was taken off the names of the weights.")
    if count > 1:
        notes.append(f"The file holds {count} sets of weights; number {position + 1} fits and was taken.")
    return tuple(notes)


def _stripped(state: dict[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The weights as they are, and without the prefixes that wrappers put before every name."""
    yield "", state
    for prefix in PREFIXES:
        if state and all(key.startswith(prefix) for key in state):
            inner = {key[len(prefix) :]: value for key, value in state.items()}
            for more, candidate in _stripped(inner):
                yield prefix + more, candidate


def _filled(module: nn.Module, state: dict[str, Tensor], name: str) -> nn.Module:
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        line = str(error).splitlines()[-1].strip()
        raise ModelError(f"The weights in {name} do not fit: {line}", "Check the factory's sizes.") from error
    return module.eval()


def build_architecture(arch: str) -> nn.Module:
    """Imports `module:factory` and calls the factory without arguments. Runs code: callers check for trust first."""
    where, _, what = arch.partition(":")
    if not where or not what:
        raise ModelError(f"--arch {arch} is not of the form module:factory.", "For example --arch mymodels:resnet.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # stays: the module's classes must be found again when they travel
    try:
        module = importlib.import_module(where)
        for part in what.split("."):
            module = getattr(module, part)
        built: Any = module()  # type: ignore[operator]
    except Exception as error:  # the user's own code runs here
        raise ModelError(f"--arch {arch} fails: {type(error).__name__}: {error}", "Check it in Python.") from error
    if not isinstance(built, nn.Module):
        raise ModelError(f"--arch {arch} gives a {type(built).__name__}, not a torch.nn.Module.", "Return the module.")
    return built
