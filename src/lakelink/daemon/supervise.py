"""The edges of the daemon: whatever a call or a link ends with becomes an error with a code, and nothing takes its neighbours along."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable
from typing import TypeVar

from lakelink.errors import InternalError, LakelinkError
from lakelink.obs import log
from lakelink.obs.log import Event

T = TypeVar("T")


async def outcome(work: Awaitable[T]) -> T | LakelinkError:
    """What the work returns, or the error it ends with. A defect is an `InternalError`, its traceback in the log; cancelling goes through."""
    try:
        return await work
    except LakelinkError as error:
        return error
    except ExceptionGroup as group:
        return _first(group)
    except Exception as error:  # noqa: BLE001  # the one place in the daemon that may: its edge
        return _defect(error)


def _first(group: ExceptionGroup[Exception]) -> LakelinkError:
    known, _ = group.split(LakelinkError)
    while known is not None:
        first = known.exceptions[0]
        if isinstance(first, LakelinkError):
            return first
        known = first
    return _defect(group)


def _defect(error: Exception) -> InternalError:
    said = f"{type(error).__name__}: {error}"
    log.emit(
        logging.ERROR,
        Event.DEFECT,
        {"code": InternalError.code, "message": said, "trace": "".join(traceback.format_exception(error))},
    )
    return InternalError(
        f"lakelink failed in a way that it should not: {said}",
        hint="The daemon's log has the traceback; please report it.",
    )
