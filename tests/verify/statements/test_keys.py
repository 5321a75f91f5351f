"""Keys in files: which are taken, and in one sentence why another is not."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from robusteval.errors import RobustEvalError
from robusteval.verify.statements import keys
from tests.verify.statements.conftest import Signed

Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ed448.Ed448PrivateKey


def pair(folder: Path, key: Private, password: bytes | None = None) -> tuple[Path, Path]:
    """Both halves as files."""
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "k.pem").write_bytes(private)
    (folder / "k.pub").write_bytes(public)
    return folder / "k.pem", folder / "k.pub"


@pytest.mark.parametrize(
    "make",
    [
        ed25519.Ed25519PrivateKey.generate,
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ec.generate_private_key(ec.SECP521R1()),
    ],
)
def test_these_keys_sign_and_check(signed: Signed, make: type) -> None:
    private, public = pair(signed.folder, make())
    signature = signed.sign(signed.statement.read_bytes(), private)
    assert signed.check(signature, public) == (True, "")
    assert not signed.check(signature)[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate,
    ],
)
def test_these_keys_are_refused(tmp_path: Path, make: type) -> None:
    private, public = pair(tmp_path, make())
    with pytest.raises(RobustEvalError, match="neither Ed25519 nor ECDSA"):
        keys.private_key(private, lambda: None)
    with pytest.raises(RobustEvalError, match="neither Ed25519 nor ECDSA"):
        keys.public_key(public, tmp_path / "run")


def test_an_encrypted_key_needs_its_password(tmp_path: Path) -> None:
    private, _ = pair(tmp_path, ed25519.Ed25519PrivateKey.generate(), b"secret")
    assert keys.private_key(private, lambda: "secret").public_key.scheme == "ed25519"
    with pytest.raises(RobustEvalError, match="its password was not given") as refused:
        keys.private_key(private, lambda: None)
    assert "ROBUSTEVAL_KEY_PASSWORD" in refused.value.hint
    for wrong in ("Secret", "\udcff"):
        with pytest.raises(RobustEvalError, match="its password is another one"):
            keys.private_key(private, lambda wrong=wrong: wrong)  # type: ignore[misc]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a key",
        b"\x00" * 100,
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n",
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----" * 10_000,
    ],
)
def test_what_is_no_key_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    with pytest.raises(RobustEvalError):
        keys.private_key(path, lambda: "x")
    with pytest.raises(RobustEvalError):
        keys.public_key(path, tmp_path / "run")


def test_the_halves_are_told_apart(tmp_path: Path) -> None:
    private, public = pair(tmp_path, ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(RobustEvalError, match="is a public key"):
        keys.private_key(public, lambda: None)
    with pytest.raises(RobustEvalError, match="is a private key"):
        keys.public_key(private, tmp_path / "run")


@pytest.mark.parametrize("how", ["in it", "below it", "by a link", "by a detour"])
def test_a_key_that_lies_in_the_run_is_never_trusted(tmp_path: Path, how: str) -> None:
    run = tmp_path / "run"
    (run / "keys").mkdir(parents=True)
    _, public = pair(run / "keys" if how == "below it" else run, ed25519.Ed25519PrivateKey.generate())
    path = public
    if how == "by a link":
        path = tmp_path / "k.pub"
        path.symlink_to(public)
    elif how == "by a detour":
        path = tmp_path / "other" / ".." / "run" / "k.pub"
        (tmp_path / "other").mkdir()
    with pytest.raises(RobustEvalError, match="lies in the run itself"):
        keys.public_key(path, run)


def test_a_new_pair_is_its_owner_s_alone_and_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keyid = keys.new_key(path)
    public = tmp_path / "key.pub"
    assert keyid == keys.public_key(public, tmp_path / "run").keyid
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes(), public.read_bytes()
    for missing in (path, public):
        content = missing.read_bytes()
        missing.unlink()
        with pytest.raises(RobustEvalError, match="is never replaced"):
            keys.new_key(path)
        missing.write_bytes(content)
    assert (path.read_bytes(), public.read_bytes()) == before
    with pytest.raises(RobustEvalError, match="Cannot write"):
        keys.new_key(tmp_path / "no" / "key")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RobustEvalError, match="is never replaced"):
        keys.new_key(tmp_path / "pipe")


def test_without_the_packages_it_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "robusteval.verify.statements.library", raising=False)
    monkeypatch.delattr("robusteval.verify.statements.library", raising=False)
    monkeypatch.setitem(sys.modules, "securesystemslib.signer", None)
    with pytest.raises(RobustEvalError, match="not installed") as refused:
        keys.new_key(tmp_path / "key")
    assert "robusteval[sign]" in refused.value.hint
