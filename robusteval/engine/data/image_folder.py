"""A folder of class folders with images in them, which are decoded when they are asked for."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robusteval.engine.data import images as stored
from robusteval.engine.data.images import CHANGED, Array, Lazy, Texts
from robusteval.engine.data.npz import LIMIT, TROUBLE, RawData, check_limit, unreadable
from robusteval.errors import DataError
from robusteval.plain import real

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow reads more kinds, some by running other programs
NAME = 200  # characters of a file's name that are kept
PIXELS = 2**26  # most pixels of one image
HINT = "Give a folder that holds one folder per class, with the images of that class in it."
_GREY = ("1", "L")
_COLOUR = ("RGB", "P", "CMYK", "YCbCr")
_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
_GREY_ALPHA = ("LA", "La")
_OPAQUE = "Store the images without it, put onto the background that the model was trained with."
_STRANGE = ("__MACOSX",)  # folders that unpacking leaves behind

Stored = str | IO[bytes]  # an image's path, or its content


def read_images(folder: Path, limit: int = LIMIT) -> RawData:
    """uint8 [N, H, W] (all grey) or [N, H, W, 3], labelled by the folders' names in sorted order.

    Folders that are all named by whole numbers are labelled by those numbers. Hidden files are passed over, and what
    archives of a Mac bring along. An alpha channel is left out where it is opaque. Of many
    images only the headers are looked at here. Raises DataError for images of differing size, links that lead outside
    the folder, and more than `limit` bytes of pixels.
    """
    files, labels, names = _listing(folder)
    home = str(folder.absolute())
    kind = kind_of(((name, f"{home}/{name}") for name in files), HINT)
    check_limit(len(files) * kind.width * kind.height * kind.channels, limit, folder)
    images = FolderImages(home, Texts(files), kind, (len(files), *kind.shape))
    return RawData(
        images[:] if images.nbytes <= stored.SMALL else images,
        np.array(labels, np.int64),
        names,
        folder.name,
        str(folder),
        kind.layout,
        tuple(name[-NAME:].encode("utf-8", "replace").decode() for name in files),
        kind.notes,
    )


@dataclass(frozen=True)
class Kind:
    """What images have in common. channels: 1 where all are grey, else 3; odd: kinds of pixels that are converted."""

    width: int
    height: int
    channels: int
    odd: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return (self.height, self.width) if self.channels == 1 else (self.height, self.width, 3)

    @property
    def layout(self) -> str:
        """As RawData has it."""
        return "" if self.channels == 1 else "NHWC"

    @property
    def notes(self) -> tuple[str, ...]:
        """As RawData has them."""
        to = "grey" if self.channels == 1 else "RGB"
        return (f"images of kind {', '.join(self.odd)} converted to {to}",) if self.odd else ()

    def decoded(self, name: str, content: Stored, hint: str) -> Array:
        """uint8 of `shape`. Raises DataError for an image that cannot be read, or is none of these any more."""
        try:
            with Image.open(content, formats=FORMATS) as image:
                if image.size != (self.width, self.height):
                    width, height = image.size
                    raise DataError(
                        f"{name} is {width}x{height}; it was {self.width}x{self.height} when it was first looked at.",
                        CHANGED,
                    )
                if image.mode in _ALPHA and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                    raise DataError(f"{name} has an alpha channel that is not opaque.", _OPAQUE)
                return np.asarray(image.convert("L" if self.channels == 1 else "RGB"))
        except DataError:
            raise
        except (*TROUBLE, Image.DecompressionBombError) as trouble:
            raise unreadable(name, trouble, hint) from trouble


@dataclass(frozen=True, eq=False)
class FolderImages(Lazy):
    """Images of one kind in the files of a folder. home: its path; files: their names below it."""

    home: str
    files: Texts
    kind: Kind
    shape: tuple[int, ...]
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.uint8))

    def _read(self, places: NDArray[np.int64]) -> Array:
        found = np.empty((len(places), *self.shape[1:]), np.uint8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a reader's remark about an odd file is of no use to the user
            for row, place in enumerate(places.tolist()):
                name = self.files[place]
                found[row] = self.kind.decoded(name.rpartition("/")[2], f"{self.home}/{name}", HINT)
        return found


def _listing(folder: Path) -> tuple[list[str], list[int], tuple[str, ...]]:
    """Image files below the folder in a fixed order, their labels, and the names of the classes (none for numbered
    folders)."""
    home = real(folder)
    classes = sorted(entry.name for entry in _entries(folder) if _leads_to(entry.is_dir))
    if not classes:
        raise DataError(f"{folder.name} holds no class folders.", HINT)
    numbered = all(name.isascii() and name.isdigit() and len(name) < 7 for name in classes)
    files: list[str] = []
    labels: list[int] = []
    for index, name in enumerate(classes):
        _check_inside(folder / name, home, name)
        found = sorted(_images(folder / name, home))
        if not found:
            raise DataError(f"The class folder {name} in {folder.name} holds no images.", HINT)
        files += [f"{name}/{file}" for file in found]
        labels += [int(name) if numbered else index] * len(found)
    return files, labels, () if numbered else tuple(classes)


def _entries(folder: Path) -> Iterable[os.DirEntry[str]]:
    """What a folder holds, but for hidden files. Raises DataError where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".") and entry.name not in _STRANGE]
    except OSError as error:
        raise unreadable(folder.name, error, HINT) from None


def _images(folder: Path, home: Path) -> Iterable[str]:
    """The image files in one class folder; none may lie outside `home`, where links would lead to other people's
    files."""
    for entry in _entries(folder):
        if Path(entry.name).suffix.lower() not in SUFFIXES:
            continue
        if entry.is_symlink():
            _check_inside(folder / entry.name, home, f"{folder.name}/{entry.name}")
        if _leads_to(entry.is_file):
            yield entry.name


def _leads_to(what: Callable[[], bool]) -> bool:
    """Whether an entry is that; a link that leads to itself is nothing."""
    try:
        return what()
    except OSError:
        return False


def _check_inside(path: Path, home: Path, shown: str) -> None:
    if not real(path).is_relative_to(home):
        raise DataError(f"{shown} is a link that leads outside {home.name}.", "Copy it there.")


def kind_of(images: Iterable[tuple[str, Stored]], hint: str) -> Kind:
    """What these images, (name, path or content), have in common, by their headers alone. Raises DataError where they
    do not agree."""
    sizes: Counter[tuple[int, int]] = Counter()
    first: dict[tuple[int, int], str] = {}  # a name for each size
    modes: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for path, content in images:
            size, mode = _header(path.rpartition("/")[2], content, hint)
            sizes[size] += 1
            first.setdefault(size, path.rpartition("/")[2])
            modes.add(mode)
    if len(sizes) > 1:
        counts = sizes.most_common(4)
        shown = ", ".join(f"{width}x{height} ({number} images)" for (width, height), number in counts)
        rare = counts[-1][0]
        raise DataError(
            f"The images differ in size: {shown}; {first[rare]} is {rare[0]}x{rare[1]}.",
            "Resize or crop them first, as the model's own preprocessing does; nothing is resized here.",
        )
    channels = 1 if modes <= {*_GREY, *_GREY_ALPHA} else 3
    return Kind(*next(iter(sizes)), channels, tuple(sorted(modes - {"L" if channels == 1 else "RGB"})))


def _header(name: str, content: Stored, hint: str) -> tuple[tuple[int, int], str]:
    """(width, height) and kind of pixels of one image."""
    try:
        with Image.open(content, formats=FORMATS) as image:
            size, mode = image.size, image.mode
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as trouble:
        raise _too_large(name) from trouble
    except TROUBLE as trouble:
        raise unreadable(name, trouble, hint) from trouble
    if size[0] * size[1] > PIXELS:
        raise _too_large(name)
    _check_mode(name, mode)
    return size, mode


def _check_mode(name: str, mode: str) -> None:
    if mode not in _GREY + _COLOUR + _ALPHA:
        raise DataError(
            f"{name} has pixels of kind {mode}, not 8 bits a channel.",
            "Store such images as numbers in an .npz file and state --data-range.",
        )


def _too_large(name: str) -> DataError:
    return DataError(f"{name} has more than {PIXELS} pixels.", "No classifier takes images of that size: shrink it.")
