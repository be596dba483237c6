"""The parts of a large object go out while it is found out what the store honours; nothing becomes visible before that is known."""

from __future__ import annotations

import asyncio

from scripted_http import Reply, ScriptedServer, error

from lakelink.core.backoff import Backoff
from lakelink.errors import NotPermitted
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent
from lakelink.locations.s3.open import S3Access, Traffic, open_s3
from lakelink.model.entry import Expect, Kind
from lakelink.ports.crt_auth import CredentialSource

QUICK = Traffic(backoff=Backoff(base_s=0.005, cap_s=0.02, attempts=2))
BODY = bytes(9 << 20)
STARTED = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
COMPLETED = b"<CompleteMultipartUploadResult><ETag>&quot;e-2&quot;</ETag></CompleteMultipartUploadResult>"


def run(probe):
    """Write a large object to a store that answers to the first request about its own object as `probe` says, once both parts are there.
    Answers what the write answered, and what was asked for in that order.
    """
    asked = []

    async def main():
        both = asyncio.Event()

        async def handler(seen):
            what = "probe" if "/staging/" in seen.target else seen.target.partition("?")[2] or seen.method
            asked.append(what)
            if what == "probe":
                await both.wait()
                first = asked.count("probe") == 1
                return probe() if first or seen.method == "DELETE" else error(412, "PreconditionFailed")
            if what.startswith("partNumber"):
                if sum(one.startswith("partNumber") for one in asked) == 2:
                    both.set()
                return Reply(headers={"ETag": '"p"'})
            if seen.method == "HEAD":
                return Reply(404)
            return Reply(204) if seen.method == "DELETE" else Reply(body=STARTED if what == "uploads=" else COMPLETED)

        async with ScriptedServer(handler) as server:
            access = S3Access(endpoint=server.url, credentials=CredentialSource("AK", "SK"), proxy="", region="r")
            location = open_s3("s3://lake/p", access, traffic=QUICK, environ={})
            try:
                async with asyncio.timeout(60):
                    return await location.write([Write("a", Kind.FILE, BytesContent(BODY), None, Expect(None))])
            finally:
                await location.aclose()

    try:
        return asyncio.run(main()), asked
    except NotPermitted as refused:
        return refused, asked


def test_the_object_is_completed_after_the_last_answer_about_conditions():
    (entry,), asked = run(lambda: Reply(headers={"ETag": '"x"'}))
    assert entry.size_bytes == len(BODY)
    last_probe = max(number for number, what in enumerate(asked) if what == "probe")
    assert asked.index("uploadId=u") > last_probe
    assert asked.count("probe") == 5


def test_a_store_that_does_not_say_gets_its_parts_taken_back():
    refused, asked = run(lambda: error(403, "AccessDenied"))
    assert isinstance(refused, NotPermitted)
    assert asked[-1] == "uploadId=u"  # DELETE: the parts are given up
    assert asked.count("uploadId=u") == 1
