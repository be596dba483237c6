"""Tags of objects, which workflows add to."""

from __future__ import annotations

import asyncio

import pytest

from lakelink.config.document import Document
from lakelink.errors import NotFound, Unsupported
from lakelink.gateway.workflows.carrying import Place, tag
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent
from lakelink.locations.resolve import OpenOptions, open_location, parse_location
from lakelink.locations.s3.tagging import tags_of
from lakelink.model.entry import Expect, Kind


def test_tags_are_added_to_those_that_an_object_has(seaweed, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", seaweed.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweed.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweed.secret_key)
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    async def run():
        location = await open_location(parse_location("s3://lake/tags", Document()), OpenOptions())

        async def opener(_text):
            return location

        try:
            await location.write([Write("a b", Kind.FILE, BytesContent(b"x"), None, Expect(None))])
            await tag(Place("s3://lake/tags", "a b"), {"status": "new: a/b = 1"}, opener)
            await tag(Place("s3://lake/tags", "a b"), {"by": "hook"}, opener)
            found = await tags_of(location.client, location.keys.key("a b"))
            with pytest.raises(Unsupported, match="would have 11 tags"):
                await location.tag("a b", {f"t{number}": "x" for number in range(9)})
            with pytest.raises(NotFound):
                await location.tag("nothing", {"a": "b"})
        finally:
            await location.aclose()
        return found

    assert asyncio.run(run()) == {"status": "new: a/b = 1", "by": "hook"}
