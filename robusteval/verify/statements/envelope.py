"""Signed statements: DSSE envelopes, as in-toto, Sigstore and SLSA have them.

https://github.com/secure-systems-lab/dsse. What is signed is the type and the bytes of the payload, so nothing of it is
read before its signature is known to be right.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robusteval.errors import RecordError
from robusteval.plain import in_words, read_plain
from robusteval.record.decode import decode, parse

if TYPE_CHECKING:
    from robusteval.verify.statements.library import CryptoSigner, Envelope, Key

PAYLOAD = "application/vnd.in-toto+json"
MAX_BYTES = 8 << 20  # of an envelope: a statement of the largest size, in base64
MOST = 16  # signatures in one envelope
_WHAT = "signed statement"
_HINT = "Give the file that `robusteval sign` wrote."


@dataclass
class _Signature:
    sig: str
    keyid: str = ""  # a hint, which nothing here depends on
    cert: str = ""  # some tools add one; nothing here depends on it either


@dataclass
class _Envelope:
    """The fields of an envelope, all of them texts."""

    payload: str
    payloadType: str  # noqa: N815 - the format's name
    signatures: list[_Signature]


def sign(content: bytes, signer: CryptoSigner) -> bytes:
    """The envelope with a statement's bytes and a signature, as JSON."""
    from robusteval.verify.statements.library import Envelope

    envelope = Envelope(content, PAYLOAD, {})
    envelope.sign(signer)
    return (json.dumps(envelope.to_dict(), indent=1) + "\n").encode()


def read(path: Path) -> Envelope:
    """An envelope from a file, of which nothing is believed yet. Raises RecordError."""
    from robusteval.verify.statements.library import Envelope

    try:
        text = read_plain(path, MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"Cannot read the signed statement {path}: {in_words(error)}.", _HINT) from None
    data: dict[str, Any] = parse(text, _WHAT, _HINT)
    found = decode(_Envelope, data, _WHAT)
    if not 1 <= len(found.signatures) <= MOST:
        raise RecordError(f"This signed statement has {len(found.signatures)} signatures, not 1 to {MOST}.", _HINT)
    # each by its place and not by its key's id, as the library takes no two of one id, and the id is only a hint
    rows = [{"keyid": str(place), "sig": row.sig} for place, row in enumerate(found.signatures)]
    try:
        return Envelope.from_dict({"payload": found.payload, "payloadType": found.payloadType, "signatures": rows})
    except (ValueError, TypeError, KeyError):
        raise RecordError("This is not a signed statement: what it holds is no base64.", _HINT) from None


def signed_by(envelope: Envelope, key: Key) -> bool:
    """Whether one of the signatures is of this key, over the payload and its type. Ids of keys are not looked at: they
    are hints that nobody has signed."""
    from robusteval.verify.statements.library import Signature, UnverifiedSignatureError

    content = envelope.pae()
    for signature in envelope.signatures.values():
        try:
            key.verify_signature(Signature(key.keyid, signature.signature), content)
        except UnverifiedSignatureError:
            continue
        return True
    return False
