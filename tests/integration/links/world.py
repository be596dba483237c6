"""A link between a real directory and a real store, with foreign writers on both sides."""

from __future__ import annotations

import asyncio
import stat
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from lakelink.core.brake import Brake
from lakelink.errors import LakelinkError
from lakelink.links.identity import RootGuard
from lakelink.links.parts import Parts
from lakelink.links.runtime import Link
from lakelink.locations.base import Copy, Delete, Read, SetPosix, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.locations.s3.open import S3Access, open_s3
from lakelink.model.entry import Entry, Expect, Kind, Posix
from lakelink.model.linkspec import LinkSpec, Pace
from lakelink.ports.clock import SystemClock
from lakelink.ports.crt_auth import CredentialSource
from lakelink.ports.random import SystemRandom
from lakelink.state.journal import Journal

DEADLINE_S = 60.0


class NoGuard:
    def allow_empty(self) -> None:
        """Nothing to allow."""

    async def check(self) -> None:
        """All is well."""


class NoBrake:
    def ask(self, deletes: int, agreed: int, now_s: float) -> None:
        """Yes."""

    def done(self, deletes: int, now_s: float) -> None:
        """Noted."""

    def allow_once(self) -> None:
        """Noted."""


@dataclass
class World:
    """Two sides, and whoever else works on them."""

    root: Path
    store: object
    prefix: str
    state: Path
    spec: LinkSpec
    brake: object = field(default_factory=NoBrake)
    guard: object = field(default_factory=NoGuard)

    def open_lake(self):
        source = CredentialSource(self.store.access_key, self.store.secret_key, "")
        access = S3Access(endpoint=self.store.endpoint, region="us-east-1", credentials=source)
        return open_s3(f"s3://{self.store.bucket}/{self.prefix}", access)

    @asynccontextmanager
    async def link(self, feeds=(), *, guarded=False, may_end=False, wrap=lambda lake: lake):
        """The link at work; stopped as a daemon stops. `link.ended` is what its run ended with."""
        files = LocalLocation(str(self.root), options=LocalOptions(trash=True, create_root=False))
        lake = wrap(self.open_lake())
        journal = Journal.open(self.state / "journal.sqlite")
        parts = Parts(files, lake, journal, feeds, SystemClock(), SystemRandom(), self.guard, self.brake, "here")
        if guarded:
            parts = replace(parts, guard=self._root_guard(journal))
        link = Link(self.spec, parts)
        link.ended = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(link.run())
        task.add_done_callback(lambda done: done.cancelled() or link.ended.set_result(done.exception()))
        try:
            yield link
            assert may_end or not task.done(), task
        finally:
            task.cancel()
            await asyncio.wait([task])
            journal.close()
            await files.aclose()
            await lake.aclose()

    def _root_guard(self, journal: Journal) -> RootGuard:
        agreed = lambda: journal.agreed  # noqa: E731
        return RootGuard(
            str(self.root),
            self.spec,
            journal,
            agreed=agreed,
            identify=lambda _: "",
            brake=Brake(self.spec.safety),
            clock=SystemClock(),
        )

    async def agree(self, link: Link, rounds: int = 5) -> None:
        """Survey until nothing is left to do, and both trees are equal."""
        for _ in range(rounds):
            await asyncio.wait_for(link.survey(), DEADLINE_S)
            assert await link.settle(DEADLINE_S), link.status()
            mine, theirs = self.local(), await self.remote()
            if mine == theirs:
                return
        short = [
            (path, str(mine.get(path))[:80], str(theirs.get(path))[:80])
            for path in sorted({*mine, *theirs})
            if mine.get(path) != theirs.get(path)
        ]
        raise AssertionError(short, self.journal_problems(link))

    def journal_problems(self, link: Link) -> str:
        return f"{link.journal.problems()} {link.journal.conflicts()}"

    # ── the files side ──

    def local(self) -> dict[str, tuple]:
        found = {}
        for path in self.root.rglob("*"):
            key = str(path.relative_to(self.root))
            if key.split("/", maxsplit=1)[0] == ".lakelink":
                continue
            st = path.lstat()
            if stat.S_ISLNK(st.st_mode):
                found[key] = ("link", str(path.readlink()))
            elif stat.S_ISDIR(st.st_mode):
                found[key] = ("dir",)
            else:
                found[key] = ("file", path.read_bytes(), stat.S_IMODE(st.st_mode), st.st_mtime_ns)
        return found

    def trash(self) -> list[bytes]:
        return [p.read_bytes() for p in (self.root / ".lakelink" / "trash").rglob("*") if p.is_file()]

    # ── the lake ──

    async def remote(self) -> dict[str, tuple]:
        found = {}
        lake = self.open_lake()
        try:
            paths = [row.path async for batch in lake.scan() for row in batch.rows if row.path]
            for path, entry in zip(paths, await lake.stat(paths), strict=True):
                if not isinstance(entry, Entry):
                    found[path] = ("gone",)  # while we looked
                    continue
                if entry.kind is Kind.SYMLINK:
                    found[path] = ("link", entry.target)
                elif entry.kind is Kind.DIR:
                    found[path] = ("dir",)
                else:
                    (content,) = await lake.read([Read(path, entry.size_bytes, entry.version)])
                    if isinstance(content, LakelinkError):
                        found[path] = ("gone",)
                        continue
                    data = await content.load()
                    posix = entry.posix
                    local = self.root / path
                    # A foreign object has no metadata: the file has some all the same.
                    mode = posix.mode if posix else (stat.S_IMODE(local.lstat().st_mode) if local.exists() else 0)
                    mtime = posix.mtime_ns if posix else (local.lstat().st_mtime_ns if local.exists() else 0)
                    found[path] = ("file", data, mode, mtime)
        finally:
            await lake.aclose()
        return found

    async def put(self, path: str, data: bytes = b"", *, kind: Kind = Kind.FILE, posix: Posix | None = None) -> None:
        """A foreign writer, who looks at nothing."""
        lake = self.open_lake()
        try:
            (now,) = await lake.stat([path])
            version = now.version if isinstance(now, Entry) and now.kind is not Kind.DIR else None
            content = None if kind is Kind.DIR else BytesContent(data)
            (answer,) = await lake.write([Write(path, kind, content, posix, Expect(version))])
            assert not isinstance(answer, LakelinkError), answer
        finally:
            await lake.aclose()

    async def remove(self, *paths: str) -> None:
        lake = self.open_lake()
        try:
            for path in paths:
                (now,) = await lake.stat([path])
                if now is None and any(other.startswith(f"{path}/") for other in paths):
                    continue  # SeaweedFS takes a directory along with the last in it where its marker came at the same moment as that
                assert isinstance(now, Entry), path
                (error,) = await lake.delete([Delete(path, now.kind, Expect(now.version))])
                assert error is None, error
        finally:
            await lake.aclose()

    async def chmod(self, path: str, mode: int) -> None:
        lake = self.open_lake()
        try:
            (now,) = await lake.stat([path])
            posix = replace(now.posix, mode=mode) if now.posix else Posix(mode, 0, 0, 1, 1)
            (answer,) = await lake.set_posix([SetPosix(path, now.kind, posix, Expect(now.version))])
            assert not isinstance(answer, LakelinkError), answer
        finally:
            await lake.aclose()

    async def rename(self, old: str, new: str) -> None:
        lake = self.open_lake()
        try:
            (now,) = await lake.stat([old])
            (answer,) = await lake.copy([Copy(old, now.version, new, Expect(None))])
            assert not isinstance(answer, LakelinkError), answer
            await lake.delete([Delete(old, now.kind, Expect(now.version))])
        finally:
            await lake.aclose()


def make_world(tmp_path: Path, store, prefix: str, **spec) -> World:
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    values = {
        "name": "t",
        "ident": "t1",
        "files": str(root),
        "lake": f"s3://{store.bucket}/{prefix}",
        "pace": Pace(quiet_s=0.1),
    }
    return World(root, store, prefix, tmp_path / "state", LinkSpec(**{**values, **spec}))
