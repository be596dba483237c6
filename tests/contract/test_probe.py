"""The probe against servers whose weaknesses are known, and against one that is made to have them."""

import asyncio

import pytest
from places import s3_place

from lakelink.locations.s3.probe import Support, probe
from lakelink.ports.wire import WireResponse
from lakelink.testing.hand import Hand


def probed(server, *, rounds, racers=16, wrap=lambda wire: wire):
    async def run():
        async with s3_place(server) as location:
            await Hand(location).put("bystander", b"mine")
            location.client.wire = wrap(location.client.wire)
            found = await probe(location, rounds=rounds, racers=racers)
            assert await Hand(location).get("bystander") == b"mine"
            assert set(await Hand(location).rows()) <= {"", "bystander"}
            return found

    return asyncio.run(run())


def test_seaweedfs_keeps_conditions_of_single_requests_and_is_honestly_described(seaweed):
    # Its lock polls by the second: a crowd at one name takes a while. A user's own probe has 16 racers in 12 rounds.
    found = probed(seaweed, rounds=2, racers=3)
    for name in ("PUT If-None-Match", "PUT If-Match", "DELETE If-Match", "Copy If-None-Match"):
        assert found.support(name) is Support.ATOMIC, str(found.races)
    assert {race.rounds for race in found.races} == {2}
    # Its Complete is known to be racy; how often that shows depends on the moment, never that it is honoured alone.
    assert found.support("Complete If-None-Match") in {Support.RACY, Support.ATOMIC}
    assert not found.ordered_list
    assert not found.marker_metadata
    assert "back\\slash" in found.folded
    assert "plus+ %25" not in found.folded


def test_moto_ignores_what_it_does_not_know(moto_server):
    found = probed(moto_server, rounds=2)
    assert found.support("Copy If-None-Match") is Support.IGNORED
    assert found.ordered_list
    assert found.marker_metadata
    assert not found.safe
    assert str(found.races[0]).startswith("PUT If-None-Match: atomic; one winner in 2 of 2 rounds, at most 1")


class ChecksThenWrites:
    """A store that compares the condition with what it remembers, and changes the object without looking again: alone it passes."""

    def __init__(self, wire, operations):
        self._wire = wire
        self._operations = operations
        self._remembered = {}

    async def send(self, request):
        headers = dict(request.headers)
        conditions = {"if-match", "if-none-match"} & set(headers)
        if conditions and request.operation in self._operations:
            now = self._remembered.get(request.path)
            if ("if-none-match" in headers and now) or (
                "if-match" in headers and headers["if-match"].strip('"') != now
            ):
                return WireResponse(412)
            request.headers = [(name, text) for name, text in request.headers if name not in conditions]
            await asyncio.sleep(0.1)  # so that all who race have checked before the first one changes anything
        answer = await self._wire.send(request)
        if request.operation == "PutObject" and not conditions and answer.status == 200:
            self._remembered[request.path] = answer.headers["etag"].strip('"')
        return answer

    async def aclose(self):
        await self._wire.aclose()


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("PutObject", "PUT If-None-Match"),
        ("CompleteMultipartUpload", "Complete If-Match"),
        ("DeleteObject", "DELETE If-Match"),
    ],
)
def test_a_check_that_is_not_one_step_with_the_change_is_noticed(moto_server, operation, name):
    found = probed(moto_server, rounds=4, wrap=lambda wire: ChecksThenWrites(wire, {operation}))
    assert found.support(name) is Support.RACY
    assert not found.safe
