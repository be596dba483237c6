"""A gateway that is killed in the middle of an upload: what was there stays, and the store keeps no parts."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal

import boto3
import pytest

from tests.e2e.serving import InProcess, Lake, wait_for
from tests.e2e.test_gateway import gateway, make_user

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="needs the OpenSSH client (apt: openssh-client)"
)

MIB = 1 << 20


def parts(program):
    """Unfinished uploads below the prefix of the test."""
    env = program.env
    session = boto3.session.Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
    bucket, _, prefix = program.lake.removeprefix("s3://").partition("/")
    listed = session.client("s3", endpoint_url=env["AWS_ENDPOINT_URL_S3"]).list_multipart_uploads(
        Bucket=bucket, Prefix=prefix
    )
    return [upload["Key"].removeprefix(f"{prefix}/") for upload in listed.get("Uploads", [])]


def test_a_worker_that_is_killed_leaves_no_parts_behind(tmp_path, seaweed, s3_prefix):
    program = InProcess(tmp_path, seaweed, s3_prefix)
    make_user(program, f"{program.lake}/acme")
    lake = Lake(program)
    lake.put("acme/large.bin", "what was there")

    async def story(running):
        async with running.connect() as client, client.start_sftp_client() as sftp:
            file = await sftp.open("/large.bin", "wb")
            for number in range(24):
                await file.write(bytes([number]) * MIB)
            assert await asyncio.to_thread(wait_for, lambda: parts(program), "parts") == ["acme/large.bin"]
            (session,) = running.sessions()
            os.kill(session.worker, signal.SIGKILL)
            await client.wait_closed()
        async with running.connect() as client, client.start_sftp_client() as sftp:  # the next worker
            assert await asyncio.to_thread(parts, program) == []
            assert (await sftp.stat("/large.bin")).size == len("what was there")

    with gateway(program) as running:
        asyncio.run(story(running))
    assert lake.text("acme/large.bin") == "what was there"
    assert not any((tmp_path / "state" / "gateway" / "uploads").iterdir())
