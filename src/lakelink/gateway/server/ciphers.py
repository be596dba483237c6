"""AES-GCM for packets with the key schedule kept: asyncssh makes it anew for each packet, which costs more than to encrypt a small one."""

from __future__ import annotations

from typing import Any

from asyncssh.crypto.cipher import GCMCipher
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FIXED_BYTES = 4  # of a nonce; the other eight count packets (RFC 5647, section 7.1)


def keep_key(encryption: Any) -> KeptGcm | None:
    """The encryption of one direction of a connection does so from now on. None, and no change, where it is not AES-GCM. Repeatable."""
    cipher = getattr(encryption, "_cipher", None)
    if type(cipher) is GCMCipher:
        cipher = encryption._cipher = KeptGcm(cipher._key, cipher._iv)  # noqa: SLF001  # there is no other way in
    return cipher if isinstance(cipher, KeptGcm) else None


class KeptGcm:
    """In place of asyncssh's `GCMCipher`: the same bytes."""

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._aead = AESGCM(key)
        self._fixed = nonce[:FIXED_BYTES]
        self._count = int.from_bytes(nonce[FIXED_BYTES:], "big")

    def encrypt_and_sign(self, header: bytes, data: bytes) -> tuple[bytes, bytes]:
        """The packet as it is sent, in one piece: who joins it with the second value, which is empty, copies nothing."""
        return header + self.encrypt(header, data), b""

    def encrypt(self, header: bytes, data: bytes) -> bytes:
        """What follows the header."""
        return self._aead.encrypt(self._nonce(), data, header)

    def verify_and_decrypt(self, header: bytes, data: bytes, mac: bytes) -> bytes | None:
        """What was sent; None where it is not what the other side has signed."""
        try:
            return self._aead.decrypt(self._nonce(), data + mac, header)
        except InvalidTag:
            return None

    def _nonce(self) -> bytes:
        """Another one for each packet."""
        count = self._count
        self._count = (count + 1) & 0xFFFF_FFFF_FFFF_FFFF
        return self._fixed + count.to_bytes(8, "big")
