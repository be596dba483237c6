"""Those who write in the directory: as editors, shells and loggers do."""

from __future__ import annotations

import os
import random
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lakelink.ports.kernel import RENAME_NOREPLACE
from lakelink.ports.linux import LinuxKernel
from tests.realworld.held import Held, everything
from tests.realworld.ledger import Ledger
from tests.realworld.names import DIRECTORIES, LARGE, MIB, ODD, SHARED, content, size_of

_CHUNK = 64 << 10
_HERE = -100  # AT_FDCWD
_KERNEL = LinuxKernel()
_LINK = "target-"


class Writer:
    """One who knows the tree below `root`. What is overwritten or removed is looked at by a descriptor that was opened before and read after, so that the
    ledger knows exactly what went: if what we held still has a name, something else had taken its place within that moment.
    """

    def __init__(self, root: Path, aside: Path, ledger: Ledger, seed: str) -> None:
        """`aside`: a directory on the same file system, outside of the tree."""
        self.root = root
        self.gate = threading.Lock()  # held while writing: the stage manager takes it to move the root
        self.races = 0
        self._aside = aside
        self._ledger = ledger
        self._random = random.Random(seed)
        self._count = 0
        self._acts: list[tuple[int, Callable[[], str]]] = [
            (8, self._save),
            (6, self._write_in_place),
            (3, self._append),
            (5, self._remove),
            (3, self._rename),
            (2, self._rename_directory),
            (2, self._make_directory),
            (2, self._remove_directory),
            (1, self._remove_tree),
            (2, self._change_mode),
            (2, self._touch),
            (2, self._link_symbolically),
            (1, self._link),
            (2, self._change_kind),
            (1, self._unpack),
            (1, self._write_odd),
        ]

    def act(self) -> None:
        """One act; what cannot be done is none."""
        _, act = self._random.choices(self._acts, weights=[weight for weight, _ in self._acts])[0]
        with self.gate:
            self._do(act)

    def write_large(self, size: int = 20 * MIB) -> None:
        with self.gate:
            path = self._random.choice(LARGE)
            self._do(lambda: self._fill(path, content(self._ledger.mint(path), size)))

    def _do(self, act: Callable[[], str]) -> None:
        try:
            told = act()
        except OSError as error:
            told = f"{act.__name__.strip('_')}: {error.strerror}"
        self._ledger.tell("here", told)

    # ── acts ──

    def _save(self) -> str:
        """As editors do: a new file beside, or from elsewhere, renamed over the old one."""
        path = self._random.choice(SHARED)
        self._count += 1
        beside = self._random.random() < 0.5
        temporary = f"{path}.{self._count}~" if beside and len(path) < 100 else ""
        token = self._ledger.mint(path)
        data = content(token, size_of(self._random))
        place = self.root / temporary if temporary else self._aside / str(self._count)
        self._parent(path)
        self._ledger.written(data)
        place.write_bytes(data)
        try:
            self._replace(place, path)
        except OSError:
            place.unlink(missing_ok=True)
            raise
        self._ledger.due(data)
        return f"saved {path!r} {token.decode()} {len(data)}{' by way of ' + repr(temporary) if temporary else ''}"

    def _write_in_place(self) -> str:
        path = self._random.choice(SHARED)
        return self._fill(path, content(self._ledger.mint(path), size_of(self._random)))

    def _fill(self, path: str, data: bytes) -> str:
        """Truncated and written chunk by chunk, with pauses, the descriptor open all the time."""
        self._parent(path)
        pause = self._random.random() < 0.2
        fd = os.open(self.root / path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            old = everything(fd)
            self._ledger.overwritten(old, f"here in place at {path!r}")
            self._ledger.written(data)
            os.ftruncate(fd, 0)
            for at in range(0, len(data), max(_CHUNK, len(data) // 8)):
                os.pwrite(fd, data[at : at + max(_CHUNK, len(data) // 8)], at)
                if pause:
                    time.sleep(0.02)
        finally:
            os.close(fd)
        self._ledger.due(data)
        return f"wrote {path!r} {data[:8].decode()} {len(data)}{' slowly' if pause else ''}"

    def _append(self) -> str:
        path = self._random.choice(SHARED)
        token = self._ledger.mint(path)
        fd = os.open(self.root / path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
        try:
            now = everything(fd) + token
            self._ledger.written(now)
            os.write(fd, token)
        finally:
            os.close(fd)
        self._ledger.due(token)
        return f"appended to {path!r} {token.decode()}"

    def _remove(self) -> str:
        path = self._some()
        self._unlink(path)
        return f"removed {path!r}"

    def _rename(self) -> str:
        path, to = self._some(), self._random.choice(SHARED)
        if path == to:
            return "renamed nothing"
        self._parent(to)
        self._replace(self.root / path, to)
        return f"renamed {path!r} to {to!r}"

    def _rename_directory(self) -> str:
        path, to = self._random.choice(DIRECTORIES), f"{self._random.choice(DIRECTORIES)}{self._random.randrange(3)}"
        if self._random.random() < 0.3:
            path, to = to, path
        os.rename(f"{self.root}/{path}/", self.root / to)  # noqa: PTH104  # the slash: what is no directory stays
        return f"renamed directory {path!r} to {to!r}"

    def _make_directory(self) -> str:
        path = self._random.choice(DIRECTORIES)
        (self.root / path).mkdir(parents=self._random.random() < 0.5, mode=self._random.choice([0o755, 0o700]))
        return f"made directory {path!r}"

    def _remove_directory(self) -> str:
        path = self._random.choice(DIRECTORIES)
        (self.root / path).rmdir()
        return f"removed directory {path!r}"

    def _remove_tree(self) -> str:
        path = self._random.choice(DIRECTORIES)
        self._clear(path)
        return f"removed all of {path!r}"

    def _change_mode(self) -> str:
        path = self._some()
        mode = self._random.choice([0o600, 0o640, 0o644, 0o755, 0o444])
        if stat.S_ISLNK(os.lstat(self.root / path).st_mode):
            return "a link has no mode"
        (self.root / path).chmod(mode)
        return f"chmod {mode:o} {path!r}"

    def _touch(self) -> str:
        path = self._some()
        os.utime(self.root / path, ns=(10**18, 10**18 + self._random.randrange(10**9)), follow_symlinks=False)
        return f"touched {path!r}"

    def _link_symbolically(self) -> str:
        path = self._random.choice(SHARED)
        token = self._ledger.mint(path)
        target = _LINK.encode() + token
        self._parent(path)
        self._count += 1
        place = self._aside / str(self._count)
        place.symlink_to(target.decode())
        self._ledger.written(target)
        self._replace(place, path)
        self._ledger.due(target)
        return f"linked {path!r} to {target.decode()}"

    def _link(self) -> str:
        path, to = self._some(), f"{self._random.choice(DIRECTORIES)}/hard{self._random.randrange(3)}"
        os.link(self.root / path, self.root / to, follow_symlinks=False)
        return f"hard link from {path!r} to {to!r}"

    def _change_kind(self) -> str:
        """A file becomes a directory, or the other way round."""
        path = self._random.choice(["k", "m", "q"])
        token = self._ledger.mint(path)
        if (self.root / path).is_dir():
            self._clear(path)
            place = self.root / path
        else:
            self._unlink(path)
            (self.root / path).mkdir()
            place = self.root / path / "now inside"
        data = content(token, 100)
        self._ledger.written(data)
        with place.open("xb") as file:
            file.write(data)
        self._ledger.due(data)
        return f"{path!r} changed its kind; {token.decode()}"

    def _unpack(self) -> str:
        """Many at once, below a directory of their own, as an archive is unpacked."""
        self._count += 1
        below = f"{self._random.choice(['', 'd/', 'p/'])}unpacked{self._count}"
        for number in range(self._random.choice([3, 20])):
            path = f"{below}/{number % 3}/{number}"
            self._parent(path)
            data = content(self._ledger.mint(path), 500)
            self._ledger.written(data)
            with (self.root / path).open("xb") as file:
                file.write(data)
            self._ledger.due(data)
        return f"unpacked {below!r}"

    def _write_odd(self) -> str:
        path = os.fsdecode(ODD)
        data = content(self._ledger.mint("odd"), 50)
        fd = os.open(self.root / path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._ledger.overwritten(everything(fd), "here, odd")
            self._ledger.written(data)
            os.ftruncate(fd, 0)
            os.write(fd, data)
        finally:
            os.close(fd)
        self._ledger.due(data)
        return "wrote a file whose name is no UTF-8"

    # ── what they share ──

    def _parent(self, path: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)

    def _some(self) -> str:
        """A file that is there now, if the dice hit one."""
        for _ in range(20):
            path = self._random.choice(SHARED)
            with suppress(OSError):
                if not stat.S_ISDIR(os.lstat(self.root / path).st_mode):
                    return path
        raise FileNotFoundError(2, "nothing found")

    def _replace(self, place: Path, path: str) -> None:
        """Rename over. What was replaced is known exactly, or noted as a race."""
        held = Held(self.root / path)
        try:
            if held.links is None:  # and if somebody puts one there meanwhile, it stays
                _KERNEL.rename(place, self.root / path, old_dir_fd=_HERE, new_dir_fd=_HERE, flags=RENAME_NOREPLACE)
                return
            place.rename(self.root / path)
            self._gone(held, path, "replaced")
        finally:
            held.close()

    def _unlink(self, path: str) -> None:
        held = Held(self.root / path)
        try:
            (self.root / path).unlink()
            self._gone(held, path, "removed")
        finally:
            held.close()

    def _gone(self, held: Held, path: str, how: str) -> None:
        if not held.links:
            self._ledger.overwritten(held.data(), f"here, {how} at {path!r}")
        else:  # another had taken its place, or it has a second name
            self.races += 1
            self._ledger.overwritten_at(path, f"here, {how} at {path!r} unseen")

    def _clear(self, path: str) -> None:
        """As `rm -r`."""
        for folder, names, files in os.walk(self.root / path, topdown=False):
            for name in files:
                self._unlink(os.path.relpath(os.path.join(folder, name), self.root))  # noqa: PTH118
            for name in names:
                place = Path(folder, name)
                if place.is_symlink():
                    self._unlink(os.path.relpath(place, self.root))
                else:
                    place.rmdir()
        (self.root / path).rmdir()
