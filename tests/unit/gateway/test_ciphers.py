"""AES-GCM with its key kept: packet for packet what asyncssh's own makes and takes."""

from __future__ import annotations

import hashlib
import os

import pytest
from asyncssh.encryption import get_encryption

from lakelink.gateway.server.ciphers import KeptGcm, keep_key

NONCES = [bytes(12), hashlib.sha256(b"any").digest()[:12], b"fixd" + b"\xff" * 7 + b"\xfe"]


def pair(name, nonce):
    """The same encryption twice, the first with its key kept."""
    key = os.urandom(16 if b"128" in name else 32)
    ours, theirs = (get_encryption(name, key, nonce) for _ in range(2))
    for each in (ours, theirs):
        each.encrypt_packet(0, b"\0\0\0\x10", bytes(16))  # a connection may have used it already
    keep_key(ours)
    assert isinstance(ours._cipher, KeptGcm)
    return ours, theirs


@pytest.mark.parametrize("name", [b"aes128-gcm@openssh.com", b"aes256-gcm@openssh.com"])
@pytest.mark.parametrize("nonce", NONCES, ids=["zeros", "any", "overflow"])
def test_packets_are_the_same_byte_for_byte_as_many_as_come(name, nonce):
    ours, theirs = pair(name, nonce)
    for size in (16, 64, 16, 32768):
        header, data = size.to_bytes(4, "big"), os.urandom(size)
        packet = b"".join(ours.encrypt_packet(0, header, data))
        assert packet == b"".join(theirs.encrypt_packet(0, header, data))


@pytest.mark.parametrize("nonce", NONCES, ids=["zeros", "any", "overflow"])
def test_what_the_other_side_encrypts_is_read_and_what_was_changed_on_the_way_is_not(nonce):
    ours, theirs = pair(b"aes128-gcm@openssh.com", nonce)
    for spoiled in (None, 0, 5, -1, None):
        packet = bytearray(b"".join(theirs.encrypt_packet(0, b"\0\0\0\x20", b"x" * 32)))
        if spoiled is not None:
            packet[spoiled] ^= 1
        first, rest, mac = bytes(packet[:16]), bytes(packet[16:-16]), bytes(packet[-16:])
        read = ours.decrypt_packet(0, first, rest, 4, mac)
        assert read == (b"x" * 32 if spoiled is None else None)


def test_other_ciphers_stay_as_they_are():
    for name in (b"chacha20-poly1305@openssh.com", b"aes256-ctr"):
        mac = b"hmac-sha2-256-etm@openssh.com" if b"ctr" in name else b""
        key, nonce = os.urandom(64 if b"chacha" in name else 32), os.urandom(16)
        encryption = get_encryption(name, key, nonce, mac, os.urandom(32), bool(mac))
        before = dict(vars(encryption))
        keep_key(encryption)
        assert vars(encryption) == before
    keep_key(None)
