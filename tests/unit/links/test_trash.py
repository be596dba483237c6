"""The trash, filled by the real adapter on a real file system."""

import asyncio
import errno
import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.errors import LakelinkError, NotPermitted, PreconditionFailed, Refused, RootMissing
from lakelink.links.retention import Retention, tend
from lakelink.links.trash import Trash
from lakelink.locations.base import Delete, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.locations.local.stamp import SPAN_NS, is_over, new_stamp, stamp_time_ns
from lakelink.model.entry import Entry, Expect, Kind
from lakelink.model.linkspec import Safety
from lakelink.ports.linux import LinuxKernel
from lakelink.testing.clocks import JumpingClock

HOUR_NS = SPAN_NS
DAY_NS = 24 * HOUR_NS


class Scene:
    """A root, the adapter with its trash on, and a clock that can be set forward."""

    def __init__(self, root):
        self.root = root
        self.clock = JumpingClock()
        self.location = LocalLocation(str(root), clock=self.clock, options=LocalOptions(trash=True))
        self.trash = Trash(str(root))

    def later(self, seconds):
        asyncio.run(self.clock.sleep(seconds))

    def delete(self, *paths):
        async def run():
            entries = await self.location.stat(paths)
            return await self.location.delete(
                [Delete(path, entry.kind, Expect(entry.version)) for path, entry in zip(paths, entries, strict=True)]
            )

        assert asyncio.run(run()) == [None] * len(paths)

    def file(self, path, text="x"):
        where = self.root / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)
        return where

    def names(self, *words):
        return [item.path for item in self.trash.items(words)]


@pytest.fixture
def scene(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    one = Scene(root)
    yield one
    asyncio.run(one.location.aclose())


def test_what_a_link_removed_is_listed_with_its_time_and_size(scene):
    scene.file("a/b.txt", "hello")
    (scene.root / "link").symlink_to("a")
    os.utime(scene.root / "a" / "b.txt", ns=(1, 123_000))
    scene.delete("a/b.txt", "link")
    items = {item.path: item for item in scene.trash.items()}
    assert set(items) == {"a/b.txt", "link"}
    item = items["a/b.txt"]
    assert (item.kind, item.size_bytes, item.mtime_ns) == (Kind.FILE, 5, 123_000)
    assert item.since_ns == scene.clock.time_ns() // 10**9 * 10**9
    assert items["link"].kind is Kind.SYMLINK
    assert item.name == f"{item.bin.stamp}/a/b.txt"


def test_a_long_lived_process_begins_a_new_stamp_every_hour(scene):
    for number in range(4):
        scene.file(f"f{number}")
        scene.delete(f"f{number}")
        scene.later(1200)
    stamps = [item.bin.stamp for item in sorted(scene.trash.items(), key=lambda item: item.path)]
    assert stamps[0] == stamps[1] == stamps[2]
    assert stamps[3] != stamps[0]
    assert stamp_time_ns(stamps[3]) - stamp_time_ns(stamps[0]) == HOUR_NS


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), {"a/b.txt", "a/c.log", "ab", "d/é"}),
        (("a",), {"a/b.txt", "a/c.log"}),
        (("a/",), {"a/b.txt", "a/c.log"}),
        (("a/b.txt",), {"a/b.txt"}),
        (("*.log", "d/*"), {"a/c.log", "d/é"}),
        (("a?",), {"ab"}),
        (("nothing",), set()),
    ],
)
def test_words_choose_by_path_directory_or_pattern(scene, words, found):
    paths = ["a/b.txt", "a/c.log", "ab", "d/é"]
    for path in paths:
        scene.file(path)
    scene.delete(*paths)
    assert set(scene.names(*words)) == found
    stamp = next(scene.trash.items()).bin.stamp
    assert set(scene.names(stamp)) == set(paths)
    assert scene.names(f"{stamp}/ab") == ["ab"]


def test_all_of_it_comes_back_where_it_was(scene):
    paths = ["a/b/c.txt", "top", "a/b/d.txt", os.fsdecode(b"caf\xe9")]
    for path in paths:
        scene.file(path, f"content of {path!r}")
    times = {path: (scene.root / path).stat() for path in paths}
    scene.delete(*paths)
    shutil.rmtree(scene.root / "a")
    answers = scene.trash.restore()
    assert {answer.item.path: answer.error for answer in answers} == dict.fromkeys(paths)
    for path in paths:
        st_ = (scene.root / path).stat()
        assert (scene.root / path).read_text() == f"content of {path!r}"
        assert (st_.st_ino, st_.st_mtime_ns) == (times[path].st_ino, times[path].st_mtime_ns)
    assert scene.names() == []
    assert os.listdir(scene.root / ".lakelink" / "trash") == []  # noqa: PTH208
    assert scene.trash.restore() == []


def test_nothing_is_restored_over_something(scene):
    scene.file("a", "old")
    scene.delete("a")
    scene.file("a", "new")
    (answer,) = scene.trash.restore(["a"])
    assert isinstance(answer.error, Refused)
    assert answer.item.bin.stamp in answer.error.hint
    assert (scene.root / "a").read_text() == "new"
    (scene.root / "a").unlink()
    (scene.root / "a").symlink_to("nowhere")
    assert scene.trash.restore(["a"])[0].error is not None
    (scene.root / "a").unlink()
    assert scene.trash.restore(["a"])[0].error is None
    assert (scene.root / "a").read_text() == "old"


def test_where_the_kernel_cannot_refuse_to_replace_a_link_can(scene, monkeypatch):
    scene.file("a", "old")
    scene.delete("a")
    kernel = scene.trash._kernel

    def rename(*_arguments, **_more):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(kernel, "rename", rename, raising=False)
    scene.file("a", "new")
    assert scene.trash.restore(["a"])[0].error is not None
    (scene.root / "a").unlink()
    assert scene.trash.restore(["a"])[0].error is None
    assert ((scene.root / "a").read_text(), scene.names()) == ("old", [])


def test_of_several_versions_the_newest_comes_back_unless_a_stamp_is_named(scene):
    for text in ("one", "two", "three"):
        scene.file("a", text)
        scene.delete("a")
        scene.later(4000)
    items = list(scene.trash.items())
    assert [item.path for item in items] == ["a", "a", "a"]
    assert items[0].since_ns > items[1].since_ns > items[2].since_ns
    (answer,) = scene.trash.restore(["a"])
    assert answer.error is None
    assert (scene.root / "a").read_text() == "three"
    (scene.root / "a").unlink()
    (answer,) = scene.trash.restore([items[2].name])
    assert (scene.root / "a").read_text() == "one"
    assert len(scene.names()) == 1


def test_a_restore_follows_no_link_and_makes_no_directory_out_of_a_file(scene, tmp_path):
    scene.file("a/secret", "mine")
    scene.delete("a/secret")
    (scene.root / "a").rmdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (scene.root / "a").symlink_to(outside)
    assert isinstance(scene.trash.restore()[0].error, PreconditionFailed)
    (scene.root / "a").unlink()
    (scene.root / "a").write_text("a file")
    assert isinstance(scene.trash.restore()[0].error, LakelinkError)
    assert list(outside.iterdir()) == []
    assert scene.names() == ["a/secret"]


def test_a_link_in_the_trash_leads_nowhere(scene, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").touch()
    (scene.root / "dir").symlink_to(outside)
    scene.delete("dir")
    stamp = next(scene.trash.items()).bin
    (scene.root / stamp.path / "sub").symlink_to(outside)
    (scene.root / ".lakelink" / "trash" / "20200101T000000Z-00000000").symlink_to(outside)
    assert set(scene.names()) == {"dir", "sub"}
    scene.trash.empty()
    assert (outside / "keep").exists()
    assert scene.names() == []


def test_a_path_of_lakelink_itself_is_not_restored(scene):
    target = scene.root / ".lakelink" / "trash" / new_stamp(0, "0" * 16) / ".lakelink" / "link.json"
    target.parent.mkdir(parents=True)
    target.touch()
    assert isinstance(scene.trash.restore()[0].error, Refused)


def test_emptying_removes_for_good_what_is_chosen(scene):
    scene.file("old", "x" * 5000)
    scene.file("keep")
    scene.delete("old", "keep")
    scene.later(3 * 3600)
    scene.file("new")
    scene.delete("new")
    now = scene.clock.time_ns()
    assert (
        scene.trash.empty(before_ns=now - 3 * HOUR_NS).files == 0
    )  # it might have gone there up to an hour after its stamp
    done = scene.trash.empty(before_ns=now - HOUR_NS, words=["old"])
    assert (done.files, done.busy) == (1, 0)
    assert done.bytes >= 5000
    assert set(scene.names()) == {"keep", "new"}
    assert scene.trash.empty().files == 2
    assert scene.names() == []


def test_a_file_that_someone_writes_to_is_not_removed(scene):
    with scene.file("open").open("a") as file:
        scene.delete("open")
        assert (scene.trash.empty().busy, scene.names()) == (1, ["open"])
        file.write("more")
    assert scene.trash.empty().files == 1


def test_what_is_not_a_stamp_is_left_alone(scene):
    scene.file("a")
    scene.delete("a")
    (scene.root / ".lakelink" / "trash" / "mine").mkdir()
    (scene.root / ".lakelink" / "trash" / "mine" / "x").touch()
    scene.trash.empty()
    Retention(str(scene.root)).round(scene.clock.time_ns() + 10**6 * DAY_NS, Safety(trash_keep_s=0, trash_max_bytes=0))
    assert (scene.root / ".lakelink" / "trash" / "mine" / "x").exists()


def test_a_trash_that_is_not_there_is_empty_and_a_root_that_is_not_there_an_error(tmp_path):
    assert list(Trash(str(tmp_path)).items()) == []
    assert Trash(str(tmp_path)).empty().files == 0
    for call in (lambda: list(Trash(str(tmp_path / "x")).items()), lambda: Trash(str(tmp_path / "x")).restore()):
        with pytest.raises(RootMissing):
            call()


def test_a_trash_that_may_not_be_opened_is_not_an_empty_one(scene):
    scene.file("a")
    scene.delete("a")

    class Denied(LinuxKernel):
        def open_beneath(self, path, flags, *, dir_fd):
            raise PermissionError(13, "Permission denied")

    trash = Trash(str(scene.root), Denied())
    for call in (lambda: list(trash.items()), trash.restore, trash.empty):
        with pytest.raises(NotPermitted):
            call()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_trash_that_cannot_be_listed_is_an_error_with_a_code(scene):
    scene.file("f")
    scene.delete("f")

    class Unlistable(LinuxKernel):
        def scandir(self, fd):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with pytest.raises(NotPermitted):
        list(Trash(str(scene.root), Unlistable()).items())


def test_a_file_system_below_the_root_has_a_trash_of_its_own(scene):
    below = scene.root / "disk"
    below.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", below], check=False).returncode:
        pytest.skip("mounts are not allowed here")
    try:
        scene.file("disk/deep/a", "there")
        scene.file("b", "here")
        scene.delete("disk/deep/a", "b")
        assert set(scene.names()) == {"disk/deep/a", "b"}
        assert [answer.error for answer in scene.trash.restore()] == [None, None]
        assert (below / "deep" / "a").read_text() == "there"
        scene.delete("disk/deep/a")
        assert Retention(str(scene.root)).round(scene.clock.time_ns() + DAY_NS, Safety(trash_keep_s=0)).files == 1
    finally:
        asyncio.run(scene.location.aclose())
        subprocess.run(["umount", below], check=True)


def fill(scene, hours, size=8192):
    """One file an hour, the oldest first."""
    for hour in range(hours):
        scene.file(f"h{hour}", "x" * size)
        scene.delete(f"h{hour}")
        scene.later(3600)


def test_what_is_past_its_time_goes_and_nothing_else(scene):
    fill(scene, 5)
    keep = Retention(str(scene.root))
    safety = Safety(trash_keep_s=2 * 3600)
    now = scene.clock.time_ns()
    assert keep.round(now, safety).files == 3  # h0 to h2; h3 may have gone there up to an hour after its stamp
    assert sorted(scene.names()) == ["h3", "h4"]
    assert keep.round(now, safety) == keep.round(now, safety)
    assert keep.round(now - DAY_NS, safety).files == 0  # a clock that was set back removes nothing


def test_what_was_still_written_to_in_the_trash_is_kept_from_then_on(scene):
    log, quiet = scene.file("log"), scene.file("quiet")
    for file in (log, quiet):
        os.utime(file, ns=(scene.clock.time_ns(), scene.clock.time_ns()))
    keep, safety = Retention(str(scene.root)), Safety(trash_keep_s=24 * 3600)
    with log.open("a") as writer:
        scene.delete("log", "quiet")
        scene.later(9 * 24 * 3600)
        assert keep.round(scene.clock.time_ns(), safety).files == 1
        writer.write("the last line, after nine days")
        writer.flush()
        os.utime(writer.fileno(), ns=(scene.clock.time_ns(), scene.clock.time_ns()))
    scene.later(60)
    assert keep.round(scene.clock.time_ns(), safety).files == 0
    assert scene.names() == ["log"]
    scene.later(24 * 3600)
    assert keep.round(scene.clock.time_ns(), safety).files == 1


def test_over_the_cap_the_oldest_goes_first_and_no_more_than_needed(scene):
    fill(scene, 6)
    keep = Retention(str(scene.root))
    now = scene.clock.time_ns()
    assert keep.round(now, Safety(trash_max_bytes=6 * 8192)).files == 0
    done = keep.round(now, Safety(trash_max_bytes=4 * 8192))
    assert (done.files, done.bytes, done.more) == (2, 2 * 8192, False)
    assert sorted(scene.names()) == ["h2", "h3", "h4", "h5"]
    assert keep.round(now, Safety(trash_max_bytes=4 * 8192)).files == 0
    fill(scene, 1)
    assert keep.round(now, Safety(trash_max_bytes=4 * 8192)).files == 1
    assert sorted(scene.names()) == ["h0", "h3", "h4", "h5"]  # the h0 of now is the newest


def test_a_round_is_bounded_and_the_next_ones_go_on(scene):
    paths = [f"d{number % 7}/f{number}" for number in range(50)]
    for path in paths:
        scene.file(path)
    scene.delete(*paths)
    fill(scene, 2)
    keep, now = Retention(str(scene.root)), scene.clock.time_ns() + 3 * HOUR_NS
    done = keep.round(now, Safety(trash_keep_s=0), most=20)
    assert (done.files, done.more, len(scene.names())) == (20, True, 32)
    rounds = [done]
    while rounds[-1].more:
        rounds.append(keep.round(now, Safety(trash_max_bytes=0), most=20))
        assert rounds[-1].files <= 20
    assert sum(each.files for each in rounds) == 52
    assert scene.names() == []


def test_the_trash_is_tended_until_it_is_told_to_stop(scene):
    fill(scene, 3)
    troubles = []

    async def story():
        tending = asyncio.create_task(
            tend(str(scene.root), lambda: Safety(trash_keep_s=0), scene.clock, troubles.append)
        )
        while scene.names():  # noqa: ASYNC110  # the clock jumps: the intervals pass at once
            await asyncio.sleep(0.01)
        await asyncio.to_thread(shutil.rmtree, scene.root)
        while not troubles:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        tending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await tending

    asyncio.run(asyncio.wait_for(story(), 60))
    assert isinstance(troubles[0], RootMissing)


@given(st.integers(0, 4_000_000_000 * 10**9), st.text("0123456789abcdef", min_size=16, max_size=16))
def test_a_stamp_tells_its_time(time_ns, token):
    assert stamp_time_ns(new_stamp(time_ns, token)) == time_ns // 10**9 * 10**9


@given(st.integers(0, 4_000_000_000 * 10**9), st.integers(0, 4_000_000_000 * 10**9))
def test_stamps_sort_by_time(one, other):
    stamps = sorted([new_stamp(one, "0" * 16), new_stamp(other, "0" * 16)])
    assert stamp_time_ns(stamps[0]) <= stamp_time_ns(stamps[1])


@pytest.mark.parametrize(
    "name", ["", "mine", "20261340T000000Z-00000000", "20261123T143000Z", "20261123T143000Z-0000000g"]
)
def test_other_names_are_no_stamps(name):
    assert stamp_time_ns(name) is None


@pytest.mark.parametrize(("age_ns", "over"), [(0, False), (SPAN_NS - 1, False), (SPAN_NS, True), (-1, True)])
def test_a_stamp_is_over_after_an_hour_or_when_the_clock_was_set_back(age_ns, over):
    assert is_over(10**18, 10**18 + age_ns) is over


def test_a_replaced_file_is_in_the_trash_too(scene):
    scene.file("a", "old")

    async def run():
        (entry,) = await scene.location.stat(["a"])
        content = BytesContent(b"new")
        return await scene.location.write([Write("a", Kind.FILE, content, None, Expect(entry.version))])

    (entry,) = asyncio.run(run())
    assert isinstance(entry, Entry)
    (item,) = scene.trash.items()
    assert (scene.root / item.bin.path / item.path).read_text() == "old"
