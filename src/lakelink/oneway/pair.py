"""Opening the two locations of a run, with its lock and its index."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakelink.config.document import load_document
from lakelink.config.state_dir import state_dir
from lakelink.core.diff import Rule
from lakelink.core.safety import overlap
from lakelink.errors import UsageError
from lakelink.locations.base import Location
from lakelink.locations.resolve import OpenOptions, canonical_url, open_location, parse_location
from lakelink.model.task import SyncOptions
from lakelink.ports.clock import SystemClock
from lakelink.state.locks import target_lock

if TYPE_CHECKING:
    from lakelink.state.index import SyncIndex

YOUNG_NS = 3_000_000_000
"""A version of the lake written so shortly before the scan may still change within the second of its Last-Modified, clocks being what they are."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two open locations, what counts as a difference between them, and what is remembered of them."""

    source: Location
    target: Location
    rule: Rule
    index: SyncIndex | None


@asynccontextmanager
async def open_pair(
    source: str, target: str, options: SyncOptions, *, config: str | None, writes: bool
) -> AsyncIterator[Pair]:
    """Open both locations; with `writes`, hold the target's lock.

    Raises:
        UsageError, ConfigError: a location is not well formed, or both overlap; nothing was touched.
        Busy: another run writes to the target.
        RootMissing: the source is not there.
    """
    document = load_document(config)
    source_spec, target_spec = parse_location(source, document), parse_location(target, document)
    source_url, target_url = canonical_url(source_spec), canonical_url(target_spec)
    if trouble := overlap(source_url, target_url):
        raise UsageError(f"{trouble}; a run would read what it writes", hint="Name two places that do not overlap.")
    lock = target_lock(state_dir() / "locks", target_url) if writes else nullcontext()
    with lock:
        one = await open_location(source_spec, _source_options(options))
        try:
            if options.delete and one.spec.url != source_spec.url:
                raise UsageError(
                    "the source is one file, and --delete would remove everything else from the target",
                    hint="Leave --delete away, or name a directory as the source.",
                )
            other = await open_location(target_spec, _target_options(options, writable=writes))
            try:
                rule = Rule(posix=options.posix, owner=_keeps_owner(other), checksum=options.checksum)
                scope = index_scope(options, rule)
                remembers = writes or options.dry_run
                index = _open_index(one, other, options, (source_url, target_url, scope)) if remembers else None
                try:
                    yield Pair(one, other, rule, index)
                finally:
                    if index:
                        index.close()
            finally:
                await other.aclose()
        finally:
            await one.aclose()


def _source_options(options: SyncOptions) -> OpenOptions:
    return OpenOptions(
        writable=False,
        bandwidth_bytes_per_s=options.bandwidth_bytes_per_s,
        concurrency=options.concurrency,
        symlinks=options.symlinks,
    )


def _target_options(options: SyncOptions, *, writable: bool) -> OpenOptions:
    """What becomes of links is a question to the source: those of the target are seen as what they are. For a dry run the target may be missing,
    and is a directory, as for the run.
    """
    return OpenOptions(
        writable=writable,
        bandwidth_bytes_per_s=options.bandwidth_bytes_per_s,
        concurrency=options.concurrency,
        storage_class=options.storage_class if writable else None,
        sse=options.sse if writable else None,
        trash=options.trash and writable,
        one_file=not options.dry_run,
        must_exist=not options.dry_run,
    )


def _keeps_owner(target: Location) -> bool:
    return not target.traits.local or os.geteuid() == 0


def index_scope(options: SyncOptions, rule: Rule) -> str:
    """The options that change what "equal" means: what was learnt under others is not believed."""
    return f"posix={options.posix} owner={rule.owner} symlinks={options.symlinks.value}"


def _open_index(
    source: Location, target: Location, options: SyncOptions, names: tuple[str, str, str]
) -> SyncIndex | None:
    """Where both listings tell everything, there is nothing to remember."""
    if source.traits.posix_in_list and target.traits.posix_in_list and options.posix:
        return None
    from lakelink.state.index import SyncIndex, index_name

    directory = state_dir() / "sync"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return SyncIndex(directory / index_name(*names), SystemClock().time_ns() - YOUNG_NS)
