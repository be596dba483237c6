"""Carrying on whatever a call raises: the job of a simulated thread, and one story among many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def fulfil(future: asyncio.Future[T], job: Callable[[], T]) -> None:
    """Do the job; its result, or whatever it raised, a crash of the simulated machine too, is for whoever awaits the future."""
    if future.cancelled():
        return
    try:
        result = job()
    except BaseException as error:  # noqa: BLE001  # see above
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():
            future.set_result(result)


def attempted(call: Callable[[], T]) -> T | Exception:
    """The result, or the error."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001  # the caller has others to go on with
        return error
