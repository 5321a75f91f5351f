"""Starting processes without running the script that was started once more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def main_hidden() -> Iterator[None]:
    """Processes that are spawned inside do not run the `__main__` script of this one, which multiprocessing has them do
    so that they find what is defined there; `__main__` is afterwards what it was."""
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    main.__file__, main.__spec__ = None, None
    try:
        yield
    finally:
        for name in ("__file__", "__spec__"):
            if name in kept:
                setattr(main, name, kept[name])
            else:
                delattr(main, name)
