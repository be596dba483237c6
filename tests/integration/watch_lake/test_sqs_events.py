"""Events of a bucket through a real queue service, down to what a link is told."""

import asyncio

from lakelink.core.backoff import Backoff
from lakelink.ports.clock import SystemClock
from lakelink.watch.feed import EVERYTHING
from lakelink.watch.sqs import Polling, SharedQueue
from tests.integration.watch_lake.cut import relay_to
from tests.integration.watch_lake.lake import Reader, polling, until

QUICK = Polling(poll_s=1, visibility_s=1, backoff=Backoff(base_s=0.1, cap_s=0.5))


def test_every_kind_of_change_names_its_key(lake):
    async def main():
        queue = await lake.queue(prefix="in")
        async with polling(lake, queue, "in") as (reader,):

            def change():
                lake.put("in/plain")
                lake.put("in/with space+plus%é")
                lake.put("in/dir/")
                lake.put("elsewhere")
                lake.s3.copy_object(Bucket=lake.bucket, Key="in/copied", CopySource=f"{lake.bucket}/in/plain")
                made = lake.s3.create_multipart_upload(Bucket=lake.bucket, Key="in/large")
                where = {"Bucket": lake.bucket, "Key": "in/large", "UploadId": made["UploadId"]}
                part = lake.s3.upload_part(**where, PartNumber=1, Body=b"y")
                parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
                lake.s3.complete_multipart_upload(**where, MultipartUpload=parts)

            await asyncio.to_thread(change)
            await reader.sees("plain", "with space+plus%é", "dir", "copied", "large")
            await until(lambda: lake.waiting(queue) == 0)
            assert len(reader.hints) == 5  # one for the whole upload, and nothing from elsewhere
            assert all(hint.settled and not hint.subtree for hint in reader.hints)
            reader.hints.clear()
            await asyncio.to_thread(lake.delete, "in/plain")
            both = {"Objects": [{"Key": "in/copied"}, {"Key": "in/large"}]}
            await asyncio.to_thread(lake.s3.delete_objects, Bucket=lake.bucket, Delete=both)
            await reader.sees("plain", "copied", "large")

    asyncio.run(main())


def test_versions_delete_markers_and_their_removal_name_the_key(lake):
    async def main():
        enabled = {"Status": "Enabled"}
        lake.s3.put_bucket_versioning(Bucket=lake.bucket, VersioningConfiguration=enabled)
        queue = await lake.queue()
        async with polling(lake, queue) as (reader,):
            await asyncio.to_thread(lake.put, "a", b"1")
            await reader.sees("a")
            reader.hints.clear()
            marker = await asyncio.to_thread(lake.s3.delete_object, Bucket=lake.bucket, Key="a")
            await reader.sees("a")
            reader.hints.clear()
            # Undelete: FSx for Lustre does not notice this one.
            await asyncio.to_thread(lake.delete, "a", VersionId=marker["VersionId"])
            await reader.sees("a")

    asyncio.run(main())


def test_a_message_is_deleted_only_after_every_link_concerned_has_noted_it(lake):
    async def main():
        queue = await lake.queue()
        async with polling(lake, queue, "", "in", polling=QUICK) as (whole, part):
            part.takes = False
            await asyncio.to_thread(lake.put, "other")
            await asyncio.to_thread(lake.put, "in/a")
            await whole.sees("other", "in/a")
            await part.sees("a")
            await until(lambda: lake.waiting(queue) == 1)
        # The process ended before one of the links had noted it: the next process gets it.
        async with polling(lake, queue, "", "in", polling=QUICK) as (whole, part):
            await part.sees("a")
            await until(lambda: lake.waiting(queue) == 0)

    asyncio.run(main())


def test_what_was_not_noted_comes_again_to_the_links_next_feed(lake):
    async def main():
        queue = await lake.queue()
        shared = SharedQueue(lake.api(), queue, polling=QUICK)
        first = Reader(shared.subscribe(lake.bucket, ""), takes=False)
        await asyncio.to_thread(lake.put, "a")
        await first.sees("a")
        await first.aclose()
        second = Reader(shared.subscribe(lake.bucket, ""))
        await second.sees("a")
        await until(lambda: lake.waiting(queue) == 0)
        await second.aclose()
        await shared.aclose()

    asyncio.run(main())


def test_messages_that_are_not_ours_or_not_understood_stay_and_hold_nobody_up(lake):
    async def main():
        queue = await lake.queue(prefix="in")
        foreign = {"Records": [{"s3": {"bucket": {"name": "another"}, "object": {"key": "in/a"}}}]}
        for body in ("junk", "{}", foreign, {"Records": [{"s3": {}}]}):
            lake.send(queue, body)
        async with polling(lake, queue, "in") as (reader,):
            await asyncio.to_thread(lake.put, "in/a")
            await reader.sees("a")
            await until(lambda: lake.waiting(queue) == 4)
            counts = reader.feed.health.counts
            assert (counts.malformed, counts.foreign) == (3, 1)
            assert reader.paths == {"a"}

    asyncio.run(main())


def test_repeated_and_reordered_messages_cost_no_second_look(lake):
    async def main():
        queue = await lake.queue()

        def event(sequencer):
            seen = {"key": "a", "sequencer": sequencer}
            told = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}
            return {"Records": [told | {"s3": {"bucket": {"name": lake.bucket}, "object": seen}}]}

        async with polling(lake, queue) as (reader,):
            lake.send(queue, event("0B"))
            await reader.sees("a")
            await until(lambda: lake.waiting(queue) == 0)
            lake.send(queue, event("0B00"))
            lake.send(queue, event("0A"))  # older, but never seen: looking is always right
            await reader.until(lambda: len(reader.hints) == 2)
            await until(lambda: lake.waiting(queue) == 0)
            assert len(reader.hints) == 2

    asyncio.run(main())


def test_lakelinks_own_keys_and_the_test_event_are_done_with_at_once(lake):
    async def main():
        queue = await lake.queue(prefix="in")
        async with polling(lake, queue, "in") as (reader,):
            await asyncio.to_thread(lake.put, "in/.lakelink/staging/x")
            await asyncio.to_thread(lake.put, "in/a//b")
            await asyncio.to_thread(lake.put, "in/z")
            await reader.sees("z")
            await until(lambda: lake.waiting(queue) == 0)
            assert reader.paths == {"z"}
            assert reader.feed.health.counts.impossible == 1

    asyncio.run(main())


def test_many_at_once_arrive_and_leave_nothing_behind(lake):
    async def main():
        queue = await lake.queue()
        names = {f"{number:04d}" for number in range(400)}

        def fill():
            for name in sorted(names):
                lake.put(name)

        await asyncio.to_thread(fill)
        async with polling(lake, queue) as (reader,):
            await reader.sees(*names)
            await until(lambda: lake.waiting(queue) == 0)
            assert len(reader.hints) == len(names)

    asyncio.run(main())


class ShiftedClock(SystemClock):
    """The machine's clock, put forward."""

    def __init__(self):
        self.ahead_s = 0.0

    def time_ns(self):
        return super().time_ns() + int(self.ahead_s * 1e9)

    def monotonic(self):
        return super().monotonic() + self.ahead_s


def test_a_queue_that_was_cut_off_for_a_moment_brings_what_it_kept(lake):
    async def main():
        queue = await lake.queue()
        with relay_to(lake.endpoint) as relay:
            # A poll whose answer is lost on the cut line keeps its messages out of sight for the visibility timeout.
            async with polling(lake, queue, endpoint=relay.endpoint, polling=QUICK) as (reader,):
                await reader.until(lambda: reader.feed.health.ok)
                relay.cut()
                await reader.until(lambda: not reader.feed.health.ok)
                (problem,) = reader.feed.problems()
                assert problem.code == "LL300"
                await asyncio.to_thread(lake.put, "meanwhile")
                relay.mend()
                await reader.sees("meanwhile")
                assert reader.feed.health.ok
                assert not reader.feed.problems()
                assert EVERYTHING not in reader.hints
                assert reader.feed.health.counts.outages >= 1

    asyncio.run(main())


def test_a_queue_that_was_away_for_longer_than_it_keeps_messages_makes_the_link_look_everywhere(lake):
    async def main():
        queue = await lake.queue()
        clock = ShiftedClock()
        with relay_to(lake.endpoint) as relay:
            async with polling(lake, queue, endpoint=relay.endpoint, polling=QUICK, clock=clock) as (reader,):
                await reader.until(lambda: reader.feed.health.ok)
                relay.cut()
                await reader.until(lambda: not reader.feed.health.ok)
                clock.ahead_s += 14 * 24 * 3600 + 1
                relay.mend()
                await reader.until(lambda: EVERYTHING in reader.hints)

    asyncio.run(main())


def test_a_queue_that_was_removed_and_made_anew_makes_the_link_look_everywhere(lake):
    async def main():
        queue = await lake.queue()
        async with polling(lake, queue, polling=QUICK) as (reader,):
            await reader.until(lambda: reader.feed.health.ok)
            await asyncio.to_thread(lake.sqs.delete_queue, QueueUrl=lake.url(queue))
            await asyncio.to_thread(lake.put, "unheard")
            await reader.until(lambda: [each.code for each in reader.feed.problems()] == ["LL308"])
            await lake.queue()
            await reader.until(lambda: EVERYTHING in reader.hints)
            await asyncio.to_thread(lake.put, "heard")
            await reader.sees("heard")

    asyncio.run(main())


def test_closing_in_the_middle_of_a_long_poll_leaves_nothing_running(lake):
    async def main():
        queue = await lake.queue()
        async with polling(lake, queue) as (reader,):
            await reader.until(lambda: reader.feed.health.ok)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert [each async for each in reader.feed.deliveries()] == []

    asyncio.run(main())
