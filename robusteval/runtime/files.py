"""A model file with the data files beside it: read once, hashed as a whole, and opened where nothing else can be
read."""

from __future__ import annotations

import hashlib
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import onnxruntime

from robusteval.errors import ModelError
from robusteval.plain import read_plain
from robusteval.runtime.external import MAX_BYTES, beside, sha256
from robusteval.runtime.session import open_session
from robusteval.runtime.wire import stored

_HINT = "Keep the external data as plain files in the model's own folder, or save the model with its data inside."


@dataclass(frozen=True)
class Bytes:
    """A file's bytes and the hash of all; of each data file beside it, by the name that the file asks for, the ranges
    that its tensors name: where they begin, and their bytes."""

    content: bytes
    sha256: str
    external: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)

    def session(self) -> onnxruntime.InferenceSession:
        """A session on exactly these bytes, on the CPU: no other file can be read by it. Raises ModelError."""
        if not self.external:
            return open_session(self.content)
        with tempfile.TemporaryDirectory(prefix="robusteval-") as place:
            for name, ranges in self.external.items():
                target = Path(place) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    for offset, content in ranges:
                        file.seek(offset)
                        file.write(content)
            model = Path(place) / "model.onnx"
            if model.exists():
                raise ModelError("The model's external data are named as the model itself.", _HINT)
            model.write_bytes(self.content)
            return open_session(str(model))


def read_file(path: Path) -> Bytes:
    """The file with all its external data. Raises ModelError for links, for data outside its folder, and for sizes that
    no ONNX file has."""
    content = read_content(path)
    files = beside(path.parent, stored(content), len(content))
    external: dict[str, list[tuple[int, bytes]]] = {name: [] for name in files.paths}
    for part in dict.fromkeys(files.ranges):
        external[part.location].append((part.offset, files.read(part)))
    return Bytes(content, sha256(content, files), external)


def file_sha256(path: Path) -> str:
    """The hash that a record holds for an ONNX file: of its bytes and of its external data. Raises ModelError."""
    return read_file(path).sha256


def each_sha256(path: Path) -> dict[str, str]:
    """The hash of each of a model's files, by the name that the model has for it; "" is the model's own file. Of a file
    with external data it goes as far as the model's hash does. Raises ModelError."""
    content = read_content(path)
    files = beside(path.parent, stored(content), len(content))
    found = {"": hashlib.sha256(content).hexdigest()}
    for location in sorted(files.paths):
        digest = hashlib.sha256()
        files.update_by(location, digest)
        found[location] = digest.hexdigest()
    return found


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
        return read_plain(path, MAX_BYTES)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions.") from error
