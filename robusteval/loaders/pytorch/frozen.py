"""A copy of a module that nothing here can change the user's through: in evaluation mode, without gradients of weights;
and its fingerprint."""

from __future__ import annotations

import copy
import hashlib

import torch
from torch import Tensor, nn

from robusteval.errors import ModelError
from robusteval.loaders.pytorch.answers import first_line

_SWITCHED = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)  # noqa: SLF001 - they have no public one


def frozen_copy(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """(the copy, notes about its mode). Raises ModelError where it is no module, or cannot be copied."""
    if not isinstance(module, nn.Module):
        raise ModelError(f"A {type(module).__name__} is not a torch.nn.Module.", "Give an nn.Module.")
    module = getattr(module, "_orig_mod", module)  # what torch.compile wraps
    try:
        frozen = copy.deepcopy(module)
    except ModelError:
        raise
    except Exception as error:  # a module may hold anything, such as open files or locks
        raise ModelError(
            f"The module cannot be copied: {first_line(error)}.", "Detach its tensors before handing it over."
        ) from error
    notes = _modes(module)
    try:
        frozen.train(False)
    except Exception as error:  # noqa: BLE001 - exported programs refuse; strangers' train() may do anything
        if _exported(frozen) is None and notes:
            notes = (f"The module cannot be put into evaluation mode ({first_line(error)}); it is asked as it is.",)
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    return frozen, notes


def _modes(module: nn.Module) -> tuple[str, ...]:
    """What the module does as in training: switched off in the copy, or baked into a graph."""
    exported = _exported(module)
    baked = sorted({_name(node) for node in exported.nodes if _as_in_training(node)} if exported else _traced(module))
    if baked:
        return (
            (
                f"The program was written in training mode ({', '.join(baked)}), which cannot be changed any more: "
                "call eval() before the export."
            ),
        )
    training = [m for m in module.modules() if getattr(m, "training", False)]
    if not training or exported is not None:
        return ()
    kinds = sorted({type(m).__name__ for m in training if isinstance(m, _SWITCHED)})
    tail = f" ({', '.join(kinds)})" if kinds else ""
    return (f"The module was in training mode{tail}; a copy in evaluation mode is evaluated.",)


def _exported(module: nn.Module) -> torch.fx.Graph | None:
    """The graph of an exported program, whose modules' flags say nothing; None for any other module."""
    inner = getattr(module, "inner", module)
    if not isinstance(inner, torch.fx.GraphModule):
        return None
    kernels = [node for node in inner.graph.nodes if isinstance(node.target, torch._ops.OpOverload)]  # noqa: SLF001
    return inner.graph if kernels else None


def _name(node: torch.fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target)).split(".")[0]


# functions of a graph that are told whether they run as in training, and where
_TOLD = {
    "dropout": 2, "alpha_dropout": 2, "feature_dropout": 2, "native_dropout": 2, "batch_norm": 5,
    "native_batch_norm": 5,
    "cudnn_batch_norm": 5, "_native_batch_norm_legit": 5, "_native_batch_norm_legit_functional": 5,
}  # fmt: skip


def _as_in_training(node: torch.fx.Node) -> bool:
    index = _TOLD.get(_name(node)) if node.op == "call_function" else None
    if index is None:
        return False
    flag = node.args[index] if len(node.args) > index else node.kwargs.get("train", node.kwargs.get("training", False))
    return flag is True


def _traced(module: nn.Module) -> set[str]:
    """Functions that a TorchScript program runs as in training whatever its mode, since a trace wrote that down."""
    graph = getattr(getattr(module, "inner", module), "inlined_graph", None)
    if graph is None:
        return set()
    found = set()
    for name, index in _TOLD.items():
        for node in graph.findAllNodes(f"aten::{name}"):
            flag = list(node.inputs())[index].node()
            if flag.kind() == "prim::Constant" and flag.output().toIValue() is True:
                found.add(name)
    return found


def taken_at_once(module: nn.Module) -> int | None:
    """The number of inputs that an exported program is fixed to; None where it is not, or nothing says so."""
    graph = _exported(module)
    values = [node.meta.get("val") for node in graph.nodes if node.op == "placeholder"] if graph else []
    images = [value for value in values if isinstance(value, torch.Tensor) and value.dim() > 1]
    size = images[-1].shape[0] if images else None
    return size if isinstance(size, int) else None


def parameter_sha256(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters and buffers, in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if isinstance(value, Tensor):
            flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
            digest.update(flat.numpy().tobytes())
    return digest.hexdigest()
