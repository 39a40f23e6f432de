"""Signatures of models: who made a model, by Ed25519.

The signature is of the manifest, which has the checksum of the weights. It stands beside the manifest in
`NAME.sig`, a JSON text. The public keys of the makers that a machine trusts are PEM files in one folder.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracking_runtime.errors import ModelError
from tracking_runtime.files import atomic_write
from tracking_runtime.untrusted.files import open_file, read_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEYS_VARIABLE = "RSTRACK_MODEL_KEYS"
"""Environment variable with the folder of trusted public keys; default `~/.config/rstrack/model_keys`."""

REQUIRED_VARIABLE = "RSTRACK_REQUIRE_SIGNED_MODELS"
"""Environment variable; with 1, models without a valid signature are not loaded."""

SUFFIX = ".sig"

_ALGORITHM = "ed25519"
_MAX_SIGNATURE_BYTES = 4096
_is_required_here = False


def set_required(is_required: bool) -> None:
    """Set whether this process loads only models with a valid signature."""
    global _is_required_here
    _is_required_here = is_required


def is_required() -> bool:
    """Return whether this process loads only models with a valid signature."""
    return _is_required_here or os.environ.get(REQUIRED_VARIABLE, "") not in ("", "0")


def find_keys_folder() -> Path:
    """Return `$RSTRACK_MODEL_KEYS`, or `rstrack/model_keys` in the user's folder of settings."""
    if os.environ.get(KEYS_VARIABLE):
        return Path(os.environ[KEYS_VARIABLE])
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "rstrack" / "model_keys"


def make_key(path: Path) -> Path:
    """Create a private key that only its owner can read, and its public key beside it.

    Args:
        path: file of the private key, which must not exist. The public key is `NAME.pub.pem` beside it.

    Returns:
        Path of the public key.

    Raises:
        ModelError: a file exists or cannot be written.
    """
    serialization, ed25519 = _import_cryptography()
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_path = path.with_name(f"{path.stem}.pub.pem")
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    try:
        for target, content, mode in ((path, private, 0o600), (public_path, public, 0o644)):
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
    except FileExistsError as error:
        raise ModelError(f"{error.filename} exists already: choose another name") from error
    except OSError as error:
        raise ModelError(f"cannot write {error.filename}: {error.strerror}") from error
    return public_path


def sign(manifest: Path, key_path: Path, ask_password: Callable[[], str] | None = None) -> Path:
    """Sign a manifest, and write the signature beside it.

    Args:
        manifest: manifest of the model. Its weights must have been checked.
        key_path: PEM file of a private Ed25519 key.
        ask_password: function that returns the password of an encrypted key; None refuses such keys.

    Returns:
        Path of the signature.

    Raises:
        ModelError: the key cannot be read, or the signature cannot be written.
    """
    key = _read_private_key(key_path, ask_password)
    content = {
        "algorithm": _ALGORITHM,
        "public_key": _encode(key.public_key().public_bytes_raw()),
        "signature": _encode(key.sign(manifest.read_bytes())),
    }
    path = manifest.with_suffix(SUFFIX)
    try:
        with atomic_write(path) as partial_path:
            partial_path.write_text(json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror}") from error
    return path


def verify(manifest: Path, content: bytes, keys_folder: Path | None = None) -> Path:
    """Verify the signature of a manifest by the trusted public keys.

    Args:
        manifest: path of the manifest, beside its signature.
        content: content of the manifest, as it was or will be used.
        keys_folder: folder of the trusted public keys; None: `find_keys_folder`.

    Returns:
        Path of the public key that verifies the signature.

    Raises:
        ModelError: the signature is missing, malformed, or not of a trusted key.
    """
    signature = _read_signature(manifest.with_suffix(SUFFIX))
    folder = keys_folder or find_keys_folder()
    keys = _read_public_keys(folder)
    for path, key in keys.items():
        if _is_signed_by(key, signature, content):
            return path
    raise ModelError(
        f"{manifest} is not signed by a trusted key: none of {len(keys)} keys in {folder} verifies its "
        "signature; take the model and the public key from its maker again"
    )


def _read_signature(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            content = json.loads(file.read(_MAX_SIGNATURE_BYTES))
        if content["algorithm"] != _ALGORITHM:
            raise ValueError(f"algorithm must be {_ALGORITHM}")
        return base64.b64decode(content["signature"], validate=True)
    except FileNotFoundError as error:
        raise ModelError(
            f"{path} does not exist, and only signed models may be loaded: see rstrack models sign"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} is not a signature of a model: {error}") from error


def _read_public_keys(folder: Path) -> dict[Path, Ed25519PublicKey]:
    """Return the Ed25519 keys in a folder of PEM files. Raise ModelError if the folder cannot be trusted."""
    serialization, ed25519 = _import_cryptography()
    try:
        if folder.stat().st_mode & stat.S_IWOTH:
            raise ModelError(
                f"every user can write the folder of trusted keys {folder}: run chmod o-w {folder}"
            )
        paths = sorted(folder.glob("*.pem"))
        contents = {path: read_file(path) for path in paths}
    except OSError as error:
        raise ModelError(
            f"the folder of trusted keys {folder} cannot be read: {error.strerror}; create it, or set "
            f"{KEYS_VARIABLE}"
        ) from error
    keys = {}
    for path, content in contents.items():
        try:
            key = serialization.load_pem_public_key(content)
        except Exception as error:  # the library raises errors of many types
            raise ModelError(f"{path} is not a public key: {error}") from error
        if isinstance(key, ed25519.Ed25519PublicKey):
            keys[path] = key
    return keys


def _is_signed_by(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _read_private_key(path: Path, ask_password: Callable[[], str] | None) -> Ed25519PrivateKey:
    serialization, ed25519 = _import_cryptography()
    try:
        content = path.read_bytes()
        is_encrypted = b"ENCRYPTED" in content
        password = ask_password().encode() if is_encrypted and ask_password else None
        key = serialization.load_pem_private_key(content, password)
    except OSError as error:
        raise ModelError(f"cannot read the key {path}: {error.strerror}") from error
    except Exception as error:  # the library raises errors of many types
        raise ModelError(f"{path} is not a private key that can be read: {error}") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ModelError(f"{path} must be an Ed25519 key: make one by rstrack models key")
    return key


def _import_cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ModelError(
            "signatures of models need the library cryptography: pip install "
            "'remote_sensing_tracking[signatures]', or apt install python3-cryptography"
        ) from error
    return serialization, ed25519


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
