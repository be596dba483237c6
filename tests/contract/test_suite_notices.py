"""The suite itself: a location that breaks one promise is caught by a check that bears its name."""

import asyncio
from dataclasses import replace

import pytest

from lakelink.errors import LakelinkError, PreconditionFailed
from lakelink.locations.base import Batch
from lakelink.locations.content import BytesContent
from lakelink.locations.memory import MemoryLocation, MemoryStore
from lakelink.model.entry import Expect, Kind
from lakelink.testing.contract import PROMISES, Status, validate


class IgnoresExpect(MemoryLocation):
    async def write(self, writes):
        return [
            (await super(IgnoresExpect, self).write([replace(w, expect=Expect(await self._now(w.path)))]))[0]
            for w in writes
        ]

    async def _now(self, path):
        node = self.store.nodes.get(path)
        return node.version if node else None


class ChecksTooEarly(MemoryLocation):
    """Checks, pauses, then writes over whatever is there by then."""

    async def _write(self, write):
        self.store.check(write.path, write.expect)
        await asyncio.sleep(0)
        self.store.put(write.path, await write.content.load())
        return self.store.nodes[write.path].entry


class DeletesBlindly(MemoryLocation):
    async def delete(self, deletes):
        for delete in deletes:
            self.store.nodes.pop(delete.path, None)
        return [None for _ in deletes]


class ShowsHalf(MemoryLocation):
    async def _write(self, write):
        if write.content is not None and write.kind is Kind.FILE:
            self.store.check(write.path, write.expect)
            async for chunk in write.content.chunks():
                self.store.put(write.path, chunk)
            write = replace(write, expect=Expect(self.store.nodes[write.path].version))
        return await super()._write(write)


class ForgetsNanoseconds(MemoryLocation):
    async def _write(self, write):
        if write.posix:
            write = replace(write, posix=replace(write.posix, mtime_ns=write.posix.mtime_ns // 1000 * 1000))
        return await super()._write(write)


class LosesAPage(MemoryLocation):
    async def scan(self, excludes=None):
        async for batch in super().scan(excludes):
            yield Batch(batch.rows[:999], batch.problems, batch.skipped)


class SwallowsFailedScan(MemoryLocation):
    async def stat(self, paths):
        return [None if entry and entry.size_bytes == 0 else entry for entry in await super().stat(paths)]


class NormalisesNames(MemoryLocation):
    async def _write(self, write):
        import unicodedata

        return await super()._write(replace(write, path=unicodedata.normalize("NFC", write.path)))


class ReadsAnything(MemoryLocation):
    async def read(self, reads):
        return await super().read([replace(read, expect=None) for read in reads])


class KeepsShortContent(MemoryLocation):
    async def _write(self, write):
        if write.content is not None and write.content.size_bytes is not None:
            write = replace(write, content=BytesContent(await write.content.load()))
        return await super()._write(write)


class AnswersOutOfOrder(MemoryLocation):
    async def write(self, writes):
        answers = await super().write(writes)
        return sorted(answers, key=lambda a: isinstance(a, LakelinkError))


class RefusesRepeatedDelete(MemoryLocation):
    async def delete(self, deletes):
        gone = [d.path not in self.store.nodes for d in deletes]
        answers = await super().delete(deletes)
        return [PreconditionFailed("gone") if g else a for g, a in zip(gone, answers, strict=True)]


@pytest.mark.parametrize(
    ("saboteur", "promise"),
    [
        (IgnoresExpect, "a write that expects nothing replaces nothing"),
        (IgnoresExpect, "a write replaces only the version it names"),
        (ChecksTooEarly, "of many creators one wins"),
        (ChecksTooEarly, "of many replacers one wins"),
        (ChecksTooEarly, "increments by many are never lost"),
        (DeletesBlindly, "a delete removes only the version it names"),
        (DeletesBlindly, "a directory goes only when it is empty"),
        (DeletesBlindly, "a delete and a write of one version do not both happen"),
        (ShowsHalf, "a write is invisible until it is done"),
        (ShowsHalf, "a cancelled write leaves old or new"),
        (ShowsHalf, "a content that fails leaves the old file"),
        (ShowsHalf, "readers see old or new while writers write"),
        (ForgetsNanoseconds, "every time comes back to the nanosecond"),
        (LosesAPage, "a scan sees everything once"),
        (SwallowsFailedScan, "an empty file is a file"),
        (NormalisesNames, "names that look alike stay apart"),
        (ReadsAnything, "only the version named is read"),
        (KeepsShortContent, "a content of another length than announced is not stored"),
        (AnswersOutOfOrder, "a batch is answered in its order"),
        (RefusesRepeatedDelete, "deleting what is gone is done"),
    ],
)
def test_a_broken_promise_is_noticed(saboteur, promise):
    assert _outcome(saboteur, promise).status is Status.BROKEN
    assert _outcome(MemoryLocation, promise).status is Status.KEPT


def _outcome(location_type, promise):
    store = MemoryStore()

    async def open_place(_):
        return location_type(store)

    async def run():
        return [outcome async for outcome in validate(open_place, [p for p in PROMISES if p.name == promise])]

    (outcome,) = asyncio.run(run())
    if location_type is MemoryLocation:
        assert not list(store.children("")), "the check left something behind"
    return outcome
