"""One promise, checked in one place."""

import asyncio

import pytest
from places import EXEMPT

from lakelink.testing.contract import NotApplicable
from lakelink.testing.hand import ContractBroken


def keep(promise, place, opened, attempts=1):
    """The promise is kept, in one of so many attempts, or does not concern the place."""
    if reason := EXEMPT.get((place, promise.name)):
        pytest.skip(reason)

    async def check():
        async with opened() as location:
            await promise.keep(location)

    for left in reversed(range(attempts)):
        try:
            asyncio.run(check())
        except NotApplicable as reason:
            pytest.skip(str(reason))
        except ContractBroken:
            if not left:
                raise
        else:
            return
