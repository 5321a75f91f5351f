"""Keys that lie in files: PEM, Ed25519 or ECDSA. No service is asked, and none that lies in a run is trusted.

The cryptography is securesystemslib's and pyca/cryptography's, an extra: `pip install 'robusteval[sign]'`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from robusteval.errors import RobustEvalError
from robusteval.plain import in_words, read_plain

if TYPE_CHECKING:
    from robusteval.verify.statements.library import CryptoSigner, SSlibKey

MAX_BYTES = 1 << 16  # of a key's file
PUBLIC = ".pub"  # what the public half's name ends in
_MAKE = "`robusteval sign --new-key KEY` makes a pair, and so does `openssl genpkey -algorithm ed25519 -out KEY`."
_PUBLIC_HINT = "Give the public half: `openssl pkey -in KEY -pubout` prints it."
_HEADS = (b"-----BEGIN ", b"PRIVATE KEY-----", b"PUBLIC KEY-----")


def private_key(path: Path, ask: Callable[[], str | None]) -> CryptoSigner:
    """What signs with the private key in a file. ask: for the password of one that is encrypted, None where there is
    nobody to ask. Raises RobustEvalError."""
    library = _library()
    content = _read(path)
    if _HEADS[0] + _HEADS[2] in content:
        raise RobustEvalError(f"{path} is a public key, and only a private one signs.", _MAKE)
    if _HEADS[1] not in content:
        raise RobustEvalError(f"{path} is no private key in PEM format.", _MAKE)
    password = None
    if b"ENCRYPTED" in content:
        password = ask()
        if not password:
            raise RobustEvalError(
                f"The key {path} is encrypted, and its password was not given.",
                "Type it when you are asked for it in a terminal, or set ROBUSTEVAL_KEY_PASSWORD.",
            )
    try:
        key = library.serialization.load_pem_private_key(content, password.encode() if password else None)
    except (ValueError, TypeError, library.UnsupportedAlgorithm):
        why = "its password is another one, or it is damaged" if password else "it is damaged, or of another kind"
        raise RobustEvalError(f"The key {path} cannot be read: {why}.", _MAKE) from None
    signer: CryptoSigner = library.CryptoSigner(key, _supported(key.public_key(), path))
    return signer


def public_key(path: Path, folder: Path) -> SSlibKey:
    """The public key in a file. folder: the run, in which no key is trusted: whoever wrote the run wrote that too.
    Raises RobustEvalError."""
    library = _library()
    if path.resolve().is_relative_to(folder.resolve()):
        raise RobustEvalError(
            f"The public key {path} lies in the run itself, so it says nothing about who signed.",
            "Take the signer's key from the signer, and keep it elsewhere.",
        )
    content = _read(path)
    if _HEADS[1] in content:
        raise RobustEvalError(f"{path} is a private key, which only its owner needs.", _PUBLIC_HINT)
    if _HEADS[0] + _HEADS[2] not in content:
        raise RobustEvalError(f"{path} is no public key in PEM format.", _PUBLIC_HINT)
    try:
        key = library.serialization.load_pem_public_key(content)
    except (ValueError, TypeError, library.UnsupportedAlgorithm):
        raise RobustEvalError(
            f"The key {path} cannot be read: it is damaged, or of another kind.", _PUBLIC_HINT
        ) from None
    return _supported(key, path)


def new_key(path: Path) -> str:
    """Makes a pair of Ed25519: the private key at the path, readable by its owner alone, the public one beside it with
    `.pub`. Gives its id. Neither may exist. Raises RobustEvalError."""
    library = _library()
    serialization = library.serialization
    key = library.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    other = path.with_name(path.name + PUBLIC)
    if os.path.lexists(other):
        raise RobustEvalError(f"{other} exists, and a key is never replaced.", "Give another name.")
    for file, content, mode in ((path, private, 0o600), (other, public, 0o644)):
        _create(file, content, mode)
    return _supported(key.public_key(), path).keyid


def _create(path: Path, content: bytes, mode: int) -> None:
    """Writes a file that is not there yet, with its permissions from the first byte on. Raises RobustEvalError."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except FileExistsError:
        raise RobustEvalError(f"{path} exists, and a key is never replaced.", "Give another name.") from None
    except OSError as error:
        raise RobustEvalError(f"Cannot write {path}: {in_words(error)}.", "Give another place.") from None


def _read(path: Path) -> bytes:
    try:
        return read_plain(path, MAX_BYTES)
    except OSError as error:
        raise RobustEvalError(f"Cannot read the key {path}: {in_words(error)}.", _MAKE) from None


def _supported(key: Any, path: Path) -> SSlibKey:
    """The key as securesystemslib has it, with its usual id. Raises RobustEvalError for kinds whose strength depends on
    how they were made."""
    library = _library()
    try:
        if not isinstance(key, library.Ed25519PublicKey | library.EllipticCurvePublicKey):
            raise TypeError("RSA, or something rarer")
        supported: SSlibKey = library.SSlibKey.from_crypto(key)
    except (TypeError, ValueError):
        raise RobustEvalError(
            f"The key {path} is neither Ed25519 nor ECDSA on a curve P-256, P-384 or P-521.", _MAKE
        ) from None
    return supported


def _library() -> ModuleType:
    """The packages that do it. Raises RobustEvalError where they are not installed."""
    try:
        from robusteval.verify.statements import library
    except ImportError:
        raise RobustEvalError(
            "The packages that sign and check signatures are not installed.", "pip install 'robusteval[sign]'"
        ) from None
    return library
