"""One promise, checked in one place."""

import asyncio

import pytest
from places import EXEMPT

from lakelink.testing.contract import NotApplicable


def keep(promise, place, opened):
    """The promise is kept, or does not concern the place."""
    if reason := EXEMPT.get((place, promise.name)):
        pytest.skip(reason)

    async def check():
        async with opened() as location:
            await promise.keep(location)

    try:
        asyncio.run(check())
    except NotApplicable as reason:
        pytest.skip(str(reason))
