"""Gallery images: only what is really a PNG gets into the page."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LIMIT = 2_000_000  # characters of base64 for one image


def png_uri(text: str) -> str | None:
    """A data: URI of a base64 PNG; None when it is not one (every chunk's length and checksum is checked)."""
    if not text or len(text) > LIMIT:
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if not _is_png(raw):
        return None
    return "data:image/png;base64," + base64.b64encode(raw).decode()


def _is_png(raw: bytes) -> bool:
    """IHDR first, IEND last, nothing after it, every checksum right."""
    if not raw.startswith(SIGNATURE):
        return False
    offset, kinds = len(SIGNATURE), []
    while offset + 12 <= len(raw):
        (length,) = struct.unpack(">I", raw[offset : offset + 4])
        end = offset + 12 + length
        if end > len(raw):
            return False
        body = raw[offset + 4 : end - 4]
        if zlib.crc32(body) != struct.unpack(">I", raw[end - 4 : end])[0]:
            return False
        kinds.append(body[:4])
        offset = end
    return offset == len(raw) and bool(kinds) and kinds[0] == b"IHDR" and kinds[-1] == b"IEND"
