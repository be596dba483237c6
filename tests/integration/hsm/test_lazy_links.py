"""Lazy links of a real daemon, on file systems of their own: what a user does, and what must never be read."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from lakelink.links.hsm.holding import find_holder
from tests.e2e.serving import InProcess, Lake, serving, wait_for

MIB = 1 << 20


@pytest.fixture
def on_disk(file_systems, tmp_path, seaweed, s3_prefix):
    """The program, its lake, and a directory on a small ext4."""
    program = InProcess(tmp_path, seaweed, s3_prefix)
    root = file_systems("ext4", 64 * MIB) / s3_prefix
    root.mkdir()
    yield program, Lake(program), root
    shutil.rmtree(root, ignore_errors=True)
    shutil.rmtree(root.parent / f".{root.name}.lakelink", ignore_errors=True)


@contextmanager
def at_work(program):
    """A daemon that is stopped as a service is: then nobody guards any more, and there is no view."""
    with serving(program) as daemon:
        yield daemon
        if daemon.process.poll() is None:
            assert daemon.stop() == 0


def add(program, root, *options):
    ran = program("link", "add", "g", root, program.lake, "--lazy", *options)
    assert ran.code == 0, ran.err


def settled(program):
    ran = program("link", "reconcile", "g")
    assert ran.code == 0, ran.err


def states(program, *paths):
    return {
        each["path"].rpartition("/")[2]: each["flags"]
        for each in program("hsm", "state", *paths, "--json").json["paths"]
    }


def outside(*command):
    """What another process reads."""
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


def test_a_file_is_loaded_by_whoever_opens_it_and_what_changes_travels(on_disk):
    program, lake, root = on_disk
    for name in ("a", "b", "c", "sub/d"):
        lake.put(name, f"the bytes of {name}")
    (root / "mine").write_text("was here before", encoding="utf-8")
    with at_work(program) as daemon:
        add(program, root)
        wait_for(lambda: (root / "sub/d").exists() and lake.text("mine"), "both sides to agree")
        settled(program)
        assert "released" in states(program, root)["a"]
        assert outside("cat", root / "a") == b"the bytes of a"
        assert "released" not in states(program, root / "a")["a"]
        # A rename, a link and a chmod need no bytes.
        (root / "b").rename(root / "moved")
        (root / "linked").hardlink_to(root / "sub/d")
        (root / "moved").chmod(0o600)
        outside("sh", "-c", f"printf more >> {root}/c")
        wait_for(
            lambda: lake.names() >= {"moved", "linked"} and lake.text("c") == "the bytes of cmore", "the lake to follow"
        )
        settled(program)
        assert lake.text("moved") == "the bytes of b"
        assert lake.text("b") is None
        assert "released" in states(program, root / "moved")["moved"]
        assert outside("cat", root / "moved") == b"the bytes of b"
        # The lake changes: what is loaded becomes a stub of the new version.
        lake.put("a", "other bytes")
        lake.remove("sub/d")
        settled(program)
        assert outside("cat", root / "a") == b"other bytes"
        assert not (root / "sub/d").exists()
        settled(program)  # what is on its way is not released
        assert program("hsm", "release", root).code == 0
        assert "released" in states(program, root / "mine")["mine"]
        assert outside("cat", root / "mine") == b"was here before"
        assert daemon.stop() == 0
        assert not list(root.iterdir())


def test_a_journal_that_is_lost_costs_no_byte_and_no_load(on_disk):
    program, lake, root = on_disk
    for number in range(40):
        lake.put(f"f{number}", f"bytes {number}")
    with at_work(program) as daemon:
        add(program, root)
        wait_for(lambda: len(list(root.iterdir())) >= 40, "the stubs")
        settled(program)
        assert daemon.stop() == 0
    for journal in program.folder.glob("state/links/*/journal*"):
        journal.unlink()
    with at_work(program) as daemon:
        wait_for((root / "f1").exists, "the view")
        settled(program)
        assert all("released" in flags for name, flags in states(program, root).items() if name.startswith("f"))
        assert lake.text("f7") == "bytes 7"
        assert outside("cat", root / "f7") == b"bytes 7"
        assert not program("link", "conflicts", "g", "--json").json["conflicts"]


def test_a_copy_without_attributes_is_neither_stored_nor_believed(on_disk):
    program, lake, root = on_disk
    lake.put("f", "true bytes")
    with at_work(program):
        add(program, root)
        wait_for((root / "f").exists, "the stub")
        settled(program)
        tree = root.parent / f".{root.name}.lakelink" / "tree"
        with (tree / "copy").open("wb") as copy:  # as a backup would that knows of no attributes
            copy.truncate(len("true bytes"))
        (tree / "copy").rename(tree / "f")
        program("link", "reconcile", "g")
        assert lake.text("f") == "true bytes"
        problems = program("link", "problems", "g", "--json").json["problems"]
        assert [each["code"] for each in problems] == ["LL421"]
        assert program("hsm", "restore", root / "f").code == 0
        assert outside("cat", root / "f") == b"true bytes"


def test_a_hole_of_ones_own_is_content_once_somebody_has_said_so(on_disk):
    program, lake, root = on_disk
    lake.put("f", "bytes")
    with at_work(program) as daemon:
        add(program, root)
        wait_for((root / "f").exists, "the stub")
        outside("truncate", "-s", "70000", root / "image")
        wait_for(lambda: lake.text("image") == "\0" * 70000, "the lake to have it")
        settled(program)
        assert daemon.stop() == 0
    for journal in program.folder.glob("state/links/*/journal*"):
        journal.unlink()
    with at_work(program) as daemon:
        wait_for((root / "image").exists, "the view")
        program("link", "reconcile", "g")
        assert states(program, root / "image")["image"] == ["unknown"]
        assert subprocess.run(["cat", root / "image"], capture_output=True, timeout=60, check=False).returncode == 1
        (problem,) = program("link", "problems", "g", "--json").json["problems"]
        assert (problem["code"], "hsm accept" in problem["hint"]) == ("LL421", True)
        assert program("hsm", "accept", root).code == 2  # a directory may hold stubs that lost their marks
        assert program("hsm", "accept", root / "image").code == 0
        assert outside("cat", root / "image") == bytes(70000)
        settled(program)
        assert not program("link", "problems", "g", "--json").json["problems"]
        assert "unknown" not in states(program, root / "image")["image"]
        assert lake.text("image") == "\0" * 70000
        assert daemon.stop() == 0
    with at_work(program):
        wait_for((root / "image").exists, "the view")
        assert outside("cat", root / "image") == bytes(70000)
        assert program("hsm", "release", root / "image").code == 0
        assert outside("cat", root / "image") == bytes(70000)


def test_files_are_loaded_and_released_by_pattern_last_use_and_flag(on_disk):
    program, lake, root = on_disk
    for name in ("a.bam", "b.bam", "c.txt"):
        lake.put(name, f"the bytes of {name}")
    with at_work(program):
        add(program, root)
        wait_for(lambda: len(list(root.glob("*.bam"))) == 2 and (root / "c.txt").exists(), "the stubs")
        settled(program)
        assert program("link", "preload", "g", "--include", "*.bam").code == 0
        settled(program)
        assert released(program, root) == {"c.txt"}
        assert program("hsm", "set", "--norelease", root / "b.bam").code == 0
        assert program("link", "release", "g", "--older-than", "1d").code == 0
        assert program("link", "release", "g", "--older-than", "0s", "--include", "*.txt").code == 0
        assert released(program, root) == {"c.txt"}
        assert "not to be released" in program("link", "release", "g", "--older-than", "0s", "--include", "*.bam").err
        assert released(program, root) == {"a.bam", "c.txt"}
        assert "norelease" in states(program, root / "b.bam")["b.bam"]
        assert program("hsm", "clear", "--norelease", root / "b.bam").code == 0
        assert program("hsm", "release", root / "b.bam").code == 0
        assert released(program, root) == {"a.bam", "b.bam", "c.txt"}
        assert outside("cat", root / "b.bam") == b"the bytes of b.bam"


def released(program, root):
    return {name for name, flags in states(program, root).items() if "released" in flags}


def test_what_a_listing_does_not_tell_is_asked_for_beside_the_work(on_disk, tmp_path):
    program, _, root = on_disk
    source = tmp_path / "source"
    source.mkdir()
    for number in range(60):
        (source / f"f{number}").write_bytes(b"x" * (number + 1))
        (source / f"f{number}").chmod(0o640)
    os.utime(source / "f7", (1_500_000_000, 1_500_000_000))
    (source / "link").symlink_to("f7")
    assert program("sync", source, program.lake, "-q").code == 0
    with at_work(program):
        add(program, root)
        wait_for(lambda: len(list(root.glob("f*"))) == 60, "the stubs")
        wait_for(
            lambda: all((root / f"f{number}").stat().st_mode & 0o777 == 0o640 for number in range(60)), "the modes"
        )
        wait_for((root / "link").is_symlink, "the link")
        assert (root / "f7").stat().st_mtime == 1_500_000_000
        settled(program)
        assert len(released(program, root)) == 60  # none was loaded for it


def test_a_lazy_link_is_let_go_only_when_everybody_can_read_what_it_leaves(on_disk):
    program, lake, root = on_disk
    lake.put("f", "bytes")
    with at_work(program):
        add(program, root)
        wait_for((root / "f").exists, "the stub")
        settled(program)
        refused = program("link", "remove", "g")
        assert (refused.code, "preload" in refused.err) == (3, True)
        assert program("link", "preload", "g").code == 0
        settled(program)
        assert program("link", "remove", "g").code == 0
        assert (root / "f").read_text(encoding="utf-8") == "bytes"


def test_lazy_is_refused_where_it_cannot_be(on_disk):
    program, _, root = on_disk
    ran = program("link", "add", "g", root.parent, program.lake, "--lazy")
    assert (ran.code, "below it" in ran.err) == (3, True)
    assert program("link", "add", "g", root, program.lake, "--keep-free", "5%").code == 2


def test_a_prefix_ten_times_the_disk_is_read_while_workers_are_killed(file_systems, tmp_path, seaweed, s3_prefix):
    """The short form; a tree of real size takes LAKELINK_LAZY_MIB of objects."""
    program = InProcess(tmp_path, seaweed, s3_prefix)
    disk = file_systems("ext4", 16 * MIB)
    root = disk / s3_prefix
    root.mkdir()
    chance = random.Random(4)
    source = tmp_path / "source"
    source.mkdir()
    names = [f"f{number}" for number in range(int(os.environ.get("LAKELINK_LAZY_MIB", "160")))]
    for name in names:
        (source / name).write_bytes(chance.randbytes(MIB))
    assert program("sync", source, program.lake, "-q").code == 0
    with at_work(program) as daemon:
        add(program, root, "--keep-free", "30%", "--free-up-to", "40%")
        wait_for(lambda: len(list(root.iterdir())) >= len(names), "the stubs")
        settled(program)
        chance.shuffle(names)
        killed = 0
        for number, name in enumerate(names):
            compared = subprocess.run(["cmp", source / name, root / name], check=False, timeout=120)
            assert compared.returncode == 0, (number, daemon.log[-5000:])
            if number % 40 == 20:
                killed += kill_worker(root)
        assert killed >= 3
        wait_for(lambda: free_share(disk) >= 0.3, "what is to be kept free")


def test_a_view_goes_with_the_last_process_that_guards_it_and_not_before(on_disk):
    program, lake, root = on_disk
    lake.put("f", "true bytes")
    with at_work(program) as daemon:
        add(program, root)
        wait_for((root / "f").exists, "the stub")
        settled(program)
        assert "nothing" in program("hsm", "withdraw").out  # while a daemon runs
        daemon.process.kill()
        daemon.process.wait(30)
        assert "nothing" in program("hsm", "withdraw").out  # the worker serves
        assert outside("cat", root / "f") == b"true bytes"
        lake.put("g", "more")
    with at_work(program) as daemon:
        wait_for((root / "g").exists, "the stub")
        settled(program)
        inside = subprocess.Popen(["sleep", "600"], cwd=root)
        kill_at_once(daemon.process.pid, *guards(root))
        daemon.process.wait(30)
        assert "gone" in program("hsm", "withdraw").out
        assert not list(root.iterdir())
        inside.kill()
        inside.wait(30)
    with at_work(program):
        assert outside("cat", root / "g") == b"more"  # what is ready shows its views


def guards(root):
    """The numbers of worker, holder and spare."""
    place = str(root.parent / f".{root.name}.lakelink")
    wait_for(lambda: all(numbers(place)), "worker, holder and spare")
    return numbers(place)


def numbers(place):
    held = find_holder(place)
    held.close()
    return held.worker, held.pid, held.spare


def kill_at_once(*pids):
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)


def free_share(disk):
    room = os.statvfs(disk)
    return room.f_bavail / room.f_blocks


def kill_worker(root):
    """Its worker, found by the directory that it was given; dead when this returns: whose question it takes while it dies gets EIO."""
    mark, killed = f".{root.name}.lakelink", 0
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().decode(errors="replace")
                if "lakelink.links.hsm.worker" in words and mark in words:
                    os.kill(int(process.name), signal.SIGKILL)
                    killed += 1
                    wait_for(lambda status=process / "stat": is_dead(status), "the end of the worker")
    return killed


def is_dead(status):
    """Whether that process is gone, or nothing is left of it but its answer to who waits for it."""
    try:
        return status.read_text(errors="replace").rpartition(")")[2].split()[0] in {"Z", "X"}
    except OSError:
        return True
