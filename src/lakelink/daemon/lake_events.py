"""The events of a link's lake, set up by an operator: with the access that the settings name, or that of who runs the command."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from lakelink.config.document import Document
from lakelink.daemon.lake_feeds import queue_access
from lakelink.errors import Unsupported
from lakelink.locations.resolve import OpenOptions, open_location, parse_location
from lakelink.locations.s3.location import S3Location
from lakelink.model.linkspec import LinkSpec
from lakelink.ports.crt_endpoint import resolve_region
from lakelink.watch.queue_setup import Finding, QueueSetup
from lakelink.watch.sqs_api import QueueName, open_sqs, parse_queue, queue_endpoint

CREATE = "create"


@dataclass(frozen=True, slots=True)
class _Way:
    """Both ends of the way of a link's events, open."""

    setup: QueueSetup
    region: str


async def install(spec: LinkSpec, document: Document, queue: str) -> str:
    """Afterwards the lake's changes go into the queue, an ARN or URL, or with `create` one that was made for this link; returns what names it.

    Raises:
        Unsupported: the store has no event notifications. Refused: they would overlap with others. Nothing was changed.
        ConfigError: it names no queue. NotPermitted: the hint names the permission. StorageError, Unreachable: see `QueueSetup`.
    """
    async with _open(spec, document, "" if queue == CREATE else queue) as way:
        found = await way.setup.create(spec.ident) if queue == CREATE else _named(queue, way)
        await way.setup.install(found)
        return found.arn if queue == CREATE else queue


async def check(spec: LinkSpec, document: Document) -> list[Finding]:
    """What is right with the events of a link that has a queue, and what is not. Changes nothing.

    Raises:
        Unsupported, ConfigError: see `install`.
    """
    async with _open(spec, document, spec.events) as way:
        return await way.setup.check(_named(spec.events, way))


async def remove(spec: LinkSpec, document: Document) -> None:
    """Afterwards nothing of the link's events is left in the store, nor a queue that was made for it and that nobody else uses.

    Raises:
        Refused: the notification of this name sends elsewhere. NotPermitted: the hint names the permission.
    """
    async with _open(spec, document, spec.events) as way:
        await way.setup.remove(_named(spec.events, way))


def _named(queue: str, way: _Way) -> QueueName:
    return parse_queue(queue, way.region)


@asynccontextmanager
async def _open(spec: LinkSpec, document: Document, queue: str) -> AsyncIterator[_Way]:
    where = parse_location(spec.lake, document)
    lake = await open_location(where, OpenOptions(writable=True))
    try:
        if not isinstance(lake, S3Location):
            raise Unsupported(f"{spec.lake} pushes no events", hint="Only S3 does.")
        access = queue_access(where)
        region = access.region or resolve_region("", where.options.get("profile", ""), os.environ).value
        named = parse_queue(queue, region).region if queue else region
        sqs = open_sqs(named, access.credentials, endpoint=queue_endpoint(queue), options=access.wire)
        try:
            yield _Way(QueueSetup(spec.name, lake.keys.prefix, lake.client, sqs), region)
        finally:
            await sqs.aclose()
    finally:
        await lake.aclose()
