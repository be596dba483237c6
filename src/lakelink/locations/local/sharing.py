"""A walk of two trees that takes a second process to help when they turn out to be large."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

from lakelink.locations.base import Sides
from lakelink.locations.local.beside import Side, Walk

if TYPE_CHECKING:
    from lakelink.locations.local.walker_process import WalkerProcess

SHARE_FROM = 8192
"""Rows seen before help is called: walking them takes about as long as the process takes to start."""
_WAIT_S = 0.2  # at a time for its last answers, so that a cancelled walk ends soon


def shared(walk: Walk, source: Side, target: Side, *, owner: bool) -> Generator[Sides, None, None]:
    """As `Walk.tree`, and with its errors.

    Raises:
        Unreachable: the other process was lost with work in its hands: nothing may be concluded.
    """
    other: WalkerProcess | None = None
    alone = not sys.executable or len(os.sched_getaffinity(0)) == 1
    walk.pairs = [(walk.source.top(), walk.target.top())]
    try:
        while walk.pairs or (other is not None and other.owes):
            if walk.pairs:
                yield from walk.pair(*walk.pairs.pop())
            if other is not None:
                yield from other.answers(walk, 0 if walk.pairs else _WAIT_S)
                other.give(walk)
                if not walk.pairs:
                    yield walk.take()
            elif not alone and walk.seen >= SHARE_FROM:
                alone, other = True, _called(source, target, owner=owner)
        yield from walk.rest()
    finally:
        if other is not None:
            other.close()


def _called(source: Side, target: Side, *, owner: bool) -> WalkerProcess | None:
    from lakelink.locations.local.walker_process import WalkerProcess  # only large trees pay for loading it

    try:
        return WalkerProcess(source, target, owner=owner)
    except OSError:  # no process to be had: it goes on alone
        return None
