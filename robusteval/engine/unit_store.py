"""Finished units on disk, so that a run can be killed at any moment and go on."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robusteval.engine.plan import file_name
from robusteval.engine.strengths import Strengths
from robusteval.engine.units import JudgedUnit, UnitResult
from robusteval.errors import RecordError
from robusteval.record.store import write_atomically

_COLUMNS = ("distance", "l2", "answer", "suspicion", "survives", "forwards", "backwards", "x")
_STRENGTHS = ("x", "fools", "answer", "distance", "l2")
_JUDGED = ("answer", "suspicion", "fools", "distance", "l2")


class UnitStore:
    """The folder `units/` of a run. Each unit is one .npz file, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "units"

    def prepare(self, plan_sha256: str, overwrite: bool) -> bool:
        """Makes the folder; returns whether units of the same plan are there. Raises RecordError where another plan's
        are, unless overwrite."""
        marker = self.folder / "plan.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = json.loads(marker.read_text()).get("plan") if marker.exists() else None
        except (OSError, ValueError, AttributeError) as error:
            raise RecordError(
                f"Cannot use the folder {self.folder.parent}: {error}.", "Choose another with --out."
            ) from None
        if found == plan_sha256 and not overwrite:
            return True
        others = list(self.folder.glob("*.npz"))
        if others and found is not None and found != plan_sha256 and not overwrite:
            raise RecordError(
                f"The folder {self.folder.parent} holds units of another run.",
                "Choose another folder with --out, or pass --overwrite to lose them.",
            )
        for path in others:
            path.unlink()
        try:
            write_atomically(marker, json.dumps({"plan": plan_sha256}).encode())
        except OSError as error:
            raise RecordError(f"Cannot write to {self.folder}: {error}.", "Choose another folder with --out.") from None
        return False

    def path(self, cell_id: str, chunk: int) -> Path:
        """Where a unit is kept."""
        return self.folder / f"{file_name(cell_id)}.{chunk}.npz"

    def save(self, cell_id: str, chunk: int, result: UnitResult | JudgedUnit) -> None:
        """Stores a finished unit at once."""
        arrays: dict[str, Any] = {}
        meta: dict[str, Any] = {"cell": cell_id, "chunk": chunk, "seconds": result.seconds}
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
        buffer = io.BytesIO()
        np.savez(buffer, meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8), **arrays)
        write_atomically(self.path(cell_id, chunk), buffer.getvalue())

    def load(self, cell_id: str, chunk: int) -> UnitResult | None:
        """A finished unit of an attack cell, or None where there is none that can be read."""
        found = self._read(cell_id, chunk)
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
                watched=Counter(meta.get("watched", {})),
                by_target=torch.from_numpy(arrays["by_target"]) if "by_target" in arrays else None,
                member=torch.from_numpy(arrays["member"]) if "member" in arrays else None,
                blind=torch.from_numpy(arrays["blind"]) if "blind" in arrays else None,
            )
        except KeyError:
            return None

    def load_judged(self, cell_id: str, chunk: int) -> JudgedUnit | None:
        """A finished unit of an oblivious cell, or None where there is none that can be read."""
        found = self._read(cell_id, chunk)
        if found is None:
            return None
        meta, arrays = found
        try:
            columns = {name: torch.from_numpy(arrays[name]) for name in _JUDGED}
            return JudgedUnit(values=meta["values"], seconds=meta["seconds"], **columns)
        except KeyError:
            return None

    def _read(self, cell_id: str, chunk: int) -> tuple[dict[str, Any], dict[str, Any]] | None:
        try:
            # from memory: numpy leaves the file open when the archive is broken
            content = io.BytesIO(self.path(cell_id, chunk).read_bytes())
            with np.load(content, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = json.loads(arrays.pop("meta").tobytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return (meta, arrays) if meta.get("cell") == cell_id else None
