"""The contract of the Location port, as promises that can be tested on any location: ours, yours, or a bucket of a user.

    async for outcome in validate(open_place):
        print(outcome.status, outcome.promise, outcome.detail)

`open_place(name)` opens the place of that name (for a bucket: a prefix), which is empty at first and belongs to one check alone;
opened twice, it is the same place. It is emptied afterwards. With pytest,
parametrise over `PROMISES` and await `promise.keep(location)`: docs/ADAPTERS.md shows the ten lines.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lakelink.errors import LakelinkError
from lakelink.locations.base import Location
from lakelink.testing import (
    contract_expect,
    contract_names,
    contract_posix,
    contract_read,
    contract_scan,
    contract_write,
)
from lakelink.testing.hand import ContractBroken, Hand
from lakelink.testing.promise import NotApplicable, Promise

__all__ = ["PROMISES", "ContractBroken", "NotApplicable", "Outcome", "Promise", "Status", "validate"]

PROMISES: tuple[Promise, ...] = (
    *contract_write.PROMISES,
    *contract_read.PROMISES,
    *contract_expect.PROMISES,
    *contract_scan.PROMISES,
    *contract_posix.PROMISES,
    *contract_names.PROMISES,
)


class Status(StrEnum):
    """What came of a promise."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One promise, and whether it is kept; `detail` says what was seen otherwise."""

    promise: str
    status: Status
    detail: str = ""


async def validate(
    open_place: Callable[[str], Awaitable[Location]], promises: Sequence[Promise] = PROMISES
) -> AsyncIterator[Outcome]:
    """Check each promise in a place of its own, one after the other; what a check made is removed before the next.

    Trouble of one check is its outcome.

    Raises:
        LakelinkError: a place could not be opened or emptied; nothing more is checked.
    """
    for number, promise in enumerate(promises):
        name = f"check-{number:03}"
        location = await open_place(name)
        try:
            yield await _judge(promise, location)
        finally:
            await location.aclose()
            location = await open_place(name)  # the check may have closed its own
            await Hand(location).clear()
            await location.aclose()


async def _judge(promise: Promise, location: Location) -> Outcome:
    try:
        await promise.keep(location)
    except NotApplicable as reason:
        return Outcome(promise.name, Status.NOT_APPLICABLE, str(reason))
    # Whatever else comes out of an adapter has crossed the port without being translated: that breaks the contract as well.
    except (ContractBroken, LakelinkError, OSError, ValueError, ExceptionGroup) as error:
        return Outcome(promise.name, Status.BROKEN, "; ".join(_sentences(error)))
    return Outcome(promise.name, Status.KEPT)


def _sentences(error: Exception) -> list[str]:
    if isinstance(error, ExceptionGroup):
        return [sentence for inner in error.exceptions for sentence in _sentences(inner)]
    return [str(error) if isinstance(error, ContractBroken) else f"{type(error).__name__}: {error}"]
