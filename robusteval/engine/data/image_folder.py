"""A folder of class folders with images in them."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from robusteval.engine.data.npz import LIMIT, RawData, check_limit, readable
from robusteval.errors import DataError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow reads more kinds, some by running other programs
NAME = 200  # characters of a file's name that are kept
PIXELS = 2**26  # most pixels of one image
HINT = "Give a folder that holds one folder per class, with the images of that class in it."
_GREY = ("1", "L")
_COLOUR = ("RGB", "P", "CMYK", "YCbCr")
_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")


def read_images(folder: Path, limit: int = LIMIT) -> RawData:
    """uint8 [N, H, W] (all grey) or [N, H, W, 3], labelled by the folders' names in sorted order.

    Folders that are all named by whole numbers are labelled by those numbers. Hidden files are passed over. Raises
    DataError for images of differing size, links that lead outside the folder, and more than `limit` bytes of pixels.
    """
    files, labels, names = _listing(folder)
    sizes, modes = _headers(files)
    channels = 1 if set(modes) <= set(_GREY) else 3
    width, height = sizes[0]
    check_limit(len(files) * width * height * channels, limit, folder)
    shape = (len(files), height, width) if channels == 1 else (len(files), height, width, 3)
    images = np.empty(shape, np.uint8)
    for row, path in enumerate(files):
        with readable(path, HINT), Image.open(path, formats=FORMATS) as image:
            images[row] = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    odd = sorted(set(modes) - {"L" if channels == 1 else "RGB"})
    notes = (f"images of kind {', '.join(odd)} converted to {'grey' if channels == 1 else 'RGB'}",) if odd else ()
    layout = "" if channels == 1 else "NHWC"
    return RawData(
        images, np.array(labels, np.int64), names, folder.name, str(folder), layout, _short(files, folder), notes
    )


def _short(files: list[Path], folder: Path) -> tuple[str, ...]:
    """Names below the folder, for the record: the end of a very long one."""
    return tuple(path.relative_to(folder).as_posix()[-NAME:].encode("utf-8", "replace").decode() for path in files)


def _listing(folder: Path) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """Image files in a fixed order, their labels, and the names of the classes (none for numbered folders)."""
    home = folder.resolve()
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise DataError(f"{folder.name} holds no class folders.", HINT)
    numbered = all(path.name.isascii() and path.name.isdigit() and len(path.name) < 7 for path in classes)
    files: list[Path] = []
    labels: list[int] = []
    for index, class_folder in enumerate(classes):
        found = sorted(_images(class_folder, home))
        if not found:
            raise DataError(f"The class folder {class_folder.name} in {folder.name} holds no images.", HINT)
        files += found
        labels += [int(class_folder.name) if numbered else index] * len(found)
    return files, labels, () if numbered else tuple(path.name for path in classes)


def _images(folder: Path, home: Path) -> list[Path]:
    """The image files in one class folder; none may lie outside `home`, where links would lead to other people's
    files."""
    found = [path for path in folder.iterdir() if not path.name.startswith(".") and path.suffix.lower() in SUFFIXES]
    for path in (folder, *found):
        if not path.resolve().is_relative_to(home):
            raise DataError(
                f"{path.relative_to(folder.parent)} is a link that leads outside {home.name}.", "Copy it there."
            )
    return [path for path in found if path.is_file()]


def _headers(files: list[Path]) -> tuple[list[tuple[int, int]], list[str]]:
    """(width, height) and kind of each image, from the headers alone. Raises DataError when they do not agree."""
    sizes: list[tuple[int, int]] = []
    modes: list[str] = []
    for path in files:
        with readable(path, HINT):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            try:
                with Image.open(path, formats=FORMATS) as image:
                    sizes.append(image.size)
                    modes.append(image.mode)
            except (Image.DecompressionBombWarning, Image.DecompressionBombError) as trouble:
                raise _too_large(path) from trouble
        if sizes[-1][0] * sizes[-1][1] > PIXELS:
            raise _too_large(path)
        _check_mode(path, modes[-1])
    if len(set(sizes)) > 1:
        counts = Counter(sizes).most_common(4)
        shown = ", ".join(f"{width}x{height} ({number} images)" for (width, height), number in counts)
        rare = next(path for path, size in zip(files, sizes, strict=True) if size == counts[-1][0])
        raise DataError(
            f"The images differ in size: {shown}; {rare.name} is {counts[-1][0][0]}x{counts[-1][0][1]}.",
            "Resize or crop them first, as the model's own preprocessing does; nothing is resized here.",
        )
    return sizes, modes


def _check_mode(path: Path, mode: str) -> None:
    if mode in _ALPHA:
        raise DataError(f"{path.name} has an alpha channel.", "Store the images without it.")
    if mode not in _GREY + _COLOUR:
        raise DataError(
            f"{path.name} has pixels of kind {mode}, not 8 bits a channel.",
            "Store such images as numbers in an .npz file and state --data-range.",
        )


def _too_large(path: Path) -> DataError:
    return DataError(
        f"{path.name} has more than {PIXELS} pixels.", "No classifier takes images of that size: shrink it."
    )
