"""PyTorch files: pickles with code inside, bombs, weights of odd names and shapes. Nothing of theirs is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from tests.hostile.base import inspect
from tests.hostile.case import Case, Place
from tests.hostile.data import inflating
from tests.hostile_text import EVIL

STATE = {"0.weight": torch.ones(3, 64), "0.bias": torch.zeros(3)}
NET = """
import os, pathlib, torch

def make():
    pathlib.Path(os.environ["CANARY"]).touch()
    return torch.nn.Linear(64, 3)
"""


class Evil:
    """What leaves a canary where it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)


def _torch(content: Callable[[Place], Any], ending: str = ".pt", **how: Any) -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        torch.save(content(place), place.given / f"m{ending}", **how)
        return [*inspect(place, place.given / f"m{ending}"), "--shape", "1,8,8"]

    return make


def _bytes(content: Callable[[Place], bytes], ending: str = ".pt", *more: str) -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        (place.given / f"m{ending}").write_bytes(content(place))
        return [*inspect(place, place.given / f"m{ending}"), "--shape", "1,8,8", *more]

    return make


def _evil(place: Place) -> bytes:
    return pickle.dumps(Evil(place.canary))


def _saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _script(place: Place) -> bytes:
    """TorchScript, which is code."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(64, 3), torch.ones(1, 64)), buffer)
    return buffer.getvalue()


def _zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _tarred(place: Place) -> bytes:
    """The format before 2018, which pickles more."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = _evil(place)
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _storage(place: Place) -> bytes:
    """A tensor that says it is larger than what it lies in."""
    with zipfile.ZipFile(io.BytesIO(_saved({"w": torch.ones(3, 64)}))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith("data.pkl"))
    members[name] = members[name].replace(b"K@", b"M\xff\x7f")
    return _zipped(members)


def _tensors(head: object, data: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + data


def _arch(place: Place) -> list[object]:
    """A state dict with the author's code beside it, and nobody's trust."""
    (place.given / "net.py").write_text(NET)
    torch.save(STATE, place.given / "m.pt")
    return [*inspect(place, place.given / "m.pt"), "--shape", "1,8,8", "--arch", "net:make"]


def _link(place: Place) -> list[object]:
    (place.given / "m.pt").symlink_to("/dev/zero")
    return inspect(place, place.given / "m.pt")


F32 = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
FILES: dict[str, tuple[str, Callable[[Place], list[object]]]] = {
    "code": ("code in a pickle", _torch(lambda place: Evil(place.canary))),
    "code-legacy": (
        "code in a pickle of the old kind",
        _torch(lambda place: Evil(place.canary), _use_new_zipfile_serialization=False),
    ),
    "code-beside": ("code beside weights", _torch(lambda place: {"model": STATE, "x": Evil(place.canary)})),
    "code-key": ("code as a name of weights", _torch(lambda place: {**STATE, Evil(place.canary): torch.ones(1)})),
    "code-bare": ("a bare pickle with code", _bytes(_evil, ".pkl")),
    "code-tar": ("code in the format of 2017", _bytes(_tarred, ".tar")),
    "code-zip": (
        "code in an archive",
        _bytes(lambda place: _zipped({"m/data.pkl": _evil(place), "m/version": b"3"}), ".pth"),
    ),
    "code-trust": (
        "code beside weights, with --trust but no --arch",
        _bytes(lambda place: _saved({"model": STATE, "x": Evil(place.canary)}), ".pt", "--trust"),
    ),
    "arch": ("a state dict with --arch, without --trust", _arch),
    "script": ("TorchScript without --trust", _bytes(_script)),
    "script-constants": (
        "what says it is TorchScript, with code",
        _bytes(
            lambda place: _zipped(
                {
                    "m/constants.pkl": _evil(place),
                    "m/data.pkl": _evil(place),
                    "m/code/__torch__.py": b"",
                    "m/version": b"3",
                }
            )
        ),
    ),
    "exported": (
        "a .pt2 without --trust",
        _bytes(lambda place: _zipped({"m/archive_format": b"pt2", "m/data.pkl": _evil(place)}), ".pt2"),
    ),
    "bomb": ("an archive that unpacks to 9 GB", _bytes(lambda _: inflating("m/data.pkl", 9 * 10**9, 9 * 10**9))),
    "storage": ("a tensor larger than its data", _bytes(_storage)),
    "empty": ("no byte at all", _bytes(lambda _: b"")),
    "noise": ("random bytes", _bytes(lambda _: np.random.default_rng(0).bytes(5000))),
    "cut": ("half of a file", _bytes(lambda _: _saved(STATE)[:700])),
    "deep": (
        "lists within lists, 100,000 deep",
        _bytes(lambda _: b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", ".pkl"),
    ),
    "names": (
        "weights with odd names",
        _torch(lambda _: {EVIL["esc"] * 100: torch.ones(3), 5: torch.ones(1), None: torch.ones(1)}),
    ),
    "shapes": ("weights without values", _torch(lambda _: {"w": torch.ones(0, 3), "s": torch.ones(3).to_sparse()})),
    "state": ("weights without an architecture", _torch(lambda _: STATE)),
    "nothing": ("a list", _torch(lambda _: [1, 2, 3])),
    "device": ("a link to a device without an end", _link),
    "st-length": (
        "safetensors with a head of 2^62 bytes",
        _bytes(lambda _: (1 << 62).to_bytes(8, "little") + b"{}", ".safetensors"),
    ),
    "st-deep": ("safetensors with a deep head", _bytes(lambda _: _tensors(b"[" * 200_000), ".safetensors")),
    "st-overlap": (
        "safetensors that overlap",
        _bytes(lambda _: _tensors({"a": F32, "b": F32}, bytes(12)), ".safetensors"),
    ),
    "st-shape": (
        "safetensors of 2^62 values",
        _bytes(lambda _: _tensors({"a": F32 | {"shape": [1 << 62]}}, bytes(12)), ".safetensors"),
    ),
    "st-names": (
        "safetensors with odd names",
        _bytes(
            lambda _: safetensors.torch.save({EVIL["esc"]: torch.ones(3), "n" * 100_000: torch.ones(3)}), ".safetensors"
        ),
    ),
}


def cases() -> Iterator[Case]:
    """All of them."""
    for name, (tries, make) in FILES.items():
        yield Case(f"torch/{name}", tries, make)
