"""crypt(3) of the system's library: the one that wrote the hashes of shadow(5) reads them too. Bound by ctypes, which lets other threads run meanwhile."""

from __future__ import annotations

import ctypes
import functools
import hmac
import secrets

from lakelink.config.secret import Secret
from lakelink.errors import Unsupported

LIBRARIES = (
    "libcrypt.so.1",
    "libcrypt.so.2",
    None,
)  # libxcrypt by both its names; the C library itself, as musl has it
STATE_BYTES = 256 << 10  # struct crypt_data: 32 KiB in libxcrypt, 128 KiB in old glibc
LONGEST_PASSWORD_BYTES = 511  # CRYPT_MAX_PASSPHRASE_SIZE without its NUL
ROUNDS = 200_000  # of sha512crypt, where yescrypt is not there
_SALT = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def crypt(password: str, setting: str) -> str:
    """The hash of a password under the setting of another hash; "" where the library does not know that kind, or the password cannot be hashed.

    Takes as long as the kind is made to take; other threads go on.

    Raises:
        Unsupported: there is no such library.
    """
    phrase = password.encode("utf-8", "surrogateescape")
    if b"\0" in phrase or len(phrase) > LONGEST_PASSWORD_BYTES:
        return ""
    state = ctypes.create_string_buffer(STATE_BYTES)
    raw = _crypt_r()(phrase, setting.encode("utf-8"), state)
    return "" if not raw or raw.startswith(b"*") else str(raw, "ascii", "replace")


def matches(password: str, password_hash: str) -> bool:
    """Whether the hash is one of this password. The comparison takes the same time however alike they are.

    Raises:
        Unsupported: there is no such library.
    """
    found = crypt(password, password_hash)
    return bool(found) and hmac.compare_digest(found.encode(), password_hash.encode("utf-8", "surrogateescape"))


def hash_password(password: Secret) -> str:
    """A new hash: yescrypt at the library's own cost; sha512crypt where it does not know that.

    Raises:
        Unsupported: the password cannot be hashed (empty, a NUL byte, longer than 511 bytes), or there is no library.
    """
    if not password:
        raise Unsupported("an empty password lets everybody in", hint="Give one, or leave the user with keys only.")
    for setting in (_yescrypt_setting(), f"$6$rounds={ROUNDS}${_salt(16)}$"):
        if setting and (made := crypt(password.reveal(), setting)):
            return made
    raise Unsupported(
        "the password cannot be hashed", hint=f"At most {LONGEST_PASSWORD_BYTES} bytes and no NUL; is libcrypt there?"
    )


def knows(setting: str) -> bool:
    """Whether the library can check hashes of that kind.

    Raises:
        Unsupported: there is no such library.
    """
    return bool(crypt("-", setting))


def _salt(length: int) -> str:
    return "".join(secrets.choice(_SALT) for _ in range(length))


def _yescrypt_setting() -> str:
    """`$y$` with the parameters and the salt that the library takes for best; "" where it has no yescrypt."""
    for name in LIBRARIES:
        try:
            gensalt = ctypes.CDLL(name).crypt_gensalt_rn
        except (OSError, AttributeError):
            continue
        gensalt.restype = ctypes.c_char_p
        gensalt.argtypes = [
            ctypes.c_char_p,
            ctypes.c_ulong,
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_int,
        ]
        output = ctypes.create_string_buffer(384)
        random = secrets.token_bytes(16)
        return str(gensalt(b"$y$", 0, random, len(random), output, len(output)) or b"", "ascii")
    return ""


@functools.cache
def _crypt_r() -> ctypes._FuncPointer:
    for name in LIBRARIES:
        try:
            function = ctypes.CDLL(name).crypt_r
        except (OSError, AttributeError):
            continue
        function.restype = ctypes.c_char_p
        function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p]
        return function
    raise Unsupported(
        "there is no crypt(3) on this machine", hint="Install libcrypt1 (Debian) or libxcrypt; keys work without it."
    )
