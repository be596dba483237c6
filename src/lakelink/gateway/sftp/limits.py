"""How much one SFTP session may ask for at once. Each bound is told to clients that ask (limits@openssh.com)."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpLimits:
    """Bounds of one session; what goes beyond them is refused, or waits."""

    packet_bytes: int = 256 * KIB  # a longer message ends the session, as OpenSSH does it
    read_bytes: int = 255 * KIB  # of one READ; a longer one is answered with so many
    write_bytes: int = 255 * KIB
    handles: int = 256  # open files and directories
    waiting_bytes: int = 4 * MIB  # received and not worked on yet: above it nothing more is read from the client
    unsent_bytes: int = 4 * MIB  # answered and not taken by the client yet: above it nothing more is worked on
    directory_rename_paths: int = 10_000  # a directory with more below it is not renamed where that means copies
