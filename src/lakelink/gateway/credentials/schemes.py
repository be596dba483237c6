"""The kinds of password hashes, by how they begin (crypt(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lakelink.errors import UsageError


@dataclass(frozen=True, slots=True)
class Scheme:
    """A kind of hash."""

    name: str
    prefix: str
    pattern: re.Pattern[str]
    is_weak: bool = False  # cheap to try passwords against; such hashes are known and refused


_B64 = r"[./0-9A-Za-z]"
SCHEMES = (
    Scheme("yescrypt", "$y$", re.compile(rf"\$y\${_B64}+\${_B64}{{1,86}}\${_B64}{{43}}")),
    Scheme("gost-yescrypt", "$gy$", re.compile(rf"\$gy\${_B64}+\${_B64}{{1,86}}\${_B64}{{43}}")),
    Scheme("scrypt", "$7$", re.compile(rf"\$7\${_B64}{{11,97}}\${_B64}{{43}}")),
    Scheme("bcrypt", "$2b$", re.compile(rf"\$2[aby]\$[0-9]{{2}}\${_B64}{{53}}")),
    Scheme("sha512crypt", "$6$", re.compile(rf"\$6\$(rounds=[1-9][0-9]+\$)?[^$:\n]{{1,16}}\${_B64}{{86}}")),
    Scheme("sha256crypt", "$5$", re.compile(rf"\$5\$(rounds=[1-9][0-9]+\$)?[^$:\n]{{1,16}}\${_B64}{{43}}")),
    Scheme("md5crypt", "$1$", re.compile(rf"\$1\$[^$:\n]{{1,8}}\${_B64}{{22}}"), is_weak=True),
    Scheme("descrypt", "", re.compile(rf"{_B64}{{13}}"), is_weak=True),
)


def scheme_of(password_hash: str) -> Scheme:
    """The scheme of a hash.

    Raises:
        UsageError: it is none that is known, or one that is too weak. The hash is not repeated.
    """
    scheme = recognise(password_hash)
    if scheme is None:
        raise UsageError(
            "a password hash is of no known kind", hint="Known: yescrypt, bcrypt, sha512crypt, sha256crypt, scrypt."
        )
    if scheme.is_weak:
        raise UsageError(f"a {scheme.name} hash is too weak to keep", hint="Give the user a new password.")
    return scheme


def recognise(password_hash: str) -> Scheme | None:
    """The scheme of a hash, weak ones too; None where it is none, as for a locked entry of shadow(5)."""
    return next((scheme for scheme in SCHEMES if scheme.pattern.fullmatch(password_hash)), None)
