"""A directory of this machine as a location.

Durability. A name appears whole: readers see the old file or the new one, never a part. `flush` (syncfs) brings all that was written before to
stable storage, once per batch; no file is synced by itself. After a power failure between a write and its flush a new or replaced file
can be there with fewer bytes than it had (ext4 writes names and data separately): whoever remembers a write only after `flush` notices and
writes it again. `Durability.FILE` syncs each file's bytes before its name shows them, for targets that have readers of their own.

Without RENAME_EXCHANGE (NFS, some FUSE) a file that another process renames onto the path between the last look and our rename is lost; an
edit of the file in place is not: it is found in the file that was held by a second name, and kept in the trash.

Not kept: extended attributes, ACLs, hard links between files (each is a file of its own, reported by `scan`).
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

from lakelink.errors import ConfigError, LakelinkError, RootMissing
from lakelink.locations.base import (
    Batch,
    Copy,
    Delete,
    Excludes,
    Guarantee,
    Location,
    LocationSpec,
    Read,
    SetPosix,
    Sides,
    Traits,
    Write,
)
from lakelink.locations.content import Content
from lakelink.locations.local import change, staged
from lakelink.locations.local.areas import Areas
from lakelink.locations.local.arrivals import Arrivals
from lakelink.locations.local.beside import Side, Walk
from lakelink.locations.local.browse import list_directory
from lakelink.locations.local.directories import Directories
from lakelink.locations.local.hands import Hands, Means, name_problem
from lakelink.locations.local.options import Durability, LocalOptions
from lakelink.locations.local.oserror import translate
from lakelink.locations.local.read import Reader
from lakelink.locations.local.renaming import rename
from lakelink.locations.local.root import Root
from lakelink.locations.local.scan import Scanner
from lakelink.locations.local.sharing import shared
from lakelink.locations.local.stage import Stages
from lakelink.locations.local.workers import Workers
from lakelink.model.entry import Entry, Expect, Kind, Version
from lakelink.model.task import Symlinks
from lakelink.ports.clock import Clock, SystemClock
from lakelink.ports.kernel import Kernel
from lakelink.ports.linux import LinuxKernel
from lakelink.ports.random import Random, SystemRandom

T = TypeVar("T")

_TRAITS = Traits(
    ordered_list=False,
    ranges=True,
    posix_in_list=True,
    posix=True,
    symlinks=True,
    directories=True,
    local=True,
    write=Guarantee.CHECKED,
    delete=Guarantee.CHECKED,
    set_posix=Guarantee.CHECKED,
)


class LocalLocation:
    """`Location` over the directory `root`. Nothing is touched before the first call.

    Symlinks are followed in `root` itself, which the user named, and below it only by a source that was told to (`Symlinks.FOLLOW`).
    A file is one version as long as inode, size and mtime are the same; with kernels before 6.13 two writes of equal length within one
    timer tick cannot be told apart by that.

    Raises:
        ConfigError: the locale is not UTF-8, so that names could not be told apart by their bytes.
    """

    def __init__(
        self,
        root: str,
        *,
        kernel: Kernel | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
        options: LocalOptions | None = None,
    ) -> None:
        if sys.getfilesystemencoding() != "utf-8":
            raise ConfigError(
                f"file names are decoded as {sys.getfilesystemencoding()} here, not as UTF-8",
                hint="Set PYTHONUTF8=1, or a UTF-8 locale such as C.UTF-8.",
            )
        self._options = options or LocalOptions()
        self._kernel = kernel or LinuxKernel()
        path = os.path.abspath(root)  # noqa: PTH100  # bytes with surrogates, and no resolving of links
        self.spec = LocationSpec("file://" + quote(os.fsencode(path)))
        self.traits = _TRAITS
        self._root = Root(self._kernel, path, create=self._options.create_root)
        self._workers = Workers()
        areas = Areas(self._kernel, self._root, clock or SystemClock(), random or SystemRandom())
        owner = self._options.owner
        self.keeps_owner = self._kernel.geteuid() == 0 if owner is None else owner
        self._means = Means(
            self._kernel,
            self._root,
            areas,
            Stages(self._kernel, areas),
            self.keeps_owner,
            self._options.trash,
            self._options.durability,
        )
        self._arrivals = Arrivals(self._means, self._workers)

    @property
    def requests(self) -> Mapping[str, int]:
        """None: calls of the kernel are not counted."""
        return {}

    def name_problem(self, path: str, kind: Kind) -> str | None:  # noqa: ARG002  # the same for every kind
        """Why no file can have this path here, or None."""
        return name_problem(path)

    async def scan(self, excludes: Excludes | None = None) -> AsyncIterator[Batch]:
        """See `Location.scan`. One batch is walked ahead.

        Raises:
            RootMissing: also at the end, when the root is not what it was at the beginning: then nothing seen counts.
            NotPermitted: the root cannot be read.
        """
        scanner = Scanner(self._kernel, self._root, self._options.symlinks, excludes)
        only = self._options.only
        async for batch in self._workers.ahead(scanner.tree() if only is None else scanner.single(only)):
            yield batch

    async def beside(self, target: Location, *, owner: bool) -> AsyncIterator[Sides] | None:
        """See `Companion.beside`. Offered for two local trees whose roots are there, and for walks that follow no links.

        Raises:
            NotPermitted: a root cannot be opened.
        """
        here = self._options
        if not isinstance(target, LocalLocation) or here.only is not None or self._follow or target._follow:  # noqa: SLF001  # of one class
            return None
        there = target._options, target._root  # noqa: SLF001
        try:
            await self._workers.run(lambda _stop: (self._root.fd(), there[1].fd()))
        except RootMissing:
            return None
        source = Scanner(self._kernel, self._root, here.symlinks, None)
        other = Scanner(target._kernel, there[1], there[0].symlinks, None)  # noqa: SLF001
        walk = Walk(source, other, owner=owner)
        if type(self._kernel) is not LinuxKernel or type(target._kernel) is not LinuxKernel:  # noqa: SLF001
            return self._workers.ahead(walk.tree())  # another kernel is known to this process only
        sides = Side(self._root.fd(), here.symlinks), Side(there[1].fd(), there[0].symlinks)
        return self._workers.ahead(shared(walk, *sides, owner=owner))

    async def stat(self, paths: Sequence[str]) -> list[Entry | LakelinkError | None]:
        """See `Location.stat`."""
        follow = self._follow
        return await self._call(lambda hands, _stop: change.stat(hands, paths, follow=follow), follow=follow)

    async def list_directory(self, path: str) -> AsyncIterator[Batch]:
        """See `Browsable.list_directory`. One batch is read ahead; links are listed as links."""
        async for batch in self._workers.ahead(list_directory(self._kernel, self._root, path)):
            yield batch

    async def stage(self, path: str, like: Version | None = None) -> staged.LocalStaged:
        """See `Stager.stage`. With `like` blocks are shared where the file system can."""
        return await staged.stage(self._means, self._workers, path, like)

    async def rename(self, path: str, version: Version, new_path: str, expect: Expect) -> Entry:
        """See `Renamer.rename`."""
        answer = await self._call(
            lambda hands, _stop: hands.attempt(path, lambda: rename(hands, (path, version), new_path, expect))
        )
        if isinstance(answer, LakelinkError):
            raise answer
        return answer

    async def being_written(self, paths: Sequence[str]) -> list[bool]:
        """See `Attentive.being_written`."""
        return await self._call(lambda hands, _stop: change.being_written(hands, paths))

    async def read(self, reads: Sequence[Read]) -> list[Content | LakelinkError]:
        """See `Location.read`. Files up to 1 MiB are read at once, 8 MiB in sum; the others when they are wanted."""
        reader = Reader(self._kernel, self._root, self._workers, follow=self._follow)
        return await self._workers.run(lambda _stop: reader.read(reads))

    async def write(self, writes: Sequence[Write]) -> list[Entry | LakelinkError]:
        """See `Location.write`.

        New names are taken by a call that never replaces; old files are exchanged, and what was displaced is looked at: an edit that came between
        goes back, or to `.lakelink/trash`. A file that someone still has open for writing is kept there too.
        """
        self._root.fd(create=True)
        return await self._arrivals.write(writes)

    async def delete(self, deletes: Sequence[Delete]) -> list[LakelinkError | None]:
        """See `Location.delete`. What is removed is moved aside first and looked at there, as in `write`."""
        return await self._call(lambda hands, _stop: change.delete(hands, deletes))

    async def set_posix(self, changes: Sequence[SetPosix]) -> list[Entry | LakelinkError]:
        """See `Location.set_posix`. A file that someone has open for writing is left alone: PreconditionFailed."""
        return await self._call(lambda hands, _stop: change.set_posix(hands, changes))

    async def copy(self, copies: Sequence[Copy]) -> list[Entry | LakelinkError]:
        """See `Location.copy`. Blocks are shared where the file system can."""
        return await self._call(lambda hands, stop: change.copy(hands, copies, stop))

    async def flush(self) -> None:
        """See `Location.flush`.

        Raises:
            RootMissing: the root was unmounted or replaced since the run began: what was written is not where it should be.
            StorageError, NoSpace: the kernel could not write back what it had taken: nothing since the last flush is sure.
        """

        def job(_stop: threading.Event) -> None:
            if not self._root.is_open:
                return
            if self._options.durability is not Durability.NONE:
                try:
                    self._means.areas.flush()
                except OSError as error:
                    raise translate(error, "") from error
            self._root.check()

        await self._workers.run(job)

    async def aclose(self) -> None:
        """See `Location.aclose`. `.lakelink` goes too unless its trash holds something or another run uses it.

        A location that may not make its root is there to be read: nothing is cleaned up in it.
        """
        await self._workers.aclose()
        await asyncio.to_thread(self._means.areas.close, clean_up=self._options.create_root)
        self._root.close()

    @property
    def _follow(self) -> bool:
        return self._options.symlinks is Symlinks.FOLLOW

    async def _call(self, job: Callable[[Hands, threading.Event], T], *, follow: bool = False) -> T:
        def run(stop: threading.Event) -> T:
            with Directories(self._kernel, self._root.fd(), follow=follow) as directories:
                return job(Hands(self._means, directories), stop)

        return await self._workers.run(run)
