"""Lazy links in simulated worlds: files come as stubs, are loaded by who opens them, and released at any moment; no zero is ever taken for a byte."""

from contextlib import ExitStack, contextmanager
from unittest import mock

import pytest

from lakelink.links.hsm.files import LazyFiles
from lakelink.links.hsm.freeing import Freeing
from lakelink.testing.sim import lazy
from lakelink.testing.sim.bothways import play_lazy
from lakelink.testing.sim.world import Told

SEEDS = (2, 3, 8, 10, 12, 21, 34, 97, 2001)
BUDGET = 30


def test_nothing_is_lost_while_files_come_and_go():
    for seed in SEEDS:
        assert play_lazy(Told(seed)).faults == (), seed


@contextmanager
def residency_is_not_asked():
    """A stub counts as a file with bytes, and opening it gives what is in it: zeros."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(LazyFiles, "_told", lambda _self, entry, _sight: entry))
        stack.enter_context(mock.patch.object(lazy, "refuse", return_value=None))
        yield


@contextmanager
def objects_go_while_stubs_need_them():
    async def nothing(_self, _steps):
        return {}

    with mock.patch.object(Freeing, "needed", nothing):
        yield


@pytest.mark.parametrize(
    "mutation", [residency_is_not_asked, objects_go_while_stubs_need_them], ids=lambda each: each.__name__
)
def test_a_safeguard_that_is_taken_out_is_noticed(mutation):
    for seed in range(BUDGET):
        with mutation():
            verdict = play_lazy(Told(seed))
        if verdict.faults:
            assert not play_lazy(Told(seed)).faults, "it fails with the safeguard as well"
            return
    pytest.fail(f"{BUDGET} stories went well without the safeguard")
