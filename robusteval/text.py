"""The one gate for text that others wrote: a function for each medium that it may reach.

A model, a data file, a run's folder, a suite, a plugin and the words of a command may hold anything: codes that clear a
terminal or write "Grade: A" on it, line breaks that forge a line of a log, letters that turn the rest of a line round,
half of a surrogate pair that no file can hold, a name of six megabytes. Whatever of that leaves the program goes
through here; what a record keeps of it is cut to a length here.

Text of ordinary letters comes out as it went in. Going through twice changes nothing more, but for `csv_cell` and
`markdown`, which escape.
"""

from __future__ import annotations

import contextlib
import io
import re
from typing import TextIO, TypeVar

NAME = 300  # letters of a name in a record: of a model, a class, a file, a data set
SENTENCE = 2_000  # of what a plugin, a library or a file has to say
LINE = 8_000  # of one line in a terminal or a log, and of one value on a page
BLOCK = 200_000  # of a text of many lines
CELL = 32_000  # of a cell of a table: spreadsheets take 32,767 at most

# Controls (C0 and C1, ESC and line breaks among them), what Unicode breaks lines by, what turns the direction of
# letters or cannot be seen at all, halves of surrogate pairs, and what is no letter. U+200C and U+200D stay: Persian
# and Indic scripts are spelt with them.
_ODD = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
_PICTURE = re.compile(r"data:image/(?:png|svg\+xml);base64,[A-Za-z0-9+/]*={0,2}")
# what spreadsheets take for the start of a formula, in the full-width forms too
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")

T = TypeVar("T")


def line(text: object, most: int = LINE) -> str:
    """One line for a terminal, a log, JUnit, SARIF: what is no visible letter is shown as an escape, as Python writes
    it, and what is longer than `most` letters is cut, with its whole length told."""
    said = str(text)
    shown = _ODD.sub(_escaped, said[: most + 1])
    if len(said) <= most and len(shown) <= most:
        return shown
    told = f"... ({len(said)} characters)"
    return shown[: max(most - len(told), 0)] + told


def as_name(text: object) -> str:
    """A name as records keep it."""
    return line(text, NAME)


def as_sentence(text: object) -> str:
    """What a plugin, a library or a file says, as records and messages keep it."""
    return line(text, SENTENCE)


def block(text: object, most: int = BLOCK) -> str:
    """Several lines, as of a traceback or a suite: breaks between lines and tabs stay, the rest is as in `line`."""
    said = str(text)
    shown = "\n".join("\t".join(line(part, most) for part in row.split("\t")) for row in said[:most].split("\n"))
    return shown if len(said) <= most else f"{shown}... ({len(said)} characters)\n"


class Gated(io.TextIOBase):
    """A stream for what others print: everything goes through `block`; to nowhere, where there is no stream."""

    def __init__(self, inner: TextIO | None) -> None:
        self._inner = inner

    def write(self, text: str) -> int:
        """As of any stream."""
        if self._inner is not None:
            self._inner.write(block(text))
        return len(text)

    def flush(self) -> None:
        """As of any stream; what cannot be written any more is lost."""
        with contextlib.suppress(OSError, ValueError):
            if self._inner is not None:
                self._inner.flush()

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """That of what is behind it. Raises OSError where there is none."""
        return super().fileno() if self._inner is None else self._inner.fileno()


def csv_cell(value: T) -> T | str:
    """A value of a table for a spreadsheet: numbers as they are; text on one line, and with an apostrophe before what
    would be run as a formula."""
    if not isinstance(value, str):
        return value
    shown = line(value, CELL)
    risky = shown.lstrip().startswith(_FORMULA) or value[:1] in ("\t", "\r", "\n")
    return f"'{shown}" if risky else shown


def markdown(text: object) -> str:
    """Text inside a line of Markdown: its own signs escaped, white space as blanks."""
    flat = line(re.sub(r"\s+", " ", str(text)[: LINE + 1]))
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", flat)


def html(value: T) -> T | str:
    """A value on its way into a page, before the template escapes it: text as in `line`. Pictures that are nothing but
    base64 keep their length, and so does what is marked as safe, which is our own."""
    if not isinstance(value, str) or hasattr(value, "__html__") or _PICTURE.fullmatch(value):
        return value
    return line(value)


def encodable(text: str) -> bool:
    """Whether a file can hold it: there is no half of a surrogate pair in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
