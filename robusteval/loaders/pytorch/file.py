"""PyTorch files from strangers: what may be opened, what runs code, and which weights belong to which architecture."""

from __future__ import annotations

import hashlib
import importlib
import io
import stat
import sys
import warnings
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robusteval.contracts.classifier import LoadOptions
from robusteval.errors import ModelError
from robusteval.loaders.pytorch.answers import first_line
from robusteval.loaders.pytorch.checkpoint import Weights, fill, weights_in
from robusteval.loaders.pytorch.pickle_reader import read_weights
from robusteval.plain import read_plain

MAX_BYTES = 8 * 2**30
TRUST_HINT = "If you trust where it comes from, repeat the command with --trust; or save the weights with safetensors."


@dataclass(frozen=True)
class Opened:
    """A module out of a file."""

    module: nn.Module
    sha256: str
    notes: tuple[str, ...] = ()


class FromBytes(nn.Module):
    """A TorchScript or exported program that travels as its file's bytes."""

    def __init__(self, kind: str, blob: bytes, mode: bool | None = None) -> None:
        super().__init__()
        self.kind, self.blob = kind, blob
        self.inner = _run_loader(kind, blob)
        # the wrapper has no mode of its own: what counts is how the program was saved
        training = [getattr(part, "training", False) for part in self.inner.modules()]
        self.training = kind == "TorchScript" and any(training)
        if mode is not None and mode != self.training:
            self.train(mode)

    def forward(self, x: Tensor) -> Any:
        """The program's own answer."""
        return self.inner(x)

    def train(self, mode: bool = True) -> FromBytes:
        """Exported programs are fixed in the mode that they were exported in."""
        self.training = mode
        if self.kind == "TorchScript" and hasattr(self.inner, "training"):  # a frozen program has lost the switch
            self.inner.train(mode)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FromBytes:
        return FromBytes(self.kind, self.blob, self.training)

    def __reduce__(self) -> tuple[type[FromBytes], tuple[str, bytes, bool]]:
        return FromBytes, (self.kind, self.blob, self.training)  # a worker must not go back to the mode of the file


def _run_loader(kind: str, blob: bytes) -> nn.Module:
    stream = io.BytesIO(blob)
    try:
        if kind == "TorchScript":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # addressed to those who write such files
                module: nn.Module = torch.jit.load(stream, map_location="cpu")
            return module
        return torch.export.load(stream).module()
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # the file's own code runs here: anything may happen
        raise ModelError(f"The {kind} file cannot be opened: {first_line(error)}.", "Save it again.") from error


def open_torch_file(path: Path, options: LoadOptions) -> Opened:
    """Opens safetensors, weights-only state dicts, and, behind trust, TorchScript and .pt2. Raises ModelError."""
    blob = _content(path)
    digest = hashlib.sha256(blob).hexdigest()
    if path.suffix.lower() == ".safetensors":
        return _with_architecture([Weights("", _safetensors(blob, path.name))], digest, options, path.name)
    kind = _kind(blob, path.name)
    if kind in ("TorchScript", "exported program"):
        if not options.trust:
            raise ModelError(f"{path.name} is a {kind}: opening it can run code that it brings along.", TRUST_HINT)
        return Opened(FromBytes(kind, blob), digest, (f"Opened under --trust: {kind}.",))
    found, notes = read_weights(blob, path.name, options.trust)
    sets = list(weights_in(found))
    if not sets:
        raise ModelError(f"{path.name} holds no tensors with names.", "Save model.state_dict().")
    opened = _with_architecture(sets, digest, options, path.name)
    return replace(opened, notes=(*notes, *opened.notes))


def _content(path: Path) -> bytes:
    try:
        info = path.stat()
        size = info.st_size
        if not stat.S_ISREG(info.st_mode):
            raise ModelError(f"{path} is not a file.", "Give the path of one model file.")
        if size == 0:
            raise ModelError(f"{path.name} is empty.", "Save the model again.")
        if size > MAX_BYTES:
            raise ModelError(
                f"{path.name} has {size} bytes, more than the limit of {MAX_BYTES}.", "Use a smaller model."
            )
        return read_plain(path, MAX_BYTES)
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


def _with_architecture(sets: list[Weights], digest: str, options: LoadOptions, name: str) -> Opened:
    """Builds the architecture and fills it with the weights that fit it exactly."""
    if not options.arch:
        raise ModelError(
            f"{name} holds weights without an architecture.",
            "Name the function that builds the module with --arch module:factory, or export the model to ONNX.",
        )
    if not options.trust:
        raise ModelError(f"--arch {options.arch} imports and runs that module.", "If you trust it, add --trust.")
    module, notes = fill(build_architecture(options.arch), sets, name, options.arch)
    return Opened(module, digest, notes)


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
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # the user's own code runs here
        raise ModelError(f"--arch {arch} fails: {first_line(error)}.", "Check it in Python.") from error
    if not isinstance(built, nn.Module):
        raise ModelError(f"--arch {arch} gives a {type(built).__name__}, not a torch.nn.Module.", "Return the module.")
    return built
