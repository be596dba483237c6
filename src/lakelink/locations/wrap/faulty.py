"""A location that fails as it is told: the same port, with faults before and after the effect, delays, and contents that break.

Shipped, so that everything above the port can be shown to survive. `lakelink.testing.faults` has scripts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

from lakelink.errors import ChangedWhileRead, LakelinkError, Unreachable
from lakelink.locations.base import Batch, Copy, Delete, Excludes, Location, Read, SetPosix, Write
from lakelink.locations.content import Content, SourceFile
from lakelink.locations.wrap.delegating import Delegating, DelegatingContent
from lakelink.model.change import Problem
from lakelink.model.entry import Entry, Kind
from lakelink.ports.clock import Clock

A = TypeVar("A")


class FaultKind(Enum):
    """What goes wrong."""

    BEFORE = "before"  # the path is answered with the error; nothing happened
    AFTER = "after"  # it happened, and the answer is lost: the error comes instead
    RAISE = "raise"  # the whole call fails; nothing happened
    DELAY = "delay"  # it takes longer
    TRUNCATED = "truncated"  # a content ends early, without a word
    BROKEN = "broken"  # a content breaks off with the error
    CHANGED = "changed"  # a content says half-way that its source changed
    UNKNOWN = "unknown"  # scan only: what is at and below the path could not be looked at


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `error` makes a fresh one for each use."""

    kind: FaultKind
    error: Callable[[], LakelinkError] = lambda: Unreachable("injected fault")
    delay_s: float = 0.0


class Script(Protocol):
    """Decides what goes wrong."""

    def fault(self, verb: str, path: str) -> Fault | None:
        """Asked once per verb and path, in order. Verbs are those of the port; "scan" is asked with "" before the first batch,
        with its number before each batch ("1", "2" …), and "look" with each path that a scan has found.
        """
        ...


class Faulty(Delegating):
    """`inner`, as long as the script has nothing against it."""

    def __init__(self, inner: Location, script: Script, clock: Clock) -> None:
        super().__init__(inner)
        self._script = script
        self._clock = clock

    async def scan(self, excludes: Excludes | None = None) -> AsyncIterator[Batch]:
        await self._page("")
        number = 0
        async for batch in self.inner.scan(excludes):
            number += 1
            await self._page(str(number))
            yield self._look(batch)

    async def stat(self, paths: Sequence[str]) -> list[Entry | LakelinkError | None]:
        async def look(indices: Sequence[int]) -> Sequence[Entry | LakelinkError | None]:
            return await self.inner.stat([paths[i] for i in indices])

        return await self._each("stat", paths, look)

    async def read(self, reads: Sequence[Read]) -> list[Content | LakelinkError]:
        answers: list[Content | LakelinkError] = []
        for read in reads:
            fault = await self._ask("read", read.path)
            if fault is not None and fault.kind in {FaultKind.BEFORE, FaultKind.AFTER}:
                answers.append(fault.error())
                continue
            (answer,) = await self.inner.read([read])
            broken = fault is not None and not isinstance(answer, LakelinkError)
            answers.append(FaultyContent(answer, fault) if broken else answer)  # type: ignore[arg-type]
        return answers

    async def write(self, writes: Sequence[Write]) -> list[Entry | LakelinkError]:
        async def carry_out(indices: Sequence[int]) -> Sequence[Entry | LakelinkError]:
            return await self.inner.write([writes[i] for i in indices])

        return await self._each("write", [w.path for w in writes], carry_out)

    async def delete(self, deletes: Sequence[Delete]) -> list[LakelinkError | None]:
        async def carry_out(indices: Sequence[int]) -> Sequence[LakelinkError | None]:
            return await self.inner.delete([deletes[i] for i in indices])

        return await self._each("delete", [d.path for d in deletes], carry_out)

    async def set_posix(self, changes: Sequence[SetPosix]) -> list[Entry | LakelinkError]:
        async def carry_out(indices: Sequence[int]) -> Sequence[Entry | LakelinkError]:
            return await self.inner.set_posix([changes[i] for i in indices])

        return await self._each("set_posix", [c.path for c in changes], carry_out)

    async def copy(self, copies: Sequence[Copy]) -> list[Entry | LakelinkError]:
        async def carry_out(indices: Sequence[int]) -> Sequence[Entry | LakelinkError]:
            return await self.inner.copy([copies[i] for i in indices])

        return await self._each("copy", [c.path for c in copies], carry_out)

    async def flush(self) -> None:
        fault = await self._ask("flush", "")
        if fault and fault.kind is FaultKind.BEFORE:
            raise fault.error()
        await self.inner.flush()
        if fault and fault.kind is FaultKind.AFTER:
            raise fault.error()

    async def _each(
        self,
        verb: str,
        paths: Sequence[str],
        carry_out: Callable[[Sequence[int]], Awaitable[Sequence[A | LakelinkError]]],
    ) -> list[A | LakelinkError]:
        faults = [await self._ask(verb, path) for path in paths]
        answers: dict[int, A | LakelinkError] = {
            i: fault.error() for i, fault in enumerate(faults) if fault and fault.kind is FaultKind.BEFORE
        }
        carried = [i for i in range(len(paths)) if i not in answers]
        answers.update(zip(carried, await carry_out(carried), strict=True))
        for i, fault in enumerate(faults):
            if fault and fault.kind is FaultKind.AFTER:
                answers[i] = fault.error()
        return [answers[i] for i in range(len(paths))]

    async def _ask(self, verb: str, path: str) -> Fault | None:
        """The fault of this path, after its delay; one of the whole call is raised at once."""
        fault = self._script.fault(verb, path)
        if fault is None:
            return None
        await self._clock.sleep(fault.delay_s)
        if fault.kind is FaultKind.RAISE:
            raise fault.error()
        return fault

    async def _page(self, number: str) -> None:
        fault = await self._ask("scan", number)
        if fault and fault.kind is not FaultKind.DELAY:
            raise fault.error()

    def _look(self, batch: Batch) -> Batch:
        """The batch, with what is unknown turned into PROBLEM rows. A path whose parent was unknown has to be asked for as well."""
        looked = Batch(problems=list(batch.problems), skipped=batch.skipped, hard_links=batch.hard_links)
        for row in batch.rows:
            fault = self._script.fault("look", row.path)
            if fault and fault.kind is FaultKind.UNKNOWN:
                error = fault.error()
                looked.problems.append(Problem(row.path, error.code, error.message, error.hint))
                looked.rows.append(row._replace(kind=Kind.PROBLEM))
            elif fault is None:
                looked.rows.append(row)
        return looked


class FaultyContent(DelegatingContent):
    """Half of the bytes, and then the fault; only the first opening has it, so that a repetition can come through."""

    def __init__(self, inner: Content, fault: Fault) -> None:
        super().__init__(inner)
        self._fault: Fault | None = fault

    async def load(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def pour(self, fd: int) -> int:
        return await Content.pour(self, fd)

    def open_file(self) -> SourceFile | None:
        return None

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        fault, self._fault = self._fault, None
        async for chunk in self.inner.chunks(start, end):
            match fault.kind if fault else None:
                case FaultKind.TRUNCATED:
                    yield chunk[: len(chunk) // 2]
                    return
                case FaultKind.CHANGED:
                    yield chunk[: len(chunk) // 2]
                    raise ChangedWhileRead("injected fault: the source changed while it was read")
                case FaultKind.BROKEN if fault:
                    yield chunk[: len(chunk) // 2]
                    raise fault.error()
                case _:
                    yield chunk
