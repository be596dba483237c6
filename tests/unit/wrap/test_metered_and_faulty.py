import pytest

from lakelink.errors import ChangedWhileRead, Corrupt, NoSpace, PreconditionFailed, Unreachable
from lakelink.locations.base import Delete, Read, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.wrap.delegating import unwrapped
from lakelink.locations.wrap.faulty import Fault, FaultKind, Faulty
from lakelink.locations.wrap.metered import Metered
from lakelink.model.entry import Expect, Kind, Version
from lakelink.testing.faults import Always, Both, Nth, Seeded, Unreadable
from lakelink.testing.hand import ABSENT, Hand


def test_a_meter_counts_calls_paths_failures_bytes_and_seconds_by_verb(run, memory, clock):
    slow = Faulty(memory, Always(Fault(FaultKind.DELAY, delay_s=2.0), verb="write"), clock)
    location = Metered(slow, clock)

    async def use():
        writes = [Write(name, Kind.FILE, BytesContent(b"12345"), None, ABSENT) for name in ("a", "b", "a")]
        await location.write(writes)
        (content,) = await location.read([Read("a", 5)])
        await content.load()
        [chunk async for chunk in content.chunks(1, 3)]
        await Hand(location).rows()
        await location.delete([Delete("a", Kind.FILE, Expect(Version(0, 0, ino=99999)))])

    run(use())
    meter = location.meter
    assert (meter.bytes_written, meter.bytes_read) == (10, 7)
    write = meter.verb("write")
    assert (write.calls, write.paths, write.failures, write.seconds) == (1, 3, 1, 6.0)
    assert (meter.verb("scan").paths, meter.verb("delete").failures) == (3, 1)
    assert location.requests == {"write": 1, "read": 1, "scan": 1, "delete": 1}
    assert unwrapped(location) is memory


def test_a_meter_counts_calls_that_raise(run, memory, clock):
    location = Metered(Faulty(memory, Always(Fault(FaultKind.RAISE)), clock), clock)
    with pytest.raises(Unreachable):
        run(location.stat(["a", "b"]))
    with pytest.raises(Unreachable):
        run(Hand(location).rows())
    assert (location.meter.verb("stat").failures, location.meter.verb("scan").failures) == (2, 1)


def test_a_meter_counts_poured_bytes(run, memory, clock, tmp_path):
    memory.store.put("f", b"12345")
    location = Metered(memory, clock)

    async def use():
        content = await Hand(location).open("f")
        assert content.open_file() is None
        assert content.entry.size_bytes == 5
        with (tmp_path / "f").open("wb") as file:
            await content.pour(file.fileno())

    run(use())
    assert location.meter.bytes_read == 5


def test_before_changes_nothing_and_after_changes_and_loses_the_answer(run, memory, clock):
    def full():
        return NoSpace("full")

    script = Both(Nth(Fault(FaultKind.BEFORE, full), path="a"), Nth(Fault(FaultKind.AFTER, full), path="b"))
    location = Faulty(memory, script, clock)
    writes = [Write(name, Kind.FILE, BytesContent(name.encode()), None, ABSENT) for name in "abc"]
    answers = run(location.write(writes))
    assert [isinstance(answer, NoSpace) for answer in answers] == [True, True, False]
    assert memory.store.files() == {"b": b"b", "c": b"c"}


@pytest.mark.parametrize(("kind", "error"), [(FaultKind.CHANGED, ChangedWhileRead), (FaultKind.BROKEN, Unreachable)])
def test_a_content_breaks_off_half_way(run, memory, clock, kind, error):
    memory.store.put("f", b"12345678")
    target = memory.__class__(memory.store.__class__(clock))

    async def use():
        content = await Hand(Faulty(memory, Nth(Fault(kind), verb="read"), clock)).open("f")
        await Hand(target).put("f", content)

    with pytest.raises(error):
        run(use())
    assert target.store.files() == {}


def test_a_truncated_content_is_never_stored(run, memory, clock):
    memory.store.put("f", b"12345678")

    async def use():
        content = await Hand(Faulty(memory, Nth(Fault(FaultKind.TRUNCATED), verb="read"), clock)).open("f")
        with pytest.raises(Corrupt):
            await Hand(memory).put("g", content)

    run(use())
    assert memory.store.files() == {"f": b"12345678"}


def test_an_unreadable_directory_is_unknown_and_nothing_below_it_is_seen(run, memory, clock):
    for path in ("d/x", "d/sub/y", "e"):
        memory.store.put(path)

    async def use():
        return [batch async for batch in Faulty(memory, Unreadable("d"), clock).scan()]

    (batch,) = run(use())
    assert {row.path: row.kind for row in batch.rows} == {"": Kind.DIR, "d": Kind.PROBLEM, "e": Kind.FILE}
    assert [problem.path for problem in batch.problems] == ["d"]


def test_flush_can_fail_before_and_after(run, memory, clock):
    for kind in (FaultKind.BEFORE, FaultKind.AFTER):
        with pytest.raises(Unreachable):
            run(Faulty(memory, Nth(Fault(kind), verb="flush"), clock).flush())


def test_seeded_faults_repeat_themselves_and_never_strike_a_path_too_often_in_a_row():
    calls = [("write", f"f{n % 7}") for n in range(500)]

    def hits(seed):
        script = Seeded(seed, 0.7, [Fault(FaultKind.BEFORE), Fault(FaultKind.RAISE)], verbs=["write"], in_a_row=2)
        return [bool(script.fault(*call)) for call in calls], script

    first, script = hits(3)
    assert first == hits(3)[0] != hits(4)[0]
    assert script.injected == sum(first) > 100
    assert script.fault("read", "f0") is None
    for path in range(7):
        own = first[path::7]
        assert not any(all(own[i : i + 3]) for i in range(len(own) - 2))


def test_nothing_is_asked_of_a_location_for_paths_that_fail_before(run, memory, clock):
    location = Faulty(memory, Always(Fault(FaultKind.BEFORE, lambda: PreconditionFailed("x")), verb="delete"), clock)
    version = memory.store.put("f")
    with pytest.raises(PreconditionFailed):
        run(Hand(location).remove("f", version))
    assert memory.store.files() == {"f": b""}
