"""Whether a location can be listed with the access that it has."""

from __future__ import annotations

import asyncio
import contextlib
import time

from lakelink.cli.checks.finding import Finding, fail, ok
from lakelink.config.document import Document
from lakelink.errors import LakelinkError
from lakelink.locations.base import Location
from lakelink.locations.resolve import OpenOptions, open_location, parse_location
from lakelink.model.units import format_duration

ANSWER_WITHIN_S = 20.0


async def reach(text: str, document: Document) -> Finding:
    """List the first page of a location, read-only."""
    check = text.rstrip(":")
    began_s = time.monotonic()
    try:
        spec = parse_location(text, document)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            location = await open_location(spec, OpenOptions(writable=False))
            try:
                seen, more = await _first_page(location)
            finally:
                await location.aclose()
    except LakelinkError as error:
        return fail(
            check, f"{error.message} [{error.code}]", error.hint or "docs/reference/errors.md explains the code."
        )
    except TimeoutError:
        return fail(
            check, f"no answer within {format_duration(ANSWER_WITHIN_S)}", "Check the endpoint and the network."
        )
    count = f"{seen:,} paths on the first page" if more else f"{seen:,} paths"
    return ok(check, f"{spec.url} can be listed ({count}) in {format_duration(time.monotonic() - began_s)}")


async def _first_page(location: Location) -> tuple[int, bool]:
    async with contextlib.aclosing(location.scan()) as batches:  # type: ignore[type-var]  # every scan is an async generator
        seen = 0
        async for batch in batches:
            if seen:
                return seen, True
            seen = len(batch.rows)
    return seen, False
