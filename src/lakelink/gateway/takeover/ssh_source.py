"""A machine reached by the ssh client of this one. It needs a shell, cat, ls, stat and find of GNU or busybox there, and nothing of lakelink."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from lakelink.errors import NotPermitted, StorageError, Unreachable
from lakelink.gateway.takeover.source import MOST_BYTES, Node, Said, kind_of, run
from lakelink.model.entry import Kind

CONNECT_WITHIN_S = 20
WALK_WITHIN_S = 6 * 3600.0
_ABSENT, _FORBIDDEN = 44, 45
_FORM = "%y\\t%m\\t%U\\t%G\\t%s\\t%T@\\t%n\\t%D\\t%i\\t%l\\t%P\\0"
_TYPES = {"f": 0o100000, "d": 0o040000, "l": 0o120000, "p": 0o010000, "s": 0o140000, "c": 0o020000, "b": 0o060000}
_PATH = "PATH=$PATH:/usr/sbin:/sbin:/usr/bin:/bin; export PATH; LC_ALL=C; export LC_ALL; "


class SshSource:
    """One connection, shared by all questions; ssh's own settings (~/.ssh/config) say how the host is reached. Use it as a context."""

    def __init__(self, host: str, *, options: Sequence[str] = ()) -> None:
        if not host or host.startswith("-"):
            raise Unreachable(f"{host!r} is no host", hint="As for ssh: root@sftp.example.com.")
        self._host = host
        self._options = list(options)
        # A scan is one look: the same question is asked once.
        self._seen: dict[str, Node | None] = {}
        self._contents: dict[str, bytes | None] = {}
        self._directory = tempfile.TemporaryDirectory(prefix="lakelink-ssh-")

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            Unreachable: there is no connection, or it would need a question answered.
        """
        said = self._ssh("id -u")
        if said.status:
            self.__exit__()
            raise Unreachable(
                f"{self._host} cannot be reached by ssh: {said.complaint.strip().splitlines()[-1:] or ['no answer']}",
                hint=f"`ssh {self._host} true` has to work without a question.",
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._ssh("", "-O", "exit")
        self._directory.cleanup()

    @property
    def name(self) -> str:
        return f"ssh://{self._host}"

    @property
    def is_live(self) -> bool:
        return True

    def read(self, path: str) -> bytes | None:
        if path not in self._contents:
            said = self._checked(f"tail -c {MOST_BYTES} -- {shlex.quote(path)}", path, "f")
            self._contents[path] = None if said is None else said.output.encode("utf-8", "surrogateescape")
        return self._contents[path]

    def names(self, directory: str) -> list[str]:
        command = f"find {shlex.quote(directory.rstrip('/') + '/')} -mindepth 1 -maxdepth 1 -printf '%f\\0'"
        said = self._checked(command, directory, "d")
        return [] if said is None else sorted(said.output.split("\0")[:-1])

    def look(self, path: str) -> Node | None:
        if path not in self._seen:
            command = f"find -L {shlex.quote(path)} -maxdepth 0 -printf {shlex.quote(_FORM)}"
            said = self._checked(command, path, "e")
            self._seen[path] = None if said is None else _node(said.output.rstrip("\0"))
        return self._seen[path]

    def walk(self, tree: str) -> Iterator[Node]:
        command = f"find {shlex.quote(tree.rstrip('/') + '/')} -mindepth 1 -printf {shlex.quote(_FORM)}"
        said = self._checked(command, tree, "d", WALK_WITHIN_S)
        for line in (said.output if said else "").split("\0"):
            if line:
                yield _node(line)

    def ask(self, command: Sequence[str]) -> Said:
        quoted = shlex.join(command)
        return self._ssh(f"command -v {shlex.quote(command[0])} >/dev/null || exit 127; {quoted}")

    def _checked(self, command: str, path: str, test: str, within_s: float = 60.0) -> Said | None:
        """Run `command` where there is such a thing; None where there is nothing at the path."""
        quoted = shlex.quote(path)
        script = (
            f"test -e {quoted} || {{ test -x {shlex.quote(_parent(path))} || test ! -e {shlex.quote(_parent(path))}"
            f" || exit {_FORBIDDEN}; exit {_ABSENT}; }}; test -{test} {quoted} || exit {_ABSENT};"
            f" test -r {quoted} || exit {_FORBIDDEN}; {command}"
        )
        said = self._ssh(script, within_s=within_s)
        if said.status == _ABSENT:
            return None
        if said.status == _FORBIDDEN:
            raise NotPermitted(
                f"{path} on {self._host} may not be read", hint=f"Connect as root: --from-ssh root@{self._host}."
            )
        if said.status == 255:
            raise Unreachable(
                f"the connection to {self._host} broke: {said.complaint.strip()[-200:]}", hint="Try it again."
            )
        if said.status:
            raise StorageError(
                f"{path} on {self._host} cannot be read: {said.complaint.strip()[-200:]}",
                hint="Copy the tree here, and scan it with --root.",
            )
        return said

    def _ssh(self, script: str, *options: str, within_s: float = 60.0) -> Said:
        control = Path(self._directory.name) / "s"
        command = [
            "ssh", *self._options, "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_WITHIN_S}", "-o", "ControlMaster=auto",
            "-o", f"ControlPath={control}", "-o", "ControlPersist=60", "-o", "ServerAliveInterval=15", "-T", *options, self._host,
        ]  # fmt: skip
        # The script goes to a shell of our choice: the user's own may be none that quotes as this one does.
        tail = [] if options else ["--", "sh", "-s"]
        return run(
            [*command, *tail], given=(_PATH + script + "\n").encode("utf-8", "surrogateescape"), within_s=within_s
        )


def _parent(path: str) -> str:
    return path.rstrip("/").rpartition("/")[0] or "/"


def _node(line: str) -> Node:
    letter, mode, uid, gid, size, mtime, links, device, inode, target, path = line.split("\t", 10)
    whole, _, part = mtime.partition(".")
    full = _TYPES.get(letter, 0) | int(mode, 8)
    kind = kind_of(full) if letter in _TYPES else Kind.OTHER
    stamp = int(whole) * 1_000_000_000 + int((part + "0" * 9)[:9])
    return Node(path, kind, full, int(uid), int(gid), int(size), stamp, int(links), (int(device), int(inode)), target)
