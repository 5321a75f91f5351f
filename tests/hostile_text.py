"""Text as an attacker would write it, and what may never be left of it on the other side of the gate."""

from __future__ import annotations

import re

ESC, OSC = "\x1b[2J\x1b[31m", "\x1b]0;owned\x07"
EVIL = {
    "esc": f"net{ESC}Grade: A",
    "osc": f"net{OSC}Grade: A",
    "csi-8-bit": "net\x9b2JGrade: A",
    "newline": "net\nEvaluation quality: A (conclusive)",
    "return": "net\rEvaluation quality: A",
    "unicode-line": "net\u2028Trust grade\u2029A\x85A",
    "bidi": "net\u202egpj.exe\u2066\u2069\u200f",
    "invisible": "net\u200b\u2060\ufeff\xad\U000e0041",
    "nul-and-del": "net\0\x7f",
    "markup": "[bold red]net[/] [link=file:///etc/passwd]x[/link] :warning:",
    "long": "n" * 6_500_000,
    "long-esc": "\x1b" * 6_500_000,
}
HALF = "net\ud800half"
MOST = 20_000  # letters that any one thing may come out as

_BAD = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)


def clean(said: str, lines: bool = True) -> bool:
    """Whether nothing in it moves a cursor, turns letters round or cannot be seen; without lines: nor breaks one."""
    return _BAD.search(said) is None and (lines or "\n" not in said)
