"""A bucket prefix as a `Location`: the verbs, spread over many requests at once; each per-path trouble a value."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from lakelink.errors import (
    ChangedWhileRead,
    CredentialsRefused,
    LakelinkError,
    NameUnsupported,
    RootMissing,
    Unreachable,
    Unsupported,
)
from lakelink.locations.base import (
    Batch,
    Copy,
    Delete,
    Excludes,
    Guarantee,
    LocationSpec,
    Read,
    SetPosix,
    Traits,
    Write,
)
from lakelink.locations.content import BytesContent, Content
from lakelink.locations.s3.browsing import list_directory
from lakelink.locations.s3.buffers import Buffers
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.conditions import head
from lakelink.locations.s3.copying import copy_content, copy_object, set_object_posix
from lakelink.locations.s3.deleting import delete_objects
from lakelink.locations.s3.download import S3Content, fetch_small
from lakelink.locations.s3.keys import KeySpace, encode_query
from lakelink.locations.s3.learning import learn_write
from lakelink.locations.s3.listing import scan
from lakelink.locations.s3.markers import is_implicit, marker_entry, put_marker
from lakelink.locations.s3.metadata import entry_of_headers
from lakelink.locations.s3.multipart import abort_abandoned, put_large
from lakelink.locations.s3.options import MAX_OBJECT_BYTES, SMALL_BYTES
from lakelink.locations.s3.pouring import first_of
from lakelink.locations.s3.staging import forget, put_staged, sweep
from lakelink.locations.s3.tagging import add_tags
from lakelink.locations.s3.upload import StoreTraits, put_small
from lakelink.locations.wrap.wire_metered import MeteredWire
from lakelink.model.entry import Entry, Kind
from lakelink.model.path import display
from lakelink.ports.crt_endpoint import is_aws

PRELOAD_BYTES = 1 << 20  # objects up to this size are fetched by `read` itself
PRELOAD_TOTAL_BYTES = 32 << 20  # … as long as one call holds no more than this
_LOOK_AGAIN = "It will be looked at again."
WHOLE_LOCATION = (RootMissing, Unreachable, CredentialsRefused)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class S3Location:
    """A tree of objects below `PREFIX/` of one bucket. Create it with `lakelink.locations.s3.open_s3`.

    Guarantees: with a store that honours conditional requests every change is checked and carried out in one step (ATOMIC). A store that
    refuses them gets a look right before each change, and the guarantee is BLIND from then on. `time_ns` of a version that `write` answers
    is the Date of that answer for an object of up to 8 MiB, since Last-Modified is not in it; larger ones are looked at.

    ATOMIC is what AWS does for every size. Other stores are asked about objects of up to 8 MiB only. For larger ones the condition goes
    along with the last request, and what is there is looked at right before it, so that a store that ignores the condition, or that checks
    it before it waits (SeaweedFS), leaves a window of one request: as good as CHECKED. `lakelink store validate` races it. With
    `S3Options.staged_completion` objects of up to 5 GiB come by a conditional copy instead, as `staging` says.
    """

    def __init__(
        self, client: S3Client, prefix: str, spec: LocationSpec | None = None, *, meter: MeteredWire | None = None
    ) -> None:
        self.client = client
        self.keys = KeySpace(prefix)
        self.meter = meter or MeteredWire(client.wire)
        self.store = StoreTraits(client.options.checksum)
        self._spec = spec or LocationSpec(f"s3://{client.bucket}/{self.keys.prefix}".rstrip("/"))
        self._buffers = Buffers(client.options.buffer_bytes)

    @property
    def spec(self) -> LocationSpec:
        return self._spec

    @property
    def traits(self) -> Traits:
        conditions = self.store.conditions
        write = Guarantee.BLIND if conditions.write is False else Guarantee.ATOMIC
        return Traits(
            ordered_list=False,
            ranges=True,
            posix_in_list=False,
            posix=True,
            symlinks=True,
            directories=True,
            local=False,
            write=write,
            delete=Guarantee.BLIND if conditions.delete is False else Guarantee.ATOMIC,
            set_posix=Guarantee.BLIND if conditions.copy is False else write,
            store=self.client.store,
        )

    def name_problem(self, path: str, kind: Kind) -> str | None:
        return self.keys.problem(path, marker=kind is Kind.DIR)

    def scan(self, excludes: Excludes | None = None) -> AsyncIterator[Batch]:
        return scan(self.client, self.keys, excludes)

    def list_directory(self, path: str) -> AsyncIterator[Batch]:
        """See `Browsable.list_directory`. The rows of directories have no version, whether there is a marker or not."""
        return list_directory(self.client, self.keys, path)

    async def stat(self, paths: Sequence[str]) -> list[Entry | LakelinkError | None]:
        return await self._each(paths, self._stat_one)

    async def read(self, reads: Sequence[Read]) -> list[Content | LakelinkError]:
        total = 0
        eager: set[int] = set()
        for index, read in enumerate(reads):
            if read.fetch and read.size_bytes <= PRELOAD_BYTES and total + read.size_bytes <= PRELOAD_TOTAL_BYTES:
                total += read.size_bytes
                eager.add(index)

        async def one(item: tuple[int, Read]) -> Content:
            index, read = item
            content = S3Content(self.client, self.store, self.keys.key(read.path), read.size_bytes, read.expect)
            if index in eager:
                await content.preload()
            return content

        return await self._each(list(enumerate(reads)), one)

    async def fetch(self, read: Read) -> bytes | None:
        """See `Prompt.fetch`."""
        return await fetch_small(self.client, self.store, self.keys.key(read.path), read)

    async def write(self, writes: Sequence[Write]) -> list[Entry | LakelinkError]:
        # The parts of a large object may go out meanwhile: only the request that makes it visible has a condition.
        if not all(self._may_begin(write) for write in writes):
            await self._learn(True)
            return await self._each(writes, self._write_one)
        self._ask(bool(writes))
        outcomes = await self._each(writes, self._write_one)
        if self.store.asked is not None and self.store.asked.done() and self.store.conditions.write is None:
            self.store.asked.result()  # raises: what could not be found out concerns the whole location
        return outcomes

    async def delete(self, deletes: Sequence[Delete]) -> list[LakelinkError | None]:
        keys = [self.keys.marker(d.path) if d.kind is Kind.DIR else self.keys.key(d.path) for d in deletes]
        return await delete_objects(self.client, self.store, self.keys, list(zip(deletes, keys, strict=True)))

    async def set_posix(self, changes: Sequence[SetPosix]) -> list[Entry | LakelinkError]:
        async def one(change: SetPosix) -> Entry:
            key = self.keys.marker(change.path) if change.kind is Kind.DIR else self.keys.key(change.path)
            return await set_object_posix(self.client, self.store, key, change)

        await self._learn(bool(changes))
        return await self._each(changes, one)

    async def copy(self, copies: Sequence[Copy]) -> list[Entry | LakelinkError]:
        async def one(copy: Copy) -> Entry:
            self._check_name(copy.path, Kind.FILE)
            return await copy_object(
                self.client, self.store, self.keys.key(copy.origin), self.keys.key(copy.path), copy
            )

        await self._learn(bool(copies))
        return await self._each(copies, one)

    async def tag(self, path: str, tags: Mapping[str, str]) -> None:
        """As `Taggable.tag`."""
        await add_tags(self.client, self.keys.key(path), tags)

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests sent so far, by S3 operation; retries count."""
        return self.meter.requests()

    async def flush(self) -> None:
        """S3 answers a write when it is durable: nothing to do."""

    async def aclose(self) -> None:
        if self.store.asked is not None:
            self.store.asked.cancel()
            await asyncio.wait([self.store.asked])
        await self.client.wire.aclose()

    async def abort_abandoned(self, older_than_s: float = 24 * 3600) -> int:
        """Abort multipart uploads below this prefix that were begun longer ago than that; returns how many.

        S3 does not tell who began an upload: only call this where nobody else uploads for longer than that.
        """
        return await abort_abandoned(self.client, self.keys.prefix, older_than_s)

    async def abort_uploads(self, paths: Sequence[str]) -> int:
        """See `Uploader.abort_uploads`."""
        aborted = 0
        for path in paths:
            aborted += await abort_abandoned(self.client, self.keys.key(path), 0.0, whole=True)
            aborted += await forget(self.client, self.keys, path) if self.client.options.staged_completion else 0
        return aborted

    async def sweep(self, older_than_s: float = 24 * 3600) -> int:
        """Remove what killed processes left below `.lakelink/staging/` longer ago than that; returns how many objects and uploads."""
        return await sweep(self.client, self.keys, older_than_s)

    async def _learn(self, needed: bool) -> None:
        if needed and self.store.conditions.write is None:
            await learn_write(self.client, self.store, self.keys)

    def _ask(self, needed: bool) -> None:
        """As `_learn`, without waiting: `Upload.complete` does, and raises what comes of it."""
        asked = self.store.asked
        if needed and self.store.conditions.write is None and (asked is None or asked.done()):
            self.store.asked = asyncio.ensure_future(learn_write(self.client, self.store, self.keys))
            self.store.asked.add_done_callback(lambda task: task.cancelled() or task.exception())

    def _may_begin(self, write: Write) -> bool:
        """Whether a write can begin before it is known what the store honours."""
        content, size = write.content, write.content.size_bytes if write.content else None
        large = size is not None and SMALL_BYTES < size <= MAX_OBJECT_BYTES
        return large and not isinstance(content, S3Content) and not self.client.options.staged_completion

    async def _stat_one(self, path: str) -> Entry | None:
        if path:
            found = await head(self.client, self.keys.key(path))
            if found is not None:
                entry = entry_of_headers(found.headers, marker=False)
                return await self._with_target(path, entry) if entry.kind is Kind.SYMLINK else entry
        marker = self.keys.marker(path)
        found = await head(self.client, marker) if marker else None
        # A prefix without a marker is a directory as long as there are keys below it, which only a listing tells: SeaweedFS goes on answering for
        # one that has become empty.
        if found is not None and not is_implicit(found.headers):
            return marker_entry(found.headers)
        query = f"list-type=2&max-keys=1&prefix={encode_query(marker)}"
        response = await self.client.call(self.client.request("ListObjectsV2", "GET", "", query=query), path)
        if b"<Contents>" in response.body or not path:
            return Entry(kind=Kind.DIR)
        return None

    async def _with_target(self, path: str, entry: Entry) -> Entry:
        content = S3Content(self.client, self.store, self.keys.key(path), entry.size_bytes, entry.version)
        target = (await content.load()).decode("utf-8", "surrogateescape")
        return replace(entry, target=target)

    async def _write_one(self, write: Write) -> Entry:
        self._check_name(write.path, write.kind)
        if write.kind is Kind.DIR:
            key = self.keys.marker(write.path)
            return await put_marker(self.client, self.store, key, write) if key else Entry(kind=Kind.DIR)
        key = self.keys.key(write.path)
        content = write.content or BytesContent(b"")
        if isinstance(content, S3Content) and content.client.same_store(self.client):
            return await copy_content(self.client, self.store, content, key, write)
        size = content.size_bytes
        if size is not None and size > MAX_OBJECT_BYTES:
            raise Unsupported(f"{display(write.path)} is larger than 5 TiB", hint="S3 holds no larger objects.")
        if size is None or size > SMALL_BYTES:
            if self._stages(size):
                return await put_staged(self.client, self.store, self.keys, write, content)
            return await put_large(self.client, self.store, key, write, content)
        await self._buffers.take(size)
        try:
            body = await content.load()
            if len(body) != size:
                raise ChangedWhileRead(
                    f"{display(write.path)} gave {len(body)} bytes instead of {size}", hint=_LOOK_AGAIN
                )
            return await put_small(self.client, self.store, key, write, body)
        finally:
            self._buffers.give(size)

    def _stages(self, size_bytes: int | None) -> bool:
        """Whether a large object goes by way of a staged one: AWS needs no such thing, and without conditional copies it would be in vain."""
        options = self.client.options
        small_enough = size_bytes is None or size_bytes <= options.copy_limit_bytes
        wanted = options.staged_completion and not is_aws(self.client.endpoint.host)
        return wanted and small_enough and self.store.conditions.copy is True

    def _check_name(self, path: str, kind: Kind) -> None:
        problem = self.name_problem(path, kind)
        if problem is not None:
            raise NameUnsupported(f"{display(path)}: {problem}", hint="Rename the file, or exclude it.")

    async def _each(
        self, items: Sequence[_Item], act: Callable[[_Item], Awaitable[_Result]]
    ) -> list[_Result | LakelinkError]:
        """Act on each item, many at once; the answers in the order of the items. What concerns the whole location is raised."""
        results: list[_Result | LakelinkError | None] = [None] * len(items)
        numbered = iter(enumerate(items))

        async def lane() -> None:
            for index, item in numbered:
                try:
                    results[index] = await act(item)
                except WHOLE_LOCATION:
                    raise
                except LakelinkError as error:
                    results[index] = error

        if len(items) == 1:
            await lane()
            return results  # type: ignore[return-value]  # every slot was filled
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.client.options.tasks, len(items))):
                    group.create_task(lane())
        except ExceptionGroup as errors:
            raise first_of(errors) from None
        return results  # type: ignore[return-value]  # every slot was filled
