"""What is looked at before a link is made, so that a mistake is told at once and not by a link that never gets anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat

from lakelink.config.document import Document
from lakelink.errors import LakelinkError, NotPermitted, Refused, RootMissing, Unreachable, UsageError
from lakelink.links.hsm.backing import check_root
from lakelink.links.hsm.base import Tier
from lakelink.links.hsm.guard import ALTERNATIVE
from lakelink.links.hsm.probe import probe
from lakelink.links.spelling import check_spelling
from lakelink.links.stores import Stores, check_accepted, unconditional
from lakelink.locations.base import Delete, Guarantee, Location, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.resolve import OpenOptions, local_path, open_location, parse_location
from lakelink.model.entry import Expect, Kind
from lakelink.model.linkspec import LinkSpec
from lakelink.model.path import OWN_DIRECTORY, display
from lakelink.model.units import format_duration
from lakelink.ports.random import SystemRandom
from lakelink.watch.choose import this_machine
from lakelink.watch.mounts import file_system

ANSWER_WITHIN_S = 20.0  # each side; both are less than a call may take


async def admit(spec: LinkSpec, document: Document, stores: Stores) -> list[str]:
    """Look at both sides; nothing is changed but a probe of the store's conditional writes, which removes what it made; `stores` remembers it.

    Returns what the user should know, a sentence each.

    Raises:
        UsageError, RootMissing, NotPermitted: the directory is none, is not there, or cannot be used. The same, and Unreachable: so with the
            lake. Refused: the store cannot check writes, and that was not accepted; or the file system takes names that differ for one.
    """
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            # Beside the loop: the file server may be away.
            notes = await asyncio.to_thread(look_at_directory, spec, document)
    except TimeoutError as error:
        raise Unreachable(
            f"{display(spec.files)} did not answer within {format_duration(ANSWER_WITHIN_S)}",
            hint="Is its file server up?",
        ) from error
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            notes += await _look_at_lake(spec, document)
    except TimeoutError as error:
        raise Unreachable(
            f"{spec.lake} did not answer within {format_duration(ANSWER_WITHIN_S)}",
            hint="Check the endpoint and the network: lakelink doctor.",
        ) from error
    return notes + await _race_store(spec, document, stores)


def look_at_directory(spec: LinkSpec, document: Document) -> list[str]:
    """The directory is there and can be used; what its file system means for the link."""
    where = parse_location(spec.files, document)
    if not where.url.startswith("file://"):
        raise UsageError(f"{spec.files} is no directory of this machine", hint="First the directory, then the store.")
    path = local_path(where)
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  # names are strings with surrogates here
    except FileNotFoundError as error:
        raise RootMissing(f"{display(path)} is not there", hint="Make it first, or mount its file system.") from error
    except OSError as error:
        raise NotPermitted(
            f"{display(path)} cannot be looked at: {error.strerror}", hint="Check its rights."
        ) from error
    if not stat.S_ISDIR(mode):
        raise UsageError(f"{display(path)} is no directory", hint="A link keeps a directory in step.")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise NotPermitted(
            f"user {os.geteuid()} may not read and write {display(path)}",
            hint="Run the daemon as the directory's owner, or as root.",
        )
    if spec.lazy:
        _check_lazy(spec, path)
    machine = this_machine()
    caveat = file_system(machine.kernel, machine.notify, path).caveat(spec.pace.scan_interval_s)
    return [note for note in (caveat, check_spelling(spec, path)) if note]


def _check_lazy(spec: LinkSpec, path: str) -> None:
    """The directory can hold stubs.

    Raises:
        Refused: this kernel, file system or user cannot, or the link would write to the lake what it never shows; the hint names the alternative.
    """
    if spec.lake.startswith("memory:"):
        raise Refused("a lazy link needs a store that other processes can reach", hint="Use s3://BUCKET/PREFIX.")
    check_root(path)
    found = probe(path)
    if found.tier is Tier.NONE:
        raise Refused(f"{display(path)} cannot be lazy here: {found.why}", hint=ALTERNATIVE)


async def _look_at_lake(spec: LinkSpec, document: Document) -> list[str]:
    lake = await _open_lake(spec, document)
    try:
        await _first_page(lake)
        if spec.rule.exports:  # a link that never writes needs no right to
            await _try_writing(lake)
        blind = Guarantee.BLIND in {lake.traits.write, lake.traits.delete}
    finally:
        await lake.aclose()
    if blind and not spec.accept_unconditional:
        raise unconditional(spec)
    if blind:
        return ["The store does not check conditions on writes: see to it that nobody else writes below this prefix."]
    return []


async def _race_store(spec: LinkSpec, document: Document, stores: Stores) -> list[str]:
    """What holds where two writers meet, where that is less than usual; has a deadline of its own."""
    if not spec.rule.exports:
        return []
    lake = await _open_lake(spec, document)
    try:
        verdict = await stores.judge(lake)
    finally:
        await lake.aclose()
    check_accepted(spec, verdict)
    return [verdict.caveat] if verdict is not None and verdict.caveat else []


async def _open_lake(spec: LinkSpec, document: Document) -> Location:
    travels = spec.transport
    options = OpenOptions(writable=True, storage_class=travels.storage_class or None, sse=travels.sse or None)
    return await open_location(parse_location(spec.lake, document), options)


async def _first_page(lake: Location) -> None:
    """Whether the lake can be listed. An empty prefix can."""
    async with contextlib.aclosing(lake.scan()) as batches:  # type: ignore[type-var]  # every scan is an async generator
        async for _ in batches:
            return


async def _try_writing(lake: Location) -> None:
    """Whether this user may write there, and how far conditions on writes are checked: both are known once something was changed."""
    path = f"{OWN_DIRECTORY}/staging/admission-{SystemRandom().token()}"
    (written,) = await lake.write([Write(path, Kind.FILE, BytesContent(b""), None, Expect(None))])
    if isinstance(written, LakelinkError):
        raise written
    (gone,) = await lake.delete([Delete(path, Kind.FILE, Expect(written.version))])
    if gone is not None:
        raise gone
