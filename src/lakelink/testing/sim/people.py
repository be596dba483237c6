"""Users of a simulated machine: what they do to the files of a link between any two calls of the program."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass

from lakelink.model.path import OWN_DIRECTORY, join, split
from lakelink.ports.kernel import RENAME_EXCHANGE
from lakelink.testing.sim.disk import Disk
from lakelink.testing.sim.inode import Inode
from lakelink.testing.sim.kernel import SimKernel
from lakelink.testing.sim.ledger import Ledger, tokens_in

NAMES = ("a", "b", "c.txt", "d", "d/x", "d/y", "e/f/z", "e/f", "\u00e4", "bad\udcff", "sp ace")
_PENS = 3
_OLD = 6


@dataclass(slots=True)
class _Pen:
    """A file that a user has open for writing."""

    fd: int
    path: str
    mapped: bool = False


class People:
    """All users of one root. Whatever one of their acts makes disappear from what they see, they threw away."""

    def __init__(self, disk: Disk, kernel: SimKernel, root: str, ledger: Ledger, name: str) -> None:
        self.disk = disk
        self.kernel = kernel
        self._root = root
        self._ledger = ledger
        self._name = name
        self._pens: list[_Pen] = []
        self._old: list[bytes] = []
        self.bytes_of: Callable[[Inode], bytes | bytearray] = lambda inode: inode.data  # what whoever opens it reads
        self.meaning_of: Callable[[Inode], bytes | bytearray] = lambda inode: inode.data  # what is thrown away with it
        self._acts: list[tuple[int, Callable[[random.Random], str]]] = [
            (5, self._write),
            (3, self._save),
            (4, self._go_on),
            (2, self._append),
            (2, self._patch),
            (1, self._map),
            (3, self._rename),
            (1, self._swap),
            (3, self._remove),
            (1, self._remove_tree),
            (1, self._make_directory),
            (1, self._change_kind),
            (1, self._chmod),
            (1, self._touch),
            (1, self._symlink),
            (1, self._hard_link),
            (1, self._put_back),
        ]

    def act(self, choice: random.Random) -> str:
        """One act, and what it was in words."""
        (_, act) = choice.choices(self._acts, weights=[weight for weight, _ in self._acts])[0]
        return self._carry_out(lambda: act(choice), getattr(act, "__name__", "").strip("_"))

    def write_to(self, path: str, choice: random.Random) -> str:
        """Somebody changes that file, at this very moment."""
        act = choice.choice([self._append_to, self._save_over])
        return self._carry_out(lambda: act(path), "write to it")

    def rest(self) -> None:
        """Everybody closes what is open."""
        while self._pens:
            self._carry_out(lambda: self._close(self._pens[0]), "close")

    def power_failure(self) -> None:
        """Whatever was open is gone."""
        for inode in self._held():
            if not inode.nlink:
                self._ledger.excuse(tokens_in(inode.data), f"{self._name}: removed, and then the power failed")
        for pen in self._pens:
            self._write_back(pen)  # bytes that reach the disk take their time with them
        self._pens.clear()
        self.kernel.files.forget()

    def _carry_out(self, act: Callable[[], str], name: str) -> str:
        held, before, first = self._held(), self._visible(), self._ledger.count
        before |= self._out_of_sight(held)
        self.disk.actor = self._name
        try:
            told = f"{self._name}: {act()}"
        except OSError as error:
            told = f"{self._name}: {name}: {errno.errorcode.get(error.errno or 0, '?')}"
        finally:
            self.disk.actor = ""
        after = self._visible()
        after |= self._out_of_sight(held)
        self._ledger.act(before, after, told)
        self._ledger.excuse(self._ledger.since(first) - self._arrived(), "it was never in a file that has a name")
        return told

    def _out_of_sight(self, held: list[Inode]) -> dict[str, set[int]]:
        """What is in open files that have no name, or one where users do not look."""
        seen = {inode.serial for inode in self.files().values()}
        there = (inode for inode in held if inode.serial not in seen and (inode.nlink or inode.opens))
        return {f"open {inode.serial}": tokens_in(inode.data) for inode in there}

    def _held(self) -> list[Inode]:
        """Files that are open for writing, but not those whose name somebody else took away: what is in these, users did not throw away."""
        inodes = [self.kernel.files.inode(pen.fd) for pen in self._pens]
        return [inode for inode in inodes if inode.nlink or inode.orphaned_by == self._name]

    # What they see
    def files(self) -> dict[str, Inode]:
        """Everything below the root but lakelink's own, by path."""
        try:
            top = self._top()
        except OSError:
            return {}
        own = OWN_DIRECTORY.encode()
        return {
            os.fsdecode(path): inode
            for path, inode in self.disk.tree(top)
            if path != own and not path.startswith(own + b"/")
        }

    def _top(self) -> Inode:
        here = self.disk.top
        for component in self._root.strip("/").split("/"):
            here = self.disk.lookup(here, component.encode())
        return here

    def _visible(self) -> dict[str, set[int]]:
        return {path: tokens_in(self.meaning_of(inode)) for path, inode in self.files().items() if inode.is_file}

    def _arrived(self) -> set[int]:
        """Tokens in all files that have a name, and in those that are open and lost theirs to somebody else."""
        found: set[int] = set()
        for _, inode in self.disk.tree(self.disk.top):
            found |= tokens_in(inode.data)
        for pen in self._pens:
            inode = self.kernel.files.inode(pen.fd)
            if inode.orphaned_by != self._name:
                found |= tokens_in(inode.data)
        return found

    # Acts
    def read_too(self) -> None:
        """From now on they also read, which otherwise changes nothing and so is never done."""
        self._acts.append((6, self._read))

    def _read(self, choice: random.Random) -> str:
        path = self._some(choice, lambda i: i.is_file)
        if path is None:
            return "nothing to read"
        fd = self.kernel.open(self._at(path), os.O_RDONLY)
        self.kernel.close(fd)
        return f"read {path!r}"

    def _at(self, path: str) -> str:
        return join(self._root, path)

    def _some(self, choice: random.Random, wanted: Callable[[Inode], bool]) -> str | None:
        paths = [path for path, inode in self.files().items() if wanted(inode)]
        return choice.choice(paths) if paths else None

    def _new(self, choice: random.Random) -> str:
        path = choice.choice(NAMES)
        parent = split(path)[0]
        if parent:
            self._make_parents(parent)
        return path

    def _make_parents(self, parent: str) -> None:
        above = split(parent)[0]
        if above:
            self._make_parents(above)
        try:
            self.kernel.mkdir(self._at(parent))
        except FileExistsError:
            return

    def _bytes(self, path: str) -> bytes:
        return self._ledger.mint(f"{self._name}: {path!r}")

    def _write(self, choice: random.Random) -> str:
        """Open, truncate, write some; perhaps stay."""
        path = self._some(choice, lambda i: i.is_file) if choice.random() < 0.5 else None
        path = path or self._new(choice)
        fd = self.kernel.open(self._at(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        pen = _Pen(fd, path)
        self._pens.append(pen)
        for _ in range(choice.randint(0, 2)):
            self.kernel.write(fd, self._bytes(path))
        if len(self._pens) > _PENS or choice.random() < 0.6:
            self._close(pen)
            return f"write {path!r}"
        return f"begin to write {path!r}"

    def _save(self, choice: random.Random) -> str:
        """As editors do: another file, then a rename over the old one."""
        path = self._some(choice, lambda i: i.is_file) or self._new(choice)
        return self._save_over(path, synced=choice.random() < 0.5)

    def _save_over(self, path: str, *, synced: bool = False) -> str:
        beside = path + ".part"
        fd = self.kernel.open(self._at(beside), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self.kernel.write(fd, self._bytes(path))
        if synced:
            self.kernel.fdatasync(fd)
        self.kernel.close(fd)
        self._move(beside, path)
        return f"save {path!r}"

    def _go_on(self, choice: random.Random) -> str:
        if not self._pens:
            return "nobody writes"
        pen = choice.choice(self._pens)
        if choice.random() < 0.5:
            return self._close(pen)
        if pen.mapped:
            self._store(pen)
            return f"write on in {pen.path!r} through its mapping"
        self.kernel.write(pen.fd, self._bytes(pen.path))
        return f"write on in {pen.path!r}"

    def _close(self, pen: _Pen) -> str:
        self._pens.remove(pen)
        self._write_back(pen)
        self.kernel.close(pen.fd)
        return f"close {pen.path!r}"

    def _append(self, choice: random.Random) -> str:
        path = self._some(choice, lambda i: i.is_file)
        return "nothing to append to" if path is None else self._append_to(path)

    def _append_to(self, path: str) -> str:
        fd = self.kernel.open(self._at(path), os.O_WRONLY)
        try:
            self.kernel.pwrite(fd, self._bytes(path), self.kernel.fstat(fd).st_size)
        finally:
            self.kernel.close(fd)
        return f"append to {path!r}"

    def _patch(self, choice: random.Random) -> str:
        """New bytes in place, of the same length."""
        path = self._some(choice, lambda i: i.is_file)
        if path is None:
            return "nothing to patch"
        fd = self.kernel.open(self._at(path), os.O_WRONLY)
        try:
            self.kernel.pwrite(fd, self._bytes(path), 0)
        finally:
            self.kernel.close(fd)
        return f"patch {path!r}"

    def _map(self, choice: random.Random) -> str:
        """Written through a shared mapping: no call and no event. Its time moves with the first store, and again when it is written back."""
        path = self._some(choice, lambda i: i.is_file)
        if path is None or len(self._pens) > _PENS:
            return "nothing to map"
        fd = self.kernel.open(join(self._root, path), os.O_RDWR)
        pen = _Pen(fd, path, mapped=True)
        self._pens.append(pen)
        self._store(pen)
        self._write_back(pen)
        return f"write {path!r} through a mapping"

    def _store(self, pen: _Pen) -> None:
        inode = self.kernel.files.inode(pen.fd)
        token = self._bytes(pen.path)[: len(inode.data)]
        inode.data[: len(token)] = token
        self.disk.soil(inode)

    def _write_back(self, pen: _Pen) -> None:
        if pen.mapped:
            inode = self.kernel.files.inode(pen.fd)
            inode.mtime_ns = inode.ctime_ns = self.disk.now_ns()
            self.disk.soil(inode)

    def _move(self, old: str, new: str, flags: int = 0) -> None:
        top = self.kernel.open(self._root, os.O_PATH | os.O_DIRECTORY)
        try:
            self.kernel.rename(old, new, old_dir_fd=top, new_dir_fd=top, flags=flags)
        finally:
            self.kernel.close(top)

    def _rename(self, choice: random.Random) -> str:
        old, new = self._some(choice, lambda _: True), self._new(choice)
        if old is None:
            return "nothing to rename"
        self._move(old, new)
        return f"rename {old!r} to {new!r}"

    def _swap(self, choice: random.Random) -> str:
        one, other = self._some(choice, lambda i: i.is_file), self._some(choice, lambda i: i.is_file)
        if one is None or other is None or one == other:
            return "nothing to swap"
        self._move(one, other, RENAME_EXCHANGE)
        return f"swap {one!r} and {other!r}"

    def _remove(self, choice: random.Random) -> str:
        path = self._some(choice, lambda i: not i.is_directory)
        if path is None:
            return "nothing to remove"
        self.kernel.unlink(self._at(path))
        return f"remove {path!r}"

    def _remove_tree(self, choice: random.Random) -> str:
        path = self._some(choice, lambda i: i.is_directory)
        if path is None:
            return "no directory to remove"
        self._clear(path)
        return f"remove {path!r} and all below"

    def _clear(self, path: str) -> None:
        below = {p: i for p, i in self.files().items() if p == path or p.startswith(path + "/")}
        for one in sorted(below, reverse=True):
            remove = self.kernel.rmdir if below[one].is_directory else self.kernel.unlink
            remove(self._at(one))

    def _make_directory(self, choice: random.Random) -> str:
        path = self._new(choice)
        self.kernel.mkdir(self._at(path), choice.choice([0o755, 0o700]))
        return f"make the directory {path!r}"

    def _change_kind(self, choice: random.Random) -> str:
        """A file becomes a directory, or the other way round."""
        path = self._some(choice, lambda _: True)
        if path is None:
            return "nothing to turn over"
        was_directory = self.files()[path].is_directory
        self._clear(path)
        inside = path if was_directory else join(path, "inside")
        if not was_directory:
            self.kernel.mkdir(self._at(path))
        fd = self.kernel.open(self._at(inside), os.O_WRONLY | os.O_CREAT, 0o644)
        self.kernel.write(fd, self._bytes(inside))
        self.kernel.close(fd)
        return f"turn {path!r} into a {'file' if was_directory else 'directory'}"

    def _chmod(self, choice: random.Random) -> str:
        path = self._some(choice, lambda i: not i.is_link)
        if path is None:
            return "nothing to chmod"
        self.kernel.chmod(self._at(path), choice.choice([0o644, 0o600, 0o755, 0o750]))
        return f"chmod {path!r}"

    def _touch(self, choice: random.Random) -> str:
        path = self._some(choice, lambda i: i.is_file)
        if path is None:
            return "nothing to touch"
        now_ns = self.disk.now_ns()
        self.kernel.utime(self._at(path), ns=(now_ns, now_ns))
        return f"touch {path!r}"

    def _symlink(self, choice: random.Random) -> str:
        path = self._new(choice)
        top = self.kernel.open(self._root, os.O_PATH | os.O_DIRECTORY)
        try:
            self.kernel.symlink(choice.choice([b"a", b"nowhere", b"/etc/passwd"]), path, dir_fd=top)
        finally:
            self.kernel.close(top)
        return f"link {path!r}"

    def _hard_link(self, choice: random.Random) -> str:
        old, new = self._some(choice, lambda i: i.is_file), self._new(choice)
        if old is None:
            return "nothing to link"
        top = self.kernel.open(self._root, os.O_PATH | os.O_DIRECTORY)
        try:
            self.kernel.link(old, new, old_dir_fd=top, new_dir_fd=top)
        finally:
            self.kernel.close(top)
        return f"give {old!r} the second name {new!r}"

    def _put_back(self, choice: random.Random) -> str:
        """A content that was here before, from a backup."""
        path = self._some(choice, lambda i: i.is_file)
        if path is None:
            return "nothing to back up"
        inode = self.files()[path]
        self._old = [*self._old, bytes(inode.data)][-_OLD:]
        content = choice.choice(self._old)
        fd = self.kernel.open(self._at(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self.kernel.write(fd, content)
        self.kernel.close(fd)
        return f"put an earlier content back to {path!r}"
