"""Old names of public fields: they still answer, and say what they are called now."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def warn(old: str, new: str, stacklevel: int = 3) -> None:
    """One DeprecationWarning, at the line that used the old name."""
    warnings.warn(f"{old} is called {new} since robusteval 0.2.", DeprecationWarning, stacklevel=stacklevel)


def formerly(old: str, new: str) -> Callable[[type[T]], type[T]]:
    """Lets a dataclass be read, made and replaced (`dataclasses.replace`) by the old name of its field `new` as
    well."""

    def decorate(kind: type[T]) -> type[T]:
        plain: Callable[..., None] = kind.__init__

        @functools.wraps(plain)
        def init(self: T, *args: Any, **kwargs: Any) -> None:
            if old in kwargs:
                warn(f"{kind.__name__}({old}=...)", new)
                kwargs[new] = kwargs.pop(old)  # replace() hands over the unchanged field besides
            plain(self, *args, **kwargs)

        def read(self: T) -> Any:
            warn(f"{kind.__name__}.{old}", new)
            return getattr(self, new)

        signature = inspect.signature(plain)
        also = inspect.Parameter(old, inspect.Parameter.KEYWORD_ONLY, default=None)
        init.__signature__ = signature.replace(parameters=[*signature.parameters.values(), also])  # type: ignore[attr-defined]
        kind.__init__ = init  # type: ignore[method-assign,assignment]
        setattr(kind, old, property(read))
        return kind

    return decorate
