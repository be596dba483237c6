"""A local location over a temporary tree, driven from plain tests."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from lakelink.errors import LakelinkError
from lakelink.locations.base import Batch, Copy, Delete, Excludes, Read, SetPosix, Write
from lakelink.locations.content import BytesContent, Content
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.model.entry import Entry, Expect, Kind, Posix, Version
from lakelink.ports.linux import LinuxKernel

POSIX = Posix(
    mode=0o640,
    uid=os.geteuid(),
    gid=os.getegid(),
    mtime_ns=1_600_000_000_123_456_789,
    atime_ns=1_500_000_000_987_654_321,
)


class Unknown(Content):
    """Bytes whose length nobody announces and that are in no file: they are poured."""

    size_bytes = None

    def __init__(self, data: bytes, before_end: Callable[[], None] | None = None) -> None:
        self.data = data
        self._before_end = before_end

    async def load(self) -> bytes:
        return self.data

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        data = self.data[start:end]
        yield data[: len(data) // 2]
        if self._before_end:
            self._before_end()
        yield data[len(data) // 2 :]


class Arriving(Unknown):
    """The same with a length, right or wrong: small ones are loaded, large ones poured."""

    def __init__(
        self, data: bytes, size_bytes: int | None = None, before_end: Callable[[], None] | None = None
    ) -> None:
        super().__init__(data, before_end)
        self.size_bytes = len(data) if size_bytes is None else size_bytes  # type: ignore[assignment]


@dataclass
class Scene:
    """One root, one location; each verb for one path, run to its end."""

    root: Path
    options: LocalOptions = field(default_factory=LocalOptions)
    kernel: LinuxKernel = field(default_factory=LinuxKernel)

    def __post_init__(self) -> None:
        self.location = LocalLocation(str(self.root), kernel=self.kernel, options=self.options)

    def run(self, *steps):
        """Each coroutine function in turn, in one loop, then close; answers what the last one answered."""

        async def main():
            answer = None
            try:
                for step in steps:
                    answer = await step()
            finally:
                await self.location.aclose()
            return answer

        return asyncio.run(main())

    def write(
        self, path: str, data: bytes | Content | None, *, kind=Kind.FILE, posix=POSIX, expect: Version | None = None
    ):
        content = BytesContent(data) if isinstance(data, bytes) else data
        wanted = Write(path, kind, content, posix, Expect(expect))
        return self.run(lambda: self.location.write([wanted]))[0]

    def writes(self, *writes: Write):
        return self.run(lambda: self.location.write(writes))

    def read(self, path: str, expect: Version | None = None, size_bytes: int = 0):
        """The bytes, or the error."""

        async def step():
            content = (await self.location.read([Read(path, expect.size_bytes if expect else size_bytes, expect)]))[0]
            if isinstance(content, LakelinkError):
                return content
            try:
                return await content.load()
            except LakelinkError as error:
                return error

        return self.run(step)

    def stat(self, path: str) -> Entry | LakelinkError | None:
        return self.run(lambda: self.location.stat([path]))[0]

    def delete(self, path: str, expect: Version | None, kind=Kind.FILE):
        return self.run(lambda: self.location.delete([Delete(path, kind, Expect(expect))]))[0]

    def set_posix(self, path: str, posix: Posix, expect: Version | None, kind=Kind.FILE):
        return self.run(lambda: self.location.set_posix([SetPosix(path, kind, posix, Expect(expect))]))[0]

    def copy(self, origin: str, version: Version, path: str, expect: Version | None = None):
        return self.run(lambda: self.location.copy([Copy(origin, version, path, Expect(expect))]))[0]

    def scan(self, excludes: Excludes | None = None) -> Batch:
        """All batches in one."""

        async def step():
            whole = Batch()
            async for batch in self.location.scan(excludes):
                for name in ("rows", "problems", "skipped", "hard_links"):
                    getattr(whole, name).extend(getattr(batch, name))
            return whole

        return self.run(step)

    def paths(self) -> list[str]:
        return sorted(row.path for row in self.scan().rows)

    def version(self, path: str) -> Version:
        """What is there now, by the kernel's own account."""
        st = os.lstat(self.root / path)
        return Version(st.st_size, st.st_mtime_ns, st.st_ino)

    def left_behind(self) -> list[str]:
        """Everything under `.lakelink`."""
        own = self.root / ".lakelink"
        return [".lakelink", *sorted(str(p.relative_to(own)) for p in own.rglob("*"))] if own.exists() else []

    def kept(self) -> list[tuple[str, bytes]]:
        """The files of the trash of all runs, as (path they had, bytes)."""
        trash = self.root / ".lakelink/trash"
        files = [p for p in trash.rglob("*") if p.is_file() and not p.is_symlink()]
        return sorted((str(p.relative_to(trash)).partition("/")[2], p.read_bytes()) for p in files)


def descriptors() -> int:
    """How many are open in this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)
