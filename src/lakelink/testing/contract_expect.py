"""Preconditions: nothing is replaced, changed or removed that the caller did not name; and of many writers one wins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from lakelink.engine.supervise import together
from lakelink.errors import ChangedWhileRead, LakelinkError, NotFound, PreconditionFailed
from lakelink.locations.base import Copy, Guarantee, SetPosix
from lakelink.model.entry import Expect, Kind, Posix, Version
from lakelink.testing.contents import pattern
from lakelink.testing.hand import ABSENT, PATIENCE_S, Hand, require, value
from lakelink.testing.promise import Registry

_registry = Registry()
PROMISES = _registry.promises
promise = _registry.promise

RACERS = 10
ROUNDS = 4
_POSIX = Posix(0o640, 0, 0, 1_600_000_000_123_456_789, 1_600_000_000_123_456_789)


async def _refused(action: Awaitable[object], what: str) -> None:
    try:
        await action
    except PreconditionFailed:
        return
    require(condition=False, sentence=f"{what} is carried out")


@promise(concerns=lambda t: t.write is not Guarantee.BLIND)
async def a_write_that_expects_nothing_replaces_nothing(at: Hand) -> None:
    await at.put("f", b"old")
    await _refused(at.put("f", b"new"), "a write over an existing file that expected none")
    require(await at.get("f") == b"old", "the old bytes are gone")


@promise(concerns=lambda t: t.write is not Guarantee.BLIND)
async def a_write_replaces_only_the_version_it_names(at: Hand) -> None:
    for size_bytes in (4, (9 << 20) + 1):
        name = f"f{size_bytes}"
        first = await at.put(name, b"1st")
        second = await at.put(name, b"2nd", expect=Expect(first))
        await _refused(
            at.put(name, pattern(size_bytes), expect=Expect(first)),
            f"a write of {size_bytes} bytes over a version not named",
        )
        require(await at.get(name) == b"2nd", "the newer bytes are gone")
        await at.remove(name, second)
        await _refused(at.put(name, pattern(size_bytes), expect=Expect(second)), "a write over a version that is gone")
        require(await at.stat(name) is None, "a deleted file was brought back")


@promise(concerns=lambda t: t.delete is not Guarantee.BLIND)
async def a_delete_removes_only_the_version_it_names(at: Hand) -> None:
    first = await at.put("f", b"1st")
    second = await at.put("f", b"2nd", expect=Expect(first))
    await _refused(at.remove("f", first), "a delete of a version that is not there any more")
    require(await at.get("f") == b"2nd", "the newer bytes are gone")
    await _refused(at.remove("f", None), "a delete that expected nothing")
    await at.remove("f", second)
    require(await at.stat("f") is None, "a deleted file is still there")


@promise()
async def deleting_what_is_gone_is_done(at: Hand) -> None:
    version = await at.put("f", b"x")
    await at.remove("f", version)
    await at.remove("f", version)
    await at.remove("never/was", Version(1, 2, ino=3, etag='"abc"'))


@promise(concerns=lambda t: t.directories)
async def a_directory_goes_only_when_it_is_empty(at: Hand) -> None:
    await at.make_directory("d")
    child = await at.put("d/f", b"x")
    directory = (await at.rows())["d"].version
    await _refused(at.remove("d", directory, Kind.DIR), "a delete of a directory that is not empty")
    require(await at.get("d/f") == b"x", "what was in the directory is gone")
    await at.remove("d/f", child)
    # The version was seen before its child went: what happens inside a directory does not make it another one.
    await at.remove("d", directory, Kind.DIR)
    require(await at.stat("d") is None, "the directory is still there")


@promise(concerns=lambda t: t.posix and t.set_posix is not Guarantee.BLIND)
async def metadata_changes_only_on_the_version_named(at: Hand) -> None:
    first = await at.put("f", b"1st")
    await at.put("f", b"2nd", expect=Expect(first))
    before = await at.see("f")
    await _refused(at.set_posix("f", _POSIX, first), "a change of metadata on a version that is not there any more")
    after = await at.see("f")
    require((after.posix, after.version) == (before.posix, before.version), "the metadata moved all the same")
    answer = (await at.location.set_posix([SetPosix("none", Kind.FILE, _POSIX, Expect(first))]))[0]
    require(isinstance(answer, LakelinkError), "metadata was set on nothing")
    require(await at.stat("none") is None, "setting metadata made a file")


@promise()
async def a_copy_takes_the_version_named_and_replaces_the_version_named(at: Hand) -> None:
    origin = await at.put("a", b"origin")
    await _copy(at, origin, "b", ABSENT)
    require(await at.get("b") == b"origin", "the copy differs")
    await _refused(_copy(at, origin, "b", ABSENT), "a copy over an existing file that expected none")
    taken = await at.put("c", b"other")
    await _copy(at, origin, "c", Expect(taken))
    require(await at.get("c") == b"origin", "the copy differs")
    await at.put("a", b"later!", expect=Expect(origin))
    try:
        await _copy(at, origin, "d", ABSENT)
    except (PreconditionFailed, ChangedWhileRead, NotFound):
        require(await at.stat("d") is None, "a refused copy left a file")
    else:
        require(condition=False, sentence="a copy of a version that is not there any more is carried out")


async def _copy(at: Hand, origin: Version, path: str, expect: Expect) -> None:
    value((await at.location.copy([Copy("a", origin, path, expect)]))[0])


async def _race(contenders: list[Awaitable[object]]) -> list[int]:
    """Who was told that it is done; the others must have been told PreconditionFailed."""
    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*contenders, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, PreconditionFailed):
            raise answer
    return [number for number, answer in enumerate(answers) if not isinstance(answer, PreconditionFailed)]


async def _after(turns: int, action: Awaitable[object]) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    await action


def _judge(winners: list[int], guarantee: Guarantee, final: bytes | None, candidates: list[bytes]) -> None:
    require(winners, "of many writers with one expectation none won")
    told = {candidates[number] for number in winners}
    require(final in told, f"what is there was written by one that was told it had failed; told done: {winners}")
    if guarantee is Guarantee.ATOMIC:
        require(
            len(winners) == 1,
            f"{len(winners)} of {len(candidates)} writers were told that they replaced the same version",
        )


@promise(concerns=lambda t: t.write is not Guarantee.BLIND)
async def of_many_creators_one_wins(at: Hand) -> None:
    async def round_of(name: str) -> None:
        bodies = [pattern(5000, racer) for racer in range(RACERS)]
        winners = await _race([at.put(name, body) for body in bodies])
        _judge(winners, at.location.traits.write, await at.get(name), bodies)

    # All at once, each at a name of its own: some stores keep the losers waiting for seconds.
    await together(*(round_of(f"r{number}") for number in range(ROUNDS)))


@promise(concerns=lambda t: t.write is not Guarantee.BLIND)
async def of_many_replacers_one_wins(at: Hand) -> None:
    async def round_of(name: str) -> None:
        base = await at.put(name, b"base")
        bodies = [pattern(5000, racer) for racer in range(RACERS)]
        winners = await _race([at.put(name, body, expect=Expect(base)) for body in bodies])
        _judge(winners, at.location.traits.write, await at.get(name), bodies)

    await together(*(round_of(f"r{number}") for number in range(ROUNDS)))
    require(len(await at.files()) == ROUNDS, f"a race left {sorted(await at.files())}")


@promise(concerns=lambda t: Guarantee.BLIND not in {t.write, t.delete})
async def a_delete_and_a_write_of_one_version_do_not_both_happen(at: Hand) -> None:
    for number in range(ROUNDS):
        name = f"r{number}"
        base = await at.put(name, b"base")
        # Rounds differ in who starts earlier, so that each order is seen.
        writing = _after(max(0, 2 - number), at.put(name, b"new", expect=Expect(base)))
        deleting = _after(max(0, number - 2), at.remove(name, base))
        told = await _race([writing, deleting])
        entry = await at.stat(name)
        if 0 in told:  # a write that was acknowledged is never taken away by a delete of the version before
            require(entry is not None and await at.get(name) == b"new", "a delete took a newer version than it named")
        else:
            require(told == [1] and entry is None, f"told {told}, there is {entry}")


@promise(concerns=lambda t: t.write is not Guarantee.BLIND)
async def increments_by_many_are_never_lost(at: Hand) -> None:
    """Six writers add to a counter by read, expect, write: each acknowledged addition is in the sum."""
    await at.put("counter", b"0")
    acknowledged = 0

    async def add() -> None:
        nonlocal acknowledged
        for _ in range(ROUNDS):
            version = await at.version("counter")
            try:
                seen = int(await at.get("counter", expect=version))
                await at.put("counter", b"%d" % (seen + 1), expect=Expect(version))
            except (PreconditionFailed, ChangedWhileRead):
                continue
            acknowledged += 1

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        for _ in range(6):
            tasks.create_task(add())
    require(acknowledged, "no writer ever came through")
    total = int(await at.get("counter"))
    require(total == acknowledged, f"{acknowledged} additions were acknowledged, {total} are there")
