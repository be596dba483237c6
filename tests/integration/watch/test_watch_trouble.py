"""Overflow, roots that go away, mounts that come and go: what is not seen is said, and found by scan."""

import asyncio
import os
import shutil
import threading
from pathlib import Path

import pytest
from test_watch_directories import asserts_watched
from watch_scene import Place, mount_ext4, mount_tmpfs, unmount

from lakelink.errors import RootMissing

MORE_THAN_THE_QUEUE = 17_000


def test_an_overflow_makes_everything_a_hint_and_watching_goes_on(place):
    """The reader is held up while more happens than the kernel's queue holds."""
    (place.root / "d").mkdir()

    async def body():
        async with place.watched() as seen:
            source, go_on = seen.feed._source, threading.Event()
            drain = source.drain
            source.drain = lambda: (go_on.wait(60), drain())
            for number in range(MORE_THAN_THE_QUEUE):
                os.mknod(place.root / f"d/{number}")
            (place.root / "d/moved/below").mkdir(parents=True)
            (place.root / "d/moved").rename(place.root / "elsewhere")
            go_on.set()
            await seen.until(lambda: any(hint.subtree and not hint.path for hint in seen.hints), "the overflow")
            shutil.rmtree(place.root / "d")
            await seen.all()
            await asserts_watched(place, seen)

    asyncio.run(body())


@pytest.fixture(params=["inotify", "fanotify"])
def kind(request):
    if request.param == "fanotify" and os.geteuid():
        pytest.skip("needs root: fanotify")
    return request.param


@pytest.mark.parametrize("change", ["deleted", "moved", "replaced", "parent moved", "made anew at once"])
def test_a_root_that_goes_away_ends_the_feed(tmp_path, change, kind):
    root = tmp_path / "parent/root"
    (root / "sub").mkdir(parents=True)

    async def body():
        async with Place(root, kind, tmp_path).watched() as seen:
            match change:
                case "deleted":
                    shutil.rmtree(root)
                case "moved":
                    root.rename(tmp_path / "away")
                case "replaced":
                    root.rename(tmp_path / "away")
                    root.mkdir()
                case "parent moved":
                    root.parent.rename(tmp_path / "away")
                case "made anew at once":
                    # Perhaps with the same inode number: then inotify watches it again, and everything is a hint.
                    shutil.rmtree(root)
                    root.mkdir()
                    await seen.until(lambda: seen.error or any(h.subtree and not h.path for h in seen.hints))
                    if seen.error is None:
                        await asserts_watched(Place(root, kind, tmp_path), seen)
                        return
            await seen.end()
            assert isinstance(seen.error, RootMissing)
            assert seen.error.hint

    asyncio.run(body())


def test_a_root_that_is_not_there_is_refused(tmp_path, kind):
    async def body():
        async with Place(tmp_path / "missing", kind, tmp_path).watched():
            pass

    with pytest.raises(RootMissing):
        asyncio.run(body())


def needs_mounting():
    if os.geteuid():
        pytest.skip("needs root: mounts a file system")


@pytest.mark.parametrize("lazy", [False, True])
def test_a_watched_file_system_can_be_unmounted_and_that_ends_the_feed(tmp_path, kind, lazy):
    needs_mounting()
    root = tmp_path / "root"
    root.mkdir()
    mount_ext4(root)
    (root / "sub").mkdir()

    async def body():
        whole = "fanotify-whole" if kind == "fanotify" else kind
        async with Place(root, whole, tmp_path).watched() as seen:
            (root / "sub/f").touch()
            await seen.all()
            for attempt in range(100):  # a descriptor is open for some microseconds now and then
                try:
                    unmount(root, lazy=lazy)
                    break
                except OSError:
                    assert attempt < 99
                    await asyncio.sleep(0.05)
            await seen.end()
            assert isinstance(seen.error, RootMissing)

    asyncio.run(body())


def test_a_file_system_mounted_over_the_root_ends_the_feed(tmp_path, kind):
    needs_mounting()
    root = tmp_path / "root"
    root.mkdir()

    async def body():
        async with Place(root, kind, tmp_path).watched() as seen:
            mount_tmpfs(root)
            try:
                await seen.end()
                assert isinstance(seen.error, RootMissing)
            finally:
                unmount(root)

    asyncio.run(body())


def test_a_file_system_mounted_below_is_noticed_and_watched_with_inotify(tmp_path):
    needs_mounting()
    root = tmp_path / "root"
    (root / "in/ner").mkdir(parents=True)

    async def body():
        place = Place(root, "inotify", tmp_path)
        async with place.watched() as seen:
            mount_tmpfs(root / "in/ner")
            try:
                await seen.until(lambda: any(hint.subtree for hint in seen.of("in/ner")), "the mount")
                await seen.all()
                (root / "in/ner/.lakelink").mkdir()
                (root / "in/ner/.lakelink/x").touch()
                (root / "in/ner/new").touch()
                await seen.until(lambda: seen.of("in/ner/new"))
                assert not [hint for hint in seen.hints if ".lakelink" in hint.path]
            finally:
                unmount(root / "in/ner")
            seen.hints.clear()
            await seen.until(lambda: any(hint.subtree for hint in seen.of("in/ner")), "the end of the mount")
            await seen.all()
            await asserts_watched(place, seen)

    asyncio.run(body())


def test_a_file_system_mounted_below_is_scanned_and_named_with_fanotify(tmp_path):
    needs_mounting()
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)

    async def body():
        async with Place(root, "fanotify", tmp_path).watched(scan_interval_s=0.5) as seen:
            mount_tmpfs(root / "inner")
            try:
                await seen.until(seen.feed.problems, "the problem")
                (problem,) = seen.feed.problems()
                assert (problem.path, problem.code) == ("inner", "LL405")
                seen.hints.clear()
                await seen.until(lambda: len([hint for hint in seen.of("inner") if hint.subtree]) > 2, "scans")
            finally:
                unmount(root / "inner")
            await seen.until(lambda: not seen.feed.problems(), "the end of the problem")

    asyncio.run(body())


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_closing_ends_the_deliveries_and_gives_everything_back(place):
    async def body():
        before = descriptors()
        async with place.watched() as seen:
            listening = [t for t in asyncio.all_tasks() if "listen" in str(t)]
            await seen.feed.aclose()
            await asyncio.wait_for(asyncio.gather(*listening), 30)
            await seen.feed.aclose()
        assert not [thread for thread in threading.enumerate() if thread.name == "lakelink-watch"]
        assert descriptors() <= before

    asyncio.run(body())
