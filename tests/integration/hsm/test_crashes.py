"""Whatever dies, whenever: a reader gets the true bytes or an error, never zeros, and never waits for ever."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from lakelink.links.hsm.base import Outcome
from lakelink.links.hsm.holding import find_holder
from lakelink.links.hsm.stub import LOADED, STUB, Flags, Stub
from lakelink.ports import permission
from tests.integration.hsm.scene import MTIME_NS, Scene, eventually, finish, noise, waits

DATA = noise(200_000, 1)


def holder_pid(scene: Scene) -> int:
    """As it says itself."""
    return holders(scene)[0]


def holders(scene: Scene) -> tuple[int, int]:
    """The holder and its spare."""
    held = find_holder(str(scene.backing))
    assert held is not None
    held.close()
    return held.pid, held.spare


def known_worker(scene: Scene) -> int:
    held = find_holder(str(scene.backing))
    assert held is not None
    held.close()
    return held.worker


def is_gone(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:1]
    except (FileNotFoundError, ProcessLookupError):
        return True


def freeze(scene: Scene) -> int:
    """The worker stands still where it is, known to the holder; its number."""
    pid = scene.guard.crew.worker_pid
    eventually(lambda: known_worker(scene) == pid)
    stop(pid)
    return pid


def stop(pid: int) -> None:
    """Each of its threads stands still: one that was still on its way would take a question, and nobody would know of that."""
    os.kill(pid, signal.SIGSTOP)
    threads = [thread / "stat" for thread in Path(f"/proc/{pid}/task").iterdir()]
    eventually(lambda: all(each.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T" for each in threads))


def test_a_worker_killed_before_it_saw_the_reader_is_followed_by_another(scene):
    scene.make({"f": DATA})
    pid = freeze(scene)
    reader = scene.reader("f")
    assert waits(reader)
    os.kill(pid, signal.SIGKILL)
    assert finish(reader)[0] == DATA


def test_a_dead_holder_is_replaced_and_readers_notice_nothing(scene):
    scene.make({"f": DATA, "g": DATA[::-1]})
    os.kill(holder_pid(scene), signal.SIGKILL)
    assert scene.cat("f") == DATA
    eventually(lambda: (held := find_holder(str(scene.backing))) is not None and held.close() is None)
    assert scene.cat("g") == DATA[::-1]


def test_holder_and_worker_killed_together_leave_readers_waiting_for_their_bytes(scene):
    scene.make({"f": DATA})
    pid = freeze(scene)
    reader = scene.reader("f")
    assert waits(reader)
    os.kill(holder_pid(scene), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    assert finish(reader)[0] == DATA


def test_another_daemon_takes_over_marks_readers_and_worker(scene):
    scene.make({"f": DATA, "g": DATA})
    freeze(scene)
    reader = scene.reader("f")
    assert waits(reader)
    abandon(scene)
    scene.again()
    assert not scene.guard.crew.fresh
    assert finish(reader)[0] == DATA
    assert scene.cat("g") == DATA


def abandon(scene: Scene) -> None:
    """The daemon dies: its descriptors close, its tasks end, nothing else is done."""

    async def die() -> None:
        await scene.guard.crew.stop(keep=True)

    scene.loop.run(die())


def test_after_a_reboot_there_is_no_view_until_every_stub_is_marked(scene):
    scene.make({f"d/{number}": noise(1000, number) for number in range(50)})
    loaded = scene.cat("d/7")
    scene.loop.run(scene.guard.settle())
    scene.loop.run(scene.guard.stop())
    assert not any(scene.view.iterdir())
    assert find_holder(str(scene.backing)) is None
    scene.again()
    assert scene.guard.crew.fresh
    assert scene.guard.marked.stubs == 49
    assert scene.guard.marked.loaded == 1
    assert loaded == scene.cat("d/7") == noise(1000, 7)
    assert scene.cat("d/8") == noise(1000, 8)


def test_daemon_worker_and_holder_killed_in_one_stroke_leave_no_hole_to_be_read(scene):
    scene.make({"f": DATA, "g": DATA})
    stroke = (scene.guard.crew.worker_pid, holder_pid(scene))
    stop(stroke[0])
    reader = scene.reader("f")
    assert waits(reader)
    abandon(scene)
    for pid in stroke:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: all(map(is_gone, stroke)))
    late = scene.reader("g")
    assert waits(late)
    scene.again()
    assert not scene.guard.crew.fresh
    assert finish(late)[0] == DATA
    assert finish(reader)[0] == DATA


def test_a_spare_that_dies_is_followed_by_another_and_succeeds_the_holder(scene):
    scene.make({"f": DATA})
    for _ in range(3):
        eventually(lambda: holders(scene)[1] != 0)  # for a moment after each death there is none
        first, spare = holders(scene)
        os.kill(spare, signal.SIGKILL)
        eventually(lambda dead=spare: holders(scene)[1] not in {0, dead})
        heir = holders(scene)[1]
        os.kill(first, signal.SIGKILL)
        eventually(lambda heir=heir: holders(scene)[0] == heir)
    assert scene.cat("f") == DATA
    scene.loop.run(scene.guard.stop())
    assert find_holder(str(scene.backing)) is None


def test_marks_that_were_lost_with_every_process_come_back_before_the_view(scene):
    scene.make({"f": DATA})
    eventually(lambda: holders(scene)[1] != 0)
    stroke = (scene.guard.crew.worker_pid, *holders(scene))
    for number in stroke:
        stop(number)
    abandon(scene)
    for number in stroke:
        os.kill(number, signal.SIGKILL)
    eventually(lambda: all(map(is_gone, stroke)))
    scene.again()
    assert scene.guard.crew.fresh
    assert scene.cat("f") == DATA


# What a power failure leaves of a load and of a release, set up line by line


def left(scene: Scene, path: str, flags: Flags, data: bytes, *, mtime_ns: int = MTIME_NS) -> None:
    """A file as a power failure left it: these flags, these bytes (zero blocks are holes)."""
    scene.put(path, DATA)
    place = scene.tree / path
    with place.open("wb") as file:
        file.truncate(len(DATA))
        for at in range(0, len(data), 4096):
            if any(data[at : at + 4096]):
                os.pwrite(file.fileno(), data[at : at + 4096], at)
        scene.guard.tree.put(file.fileno(), Stub(scene.origin(path), MTIME_NS, flags))
        os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))


def reboot(scene: Scene) -> None:
    scene.loop.run(scene.guard.stop())
    scene.again()


HALF = DATA[: 24 * 4096] + bytes(len(DATA) - 24 * 4096)
AFTER_POWER_FAILURE = {
    "load, nothing written": (STUB, b""),
    "load, MOVING and nothing written": (STUB | Flags.MOVING, b""),
    "load, half written": (STUB | Flags.MOVING, HALF),
    "load, wrong bytes before the checksum": (STUB | Flags.MOVING, DATA[::-1]),
    "load, in use, half on the disk": (LOADED | Flags.UNSYNCED, HALF),
    "load, in use, nothing on the disk": (LOADED | Flags.UNSYNCED, b""),
    "load, in use, all on the disk": (LOADED | Flags.UNSYNCED, DATA),
    "load, settled": (LOADED, DATA),
    "release, before the punch": (STUB | Flags.MOVING, DATA),
    "release, half punched": (STUB | Flags.MOVING, HALF),
    "release, before the end": (STUB | Flags.MOVING, b""),
}


def test_what_a_power_failure_leaves_at_each_line_reads_as_the_true_bytes(any_file_system):
    from tests.integration.hsm.conftest import scene_at

    with scene_at(any_file_system, "power") as scene:
        for number, (flags, data) in enumerate(AFTER_POWER_FAILURE.values()):
            left(scene, f"f{number}", flags, data)
        reboot(scene)
        for number, line in enumerate(AFTER_POWER_FAILURE):
            assert scene.cat(f"f{number}") == DATA, line
            assert (scene.tree / f"f{number}").stat().st_mtime_ns == MTIME_NS, line


@pytest.mark.parametrize("line", [line for line in AFTER_POWER_FAILURE if line.startswith("release")])
def test_a_release_that_was_cut_off_is_done_to_its_end_by_the_next_one(scene, line):
    flags, data = AFTER_POWER_FAILURE[line]
    left(scene, "f", flags, data, mtime_ns=MTIME_NS + 5)  # the time of the punch
    reboot(scene)
    assert scene.release("f") == [Outcome.DONE]
    status = (scene.tree / "f").stat()
    assert (status.st_blocks, status.st_mtime_ns) == (0, MTIME_NS)
    assert scene.is_stub("f")
    assert scene.cat("f") == DATA


def test_what_a_user_wrote_before_the_power_failed_is_kept_and_only_holes_are_filled(scene):
    mine = noise(4096, 77)
    written = HALF[:8192] + mine + HALF[12288:]
    left(scene, "f", LOADED | Flags.UNSYNCED, written, mtime_ns=MTIME_NS + 5)
    reboot(scene)
    assert scene.cat("f") == DATA[:8192] + mine + DATA[12288:]
    assert scene.sight("f").flags & Flags.DIRTY


def test_bytes_written_while_nothing_guarded_are_neither_shown_as_the_object_nor_overwritten(scene):
    left(scene, "f", STUB, HALF, mtime_ns=MTIME_NS + 5)
    reboot(scene)
    out, complaint = finish(scene.reader("f"))
    assert not out
    assert b"Input/output error" in complaint
    assert (scene.tree / "f").stat().st_blocks > 0


def test_a_stub_that_lost_its_attribute_is_not_read_where_it_may_stand_for_an_object(scene):
    scene.make({"f": DATA, "g": DATA})
    for name in ("f", "g"):
        os.removexattr(scene.tree / name, "trusted.lakelink")
    assert scene.sight("f").unknown
    scene.loop.run(scene.guard.stop())
    from lakelink.links.hsm.guard import KernelGuard

    scene.guard = KernelGuard(scene.spec)
    scene.guard.set_suspect(lambda path, size: path == "f" and size == len(DATA))
    scene.loop.run(scene.guard.start())
    out, complaint = finish(scene.reader("f"))
    assert (out, b"Input/output error" in complaint) == (b"", True)
    assert scene.cat("g") == bytes(len(DATA))


def test_whoever_is_killed_amid_releases_only_whole_files_and_whole_stubs_are_left(scene):
    files = {f"d/{number}": noise(30_000, number) for number in range(30)}
    scene.make(files)
    for path, data in files.items():
        assert scene.cat(path) == data
    for watched, victims in (("d/0", "worker"), ("d/13", "holder"), ("d/26", "worker holder")):
        pids = {"worker": scene.guard.crew.worker_pid, "holder": holder_pid(scene)}
        work = scene.loop.start(scene.guard.release([scene.candidate(path) for path in files]))
        eventually(partial(begun, scene, watched, work))
        for victim in victims.split():
            os.kill(pids[victim], signal.SIGKILL)
        outcomes = {one.outcome for one in work.result(60)}
        assert outcomes <= {Outcome.DONE, Outcome.ALREADY, Outcome.IN_USE}
        for path, data in files.items():
            assert scene.cat(path) == data


def begun(scene: Scene, path: str, work: Future) -> bool:
    return scene.is_stub(path) or work.done()


def test_marks_all_gone_are_noticed_by_nobody_once_the_guard_was_started_again(scene):
    scene.make({"f": DATA})
    permission.flush_marks(scene.guard.crew.group_fd)
    scene.loop.run(scene.guard.stop())
    assert find_holder(str(scene.backing)) is None
    scene.again()
    assert scene.cat("f") == DATA


def test_a_worker_that_is_just_being_started_does_not_outlive_a_stop(scene):
    scene.make({"f": DATA})
    for _ in range(5):
        os.kill(scene.guard.crew.worker_pid, signal.SIGKILL)
        scene.loop.run(scene.guard.stop())
        eventually(lambda: not workers_of(scene))
        scene.again()
    assert scene.cat("f") == DATA


def workers_of(scene: Scene) -> list[str]:
    """Processes that were given this tree."""
    mark = os.fsencode(scene.backing)
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with suppress(OSError):
                words = (process / "cmdline").read_bytes()
                found += [process.name] if b"hsm.worker" in words and mark in words else []
    return found
