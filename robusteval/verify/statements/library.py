"""What signs and checks signatures: an extra, so this is imported by functions only."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError

# the package says in its documentation only which of its names are public
from securesystemslib.signer import CryptoSigner, Key, Signature, SSlibKey  # type: ignore[attr-defined]

__all__ = [
    "CryptoSigner",
    "Ed25519PrivateKey",
    "Ed25519PublicKey",
    "EllipticCurvePublicKey",
    "Envelope",
    "Key",
    "SSlibKey",
    "Signature",
    "UnsupportedAlgorithm",
    "UnverifiedSignatureError",
    "serialization",
]
