"""Finished units on disk, so that a run can be killed at any moment and go on.

A unit is an .npz file whose comment holds the hash of all the rest, so that a damaged one is done again and never read;
and it says which plan, cell and chunk it is of, so that none is taken for another's.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from robusteval.engine.plan.plan import file_name
from robusteval.engine.units.kept_candidates import Strengths
from robusteval.engine.units.unit import JudgedUnit, UnitResult
from robusteval.plain import read_plain
from robusteval.record.store import write_atomically

_COLUMNS = ("distance", "l2", "answer", "suspicion", "survives", "forwards", "backwards", "x")
_STRENGTHS = ("x", "fools", "answer", "distance", "l2")
_JUDGED = ("answer", "suspicion", "fools", "distance", "l2")
_SEAL = b"robusteval-unit-1 "
_SEALED = len(_SEAL) + 64  # bytes of the comment
_NO_COMMENT = b"\0\0"  # how an archive without a comment ends

Arrays = dict[str, NDArray[Any]]
Read = TypeVar("Read", UnitResult, JudgedUnit)


class UnitStore:
    """The folder `units/` of a run. Each unit is one .npz file, written whole or not at all. plan: the hash of the plan
    whose units these are; units of another one are not there."""

    def __init__(self, folder: Path, plan: str) -> None:
        self.folder, self.plan = folder / "units", plan

    def path(self, cell_id: str, chunk: int) -> Path:
        """Where a unit is kept."""
        return self.folder / f"{file_name(cell_id)}.{chunk}.npz"

    def save(self, cell_id: str, chunk: int, result: UnitResult | JudgedUnit) -> None:
        """Stores a finished unit at once. Raises RecordError where it cannot be written."""
        self.put(cell_id, chunk, sealed_unit(self.plan, cell_id, chunk, result))

    def put(self, cell_id: str, chunk: int, content: bytes) -> None:
        """Stores the bytes of a finished unit. Raises RecordError where they cannot be written."""
        write_atomically(self.path(cell_id, chunk), content)

    def load(self, cell_id: str, chunk: int) -> UnitResult | None:
        """A finished unit of an attack cell, or None where there is none that can be read."""
        return self._read(cell_id, chunk, attack_unit)

    def load_judged(self, cell_id: str, chunk: int) -> JudgedUnit | None:
        """A finished unit of an oblivious cell, or None where there is none that can be read."""
        return self._read(cell_id, chunk, judged_unit)

    def content(self, cell_id: str, chunk: int) -> bytes | None:
        """What is stored as that unit, whatever it is; None where there is no plain file."""
        try:
            return read_plain(self.path(cell_id, chunk), follow=False)
        except OSError:
            return None

    def _read(self, cell_id: str, chunk: int, reader: Callable[[bytes, str, str, int], Read | None]) -> Read | None:
        content = self.content(cell_id, chunk)
        return None if content is None else reader(content, self.plan, cell_id, chunk)


def sealed_unit(plan: str, cell_id: str, chunk: int, result: UnitResult | JudgedUnit) -> bytes:
    """A finished unit as it is stored, and as it travels."""
    arrays: dict[str, Any] = {}
    meta: dict[str, Any] = {"plan": plan, "cell": cell_id, "chunk": chunk, "seconds": result.seconds}
    if isinstance(result, UnitResult):
        arrays |= {name: getattr(result, name).numpy() for name in _COLUMNS}
        meta |= {"zero": result.zero_gradients, "bad": result.bad_gradients, "rejected": dict(result.rejected)}
        meta["trace"], meta["watched"] = result.trace, dict(result.watched)
        more = {"by_target": result.by_target, "member": result.member, "blind": result.blind}
        arrays |= {name: value.numpy() for name, value in more.items() if value is not None}
        if result.strengths is not None:
            kept = result.strengths
            meta["strengths"] = kept.values
            arrays |= {f"strengths_{name}": getattr(kept, name).numpy() for name in _STRENGTHS}
    else:
        arrays |= {name: getattr(result, name).numpy() for name in _JUDGED}
        meta["values"] = result.values
    return _packed(meta, arrays)


def sealed_columns(plan: str, cell_id: str, chunk: int, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Columns of a chunk that no attack made, as they are stored."""
    return _packed({"plan": plan, "cell": cell_id, "chunk": chunk}, arrays)


def columns_unit(content: bytes, plan: str, cell_id: str, chunk: int) -> Arrays | None:
    """The columns in these bytes, or None where they are not, to the last bit, what was stored as this unit."""
    found = _of(content, plan, cell_id, chunk)
    return None if found is None else found[1]


def _packed(meta: dict[str, Any], arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8), **arrays)
    return _sealed(buffer.getvalue())


def attack_unit(content: bytes, plan: str, cell_id: str, chunk: int) -> UnitResult | None:
    """The unit of an attack cell in these bytes, or None where they are not, to the last bit, what was stored as this
    unit."""
    found = _of(content, plan, cell_id, chunk)
    if found is None:
        return None
    meta, arrays = found
    try:
        columns = {name: torch.from_numpy(arrays[name]) for name in _COLUMNS}
        strengths = None
        if "strengths" in meta:
            kept = {name: torch.from_numpy(arrays[f"strengths_{name}"]) for name in _STRENGTHS}
            strengths = Strengths(values=meta["strengths"], **kept)
        rejected = Counter(meta["rejected"])
        return UnitResult(
            **columns,
            zero_gradients=meta["zero"],
            bad_gradients=meta["bad"],
            rejected=rejected,
            strengths=strengths,
            trace=meta["trace"],
            seconds=meta["seconds"],
            watched=Counter(meta["watched"]),
            by_target=torch.from_numpy(arrays["by_target"]) if "by_target" in arrays else None,
            member=torch.from_numpy(arrays["member"]) if "member" in arrays else None,
            blind=torch.from_numpy(arrays["blind"]) if "blind" in arrays else None,
        )
    except (KeyError, TypeError, ValueError):
        return None


def judged_unit(content: bytes, plan: str, cell_id: str, chunk: int) -> JudgedUnit | None:
    """The same for an oblivious cell."""
    found = _of(content, plan, cell_id, chunk)
    if found is None:
        return None
    meta, arrays = found
    try:
        columns = {name: torch.from_numpy(arrays[name]) for name in _JUDGED}
        return JudgedUnit(values=meta["values"], seconds=meta["seconds"], **columns)
    except (KeyError, TypeError, ValueError):
        return None


def _of(content: bytes, plan: str, cell_id: str, chunk: int) -> tuple[dict[str, Any], Arrays] | None:
    found = _unsealed(content)
    if found is None:
        return None
    meta, arrays = found
    expected = {"plan": plan, "cell": cell_id, "chunk": chunk}
    return found if expected == {name: meta.get(name) for name in expected} and _even(arrays) else None


def is_unit(path: Path) -> bool:
    """Whether a file is a unit of any run: sealed, whole or not."""
    try:
        return _SEAL in read_plain(path)[-4 * _SEALED :]
    except OSError:
        return False


def _sealed(archive: bytes) -> bytes:
    """An archive without a comment, with its hash as one."""
    return archive.removesuffix(_NO_COMMENT) + _comment(hashlib.sha256(archive).hexdigest())


def _comment(digest: str) -> bytes:
    """How a sealed archive ends."""
    return _SEALED.to_bytes(2, "little") + _SEAL + digest.encode()


def _unsealed(content: bytes) -> tuple[dict[str, Any], Arrays] | None:
    """(what a unit says of itself, its arrays); None where a single bit of it was changed."""
    digest = hashlib.sha256(memoryview(content)[: -_SEALED - 2])  # a unit may be large: nothing of it is copied
    digest.update(_NO_COMMENT)
    if content[-_SEALED - 2 :] != _comment(digest.hexdigest()):
        return None
    try:
        if not _stored(content):
            return None
        # from memory: numpy leaves the file open when the archive is broken
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop("meta").tobytes())
    except Exception:  # noqa: BLE001
        # sealed, and yet none of ours: whatever the readers make of it, the unit is done again
        return None
    return (meta, arrays) if isinstance(meta, dict) else None


def _stored(content: bytes) -> bool:
    """Whether nothing in an archive is packed, as we never pack: so it cannot unfold to more than it is."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
    plain = all(entry.compress_type == zipfile.ZIP_STORED and entry.flag_bits & 1 == 0 for entry in entries)
    return plain and sum(entry.file_size for entry in entries) <= len(content)


def _even(arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Whether the columns of an attack's unit are of the same samples; what was judged only has none of them."""
    return "x" not in arrays or len({len(arrays[name]) for name in _COLUMNS if name in arrays}) == 1
