"""Nobody gets out: no name, no link, no pair of names leads to a file that is not the user's."""

from __future__ import annotations

import asyncio

import asyncssh
import pytest
from asyncssh.sftp import FXF_CREAT, FXF_READ, FXF_TRUNC, FXF_WRITE

from lakelink.gateway.folders.shared import SharedOptions
from lakelink.model.account import Folder
from tests.integration.gateway.sftp_server import gateway

SECRET = b"not for partners"


@pytest.fixture
def outside(tmp_path):
    """A file and a directory beside the home."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "secret").write_bytes(SECRET)
    return directory


def play(tmp_path, home, story, **how):
    async def run():
        folders = (Folder(path="/", location=str(home)),)
        async with (
            gateway(tmp_path / "gateway", folders, **how) as running,
            running.connect() as connection,
            connection.start_sftp_client(path_encoding=None) as client,
        ):
            await story(client)

    asyncio.run(asyncio.wait_for(run(), 120))


async def attempt_everything(client, path: bytes) -> None:
    """Every operation on the path, as the only one and as each of two. None may read, change or make anything outside."""
    operations = [
        lambda: client.stat(path),
        lambda: client.lstat(path),
        lambda: client.listdir(path),
        lambda: client.readlink(path),
        lambda: client.chmod(path, 0o777),
        lambda: client.utime(path, (1, 1)),
        lambda: client.truncate(path, 0),
        lambda: client.statvfs(path),
        lambda: read(client, path),
        lambda: write(client, path, FXF_WRITE | FXF_CREAT | FXF_TRUNC),
        lambda: write(client, path, FXF_WRITE),
        lambda: write(client, path, FXF_READ | FXF_WRITE),
        lambda: client.mkdir(path + b"/made"),
        lambda: client.rename(path, b"stolen"),
        lambda: client.posix_rename(path, b"stolen"),
        lambda: client.rename(b"mine", path),
        lambda: client.posix_rename(b"mine", path),
        lambda: client.symlink(path, b"link"),
        lambda: read(client, b"link"),
        lambda: client.symlink(b"mine", path),
        lambda: client.link(path, b"hard"),
        lambda: client.link(b"mine", path),
        lambda: client.remove(path),
        lambda: client.rmdir(path),
    ]
    for operation in operations:
        try:
            found = await operation()
        except (asyncssh.SFTPError, ValueError):
            continue
        assert found != SECRET
        await put_back(client)


async def put_back(client):
    async with client.open(b"mine", FXF_WRITE | FXF_CREAT | FXF_TRUNC, encoding=None) as file:
        await file.write(b"mine")


async def read(client, path):
    async with client.open(path, FXF_READ, encoding=None) as file:
        return await file.read()


async def write(client, path, flags):
    async with client.open(path, flags, encoding=None) as file:
        await file.write(b"overwritten")


def untouched(outside):
    assert (outside / "secret").read_bytes() == SECRET
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]


TRAVERSALS = [
    b"../outside/secret",
    b"../../outside/secret",
    b"/../outside/secret",
    b"d/../../outside/secret",
    b"./../outside//secret",
    b"..",
    b"../outside",
    b"a\0b",
    b"x" * 300,
    b"y/" * 3000,
    b"\xff\xfe/..//../outside/secret",
    b".lakelink",
    b".lakelink/tmp",
    b".lakelink/../.lakelink/trash",
]


@pytest.mark.parametrize("makes_symlinks", [False, True])
def test_names_that_climb_stay_inside(local_home, tmp_path, outside, makes_symlinks):
    async def story(client):
        await client.mkdir(b"d")
        for path in [*TRAVERSALS, str(outside / "secret").encode(), str(outside).encode()]:
            await put_back(client)
            await attempt_everything(client, path)

    play(tmp_path, local_home, story, shared=SharedOptions(makes_symlinks=makes_symlinks))
    untouched(outside)


@pytest.mark.parametrize("target", ["../outside/secret", "../outside", "absolute file", "absolute directory"])
def test_links_that_are_there_already_lead_nowhere(local_home, tmp_path, outside, target):
    where = {"absolute file": outside / "secret", "absolute directory": outside}.get(target, target)
    link = tmp_path / "home" / "l"

    async def story(client):
        for path in (b"l", b"l/secret", b"l/../l/secret"):
            if not link.is_symlink():
                link.symlink_to(where)
            await put_back(client)
            await attempt_everything(client, path)

    play(tmp_path, local_home, story, shared=SharedOptions(makes_symlinks=True))
    untouched(outside)


def test_a_link_that_is_moved_to_where_it_would_lead_out_leads_nowhere(local_home, tmp_path, outside):
    async def story(client):
        await client.mkdir(b"d")
        await client.symlink(b"d/l", b"../outside/secret")  # this client sends the link first
        await client.rename(b"d/l", b"l")
        with pytest.raises(asyncssh.SFTPError):
            await read(client, b"l")
        await client.mkdir(b"outside")
        async with client.open(b"outside/secret", FXF_WRITE | FXF_CREAT, encoding=None) as file:
            await file.write(b"my own")
        assert await read(client, b"l") == b"my own"

    play(tmp_path, local_home, story, shared=SharedOptions(makes_symlinks=True))
    untouched(outside)


def test_a_directory_that_is_swapped_for_a_link_meanwhile_leads_nowhere(local_home, tmp_path, outside):
    async def story(client):
        await client.mkdir(b"d")
        file = await client.open(b"d/f", FXF_WRITE | FXF_CREAT, encoding=None)
        await file.write(b"x")
        (tmp_path / "home" / "d").rename(tmp_path / "home" / "was")
        (tmp_path / "home" / "d").symlink_to(outside)
        with pytest.raises(asyncssh.SFTPError):
            await file.close()

    play(tmp_path, local_home, story)
    untouched(outside)


def test_climbing_names_stay_below_the_prefix_of_a_store(s3_home, tmp_path):
    async def neighbour(client):
        async with client.open(b"secret", FXF_WRITE | FXF_CREAT, encoding=None) as file:
            await file.write(SECRET)

    async def story(client):
        for path in [*TRAVERSALS[:9], b"../outside"]:
            await put_back(client)
            await attempt_everything(client, path)

    async def still_there(client):
        assert await read(client, b"secret") == SECRET

    play(tmp_path, f"{s3_home}/outside", neighbour)
    play(tmp_path, f"{s3_home}/home", story)
    play(tmp_path, f"{s3_home}/outside", still_there)
