"""A copy of a module for the attacks' passes, with batch norms folded into the layers before them, where it can be
traced.

The module itself stays as it is and is the truth. A trace runs a stranger's forward once with symbols in place of
numbers, so whatever depends on numbers, on state or on the batch comes out wrong or not at all: the copy is used only
where it answers as the module does, and has its gradients.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from robusteval.loaders.pytorch.answers import Reading

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_IDLE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_ALIKE = 1e-3  # of the largest score: a ResNet-50 with random weights differs by 1e-4, from rounding alone
_SAME_WAY = 0.99  # cosine of the gradients: a ReLU at zero may go either way
_ROWS = 4


def folded(module: nn.Module) -> nn.Module | None:
    """The copy of a module in evaluation mode, or None where it cannot be traced or nothing in it can be folded."""
    if _hooked(module):
        return None  # they are no part of a trace
    try:
        traced = fx.symbolic_trace(copy.deepcopy(module))
        found = _fold(traced)
        if not found:
            return None
        traced.recompile()
        return traced.eval().requires_grad_(False)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException:  # noqa: BLE001 - a stranger's forward, given symbols, may do anything
        return None


def agrees(module: nn.Module, other: nn.Module, reading: Reading, x: Tensor) -> bool:
    """Whether both answer x [B, *shape] alike, together and alone, and have the same gradients."""
    try:
        for part in (x, x[:1], x[: _ROWS - 1]):
            with torch.no_grad():
                theirs, mine = reading.raw(module, part).double(), reading.raw(other, part).double()
            if not _near(mine, theirs):
                return False
        theirs, mine = (_gradient(item, reading, x[:_ROWS]) for item in (module, other))
        cosine = torch.nn.functional.cosine_similarity(mine, theirs, dim=1)
        return bool(((cosine >= _SAME_WAY) | (mine == theirs).all(1)).all())
    except Exception:  # noqa: BLE001 - see above; both were asked before as they are
        return False


def _gradient(module: nn.Module, reading: Reading, x: Tensor) -> Tensor:
    leaf = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        (grad,) = torch.autograd.grad(reading.raw(module, leaf).amax(1).sum(), leaf)
    return grad.double().flatten(1)


def _near(mine: Tensor, theirs: Tensor) -> bool:
    if mine.shape != theirs.shape or not bool(torch.isfinite(mine).all()):
        return False
    return float((mine - theirs).abs().max()) <= _ALIKE * max(1e-12, float(theirs.abs().max()))


def _fold(traced: fx.GraphModule) -> int:
    """Folds and cuts in place; the number of batch norms that are gone."""
    parts, count = dict(traced.named_modules()), 0
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or len(node.all_input_nodes) != 1 or node.kwargs:
            continue
        layer = parts[str(node.target)]
        if type(layer) in _IDLE and not layer.training and not _hooked(layer):
            _cut(traced, node)
        elif type(layer) in _NORMS and not layer.training and not _hooked(layer):
            before = node.all_input_nodes[0]
            made = _with_norm(parts.get(str(before.target)), layer) if _only(before, node) else None
            if made is not None:
                name = f"folded_{count}"  # a layer may be called in several places
                traced.add_submodule(name, made)
                before.target, count = name, count + 1
                parts[name] = made
                _cut(traced, node)
    traced.delete_all_unused_submodules()
    return count


def _only(before: fx.Node, node: fx.Node) -> bool:
    return before.op == "call_module" and set(before.users) == {node}


def _with_norm(layer: nn.Module | None, norm: nn.Module) -> nn.Module | None:
    """A new layer that does both; None where they are no such pair."""
    if layer is None or _hooked(layer) or not isinstance(norm, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - no public one
        return None
    if norm.running_mean is None or norm.running_var is None:
        return None
    if (
        isinstance(layer, _CONVS) and type(layer) in _CONVS
    ):  # no class of its own, and no weights worked out at each call
        return fuse_conv_bn_eval(layer, norm)
    return fuse_linear_bn_eval(layer, norm) if type(layer) is nn.Linear else None


def _cut(traced: fx.GraphModule, node: fx.Node) -> None:
    node.replace_all_uses_with(node.all_input_nodes[0])
    traced.graph.erase_node(node)


def _hooked(module: nn.Module) -> bool:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name, None) for name in hooks)
