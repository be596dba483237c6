"""What a forced command or a subsystem line runs, and with which options sftp-server(8) is started."""

from __future__ import annotations

from dataclasses import dataclass, field

from lakelink.gateway.takeover.words import split

SFTP_SHELLS = {"rssh", "scponly", "scponlyc", "MySecureShell", "mysecureshell", "sftp-server"}
CLOSED_SHELLS = {"nologin", "false", "true"}


@dataclass(slots=True)
class SftpCommand:
    """`is_internal`: sshd serves SFTP itself, and needs no shell for that."""

    is_sftp: bool
    is_internal: bool = False
    start: str = ""  # -d
    umask: int | None = None  # -u
    is_read_only: bool = False  # -R
    troubles: list[str] = field(default_factory=list)  # options that the gateway has nothing for
    notes: list[str] = field(default_factory=list)  # options that lose nothing


def read_command(command: str) -> SftpCommand:
    """Understand a command line. One that runs anything but SFTP has `is_sftp` False."""
    try:
        words = split(command)
    except ValueError as error:
        return SftpCommand(False, troubles=[f"{command!r}: {error}"])
    program = words[0] if words else ""
    is_internal = program == "internal-sftp"
    if not is_internal and program.rsplit("/", 1)[-1] != "sftp-server":
        return SftpCommand(False)
    found = SftpCommand(True, is_internal)
    _read_options(found, words[1:])
    return found


def _read_options(found: SftpCommand, words: list[str]) -> None:
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("-") or len(word) < 2:
            found.troubles.append(f"{word!r} is not understood")
            continue
        for at, letter in enumerate(word[1:], 2):
            if letter in "eRh":
                found.is_read_only = found.is_read_only or letter == "R"
                continue
            if letter not in "dfluPpQ":
                found.troubles.append(f"-{letter} is not understood")
                break
            value = word[at:] or (queue.pop(0) if queue else "")
            _take(found, letter, value)
            break


def _take(found: SftpCommand, letter: str, value: str) -> None:
    match letter:
        case "d":
            found.start = value
        case "u" if value and all(digit in "01234567" for digit in value):
            found.umask = int(value, 8)
        case "l" | "f":
            found.notes.append(f"-{letter} {value}: the gateway's audit log has every operation")
        case "P" | "p":
            found.troubles.append(f"-{letter} {value}: single requests cannot be allowed or forbidden")
        case _:
            found.troubles.append(f"-{letter} {value} is not understood")


def shell_kind(shell: str) -> str:
    """`sftp` for shells that are there for file transfer alone, `closed` for those that end at once, else `shell`."""
    name = shell.rsplit("/", 1)[-1]
    if name in SFTP_SHELLS:
        return "sftp"
    return "closed" if name in CLOSED_SHELLS else "shell"
