"""A folder for many files, which is new or empty, so that nothing of somebody's is mixed with them."""

from __future__ import annotations

from pathlib import Path

from robusteval.errors import RecordError


def new_folder(folder: Path) -> None:
    """Makes the folder where it is not there. Raises RecordError where it cannot be made, or is not empty."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise RecordError(f"The folder {folder} is not empty.", "Give a new one.")
    except OSError as error:
        raise RecordError(f"Cannot write to {folder}: {error.strerror or error}.", "Give another folder.") from None
