"""One link in the daemon: opened, run, and opened again with growing pauses when it ends in an error. Its neighbours notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from lakelink.core.backoff import Backoff
from lakelink.daemon.open_link import Opener, OpenLink, unopened
from lakelink.daemon.supervise import outcome
from lakelink.errors import Busy, InternalError, LakelinkError, Refused
from lakelink.model.linkspec import LinkSpec, LinkState, LinkStatus
from lakelink.obs import log
from lakelink.obs.log import Event
from lakelink.ports.clock import Clock, SystemClock
from lakelink.ports.random import Random, SystemRandom

T = TypeVar("T")

PAUSES = Backoff(base_s=1.0, cap_s=60.0)
OPENED_WITHIN_S = 20.0  # a call waits so long for a link that is just being opened
GOOD_AFTER_S = 120.0  # a link that ran for so long begins with short pauses again


class Keeper:
    """Keeps one link open and running from `start` to `stop`."""

    def __init__(
        self, spec: LinkSpec, opener: Opener, clock: Clock | None = None, random: Random | None = None
    ) -> None:
        self.spec = spec
        self._opener = opener
        self._clock = clock or SystemClock()
        self._random = random or SystemRandom()
        self._link: OpenLink | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._trouble: LakelinkError | None = None
        self._deleting = False
        self._updating = False  # it is opened again with other settings
        self._ended = asyncio.Event()  # of the open link
        self._tried = asyncio.Event()  # it was opened, or that failed

    def start(self) -> None:
        """Begin, in a task of its own; nothing where it runs already, or has not ended yet: one root never has two runtimes."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep(), name=f"link {self.spec.name}")

    async def stop(self, within_s: float) -> bool:
        """End the link and close it; False where it has not ended in time. Idempotent."""
        if self._task is None:
            return True
        self._task.cancel()
        done, _ = await asyncio.wait([self._task], timeout=within_s)
        if not done:
            log.emit(logging.ERROR, Event.LINK_LEFT, {"link": self.spec.name, "seconds": within_s})
        return bool(done)

    @property
    def link(self) -> OpenLink:
        """The open link.

        Raises:
            Refused: it is not open at the moment; the message says why.
        """
        if self._link is None:
            why = f": {self._trouble.message}" if self._trouble else ""
            raise Refused(
                f"link {self.spec.name} is not open at the moment{why}",
                hint=(self._trouble.hint if self._trouble else "")
                or "It is tried again and again; `lakelink status` shows it.",
            )
        return self._link

    async def tried(self) -> None:
        """Returns once it was opened, or that failed."""
        await self._tried.wait()

    async def opened(self) -> OpenLink:
        """The open link; one that is just being opened is waited for.

        Raises:
            Refused: it is not open at the moment; the message says why.
        """
        if self._link is None and self._trouble is None and self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OPENED_WITHIN_S):
                    await self._tried.wait()
        return self.link

    async def during(self, work: Callable[[OpenLink], Coroutine[Any, Any, T]]) -> T:
        """Do something with the open link, for as long as it stays open.

        Raises:
            Refused: it is not open, or ended meanwhile; what the work raises.
        """
        link = await self.opened()
        task = asyncio.ensure_future(work(link))
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait([task, ended], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            for future in (task, ended):
                future.cancel()
            await asyncio.gather(task, ended, return_exceptions=True)
        raise Refused(
            f"link {self.spec.name} ended meanwhile{f': {self._trouble.message}' if self._trouble else ''}",
            hint=(self._trouble.hint if self._trouble else "") or "`lakelink status` shows how it stands.",
        )

    def status(self) -> LinkStatus:
        """How it stands, also where it is not open."""
        status = self._status()
        if self._deleting:
            return dataclasses.replace(status, state=LinkState.DELETING)
        if self._updating and self._link is None and self._trouble is None:
            return dataclasses.replace(status, state=LinkState.UPDATING)
        return status

    def _status(self) -> LinkStatus:
        if self._link is None:
            return unopened(self.spec, self._trouble)
        try:
            return self._link.status()
        except LakelinkError as error:  # its journal cannot be read: the others' status is told all the same
            return unopened(self.spec, error)

    def note(self, code: str, message: str) -> None:
        """A line in the link's event log, where that is open."""
        if self._link is not None:
            self._link.note(code, message)

    def deleting(self, now: bool) -> None:
        """It is being removed, and says so."""
        self._deleting = now

    def pause(self) -> None:
        """Carry nothing until `resume`."""
        self.spec = dataclasses.replace(self.spec, paused=True)
        if self._link is not None:
            self._link.pause()

    def resume(self, *, allow_deletes: bool) -> None:
        """Go on: after a pause, a halt, or a failure to open, which is tried again at once."""
        self.spec = dataclasses.replace(self.spec, paused=False)
        if self._link is not None:
            self._link.resume(allow_deletes=allow_deletes)
        self._wake.set()

    async def accept_root(self, within_s: float) -> None:
        """Take the directory that is there now for the link's root, and begin with a union of both sides.

        Raises:
            Busy: the link has not ended in time. Halt, StorageError: see `links.acceptance.accept_root`; the link goes on, and says what it sees.
        """
        if not await self.stop(within_s):
            raise self._still_ending()
        try:
            await self._opener.accept_root(self.spec)
        finally:
            self.start()

    async def update(self, spec: LinkSpec, within_s: float) -> None:
        """Take other settings over. What both sides were opened with makes it open them again; the rest changes in flight."""
        old, self.spec = self.spec, spec
        if self._link is None:
            self._wake.set()
        elif _opened_with(old) != _opened_with(spec):
            await self.reopen(within_s)
        else:
            self._link.update(spec)
            if spec.paused != old.paused:
                (self._link.pause if spec.paused else self._link.resume)()

    async def reopen(self, within_s: float) -> None:
        """Close the link and open it again, since what it was opened with has changed.

        Raises:
            Busy: it has not ended in time; it is opened again when it is resumed or the daemon is started again.
        """
        self._updating, self._trouble = True, None
        if not await self.stop(within_s):
            raise self._still_ending()
        self.start()

    def _still_ending(self) -> Busy:
        return Busy(f"link {self.spec.name} is still ending", hint="Restart the daemon if it stays like this.")

    async def _keep(self) -> None:
        attempt = 0
        while True:
            began_s = self._clock.monotonic()
            trouble = await outcome(self._once())
            if trouble is not None:
                self._note(trouble)
            if self._clock.monotonic() - began_s > GOOD_AFTER_S:
                attempt = 0
            await self._pause(PAUSES.delay_s(attempt, self._random.uniform()))
            attempt += 1

    async def _once(self) -> None:
        link = await self._opener(self.spec)
        try:
            if self.spec.paused:
                link.pause()
            self._link, self._trouble, self._ended = link, None, asyncio.Event()
            self._updating = False
            self._tried.set()
            log.emit(logging.INFO, Event.LINK_STARTED, {"link": self.spec.name})
            ended = await outcome(link.run())
            self._note(ended)
        finally:
            self._link = None
            self._tried.clear()
            await link.aclose()
            self._ended.set()

    def _note(self, ended: LakelinkError | None) -> None:
        trouble = ended or InternalError("the link ended by itself")
        again = self._trouble is not None and str(self._trouble) == str(trouble)
        self._trouble = trouble
        self._tried.set()
        # The same trouble every minute is one line, and the rest for whoever looks closely.
        level = logging.DEBUG if again else logging.ERROR
        fields: dict[log.Field, log.Value] = {
            "link": self.spec.name, "code": trouble.code, "message": trouble.message, "hint": trouble.hint,
        }  # fmt: skip
        log.emit(level, Event.LINK_FAILED, fields)

    async def _pause(self, seconds: float) -> None:
        self._wake.clear()
        waits = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(self._clock.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def _opened_with(spec: LinkSpec) -> tuple[object, ...]:
    """What makes a link be opened again when it changes."""
    return spec.transport, spec.events, spec.accept_unconditional, bool(spec.rule.exports), spec.lazy
