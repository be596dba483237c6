"""Every operation of SFTP version 3, each of its errors, and what a store makes of them, by the client of asyncssh."""

from __future__ import annotations

import asyncio
import os
import stat

import asyncssh
import pytest
from asyncssh.sftp import FXF_APPEND, FXF_CREAT, FXF_EXCL, FXF_READ, FXF_TRUNC, FXF_WRITE

from lakelink.gateway.folders.shared import SharedOptions
from lakelink.gateway.sftp.limits import SftpLimits
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent
from lakelink.model.account import Account, Folder, Permission
from lakelink.model.entry import Expect, Kind
from tests.integration.gateway.sftp_server import gateway, opened

NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, OP_UNSUPPORTED = 2, 3, 4, 8


def play(tmp_path, home, story, **how):
    """Run the story with a client of a gateway over that home."""

    async def run():
        folders = how.pop("folders", (Folder(path="/", location=home),))
        async with (
            gateway(tmp_path / "gateway", folders, **how) as running,
            running.connect() as connection,
            connection.start_sftp_client() as client,
        ):
            await story(client, running)

    asyncio.run(asyncio.wait_for(run(), 120))


async def refused(awaitable, code):
    with pytest.raises(asyncssh.SFTPError) as caught:
        await awaitable
    assert caught.value.code == code, caught.value


async def put(client, path, data, flags=FXF_WRITE | FXF_CREAT | FXF_TRUNC):
    async with client.open(path, flags, encoding=None) as file:
        await file.write(data)


async def get(client, path):
    async with client.open(path, "rb") as file:
        return await file.read()


async def names(client, path="."):
    return sorted(name for name in await client.listdir(path) if name not in {".", ".."})


def test_files_are_written_read_listed_and_removed(home, tmp_path):
    async def story(client, _running):
        await put(client, "f", b"hello")
        assert await get(client, "f") == b"hello"
        assert await names(client) == ["f"]
        seen = await client.stat("f")
        assert (seen.size, seen.uid, seen.gid) == (
            5,
            4711 if os.geteuid() == 0 or ":" in home else os.getuid(),
            seen.gid,
        )
        assert stat.S_ISREG(seen.permissions)
        await put(client, "f", b"again")
        assert await get(client, "f") == b"again"
        await client.remove("f")
        assert await names(client) == []
        await refused(client.stat("f"), NO_SUCH_FILE)
        await refused(client.remove("f"), NO_SUCH_FILE)
        await refused(get(client, "f"), NO_SUCH_FILE)

    play(tmp_path, home, story)


@pytest.mark.parametrize("size", [0, 1, 8 << 20, (8 << 20) + 1, 21_000_001])
def test_files_of_each_size_come_back_as_they_went(home, tmp_path, size):
    data = os.urandom(size)

    async def story(client, running):
        await put(client, "f", data)
        assert (await client.stat("f")).size == size
        assert await get(client, "f") == data
        async with client.open("f", "rb") as file:
            assert await file.read(100, size + 5) == b""
            if size > 100:
                assert await file.read(100, size - 50) == data[-50:]
        assert [stored.size_bytes for stored in running.stored] == [size]

    play(tmp_path, home, story)


def test_nothing_is_seen_before_close_and_the_whole_then(home, tmp_path):
    async def story(client, running):
        await put(client, "f", b"old")
        async with running.connect() as other_connection, other_connection.start_sftp_client() as other:
            file = await client.open("f", FXF_WRITE | FXF_CREAT | FXF_TRUNC, encoding=None)
            await file.write(b"n" * (9 << 20))
            assert await get(other, "f") == b"old"
            await file.close()
            assert await get(other, "f") == b"n" * (9 << 20)

    play(tmp_path, home, story)


def test_the_session_that_uploads_sees_its_upload(home, tmp_path):
    async def story(client, _running):
        async with client.open("f", FXF_WRITE | FXF_CREAT | FXF_TRUNC, encoding=None) as file:
            await file.write(b"12345")
            assert (await client.stat("f")).size == 5
            assert (await file.stat()).size == 5
            assert await names(client) == ["f"]
            await client.utime("f", (1_600_000_000, 1_600_000_001))
        assert (await client.stat("f")).mtime == 1_600_000_001

    play(tmp_path, home, story)


def test_flags_mean_what_they_say(home, tmp_path):
    async def story(client, _running):
        await refused(put(client, "f", b"x", FXF_WRITE), NO_SUCH_FILE)
        await put(client, "f", b"0123456789", FXF_WRITE | FXF_CREAT)
        await refused(put(client, "f", b"x", FXF_WRITE | FXF_CREAT | FXF_EXCL), FAILURE)
        await put(client, "f", b"ab", FXF_WRITE | FXF_CREAT)
        assert await get(client, "f") == b"ab23456789"
        await put(client, "f", b"+", FXF_WRITE | FXF_APPEND)
        assert await get(client, "f") == b"ab23456789+"
        async with client.open("f", FXF_READ | FXF_WRITE | FXF_CREAT | FXF_TRUNC, encoding=None) as file:
            await file.write(b"fresh")
            assert await file.read(10, 0) == b"fresh"
        assert await get(client, "f") == b"fresh"
        async with client.open("f", FXF_WRITE | FXF_CREAT, encoding=None) as file:
            await file.truncate(0)
            await file.write(b"cut", 0)
        assert await get(client, "f") == b"cut"
        async with client.open("f", "rb") as file:
            await refused(file.write(b"x"), PERMISSION_DENIED)

    play(tmp_path, home, story)


@pytest.mark.parametrize("size", [1000, 6 << 20])
def test_an_upload_goes_on_where_it_stopped(home, tmp_path, size):
    first, rest = os.urandom(size), os.urandom(9 << 20)

    async def story(client, _running):
        await put(client, "f", first)
        async with client.open("f", FXF_WRITE, encoding=None) as file:
            await file.write(rest, size)
        assert await get(client, "f") == first + rest

    play(tmp_path, home, story)


def test_writes_out_of_order_and_holes_are_kept(home, tmp_path):
    async def story(client, _running):
        async with client.open("f", FXF_WRITE | FXF_CREAT | FXF_TRUNC, encoding=None) as file:
            await file.write(b"end", 1000)
            await file.write(b"begin", 0)
        assert await get(client, "f") == b"begin" + b"\0" * 995 + b"end"
        await client.truncate("f", 5)
        assert await get(client, "f") == b"begin"
        await client.truncate("f", 7)
        assert await get(client, "f") == b"begin\0\0"

    play(tmp_path, home, story)


def test_mode_and_times_are_kept_and_owners_are_not_the_clients_business(home, tmp_path):
    async def story(client, _running):
        await put(client, "f", b"x")
        await client.mkdir("d")
        for path in ("f", "d"):
            before = await client.stat(path)
            await client.chmod(path, 0o750)
            await client.utime(path, (1_500_000_000, 1_500_000_001))
            await client.chown(path, 1, 2)
            seen = await client.stat(path)
            assert stat.S_IMODE(seen.permissions) == 0o750
            assert (seen.uid, seen.gid) == (before.uid, before.gid)
            assert seen.mtime == 1_500_000_001
        assert {entry.filename: entry.attrs.mtime for entry in await client.readdir(".")}["f"] == 1_500_000_001
        await refused(client.chmod("absent", 0o600), NO_SUCH_FILE)

    play(tmp_path, home, story)


def test_directories_are_made_listed_and_removed_when_empty(home, tmp_path):
    async def story(client, _running):
        await client.mkdir("d")
        await refused(client.mkdir("d"), FAILURE)
        await refused(client.mkdir("absent/d"), NO_SUCH_FILE)
        await refused(put(client, "absent/f", b"x"), NO_SUCH_FILE)
        await put(client, "d/f", b"x")
        await client.mkdir("d/e")
        assert await names(client, "d") == ["e", "f"]
        assert await client.isdir("d/e")
        await refused(client.rmdir("d"), FAILURE)
        await refused(client.rmdir("d/f"), FAILURE)
        await refused(client.remove("d"), FAILURE)
        await refused(put(client, "d", b"x"), FAILURE)
        await refused(get(client, "d"), FAILURE)
        await refused(client.listdir("d/f"), NO_SUCH_FILE)
        await refused(client.listdir("absent"), NO_SUCH_FILE)
        await client.rmdir("d/e")
        await client.remove("d/f")
        await client.rmdir("d")
        await refused(client.rmdir("d"), NO_SUCH_FILE)
        assert await names(client) == []

    play(tmp_path, home, story)


def test_a_rename_moves_and_a_posix_rename_replaces(home, tmp_path):
    async def story(client, _running):
        await put(client, "a", b"a")
        await put(client, "b", b"b")
        await client.mkdir("d")
        await refused(client.rename("a", "b"), FAILURE)
        await client.rename("a", "c")
        assert await names(client) == ["b", "c", "d"]
        await client.posix_rename("c", "b")
        assert await get(client, "b") == b"a"
        assert await names(client) == ["b", "d"]
        await refused(client.posix_rename("b", "d"), FAILURE)
        await refused(client.rename("absent", "x"), NO_SUCH_FILE)
        await refused(client.rename("b", "absent/x"), NO_SUCH_FILE)
        await client.rename("b", "b")
        assert await names(client) == ["b", "d"]

    play(tmp_path, home, story)


def test_a_plain_rename_replaces_where_the_gateway_says_so(home, tmp_path):
    async def story(client, _running):
        await put(client, "a", b"a")
        await put(client, "b", b"b")
        await client.rename("a", "b")
        assert await get(client, "b") == b"a"

    play(tmp_path, home, story, shared=SharedOptions(rename_replaces=True))


def test_a_directory_is_renamed_with_all_that_is_in_it(home, tmp_path):
    async def story(client, _running):
        await client.makedirs("d/e/f")
        await put(client, "d/one", b"1")
        await put(client, "d/e/two", b"2")
        await client.rename("d", "moved")
        assert await names(client) == ["moved"]
        assert await names(client, "moved") == ["e", "one"]
        assert await get(client, "moved/e/two") == b"2"
        assert await client.isdir("moved/e/f")
        await client.mkdir("d")
        await refused(client.rename("d", "moved"), FAILURE)
        await refused(client.posix_rename("moved", "moved/e/inside"), FAILURE)

    play(tmp_path, home, story)


def test_a_directory_with_too_much_in_it_is_not_renamed_where_that_means_copies(s3_home, tmp_path):
    async def story(client, _running):
        await client.mkdir("d")
        for number in range(4):
            await put(client, f"d/{number}", b"x")
        await refused(client.rename("d", "e"), FAILURE)
        assert len(await names(client, "d")) == 4
        assert await names(client) == ["d"]

    play(tmp_path, s3_home, story, limits=SftpLimits(directory_rename_paths=3))


def test_what_another_writer_stored_meanwhile_makes_close_fail(home, tmp_path):
    async def story(client, running):
        await put(client, "f", b"old")
        async with running.connect() as second, second.start_sftp_client() as other:
            file = await client.open("f", FXF_WRITE | FXF_CREAT | FXF_TRUNC, encoding=None)
            await file.write(b"mine")
            await put(other, "f", b"theirs")
            await refused(file.close(), FAILURE)
            assert await get(client, "f") == b"theirs"

    play(tmp_path, home, story)


def test_links_are_not_made_unless_told_and_lead_nowhere_else(home, tmp_path):
    async def plain(client, _running):
        await put(client, "f", b"x")
        await refused(client.symlink("f", "l"), OP_UNSUPPORTED)
        await refused(client.link("f", "h"), OP_UNSUPPORTED)
        await refused(client.readlink("f"), FAILURE)

    async def allowed(client, _running):
        await put(client, "g", b"content")
        # This client keeps to the draft, and others to OpenSSH: the order of the two is the other one.
        await client.symlink("l", "g")
        await client.symlink("out", "/../../etc/passwd")
        assert await client.readlink("l") == "g"
        assert await get(client, "l") == b"content"
        assert stat.S_ISLNK((await client.lstat("l")).permissions)
        assert stat.S_ISREG((await client.stat("l")).permissions)
        await refused(get(client, "out"), NO_SUCH_FILE)
        await client.symlink("loop", "loop")
        await refused(client.stat("loop"), FAILURE)
        await client.remove("l")
        assert await get(client, "g") == b"content"

    play(tmp_path, home, plain)
    play(tmp_path, home, allowed, shared=SharedOptions(makes_symlinks=True))


def test_paths_are_made_normal_and_end_at_the_top(home, tmp_path):
    async def story(client, _running):
        assert await client.realpath(".") == "/"
        assert await client.realpath("a/../b/./c//d") == "/b/c/d"
        assert await client.realpath("/../../x") == "/x"
        await put(client, "name with spaces ü", b"x")
        assert await names(client) == ["name with spaces ü"]

    play(tmp_path, home, story)


def test_extensions_are_answered(home, tmp_path):
    async def story(client, _running):
        assert client.limits.max_read_len == 255 * 1024
        assert client.limits.max_write_len == 255 * 1024
        space = await client.statvfs(".")
        assert space.bavail > 0
        async with client.open("f", FXF_WRITE | FXF_CREAT | FXF_TRUNC, encoding=None) as file:
            await file.write(b"0123456789")
            await file.fsync()
        async with client.open("f", "rb") as origin, client.open("g", "wb") as copy:
            await client.remote_copy(origin, copy)
        assert await get(client, "g") == b"0123456789"

    play(tmp_path, home, story)


def test_folders_are_merged_into_one_tree_each_with_its_permission(tmp_path, s3_home):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report").write_bytes(b"read me")
    folders = (
        Folder(path="/", location=s3_home),
        Folder(path="/outgoing", location=str(tmp_path / "out"), permission=Permission.READ_ONLY),
        Folder(path="/in/drop", location="memory:drop", permission=Permission.WRITE_ONLY),
        Folder(path="/small", location="memory:small", quota_bytes=100),
    )

    async def story(client, _running):
        await put(client, "f", b"x")
        assert await names(client) == ["f", "in", "outgoing", "small"]
        assert await names(client, "/in") == ["drop"]
        assert await get(client, "outgoing/report") == b"read me"
        await refused(put(client, "outgoing/report", b"x"), PERMISSION_DENIED)
        await refused(put(client, "outgoing/new", b"x"), PERMISSION_DENIED)
        await refused(client.remove("outgoing/report"), PERMISSION_DENIED)
        await refused(client.mkdir("outgoing/d"), PERMISSION_DENIED)
        await refused(client.chmod("outgoing/report", 0o600), PERMISSION_DENIED)
        await refused(client.rename("outgoing/report", "outgoing/x"), PERMISSION_DENIED)
        await put(client, "in/drop/secret", b"s")
        assert await names(client, "in/drop") == ["secret"]
        await refused(get(client, "in/drop/secret"), PERMISSION_DENIED)
        await refused(client.rename("in/drop/secret", "stolen"), OP_UNSUPPORTED)
        await refused(client.remote_copy("in/drop/secret", "stolen"), PERMISSION_DENIED)
        await client.rename("in/drop/secret", "in/drop/done")
        for mounted in ("outgoing", "in/drop", "small"):
            await refused(client.rmdir(mounted), FAILURE)
        await refused(client.rename("in", "elsewhere"), NO_SUCH_FILE)
        await put(client, "small/a", b"x" * 80)
        await refused(put(client, "small/b", b"x" * 30), FAILURE)
        assert await names(client, "small") == ["a"]
        await put(client, "small/a", b"y" * 100)
        await client.remove("small/a")
        await put(client, "small/b", b"z" * 100)

    play(tmp_path, s3_home, story, folders=folders)


def test_a_dropped_file_carries_owner_mode_and_time_in_the_schema_of_fsx(s3_home, tmp_path):
    async def story(client, _running):
        await client.mkdir("in")
        async with client.open(
            "in/f", FXF_WRITE | FXF_CREAT | FXF_TRUNC, asyncssh.SFTPAttrs(permissions=0o640), encoding=None
        ) as file:
            await file.write(b"x")
            await file.utime((1_600_000_000, 1_600_000_123))
        location = await opened(s3_home)
        (file_entry, directory) = await location.stat(["in/f", "in"])
        await location.aclose()
        posix = file_entry.posix
        assert (posix.mode, posix.uid, posix.gid, posix.mtime_ns) == (0o640, 11, 12, 1_600_000_123 * 10**9)
        assert (directory.posix.mode, directory.posix.uid, directory.posix.gid) == (0o2770 & 0o777, 11, 12)

    account = Account(
        name="partner", folders=(Folder(path="/", location=s3_home),), uid=11, gid=12, directory_mode=0o770
    )
    play(tmp_path, s3_home, story, account=account)


def test_what_is_uploaded_over_one_connection_is_seen_over_the_others(home, tmp_path):
    async def story(client, running):
        async with running.connect() as second, second.start_sftp_client() as other:
            assert await names(other) == []
            await put(client, "f", b"1")
            assert await names(other) == ["f"]
            assert await get(other, "f") == b"1"
            await put(client, "f", b"22")
            assert (await other.stat("f")).size == 2
            assert await get(other, "f") == b"22"
            await client.remove("f")
            await refused(other.stat("f"), NO_SUCH_FILE)
            await refused(get(other, "f"), NO_SUCH_FILE)

    play(tmp_path, home, story)


def test_what_another_program_stored_after_a_listing_is_seen_when_a_file_is_opened(home, tmp_path):
    async def story(client, _running):
        location = await opened(home)
        assert await names(client) == []
        writes = [Write(name, Kind.FILE, BytesContent(b"theirs"), None, Expect(None)) for name in ("a", "b", "c")]
        await location.write(writes)
        await location.aclose()
        await refused(put(client, "a", b"x", FXF_WRITE | FXF_CREAT | FXF_EXCL), FAILURE)
        await put(client, "b", b"+", FXF_WRITE | FXF_CREAT | FXF_APPEND)
        assert await get(client, "b") == b"theirs+"
        await put(client, "c", b"TH", FXF_WRITE | FXF_CREAT)
        assert await get(client, "c") == b"THeirs"

    play(tmp_path, home, story)
