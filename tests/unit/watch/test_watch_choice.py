"""What a machine does not have is replaced by the next best, and said; limits of the kernel are named with their cure."""

import asyncio
import errno
import os
import threading
from dataclasses import replace

import pytest

from lakelink.errors import RootMissing
from lakelink.ports.linux import LinuxKernel
from lakelink.ports.notify import LinuxNotify
from lakelink.testing.clocks import JumpingClock
from lakelink.watch.choose import Prefer, open_local_feed, this_machine
from lakelink.watch.feed import EVERYTHING
from lakelink.watch.poll import PollFeed

DEADLINE_S = 60


class Limited(LinuxNotify):
    """A kernel with limits that a test can move."""

    def __init__(self, *, watches=1 << 30, inotify=0, fanotify=0, handles=0):
        self.watches, self.inotify, self.fanotify, self.handles = watches, inotify, fanotify, handles

    def inotify_init(self):
        if self.inotify:
            raise OSError(self.inotify, os.strerror(self.inotify))
        return super().inotify_init()

    def inotify_add_watch(self, fd, directory_fd, mask):
        if self.watches <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.watches -= 1
        return super().inotify_add_watch(fd, directory_fd, mask)

    def fanotify_init(self, flags):
        if self.fanotify:
            raise OSError(self.fanotify, os.strerror(self.fanotify))
        return super().fanotify_init(flags)

    def handle_of(self, directory_fd):
        if self.handles:
            raise OSError(self.handles, os.strerror(self.handles))
        return super().handle_of(directory_fd)


class AsRoot(LinuxKernel):
    geteuid = staticmethod(lambda: 0)


class AsUser(LinuxKernel):
    geteuid = staticmethod(lambda: 1000)


def machine(notify, kernel=None):
    return replace(this_machine(), notify=notify, kernel=kernel or LinuxKernel())


async def opened(path, notify, kernel=None, *, prefer=Prefer.FANOTIFY, scan_interval_s=600.0):
    return await open_local_feed(
        str(path), scan_interval_s=scan_interval_s, prefer=prefer, machine=machine(notify, kernel)
    )


async def without_problems(feed):
    while feed.problems():  # noqa: ASYNC110  # it is polled by a status display as well
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("limits", "kernel", "kind", "words"),
    [
        ({"fanotify": errno.EPERM}, AsRoot(), "inotify", "not permitted. inotify watches each directory."),
        ({"fanotify": errno.ENOSYS}, AsRoot(), "inotify", "fanotify with names is not available here"),
        ({"fanotify": errno.EMFILE}, AsRoot(), "inotify", "No fanotify group is left for this user."),
        ({"handles": errno.EOPNOTSUPP}, AsRoot(), "inotify", "fanotify"),
        ({}, AsUser(), "inotify", "fanotify needs root. inotify watches each directory."),
        ({"inotify": errno.EMFILE}, AsUser(), "poll", "No inotify instance is left for this user. Changes are found by scan only, every 600 s."),
        ({"inotify": errno.ENOSYS}, AsUser(), "poll", "inotify is not available here"),
    ],
)  # fmt: skip
def test_what_is_not_to_be_had_falls_back_and_says_so(tmp_path, limits, kernel, kind, words):
    async def body():
        chosen = await opened(tmp_path, Limited(**limits), kernel)
        assert chosen.feed.kind == kind
        assert chosen.feed.closes == (kind != "poll")
        assert words.lower() in chosen.why.lower()
        assert [problem.path for problem in chosen.feed.problems()] == ([""] if kind == "poll" else [])
        await chosen.feed.aclose()

    asyncio.run(body())


def test_too_few_instances_are_a_problem_with_a_cure(tmp_path):
    async def body():
        chosen = await opened(tmp_path, Limited(inotify=errno.EMFILE), prefer=Prefer.INOTIFY)
        (problem,) = chosen.feed.problems()
        assert problem.code == "LL408"
        assert "fs.inotify.max_user_instances" in problem.hint

    asyncio.run(body())


def test_polling_may_be_asked_for(tmp_path):
    async def body():
        chosen = await opened(tmp_path, LinuxNotify(), prefer=Prefer.POLL)
        assert chosen.feed.kind == "poll"
        assert chosen.feed.problems() == ()

    asyncio.run(body())


def test_a_root_that_is_not_there_is_no_reason_to_fall_back(tmp_path):
    with pytest.raises(RootMissing):
        asyncio.run(opened(tmp_path / "missing", LinuxNotify()))


def test_what_lies_beyond_the_limit_of_watches_is_named_and_scanned_until_there_are_more(tmp_path):
    for number in range(10):
        (tmp_path / f"d{number}/below").mkdir(parents=True)
    notify = Limited(watches=9)

    async def body():
        chosen = await opened(tmp_path, notify, prefer=Prefer.INOTIFY, scan_interval_s=0.2)
        feed, seen = chosen.feed, []
        try:
            problems = feed.problems()
            blind = {problem.path for problem in problems}
            assert len(blind) > 2
            assert {problem.code for problem in problems} == {"LL408"}
            assert all("fs.inotify.max_user_watches" in problem.hint for problem in problems)
            below = next(iter(blind))
            (tmp_path / below / "unseen").touch()
            async with asyncio.timeout(DEADLINE_S):
                async for delivery in feed.deliveries():
                    seen += delivery.hints
                    if len([hint for hint in seen if hint.path == below and hint.subtree]) > 2:
                        break
                notify.watches = 1000
                await without_problems(feed)
                (tmp_path / below / "seen").touch()
                async for delivery in feed.deliveries():
                    if any(hint.path == f"{below}/seen" for hint in delivery.hints):
                        break
        finally:
            await feed.aclose()

    asyncio.run(body())


def test_no_watch_at_all_is_a_scan_of_everything(tmp_path):
    async def body():
        chosen = await opened(tmp_path, Limited(watches=0), prefer=Prefer.INOTIFY, scan_interval_s=0.1)
        count = 0
        async with asyncio.timeout(DEADLINE_S):
            async for delivery in chosen.feed.deliveries():
                count += EVERYTHING in delivery.hints
                if count == 3:
                    break
        assert [problem.path for problem in chosen.feed.problems()] == [""]
        await chosen.feed.aclose()

    asyncio.run(body())


def test_a_directory_that_may_not_be_read_is_named_and_seen_when_it_may(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("needs an ordinary user: root may read everything")
    (tmp_path / "closed").mkdir(mode=0)

    async def body():
        chosen = await opened(tmp_path, LinuxNotify(), prefer=Prefer.INOTIFY)
        assert [(problem.path, problem.code) for problem in chosen.feed.problems()] == [("closed", "LL301")]
        (tmp_path / "closed").chmod(0o700)
        async with asyncio.timeout(DEADLINE_S):
            await without_problems(chosen.feed)
        await chosen.feed.aclose()

    asyncio.run(body())


def test_cancelling_an_opening_leaves_nothing_behind(tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    class Slow(LinuxNotify):
        def inotify_add_watch(self, fd, directory_fd, mask):
            begun.set()
            go_on.wait(DEADLINE_S)
            return super().inotify_add_watch(fd, directory_fd, mask)

    async def body():
        task = asyncio.ensure_future(opened(tmp_path, Slow(), prefer=Prefer.INOTIFY))
        await asyncio.to_thread(begun.wait, DEADLINE_S)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    asyncio.run(body())
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_polling_says_everything_at_each_interval_and_ends_when_closed():
    async def body():
        clock = JumpingClock()
        feed = PollFeed(clock, 30)
        count = 0
        async for delivery in feed.deliveries():
            assert delivery.hints == [EVERYTHING]
            await delivery.taken()
            await delivery.taken()
            count += 1
            if count == 3:
                await feed.aclose()
        assert clock.slept[:3] == [30, 30, 30]

    asyncio.run(asyncio.wait_for(body(), DEADLINE_S))


def test_polling_that_is_closed_while_it_waits_ends_at_once():
    async def body():
        feed = PollFeed(this_machine().clock, 3600)
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(anext(aiter(feed.deliveries()), None))
            await asyncio.sleep(0)
            await feed.aclose()
        assert listening.result() is None

    asyncio.run(asyncio.wait_for(body(), DEADLINE_S))
