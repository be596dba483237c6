"""What the workers of one gateway share, each end over its own control socket: who knocks, who is there, and how fast."""

import asyncio
import contextlib
import socket

import pytest

from lakelink.config.document import parse_document
from lakelink.config.gateway import read_gateway
from lakelink.errors import Unreachable
from lakelink.gateway.server.admission import HalfOpenLimits
from lakelink.gateway.server.hub import SharedState
from lakelink.gateway.server.member import CrewPlan, Member
from lakelink.gateway.server.pace import BURST_S, TOLD_EVERY_S, Pace
from lakelink.gateway.server.remote import RemoteHub
from lakelink.gateway.server.rules import SharedRules, shared_rules
from lakelink.gateway.server.throttle import ThrottleRule
from lakelink.gateway.telling import Changed
from lakelink.model.gateway import LiveSession
from lakelink.testing.clocks import JumpingClock, SeededRandom


def shared(*, full=100, per_source=100, most=100, clock=None):
    limits = HalfOpenLimits(start=full, full=full, per_source=per_source)
    rules = SharedRules(throttle=ThrottleRule(failures=2), half_open=limits, most_sessions=most)
    return SharedState(rules, clock or JumpingClock(), SeededRandom(7))


def session(ident, user="ann", worker=0):
    return LiveSession(id=ident, user=user, address="192.0.2.1", port=1, client="", since_ns=1, worker=worker)


@contextlib.asynccontextmanager
async def workers(state, *pids):
    """The hubs of so many workers, over sockets as they have them."""
    plan = CrewPlan(state_dir=".", config="", settings=read_gateway(parse_document("", "x"), {}))
    async with contextlib.AsyncExitStack() as stack:
        hubs = []
        for pid in pids:
            ours, theirs = socket.socketpair()
            member = Member(plan, state, [])
            reader, member._writer = await asyncio.open_connection(sock=ours)
            hub = RemoteHub(*await asyncio.open_connection(sock=theirs))
            tasks = [
                asyncio.create_task(member._listen(reader, pid)),
                asyncio.create_task(hub.listen(lambda _: None, lambda _: None)),
            ]
            stack.callback(member._writer.close)
            stack.callback(hub._writer.close)
            for task in tasks:
                stack.callback(task.cancel)
            hubs.append(hub)
        yield hubs


def test_half_open_connections_are_counted_over_all_workers():
    async def story():
        state = shared(full=3)
        async with workers(state, 11, 12) as (one, two):
            refusals = [await hub.arrive(f"{number}", f"192.0.2.{number}") for number, hub in enumerate([one, two] * 2)]
            one.settled("0")
            one.settled("0")
            one.settled("never heard of")
            again = await two.arrive("9", "192.0.2.9")
            state.worker_gone(12)
            return refusals, again, state.half_open

    refusals, again, left = asyncio.run(story())
    assert refusals == ["", "", "", "too-many-half-open"]
    assert again == ""
    assert left == 1  # one of worker 11; those of the other are gone with it


def test_one_address_has_its_share_of_all_workers_together():
    async def story():
        async with workers(shared(per_source=2), 11, 12) as (one, two):
            return [await hub.arrive(f"{number}", "192.0.2.1") for number, hub in enumerate((one, two, one, two))]

    assert asyncio.run(story()) == ["", "", "too-many-from-address", "too-many-from-address"]


def test_an_address_that_failed_at_one_worker_is_kept_out_of_all():
    async def story():
        async with workers(shared(), 11, 12) as (one, two):
            await one.failed("192.0.2.1", "ann")
            await two.failed("192.0.2.1", "bob")
            return await one.arrive("1", "192.0.2.1"), await two.arrive("2", "192.0.2.2")

    assert asyncio.run(story()) == ("banned", "")


def test_sessions_are_counted_over_all_workers():
    async def story():
        state = shared(most=3)
        async with workers(state, 11, 12) as (one, two):
            refusals = [
                await one.open(session("a"), 2),
                await two.open(session("b"), 2),
                await two.open(session("c"), 2),
                await two.open(session("d", "bob"), 2),
                await one.open(session("e", "eve"), 2),
            ]
            return refusals, {each.id: each.worker for each in state.sessions}

    refusals, found = asyncio.run(story())
    assert refusals == ["", "", "too-many-sessions-of-user", "", "too-many-sessions"]
    assert found == {"a": 11, "b": 12, "d": 12}


def test_a_change_in_the_lake_is_told_to_whoever_wants_to_know():
    async def story():
        state, heard = shared(), []
        state.on_changed = heard.append
        async with workers(state, 11) as (hub,):
            hub.changed(Changed("lake", "a/b", subtree=True))
            await hub.failed("192.0.2.1", "ann")  # answered after it
            return heard

    assert asyncio.run(story()) == [Changed("lake", "a/b", subtree=True)]


def test_other_rules_hold_for_who_comes_next(tmp_path):
    async def story():
        state = shared(full=1)
        assert await state.arrive("1", "192.0.2.1") == ""
        assert await state.arrive("2", "192.0.2.2") == "too-many-half-open"
        document = parse_document(
            '[gateway]\nmax_half_open = 40\nmax_sessions = 1\nban_after = 1\nnever_ban = ["192.0.2.7"]\n',
            tmp_path / "x",
        )
        state.follow(shared_rules(read_gateway(document, {})))
        assert await state.arrive("2", "192.0.2.2") == ""
        assert await state.open(session("a"), 9) == ""
        assert await state.open(session("b", "bob"), 9) == "too-many-sessions"
        for address in ("192.0.2.7", "192.0.2.8"):
            await state.failed(address, "ann")
        return await state.arrive("7", "192.0.2.7"), await state.arrive("8", "192.0.2.8")

    assert asyncio.run(story()) == ("", "banned")


def test_a_gateway_that_does_not_answer_is_told_as_such(monkeypatch):
    monkeypatch.setattr("lakelink.gateway.server.remote.ANSWERED_WITHIN_S", 0.01)

    async def story():
        ours, theirs = socket.socketpair()
        hub = RemoteHub(*await asyncio.open_connection(sock=theirs))
        with pytest.raises(Unreachable):
            await hub.arrive("1", "192.0.2.1")
        hub._writer.close()
        ours.close()

    asyncio.run(story())


RATE = 1000


async def race(state, clock, paces, seconds):
    """Every pace moves as much as it is let to, in both directions, each at every hundredth of a second; what all moved."""
    moved = [[0, 0] for _ in paces]
    for _ in range(int(seconds * 100)):
        for pace, done in zip(paces, moved, strict=True):
            for number, bucket in enumerate((pace.up, pace.down)):
                if not bucket.wait_s():
                    bucket.take(20)
                    done[number] += 20
        for _ in range(3):
            await asyncio.sleep(0)  # what is told is answered
        await clock.sleep(0.01)
    return moved


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_bandwidth_is_that_of_all_workers_together_and_one_alone_has_it_all(count):
    async def story():
        clock = JumpingClock()
        state = shared(clock=clock)
        await state.open(session("a"), 9)
        paces = [Pace(RATE, clock.monotonic, lambda *told: state.moved("ann", *told)) for _ in range(count)]
        return await race(state, clock, paces, 10.0)

    moved = asyncio.run(story())
    burst = count * (BURST_S + TOLD_EVERY_S) * RATE + count * 40
    for direction in (0, 1):
        total = sum(each[direction] for each in moved)
        assert 0.97 * 10 * RATE <= total <= 10 * RATE + burst
        assert min(each[direction] for each in moved) > 0.7 * total / count  # nobody starves


def test_without_an_answer_a_worker_keeps_the_rate_by_itself():
    async def story():
        clock = JumpingClock()

        async def nobody(*_):
            raise Unreachable("no")

        return await race(None, clock, [Pace(RATE, clock.monotonic, nobody)], 5.0)

    ((up, down),) = asyncio.run(story())
    assert 5 * RATE <= up <= 5.3 * RATE
    assert 5 * RATE <= down <= 5.3 * RATE


def test_what_is_told_after_the_last_session_is_not_kept():
    async def story():
        state = shared()
        await state.open(session("a"), 9)
        assert (await state.moved("ann", RATE, 2 * RATE, 0)).up_s == pytest.approx(2.0)
        state.close("a")
        late = await state.moved("ann", RATE, 5 * RATE, 0)
        await state.open(session("b"), 9)
        return late, await state.moved("ann", RATE, RATE, 0)

    late, anew = asyncio.run(story())
    assert late == (0.0, 0.0)
    assert anew.up_s == pytest.approx(1.0)
