"""Waiting for the first of several things."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any


async def first(*work: Awaitable[Any]) -> None:
    """Returns when one of them has ended. Coroutines that have not are cancelled; tasks that were given go on."""
    own: list[asyncio.Future[Any]] = []
    tasks: list[asyncio.Future[Any]] = []
    for item in work:
        if isinstance(item, asyncio.Future):
            tasks.append(item)
        else:
            own.append(asyncio.ensure_future(item))
    try:
        await asyncio.wait([*own, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in own:
            task.cancel()
        if own:
            await asyncio.wait(own)
