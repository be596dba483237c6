"""The identity of a root, on real file systems. Where a mount is needed and not allowed, the test is skipped with that reason."""

import asyncio
import json
import os
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from lakelink.core.brake import Brake
from lakelink.errors import (
    CredentialsRefused,
    Halt,
    LakeForbidden,
    LakeGone,
    NotFound,
    NotPermitted,
    RootEmptied,
    RootGone,
    RootMissing,
    RootReadOnly,
    RootReplaced,
    RootTaken,
    Unreachable,
)
from lakelink.links import marker, placing
from lakelink.links.acceptance import accept_root
from lakelink.links.aside import Aside
from lakelink.links.halts import halt_of
from lakelink.links.identity import REMEMBERED, RootGuard
from lakelink.links.marker import Marker
from lakelink.model.link import Rule
from lakelink.model.linkspec import LinkSpec
from lakelink.ports.notify import LinuxNotify
from lakelink.state.database import connect
from lakelink.testing.clocks import JumpingClock

SPEC = LinkSpec(name="logs", ident="0123456789abcdef", files="", lake="s3://lake/logs")


class Facts(dict):
    """A journal's meta, and whether there is a path in its base below another one."""

    def below(self, path, _limit=-1):
        return [] if path == "excluded" else [f"{path}/agreed"]

    def meta(self, key, default=""):
        return self.get(key, default)

    def set_meta(self, key, value):
        self[key] = value


def uuid_of(path):
    """As ext4 has it: f_fsid is made of the UUID. Good enough to tell file systems apart in one test."""
    return f"uuid:{os.statvfs(path).f_fsid:x}"


def guard(root, memory=None, *, spec=SPEC, agreed=0, identify=uuid_of, brake=None, **more):
    return RootGuard(
        str(root),
        spec,
        Facts() if memory is None else memory,
        agreed=lambda: agreed,
        brake=brake or Brake(spec.safety),
        clock=JumpingClock(),
        identify=identify,
        **more,
    )


def handle_of(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return LinuxNotify().handle_of(fd).hex()
    except OSError:
        return ""
    finally:
        os.close(fd)


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def check(a_guard):
    asyncio.run(a_guard.check())


@contextmanager
def mounted(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounts are not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", arguments[-1]], check=True)


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "root"
    path.mkdir()
    return path


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")


def image(tmp_path, name):
    """A small ext4 in a file."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(4 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True)
    return path


def test_a_new_root_is_marked_whole_and_keeps_its_time(root):
    os.utime(root, ns=(5, 7))
    memory = Facts()
    check(guard(root, memory))
    found = json.loads((root / ".lakelink" / "link.json").read_text())
    assert found == {
        "ident": SPEC.ident,
        "name": "logs",
        "lake": "s3://lake/logs",
        "file_system": uuid_of(root),
        "inode": root.stat().st_ino,
        "handle": handle_of(root),
        "version": 1,
    }
    assert root.stat().st_mtime_ns == 7
    assert (root / ".lakelink").stat().st_mode & 0o777 == 0o700
    assert names(root / ".lakelink") == ["link.json"]
    (root / "x").touch()
    check(guard(root, memory, agreed=1000))


def test_a_root_is_known_again_by_its_marker_after_the_journal_was_lost(root):
    check(guard(root))
    (root / "x").touch()
    check(guard(root, Facts(), agreed=5))


def test_a_vanished_root_halts_and_goes_on_when_it_is_back(root):
    (root / "x").touch()
    held = guard(root, agreed=5)
    check(held)
    root.rename(root.parent / "away")
    with pytest.raises(RootGone) as caught:
        check(held)
    assert (caught.value.code, caught.value.exit_code) == ("LL211", 3)
    assert caught.value.hint
    (root.parent / "away").rename(root)
    check(held)


def test_a_file_in_the_place_of_the_root_halts(root):
    held = guard(root)
    check(held)
    shutil.rmtree(root)
    root.touch()
    with pytest.raises(RootGone, match="Not a directory"):
        check(held)


@pytest.mark.parametrize("with_files", [True, False])
def test_a_replaced_root_halts_and_nothing_is_written_to_it(root, with_files):
    held = guard(root, agreed=5)
    check(held)
    root.rename(root.parent / "away")
    root.mkdir()
    if with_files:
        (root / "x").touch()
    for one in (held, guard(root, held._memory, agreed=5)):
        with pytest.raises(RootReplaced, match="marker is missing" if with_files else "without its marker"):
            check(one)
    assert names(root) == (["x"] if with_files else [])


def test_a_copy_of_the_root_halts_and_may_be_accepted(root):
    memory = Facts()
    held = guard(root, memory)
    check(held)
    (root / "x").touch()
    root.rename(root.parent / "old")
    shutil.copytree(root.parent / "old", root)
    with pytest.raises(RootReplaced, match="is a copy") as caught:
        check(held)
    assert "--accept-root" in caught.value.hint
    asyncio.run(held.accept())
    check(held)
    check(guard(root, memory))


@pytest.mark.parametrize("restored", [False, True])
def test_a_root_that_was_made_anew_halts_even_with_the_inode_of_the_old_one(root, restored):
    """As a restore from a backup does: ext4 gives the first free inode, which is the one that has just become free."""
    held = guard(root, agreed=1)
    for _ in range(20):
        check(held)
        if not handle_of(root):
            pytest.skip("this file system has no file handles")
        was, text = root.stat().st_ino, (root / ".lakelink" / "link.json").read_bytes()
        shutil.rmtree(root)
        root.mkdir()
        if restored:
            (root / ".lakelink").mkdir(mode=0o700)
            (root / ".lakelink" / "link.json").write_bytes(text)
        with pytest.raises(RootReplaced):
            check(held)
        with pytest.raises(RootReplaced):
            check(guard(root, held._memory, agreed=1))
        if root.stat().st_ino == was:
            return
        asyncio.run(held.accept())
    pytest.skip("no inode was used again here")


def test_a_marker_that_was_removed_by_hand_is_put_back_where_the_file_system_is_known(root):
    if not handle_of(root):
        pytest.skip("this file system has no file handles")
    held = guard(root)
    check(held)
    shutil.rmtree(root / ".lakelink")
    (root / "x").touch()
    check(held)
    assert (root / ".lakelink" / "link.json").exists()


@pytest.mark.parametrize("identity", ["", "fsid:1", "nfs4:server:/x"])
def test_a_marker_that_was_removed_halts_where_nothing_else_is_sure(root, identity):
    held = guard(root, identify=lambda _root: identity)
    check(held)
    shutil.rmtree(root / ".lakelink")
    with pytest.raises(RootReplaced):
        check(held)


def test_inodes_that_fuse_makes_up_say_nothing(root):
    held = guard(root, identify=lambda _root: "fuse.sshfs:host:/x")
    check(held)
    moved = root.parent / "moved"
    shutil.copytree(root, moved)
    check(guard(moved, identify=lambda _root: "fuse.sshfs:host:/x"))


def test_a_root_with_the_marker_of_another_link_halts(root):
    check(guard(root))
    other = LinkSpec(name="other", ident="f" * 16, files="", lake="s3://lake/other")
    for attempt in (lambda: check(guard(root, spec=other)), lambda: asyncio.run(guard(root, spec=other).accept())):
        with pytest.raises(RootTaken, match="belongs to link logs") as caught:
            attempt()
        assert "link.json" in caught.value.hint
    assert json.loads((root / ".lakelink" / "link.json").read_text())["ident"] == SPEC.ident


def test_a_root_inside_the_root_of_another_daemon_s_link_halts(root):
    check(guard(root))
    (root / "deep" / "er").mkdir(parents=True)
    other = LinkSpec(name="other", ident="f" * 16, files="", lake="s3://lake/other")
    with pytest.raises(RootTaken, match="root belongs to link logs"):
        check(guard(root / "deep" / "er", spec=other))
    assert names(root / "deep" / "er") == []


def test_two_links_that_mark_one_root_at_once_get_one_marker(root):
    specs = [LinkSpec(name=f"n{i}", ident=f"{i:016x}", files="", lake="s3://lake/x") for i in range(8)]

    async def together():
        return await asyncio.gather(*(guard(root, spec=spec).check() for spec in specs), return_exceptions=True)

    answers = asyncio.run(together())
    assert sorted(type(answer).__name__ for answer in answers) == ["NoneType"] + ["RootTaken"] * 7
    winner = json.loads((root / ".lakelink" / "link.json").read_text())["ident"]
    assert answers[int(winner, 16)] is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ident": 3}', "\x00" * 100])
def test_a_damaged_marker_halts_and_is_left_for_a_human(root, text):
    held = guard(root)
    check(held)
    path = root / ".lakelink" / "link.json"
    path.write_text(text)
    with pytest.raises(RootReplaced, match="damaged"):
        check(held)
    assert path.read_text() == text


def test_a_marker_that_is_a_link_leads_nowhere(root, tmp_path):
    secret = tmp_path / "elsewhere"
    secret.write_text("{}")
    (root / ".lakelink").mkdir()
    (root / ".lakelink" / "link.json").symlink_to(secret)
    with pytest.raises(Halt):
        check(guard(root))
    assert secret.read_text() == "{}"


def test_an_emptied_root_halts_until_it_is_allowed_or_filled(root):
    brake = Brake(SPEC.safety)
    held = guard(root, agreed=11, brake=brake)
    (root / "x").touch()
    check(held)
    (root / "x").unlink()
    with pytest.raises(RootEmptied, match="it held 11 paths") as caught:
        check(held)
    assert "--allow-deletes" in caught.value.hint
    (root / "y").touch()
    check(held)
    (root / "y").unlink()
    with pytest.raises(RootEmptied):
        check(held)
    brake.allow_once()
    check(held)
    brake.ask(11, 11, 0)  # the deletes that follow pass as well
    brake.done(11, 0)
    check(held)  # the base may lag behind
    (root / "z").touch()
    check(held)
    (root / "z").unlink()
    with pytest.raises(RootEmptied):
        check(held)


def test_another_root_is_accepted_with_nothing_agreed_on(root, tmp_path):
    db = connect(tmp_path / "journal.sqlite", "journal")
    db.execute("INSERT INTO held VALUES ('x', 'files', 'new', 0)")
    db.execute("INSERT INTO base VALUES ('x', 0, 1,1,1,1,1,1, 1,1,'e','',1,1,1,1, x'', NULL)")
    db.execute("INSERT INTO meta VALUES ('surveyed_ns', '5')")
    held = guard(root, agreed=5)
    check(held)
    root.rename(root.parent / "away")
    root.mkdir()
    with pytest.raises(RootReplaced):
        check(held)
    asyncio.run(accept_root(held, db))
    check(guard(root, held._memory))
    for count in ("SELECT count(*) FROM base", "SELECT count(*) FROM held", "SELECT count(*) FROM meta"):
        assert db.execute(count).fetchone() == (0,)
    root.rename(root.parent / "gone")
    with pytest.raises(RootGone):
        asyncio.run(accept_root(held, db))
    db.close()


def test_a_few_files_may_go_without_a_word(root):
    held = guard(root, agreed=10)
    check(held)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_root_that_this_user_may_not_write_to_halts(root):
    root.chmod(0o500)
    with pytest.raises(RootReadOnly):
        check(guard(root))


@needs_root
def test_an_unmounted_root_halts_and_goes_on_when_it_is_mounted_again(root, tmp_path):
    disk = image(tmp_path, "disk")
    memory = Facts()
    with mounted("-o", "loop", disk, root):
        (root / "x").touch()
        held = guard(root, memory, agreed=5)
        check(held)
    for one in (held, guard(root, memory, agreed=5)):
        with pytest.raises(RootReplaced, match="as a directory is whose file system is not mounted") as caught:
            check(one)
        assert "mounted" in caught.value.hint
    assert names(root) == []
    (root / "written-below").touch()
    with pytest.raises(RootReplaced, match="marker is missing"):
        check(held)
    with mounted("-o", "loop", disk, root):  # perhaps with another device number
        check(held)
        check(guard(root, memory, agreed=5))


@needs_root
@pytest.mark.parametrize("removed", [False, True])
def test_a_volume_below_the_root_that_is_not_mounted_halts_until_it_is_or_it_is_allowed(root, removed):
    memory, volume = Facts(), root / os.fsdecode(b"vol \xe9")
    volume.mkdir()
    (root / "beside").write_text("x")
    with mounted("-t", "tmpfs", "none", volume):
        (volume / "file").write_text("x")
        check(guard(root, memory))
    if removed:
        volume.rmdir()
    brake = Brake(SPEC.safety)
    later = guard(root, memory, agreed=100, brake=brake)
    with pytest.raises(RootReplaced, match="nothing is mounted at") as caught:
        check(later)
    assert "--allow-deletes" in caught.value.hint
    with pytest.raises(RootReplaced):
        check(guard(root, memory, agreed=100))
    volume.mkdir(exist_ok=True)
    with mounted("-t", "tmpfs", "none", volume):
        (volume / "file").write_text("x")
        check(later)
    with pytest.raises(RootReplaced):
        check(later)
    brake.allow_once()
    check(later)
    check(later)
    check(guard(root, memory, agreed=100))


@needs_root
def test_a_volume_of_which_nothing_was_ever_carried_is_not_missed(root):
    memory, volume = Facts(), root / "excluded"
    volume.mkdir()
    (root / "beside").write_text("x")
    with mounted("-t", "tmpfs", "none", volume):
        (volume / "file").write_text("x")
        check(guard(root, memory))
    check(guard(root, memory, agreed=100))


@needs_root
def test_a_volume_whose_files_were_moved_to_where_it_was_mounted_is_no_longer_missed(root):
    memory, volume = Facts(), root / "vol"
    volume.mkdir()
    with mounted("-t", "tmpfs", "none", volume):
        (volume / "file").write_text("x")
        check(guard(root, memory))
    (volume / "file").write_text("x")
    check(guard(root, memory, agreed=100))
    (volume / "file").unlink()
    (root / "other").write_text("x")
    check(guard(root, memory, agreed=100))


@needs_root
def test_another_disk_in_the_place_of_the_root_halts(root, tmp_path):
    """Both roots have inode 2: the UUID tells, and the marker."""
    memory = Facts()
    with mounted("-o", "loop", image(tmp_path, "one"), root):
        check(guard(root, memory))
    with mounted("-o", "loop", image(tmp_path, "two"), root):
        with pytest.raises(RootReplaced):
            check(guard(root, memory))
        (root / ".lakelink").mkdir()
        stale = Marker(ident=SPEC.ident, name="logs", lake=SPEC.lake, file_system="uuid:other", inode=2)
        (root / ".lakelink" / "link.json").write_text(json.dumps({f: getattr(stale, f) for f in Marker.__slots__}))
        with pytest.raises(RootReplaced, match="is a copy"):
            check(guard(root, memory))


@needs_root
def test_a_disk_mounted_over_a_running_link_halts(root):
    held = guard(root, agreed=5)
    (root / "x").touch()
    check(held)
    with mounted("-t", "tmpfs", "none", root), pytest.raises(RootReplaced):
        check(held)
    check(held)


@needs_root
def test_a_root_that_became_read_only_halts_unless_nothing_is_written_to_it(root, tmp_path):
    exports_only = LinkSpec(name="logs", ident=SPEC.ident, files="", lake=SPEC.lake, rule=Rule(imports=frozenset()))
    with mounted("-o", "loop", image(tmp_path, "disk"), root):
        held = guard(root)
        check(held)
        subprocess.run(["mount", "-o", "remount,ro", root], check=True)
        with pytest.raises(RootReadOnly, match="cannot be written to"):
            check(held)
        check(guard(root, held._memory, spec=exports_only))
        held.update(exports_only)
        check(held)
        subprocess.run(["mount", "-o", "remount,rw", root], check=True)
        held.update(SPEC)
        check(held)


@needs_root
def test_a_read_only_root_cannot_be_marked(root, tmp_path):
    with mounted("-o", "loop,ro", image(tmp_path, "disk"), root), pytest.raises(RootReadOnly, match="Read-only"):
        check(guard(root))


def test_a_released_root_forgets_the_link_and_keeps_its_trash(root):
    held = guard(root)
    check(held)
    (root / ".lakelink" / "trash").mkdir()
    asyncio.run(held.release())
    assert names(root / ".lakelink") == ["trash"]
    (root / ".lakelink" / "trash").rmdir()
    check(guard(root))
    os.utime(root, ns=(5, 7))
    asyncio.run(held.release())
    asyncio.run(held.release())
    assert names(root) == []
    assert root.stat().st_mtime_ns == 7
    other = LinkSpec(name="other", ident="f" * 16, files="", lake="s3://lake/other")
    check(guard(root, spec=other))
    asyncio.run(held.release())
    assert (root / ".lakelink" / "link.json").exists()


def test_what_a_killed_process_staged_is_cleaned_up(root):
    (root / ".lakelink").mkdir()
    for number, age_s in enumerate((0, 4000)):
        path = root / ".lakelink" / f"link-{number:016x}.new"
        path.touch()
        os.utime(path, (time.time() - age_s,) * 2)
    check(guard(root))
    assert names(root / ".lakelink") == ["link-0000000000000000.new", "link.json"]


@pytest.mark.parametrize("missing", [("rename",), ("rename", "link")])
def test_a_marker_is_never_put_over_another_whatever_the_file_system_lacks(root, monkeypatch, missing):
    def refused(*_arguments, **_more):
        raise OSError(95, "Operation not supported")

    if "rename" in missing:
        monkeypatch.setattr(placing.LinuxKernel, "rename", refused)
    if "link" in missing:
        monkeypatch.setattr(placing.os, "link", refused)
    check(guard(root))
    assert names(root / ".lakelink") == ["link.json"]
    fd = os.open(root, os.O_RDONLY)
    try:
        other = Marker(ident="f" * 16, name="o", lake="l", file_system="", inode=1)
        with pytest.raises(FileExistsError):
            marker.put(fd, other)
        assert marker.read(fd).ident == SPEC.ident
        assert names(root / ".lakelink") == ["link.json"]
    finally:
        os.close(fd)


def test_a_root_that_does_not_answer_halts_and_is_not_asked_twice_at_once(root):
    asked, freed = [], threading.Event()

    def stuck(_root):
        asked.append(1)
        freed.wait(60)
        return ""

    async def story():
        held = guard(root, identify=stuck, deadline_s=0.05)
        for _ in range(3):
            with pytest.raises(RootGone, match="does not answer"):
                await held.check()
        assert len(asked) == 1
        freed.set()
        held._deadline_s = 60
        await held.check()

    asyncio.run(story())


def test_a_call_beside_the_loop_gives_its_answer_its_error_and_ends_with_the_loop():
    async def story():
        aside = Aside("test")
        assert await aside.run(lambda: None, 60) is None
        assert await asyncio.gather(*(aside.run(lambda n=n: n, 60) for n in range(5))) == [0, 1, 2, 3, 4]
        with pytest.raises(FileNotFoundError):
            await aside.run(Path("/nonexistent").stat, 60)

    asyncio.run(story())
    freed = threading.Event()

    async def given_up():
        with pytest.raises(TimeoutError):
            await Aside("test").run(lambda: freed.wait(60), 0.01)

    asyncio.run(given_up())
    freed.set()


@pytest.mark.parametrize(
    ("error", "side", "halt"),
    [
        (RootMissing("no bucket"), "lake", LakeGone),
        (NotPermitted("no", hint="s3:ListBucket"), "lake", LakeForbidden),
        (CredentialsRefused("no"), "lake", LakeForbidden),
        (RootMissing("gone"), "files", RootGone),
        (NotPermitted("no"), "files", RootGone),
        (RootReplaced("x"), "files", RootReplaced),
        (Unreachable("later"), "lake", None),
        (NotFound("one path"), "lake", None),
        (Unreachable("later"), "files", None),
    ],
)
def test_trouble_of_a_whole_location_halts_and_trouble_that_passes_does_not(error, side, halt):
    found = halt_of(error, side, "s3://lake/logs")
    assert (type(found) if found else None) is halt
    if found and found is not error:
        assert "s3://lake/logs" in found.message
        assert found.hint
        assert not error.hint or found.hint == error.hint


def test_what_is_remembered_is_one_fact(root):
    memory = Facts()
    check(guard(root, memory))
    standing = {"file_system": uuid_of(root), "inode": root.stat().st_ino, "handle": handle_of(root)}
    assert json.loads(memory[REMEMBERED]) == standing
