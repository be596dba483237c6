"""What was loaded comes to stable storage, some time after those who waited for it went on; then its attribute says so."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import replace

from lakelink.links.hsm.stub import Flags, Unreadable
from lakelink.links.hsm.tree import Tree
from lakelink.links.hsm.turns import Turns
from lakelink.ports import permission

EVERY_S = 2.0
PUT_OFF_S = 10.0  # while somebody waits for a load; a longer wait would keep what is not written yet in memory
SLICE = 8  # files in one turn of the loop: somebody may wait
SINGLY = 16  # up to so many files are flushed one by one; more, with the whole file system
_LOOK_AGAIN_S = 0.25
MAX_UNSYNCED = (
    100_000  # beyond, a file keeps UNSYNCED until the marks are set anew, which costs a look then and nothing else
)


class Settling:
    """Files by handle, in the order of their loads."""

    def __init__(self, tree: Tree, turns: Turns) -> None:
        self._tree = tree
        self._turns = turns
        self.busy: Callable[[], bool] = lambda: False
        """Whether loads are under way, which come first."""
        self._fresh: dict[bytes, None] = {}

    def add(self, handle: bytes) -> None:
        """This file was loaded just now."""
        if len(self._fresh) < MAX_UNSYNCED:
            self._fresh[handle] = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            put_off_s = 0.0
            while self.busy() and put_off_s < PUT_OFF_S:
                await asyncio.sleep(_LOOK_AGAIN_S)
                put_off_s += _LOOK_AGAIN_S
            await self.settle()

    async def settle(self) -> None:
        """What was loaded before this call is on stable storage, and known to be."""
        batch, self._fresh = list(self._fresh), {}
        if not batch:
            return
        if len(batch) > SINGLY:
            try:
                await asyncio.to_thread(permission.sync_file_system, self._tree.fd)
            except OSError:
                return  # the disk refused something: none of these is known to be there, and UNSYNCED says so
        for number, handle in enumerate(batch):
            async with self._turns.turn(handle):
                with contextlib.suppress(OSError, Unreadable):
                    if len(batch) <= SINGLY:
                        await asyncio.to_thread(self._flush, handle)
                    self._clear(handle)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)

    def _flush(self, handle: bytes) -> None:
        fd = self._tree.open(handle, os.O_RDONLY)
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def _clear(self, handle: bytes) -> None:
        try:
            fd = self._tree.open(handle, os.O_PATH)
        except OSError as error:
            if error.errno == errno.ESTALE:
                return
            raise
        try:
            stub = self._tree.stub_of_path(fd)
            if stub is not None and stub.flags & Flags.UNSYNCED:
                self._tree.put_path(fd, replace(stub, flags=stub.flags & ~Flags.UNSYNCED))
        finally:
            os.close(fd)
