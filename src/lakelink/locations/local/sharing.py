"""A walk of two trees that takes a second process to help when they turn out to be large."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

from lakelink.locations.base import Sides
from lakelink.locations.local.beside import Side, Walk

if TYPE_CHECKING:
    from lakelink.locations.local.helper import Helper

SHARE_FROM = 8192
"""Rows seen before help is called: walking them takes about as long as the helper takes to start."""
_WAIT_S = 0.2  # at a time for the helper's last answers, so that a cancelled walk ends soon


def shared(walk: Walk, source: Side, target: Side, *, owner: bool) -> Generator[Sides, None, None]:
    """As `Walk.tree`, and with its errors.

    Raises:
        Unreachable: the helper was lost with work in its hands: nothing may be concluded.
    """
    helper: Helper | None = None
    alone = not sys.executable or len(os.sched_getaffinity(0)) == 1
    walk.pairs = [(walk.source.top(), walk.target.top())]
    try:
        while walk.pairs or (helper is not None and helper.owes):
            if walk.pairs:
                yield from walk.pair(*walk.pairs.pop())
            if helper is not None:
                yield from helper.answers(walk, 0 if walk.pairs else _WAIT_S)
                helper.give(walk)
                if not walk.pairs:
                    yield walk.take()
            elif not alone and walk.seen >= SHARE_FROM:
                alone, helper = True, _called(source, target, owner=owner)
        yield from walk.rest()
    finally:
        if helper is not None:
            helper.close()


def _called(source: Side, target: Side, *, owner: bool) -> Helper | None:
    from lakelink.locations.local.helper import Helper  # only large trees pay for loading it

    try:
        return Helper(source, target, owner=owner)
    except OSError:  # no process to be had: it goes on alone
        return None
