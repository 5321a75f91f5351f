"""The content of a file of torch.save: tensors by torch's own safe reader, and, under --trust, past other pickled
objects.

Nothing pickled is ever run. Where weights lie beside other objects (a numpy scalar, an argparse Namespace, a class of
the author's), those become empty stand-ins, whose code and data are left out, and only the weights are read.
"""

from __future__ import annotations

import collections
import io
import pickle
from types import SimpleNamespace
from typing import Any, Self

import torch

from robusteval.errors import ModelError

_REFUSED = "Save the weights alone with torch.save(model.state_dict(), ...), or export the model to ONNX."
_DAMAGED = (
    RuntimeError, EOFError, ValueError, KeyError, AttributeError, IndexError, TypeError, OverflowError, AssertionError,
    RecursionError, UnicodeDecodeError, ImportError, MemoryError,
)  # fmt: skip
_REBUILT = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_tensor_v3")
_BUILTINS = {
    "set": set, "frozenset": frozenset, "list": list, "dict": dict, "tuple": tuple, "slice": slice, "range": range,
    "complex": complex, "bytearray": bytearray, "int": int, "float": float, "str": str, "bool": bool,
}  # fmt: skip


class _StandIn:
    """Takes the place of an object of any class: made, filled and called without doing anything."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> _StandIn:
        return self

    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, *_: Any) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)

    def append(self, *_: Any) -> None:
        """Of lists."""

    extend = add = update = append


class _Unpickler(pickle.Unpickler):
    """Builds tensors and plain containers; everything else becomes a stand-in."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the file stands for."""
        if module in ("builtins", "__builtin__") and name in _BUILTINS:
            return _BUILTINS[name]
        if module == "collections" and name in ("OrderedDict", "Counter", "deque"):
            return getattr(collections, name)
        if module == "torch._utils" and name in _REBUILT:
            return getattr(torch._utils, name)  # noqa: SLF001 - files name it
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            found = getattr(torch, name, None) or getattr(torch.storage, name, None)
            return _StandIn if found is None else found
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if (module, name) in (("torch", "Size"), ("torch", "device")):
            return getattr(torch, name)
        if (module, name) == ("torch.nn.parameter", "Parameter"):
            return torch.nn.Parameter
        return _StandIn


def _load(stream: Any, **_: Any) -> Any:
    return _Unpickler(stream).load()


# what torch.load asks of the module that it unpickles with
_READER = SimpleNamespace(Unpickler=_Unpickler, load=_load, UnpicklingError=pickle.UnpicklingError, __name__="pickle")


def read_weights(blob: bytes, name: str, trust: bool) -> tuple[Any, tuple[str, ...]]:
    """What torch.save wrote, and a note where objects were left out. Raises ModelError.

    Without trust only tensors and plain values are read.
    """
    try:
        return torch.load(io.BytesIO(blob), map_location="cpu", weights_only=True), ()
    except pickle.UnpicklingError as error:
        if not any(word in str(error) for word in ("Weights only", "weights_only", "Unsupported")):
            raise _not_torch(name) from error
        return _with_stand_ins(blob, name, trust, error)
    except _DAMAGED as error:
        raise _not_torch(name, ", or a damaged one") from error


def _with_stand_ins(blob: bytes, name: str, trust: bool, error: Exception) -> tuple[Any, tuple[str, ...]]:
    """The weights beside pickled objects. Raises ModelError where there are none, or there is no trust."""
    found = None
    try:
        found = torch.load(io.BytesIO(blob), map_location="cpu", pickle_module=_READER, weights_only=False)
    except (pickle.UnpicklingError, *_DAMAGED):
        pass
    if not _tensors_in(found):
        raise ModelError(
            f"{name} holds pickled Python objects (perhaps a whole module), and opening those runs code.", _REFUSED
        ) from error
    if not trust:
        raise ModelError(
            f"{name} holds pickled Python objects beside its weights, and opening those runs code.",
            f"With --trust the weights are read and the objects left out. {_REFUSED}",
        ) from error
    return found, ("Pickled objects beside the weights were left out, unopened.",)


def _tensors_in(found: Any, depth: int = 0) -> bool:
    if isinstance(found, torch.Tensor):
        return depth > 0
    values = found.values() if isinstance(found, dict) else found if isinstance(found, list | tuple) else ()
    return depth < 5 and any(_tensors_in(value, depth + 1) for value in values)


def _not_torch(name: str, tail: str = ": its content cannot be read") -> ModelError:
    hint = "Save it again with torch.save."
    return ModelError(f"{name} is not a PyTorch file{tail}.", hint)
