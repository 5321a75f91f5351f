"""A model file with the data files beside it: read once, hashed as a whole, and opened where nothing else can be
read."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import onnxruntime

from robusteval.cage.files import read_plain
from robusteval.errors import ModelError
from robusteval.runtime.session import open_session
from robusteval.runtime.wire import outside

MAX_BYTES = 2_000_000_000  # protobuf's own limit is 2 GiB
_HINT = "Keep the external data as plain files in the model's own folder, or save the model with its data inside."


@dataclass(frozen=True)
class Bytes:
    """A file's bytes, and those of each data file beside it, by the name that the file asks for."""

    content: bytes
    external: dict[str, bytes] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Of the file, then of its data files in the order of their names."""
        digest = hashlib.sha256(self.content)
        for name in sorted(self.external):
            digest.update(self.external[name])
        return digest.hexdigest()

    def session(self) -> onnxruntime.InferenceSession:
        """A session on exactly these bytes, on the CPU: no other file can be read by it. Raises ModelError."""
        if not self.external:
            return open_session(self.content)
        with tempfile.TemporaryDirectory(prefix="robusteval-") as place:
            for name, content in self.external.items():
                target = Path(place) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            model = Path(place) / "model.onnx"
            if model.exists():
                raise ModelError("The model's external data are named as the model itself.", _HINT)
            model.write_bytes(self.content)
            return open_session(str(model))


def read_file(path: Path) -> Bytes:
    """The file with all its external data. Raises ModelError for links, for data outside its folder, and for sizes that
    no ONNX file has."""
    content = read_content(path)
    external = {name: read_plain(checked(path.parent, name), 2 * MAX_BYTES) for name in outside(content)}
    if len(content) + sum(map(len, external.values())) > 2 * MAX_BYTES:
        raise ModelError(f"{path.name} with its external data has more bytes than a model.", "Use a smaller model.")
    return Bytes(content, external)


def file_sha256(path: Path) -> str:
    """The hash that a record holds for an ONNX file: of its bytes and of its external data. Raises ModelError."""
    return read_file(path).sha256


def read_content(path: Path) -> bytes:
    """The bytes of a plain file. Raises ModelError."""
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise ModelError(f"{path} is not a file.", "Give the path of one .onnx file.")
        if info.st_size == 0:
            raise ModelError(f"{path.name} is empty.", "Export the model again.")
        if info.st_size > MAX_BYTES:
            raise ModelError(
                f"{path.name} has {info.st_size} bytes, more than the limit of {MAX_BYTES}.", "Use a smaller model."
            )
        return read_plain(path, MAX_BYTES, follow=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions.") from error


def checked(folder: Path, location: str) -> Path:
    """The external data file, if it lies beside the model and nowhere else. Raises ModelError."""
    parts = Path(location).parts
    if not location or Path(location).is_absolute() or ".." in parts or "\\" in location or "\0" in location:
        raise ModelError(f"The model asks for external data outside its folder ({location!r}).", _HINT)
    at = folder
    for part in parts:
        at = at / part
        if at.is_symlink():
            raise ModelError(f"The model's external data {location!r} is a link.", _HINT)
    try:
        info = os.lstat(at)
    except OSError as error:
        raise ModelError(f"The model's external data {location!r} is missing.", _HINT) from error
    if not stat.S_ISREG(info.st_mode):
        raise ModelError(f"The model's external data {location!r} is not a plain file.", _HINT)
    if info.st_nlink > 1:
        raise ModelError(f"The model's external data {location!r} is a hard link.", _HINT)
    return at
