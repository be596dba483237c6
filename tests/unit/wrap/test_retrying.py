import pytest

from lakelink.core.backoff import Backoff
from lakelink.errors import ChangedWhileRead, Corrupt, PreconditionFailed, RootMissing, Unreachable
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent, StreamContent
from lakelink.locations.wrap.faulty import Fault, FaultKind, Faulty
from lakelink.locations.wrap.retrying import Retrying
from lakelink.model.entry import Expect, Kind
from lakelink.testing.clocks import SeededRandom
from lakelink.testing.contents import pattern
from lakelink.testing.faults import Always, Both, Nth
from lakelink.testing.hand import ABSENT, Hand

LOST = Fault(FaultKind.AFTER)
REFUSED = Fault(FaultKind.BEFORE)
DOWN = Fault(FaultKind.RAISE)


def patient(memory, clock, script, attempts=4):
    return Hand(
        Retrying(
            Faulty(memory, script, clock), Backoff(attempts=attempts, base_s=0.1, cap_s=1.0), clock, SeededRandom(1)
        )
    )


@pytest.mark.parametrize("fault", [REFUSED, DOWN])
def test_trouble_that_passes_is_waited_out(run, memory, clock, fault):
    hand = patient(memory, clock, Nth(fault, verb="write", last=3))
    run(hand.put("f", b"data"))
    assert memory.store.files() == {"f": b"data"}
    assert len([s for s in clock.slept if s]) == 3


@pytest.mark.parametrize("fault", [REFUSED, DOWN])
def test_trouble_that_stays_is_told_as_it_came_after_the_last_attempt(run, memory, clock, fault):
    script = Always(fault, verb="write")
    with pytest.raises(Unreachable, match="injected"):
        run(patient(memory, clock, script, attempts=4).put("f", b"data"))
    assert script.seen == 4


def test_a_precondition_is_never_repeated(run, memory, clock):
    script = Nth(Fault(FaultKind.BEFORE, lambda: PreconditionFailed("no")), verb="write", last=99)
    with pytest.raises(PreconditionFailed):
        run(patient(memory, clock, script).put("f", b"data"))
    assert script.seen == 1


def test_a_missing_root_is_never_repeated(run, memory, clock):
    script = Nth(Fault(FaultKind.RAISE, lambda: RootMissing("gone")), verb="stat", last=99)
    with pytest.raises(RootMissing):
        run(patient(memory, clock, script).stat("f"))
    assert script.seen == 1


def test_after_a_lost_answer_the_caller_is_told_to_look_again_and_nothing_is_overwritten(run, memory, clock):
    hand = patient(memory, clock, Nth(LOST, verb="write"))
    with pytest.raises(PreconditionFailed):
        run(hand.put("f", b"ours"))
    assert memory.store.files() == {"f": b"ours"}


def test_a_foreign_write_between_two_attempts_is_never_overwritten(run, memory, clock):
    class ForeignWriter(Nth):
        def fault(self, verb, path):
            if verb == "write" and self.seen == 1:
                memory.store.put(path, b"theirs")
            return super().fault(verb, path)

    base = run(Hand(memory).put("f", b"old"))
    hand = patient(memory, clock, ForeignWriter(REFUSED, verb="write"))
    with pytest.raises(PreconditionFailed):
        run(hand.put("f", b"ours", expect=Expect(base)))
    assert memory.store.files() == {"f": b"theirs"}


def test_only_the_paths_that_failed_are_asked_for_again_and_the_order_stays(run, memory, clock):
    asked = []

    class Listener(Nth):
        def fault(self, verb, path):
            asked.append(path)
            return super().fault(verb, path)

    location = patient(memory, clock, Listener(REFUSED, verb="write", path="b", last=2)).location
    writes = [Write(name, Kind.FILE, BytesContent(name.encode()), None, ABSENT) for name in "abc"]
    answers = run(location.write(writes))
    assert [answer.size_bytes for answer in answers] == [1, 1, 1]
    assert asked == ["a", "b", "c", "b", "b"]


def test_a_pipe_is_tried_once(run, memory, clock):
    script = Nth(REFUSED, verb="write", last=99)
    with pytest.raises(Unreachable):
        run(patient(memory, clock, script).put("f", StreamContent(lambda: BytesContent(b"x").chunks())))
    assert script.seen == 1


def test_a_repeated_write_opens_its_content_again(run, memory, clock):
    class BreaksOnce(BytesContent):
        opened = 0

        async def chunks(self, start=0, end=None):
            self.opened += 1
            yield self.data[:3]
            if self.opened == 1:
                raise Unreachable("broke off")
            yield self.data[3:]

    content = BreaksOnce(b"abcdef")
    run(patient(memory, clock, Both()).put("f", content))
    assert (memory.store.files(), content.opened) == ({"f": b"abcdef"}, 2)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("error", [Unreachable, Corrupt])
def test_a_content_that_breaks_off_is_taken_up_again_without_a_byte_twice_or_missing(run, memory, clock, ranges, error):
    data = pattern((3 << 20) + 5)

    async def read():
        await Hand(memory).put("f", data)
        hand = patient(memory, clock, Nth(Fault(FaultKind.BROKEN, lambda: error("half")), verb="read"))
        if not ranges:
            memory.traits = memory.traits.__class__(**{**_fields(memory.traits), "ranges": False})
        content = await hand.open("f")
        if error is Corrupt:
            with pytest.raises(Corrupt):
                [chunk async for chunk in content.chunks()]
            return data
        return b"".join([chunk async for chunk in content.chunks()])

    assert run(read()) == data


def _fields(traits):
    return {name: getattr(traits, name) for name in traits.__slots__}


@pytest.mark.parametrize("kind", [FaultKind.BROKEN, FaultKind.CHANGED])
def test_load_and_pour_begin_again_but_not_after_a_change(run, memory, clock, kind, tmp_path):
    data = pattern(100_000)

    async def read():
        await Hand(memory).put("f", data)
        for way in ("load", "pour"):
            content = await patient(memory, clock, Nth(Fault(kind), verb="read")).open("f")
            if way == "load":
                assert await content.load() == data
            else:
                with (tmp_path / "f").open("w+b") as file:
                    assert await content.pour(file.fileno()) == len(data)
                    assert file.read() == data

    if kind is FaultKind.CHANGED:
        with pytest.raises(ChangedWhileRead):
            run(read())
    else:
        run(read())


def test_a_scan_that_fails_at_its_start_is_begun_again(run, memory, clock):
    memory.store.put("f")
    assert run(patient(memory, clock, Nth(DOWN, verb="scan", path="")).files()) == {"f"}


def test_a_scan_that_breaks_later_is_an_error_and_never_shorter_nor_twice(run, memory, clock):
    for number in range(2500):
        memory.store.put(f"f{number}")
    script = Nth(DOWN, verb="scan", path="2")
    with pytest.raises(Unreachable):
        run(patient(memory, clock, script).rows())
    assert script.seen == 1


def test_flush_delete_stat_set_posix_and_copy_are_waited_out_too(run, memory, clock):
    hand = patient(
        memory, clock, Both(*(Nth(REFUSED, verb=verb) for verb in ("flush", "delete", "stat", "set_posix", "copy")))
    )

    async def use():
        version = await hand.put("f", b"x")
        entry = await hand.see("f")
        assert await hand.set_posix("f", entry.posix, version)
        await hand.location.flush()
        await hand.remove("f", await hand.version("f"))

    run(use())
    assert memory.store.files() == {}
