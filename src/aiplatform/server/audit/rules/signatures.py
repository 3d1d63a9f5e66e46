"""Signatures on seals with an operator's Ed25519 key (RFC 8032).

A signature on a seal covers all seals before it, because each seal contains the previous seal's
hash.
"""

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

CONTEXT = b"aiplatform audit seal v1\n"
"""Prefix of the signed bytes, so that signatures on other data can't be used for a seal."""


class InvalidKeyError(ValueError):
    """The file does not contain an Ed25519 key of the expected kind."""


def make_key() -> tuple[bytes, bytes]:
    """Create a key pair; return the private and the public key in PEM format."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public


def read_private(pem: bytes) -> "Ed25519PrivateKey":
    """Return the private key in ``pem``.

    Raises:
        InvalidKeyError: when it contains none.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )

    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidKeyError("it holds no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidKeyError("it holds a key of another kind than Ed25519")
    return key


def read_public(pem: bytes) -> "Ed25519PublicKey":
    """Return the public key in ``pem``.

    Raises:
        InvalidKeyError: when it contains none.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidKeyError("it holds no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidKeyError("it holds a key of another kind than Ed25519")
    return key


def key_id(key: "Ed25519PublicKey") -> str:
    """Return the id of a key: 32 hexadecimal digits of its hash."""
    return sha256(key.public_bytes_raw()).hexdigest()[:32]


def sign(key: "Ed25519PrivateKey", head: bytes) -> bytes:
    """Sign the hash of a seal."""
    return key.sign(CONTEXT + head)


def is_signed(key: "Ed25519PublicKey", head: bytes, signature: bytes) -> bool:
    """Return True if ``signature`` is this key's signature on the hash of a seal."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

    try:
        key.verify(signature, CONTEXT + head)
    except InvalidSignature:
        return False
    return True
