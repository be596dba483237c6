"""Bytes on their way into files: which way each content takes.

In memory, or in a file of this machine: written by one thread, batch by batch. Small and elsewhere: loaded many at a time, then the same.
Large, or of unknown length: poured into the staged file.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lakelink.errors import InternalError, LakelinkError
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent, Content
from lakelink.locations.local.directories import Directories
from lakelink.locations.local.hands import Hands, Means
from lakelink.locations.local.oserror import translate
from lakelink.locations.local.stage import Stage
from lakelink.locations.local.workers import Workers
from lakelink.locations.local.write import Writer, require_length, require_target
from lakelink.model.entry import Entry, Kind

LOAD_BYTES = 1 << 20  # content up to here is loaded into memory
LOADED_AT_ONCE_BYTES = 16 << 20  # in sum
LOADS_AT_ONCE = 128
POURS_AT_ONCE = 4


class Arrivals:
    """Answers `write`."""

    def __init__(self, means: Means, workers: Workers) -> None:
        self._means = means
        self._workers = workers

    async def write(self, writes: Sequence[Write]) -> list[Entry | LakelinkError]:
        """One answer per write, in order."""
        answers = await self._thread(writes)
        absent = [i for i, answer in enumerate(answers) if answer is None]
        small = [i for i in absent if _is_small(writes[i])]
        for group in _groups(writes, small):
            await self._load(writes, group, answers)
        large = [i for i in absent if not _is_small(writes[i])]
        if large:
            await self._pour_all(writes, large, answers)
        return [_answered(answer) for answer in answers]

    async def _thread(self, writes: Sequence[Write]) -> list[Entry | LakelinkError | None]:
        def job(stop: threading.Event) -> list[Entry | LakelinkError | None]:
            with Directories(self._means.kernel, self._means.root.fd()) as directories:
                return Writer(Hands(self._means, directories), stop).write(writes)

        return await self._workers.run(job)

    async def _load(
        self, writes: Sequence[Write], group: Sequence[int], answers: list[Entry | LakelinkError | None]
    ) -> None:
        loaded: dict[int, Write] = {}

        async def load(i: int) -> None:
            content = _content(writes[i])
            try:
                if writes[i].kind is Kind.SYMLINK:
                    require_target(writes[i].path, content.size_bytes)  # before so much as that is loaded
                data = await content.load()
                require_length(writes[i].path, len(data), content.size_bytes)
            except LakelinkError as error:
                answers[i] = error
            else:
                loaded[i] = replace(writes[i], content=BytesContent(data))

        async with asyncio.TaskGroup() as tasks:
            for i in group:
                tasks.create_task(load(i))
        for i, answer in zip(loaded, await self._thread(list(loaded.values())), strict=True):
            answers[i] = answer

    async def _pour_all(
        self, writes: Sequence[Write], large: Sequence[int], answers: list[Entry | LakelinkError | None]
    ) -> None:
        turn = asyncio.Semaphore(POURS_AT_ONCE)

        async def pour(i: int) -> None:
            async with turn:
                answers[i] = await self._pour(writes[i])

        async with asyncio.TaskGroup() as tasks:
            for i in large:
                tasks.create_task(pour(i))

    async def _pour(self, write: Write) -> Entry | LakelinkError:
        def begin(stop: threading.Event) -> Stage | LakelinkError:
            with Directories(self._means.kernel, self._means.root.fd()) as directories:
                return Writer(Hands(self._means, directories), stop).begin(write)

        begun = await self._workers.run(begin, undo=_discard)
        if isinstance(begun, LakelinkError):
            return begun
        stage = begun

        def end(stop: threading.Event) -> Entry | LakelinkError:
            with Directories(self._means.kernel, self._means.root.fd()) as directories:
                return Writer(Hands(self._means, directories), stop).end(write, stage)

        content = _content(write)
        try:
            require_length(write.path, await content.pour(stage.fd), content.size_bytes)
            return await self._workers.run(end)
        except LakelinkError as error:
            return error
        except OSError as error:
            return translate(error, write.path)
        finally:
            stage.discard()


def _discard(begun: Stage | LakelinkError) -> None:
    if isinstance(begun, Stage):
        begun.discard()


def _content(write: Write) -> Content:
    if write.content is None:
        raise InternalError(f"a write of kind {write.kind.name} without content")
    return write.content


def _is_small(write: Write) -> bool:
    size_bytes = _content(write).size_bytes
    return write.kind is Kind.SYMLINK or (size_bytes is not None and size_bytes <= LOAD_BYTES)


def _groups(writes: Sequence[Write], chosen: Sequence[int]) -> Iterator[list[int]]:
    group: list[int] = []
    size_bytes = 0
    for i in chosen:
        one = _content(writes[i]).size_bytes or 0
        if group and (size_bytes + one > LOADED_AT_ONCE_BYTES or len(group) >= LOADS_AT_ONCE):
            yield group
            group, size_bytes = [], 0
        group.append(i)
        size_bytes += one
    if group:
        yield group


def _answered(answer: Entry | LakelinkError | None) -> Entry | LakelinkError:
    if answer is None:
        raise InternalError("a write was not carried out")
    return answer
