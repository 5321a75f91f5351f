"""One pass where model and detector ask the same model about the same images at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_Key = tuple[int, str, int, int, bool]
# A context, not a cache: it lives as long as one question to a pipeline, so that no graph outlives its backward pass.
_ANSWERS: ContextVar[dict[_Key, tuple[Tensor, Tensor]] | None] = ContextVar("answers", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Inside, `shared` asks once for each model and tensor. Contexts may be nested; each forgets its own at its end."""
    token = _ANSWERS.set({})
    try:
        yield
    finally:
        _ANSWERS.reset(token)


def lent(x: Tensor) -> Tensor:
    """A copy of x for code of others: in one `sharing` the same copy for all who ask, until one of them writes into it.

    Differentiable: gradients of the copy are those of x.
    """
    known = _ANSWERS.get()
    if known is None:
        return x.clone()
    key = (0, "copy", id(x), x._version, torch.is_grad_enabled())  # noqa: SLF001 - torch counts writes there
    if key not in known or not torch.equal(known[key][1].detach(), x.detach()):
        known[key] = (x, x.clone())  # the tensor is kept, so that its id stays its own
    return known[key][1]


def shared(model: object, kind: str, x: Tensor, ask: Callable[[Tensor], Tensor]) -> Tensor:
    """ask(x), or what this model answered of this very tensor, unchanged since, in the same `sharing`.

    kind: "logits" or "twin"; the answer is one tensor for all who ask, so they must not write into it.
    """
    known = _ANSWERS.get()
    if known is None:
        return ask(x)
    key = (id(model), kind, id(x), x._version, torch.is_grad_enabled())  # noqa: SLF001 - the same
    if key not in known:
        known[key] = (x, ask(x))  # the tensor is kept, so that its id stays its own
    return known[key][1]
