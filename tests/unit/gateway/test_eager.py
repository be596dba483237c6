"""Work that is begun at once and gone on with in a task."""

from __future__ import annotations

import asyncio

import pytest

from lakelink.gateway.sftp.eager import Begun


def in_a_task(begin, before=lambda _begun: None):
    """What comes of `begin()` that is begun outside of the task which then awaits it."""

    async def main():
        handed: asyncio.Future[Begun] = asyncio.get_running_loop().create_future()

        async def await_it():
            return await (await handed)

        task = asyncio.create_task(await_it())

        def start():
            begun = Begun(begin(task), task)
            assert asyncio.current_task() is None
            before(begun)
            handed.set_result(begun)

        asyncio.get_running_loop().call_soon(start)
        return await asyncio.wait_for(task, 30)

    return asyncio.run(main())


def test_work_without_a_wait_is_done_at_once():
    async def work():
        return 7

    async def main():
        with pytest.raises(StopIteration) as done:
            Begun(work(), asyncio.current_task())
        return done.value.value

    assert asyncio.run(main()) == 7


def test_work_that_waits_goes_on_in_the_task_and_belongs_to_it_from_the_first_step_on():
    seen = []

    async def work(task):
        for _ in range(3):
            seen.append(asyncio.current_task() is task)
            await asyncio.sleep(0.001)
        async with asyncio.TaskGroup() as group:
            return await group.create_task(asyncio.sleep(0.001, "done"))

    assert in_a_task(work) == "done"
    assert seen == [True] * 3


def test_a_time_limit_that_began_before_the_task_did_ends_the_work():
    async def work(_task):
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "given up"

    assert in_a_task(work) == "given up"


def test_what_is_raised_in_the_first_step_and_later_reaches_the_caller():
    async def at_once():
        raise ValueError("now")

    async def main():
        with pytest.raises(ValueError, match="now"):
            Begun(at_once(), asyncio.current_task())

    asyncio.run(main())

    async def later(_task):
        failing = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(failing.set_exception, OSError("later"))
        await failing

    with pytest.raises(OSError, match="later"):
        in_a_task(later)


@pytest.mark.parametrize("over", [False, True])
def test_cancelled_before_it_is_awaited_it_clears_away_what_it_has_begun(over):
    """Also where what it waits for is there by then."""
    told = []

    async def work(_task):
        waits_for = asyncio.get_running_loop().create_future()
        told.append(waits_for)
        try:
            await waits_for
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
            told.append("cleared away")
            raise

    def before(begun):
        if over:
            told[0].set_result(1)
        begun.cancel()

    with pytest.raises(asyncio.CancelledError):
        in_a_task(work, before)
    assert told[1:] == ["cleared away"]
    assert told[0].cancelled() is not over


def test_a_cancelled_task_cancels_the_work_that_was_begun():
    told = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            told.append("over")

    async def main():
        async def go_on():
            await Begun(work(), asyncio.current_task())

        task = asyncio.create_task(go_on())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert told == ["over"]
