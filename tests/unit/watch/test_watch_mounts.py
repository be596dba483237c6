"""What a root is on is told from the mount table, and named by what outlives a remount."""

import os

import pytest

from lakelink.errors import RootMissing
from lakelink.ports.linux import LinuxKernel
from lakelink.ports.notify import LinuxNotify
from lakelink.watch.mounts import FileSystem, Mount, file_system, mounts_below, parse_mounts

TABLE = rb"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
36 22 0:40 / /srv/two\040words rw,noatime shared:2 master:1 - nfs4 filer:/export/a rw,vers=4.2
37 22 0:41 /sub /srv/bound rw - xfs /dev/sdb1 rw
38 22 0:42 / /srv/\377 rw - fuse.sshfs me@host: rw

not a line of a mount table
39 22 0:43 / /srvx rw - tmpfs tmpfs rw
"""


def test_the_mount_table_is_read_with_its_escapes():
    mounts = parse_mounts(TABLE)
    assert [mount.point for mount in mounts] == ["/", "/srv/two words", "/srv/bound", "/srv/\udcff", "/srvx"]
    assert mounts[1] == Mount(36, "/", "/srv/two words", "nfs4", "filer:/export/a")
    assert mounts[2].root == "/sub"


def test_mounts_below_a_place_are_relative_and_its_own_is_not_one_of_them():
    mounts = parse_mounts(TABLE)
    assert mounts_below(mounts, "/srv") == {"two words", "bound", "\udcff"}
    assert mounts_below(mounts, "/srv/bound") == frozenset()
    assert mounts_below(mounts, "/") == {"srv/two words", "srv/bound", "srv/\udcff", "srvx"}


class Told(LinuxNotify):
    """A kernel that says that the root of a test is on `kind`."""

    def __init__(self, kind="", source="none", root="/", uuid=b"", fsid=0, magic=0xEF53):
        self.kind, self.source, self.root, self.uuid, self.fsid, self.magic = kind, source, root, uuid, fsid, magic

    def mount_table(self):
        if not self.kind:
            return b""
        number = LinuxKernel().mount_of(self.fd)[0]
        return f"{number} 1 0:1 {self.root} {self.point} rw - {self.kind} {self.source} rw".encode()

    def file_system_magic(self, fd):
        return self.magic

    def file_system_uuid(self, fd):
        return self.uuid

    def file_system_fsid(self, fd):
        return self.fsid


def told(path, **facts) -> FileSystem:
    notify = Told(**facts)
    notify.fd, notify.point = os.open(path, os.O_RDONLY), str(path)
    try:
        return file_system(LinuxKernel(), notify, str(path))
    finally:
        os.close(notify.fd)


@pytest.mark.parametrize(
    ("kind", "remote"),
    [
        *(
            (kind, True)
            for kind in ("lustre", "nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "virtiofs", "fuse", "fuse.sshfs")
        ),
        *((kind, False) for kind in ("ext4", "xfs", "btrfs", "tmpfs", "fuseblk", "zfs")),
    ],
)
def test_file_systems_that_others_write_to_are_recognised(tmp_path, kind, remote):
    found = told(tmp_path, kind=kind)
    assert (found.kind, found.remote) == (kind, remote)
    caveat = found.caveat(60)
    assert bool(caveat) == remote
    if remote:
        assert caveat == (
            f"This is {kind}: writes of other clients raise no event there; they are found by scan only, within 60 s."
        )


def test_an_overlay_has_layers_that_may_change_unseen(tmp_path):
    assert "layer below" in told(tmp_path, kind="overlay").caveat(5)


def test_without_a_mount_table_the_magic_number_tells(tmp_path):
    assert told(tmp_path, magic=0x6969).kind == "nfs"
    assert told(tmp_path, magic=0x0BD00BD0).remote
    assert told(tmp_path, magic=0x12345678).kind == "unknown"


def test_only_the_top_of_a_mount_that_shows_all_is_whole(tmp_path):
    assert told(tmp_path, kind="ext4").whole_mount
    assert not told(tmp_path, kind="ext4", root="/sub").whole_mount
    (tmp_path / "below").mkdir()
    notify = Told(kind="ext4")
    notify.fd, notify.point = os.open(tmp_path, os.O_RDONLY), str(tmp_path)
    assert not file_system(LinuxKernel(), notify, str(tmp_path / "below")).whole_mount
    os.close(notify.fd)


def test_the_identity_is_the_best_that_there_is(tmp_path):
    uuid = bytes(range(16))
    assert told(tmp_path, kind="ext4", uuid=uuid, fsid=7).identity == "uuid:00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert told(tmp_path, kind="nfs4", source="filer:/a", uuid=uuid).identity == "nfs4:filer:/a"
    assert told(tmp_path, kind="ext4", source="/dev/missing", fsid=7).identity == "fsid:0000000000000007"
    assert told(tmp_path, kind="ext4").identity == ""


def test_udev_links_name_a_device_whose_file_system_does_not_tell(tmp_path, monkeypatch):
    links, device = tmp_path / "by-uuid", tmp_path / "sdz"
    links.mkdir()
    device.touch()
    (links / "other").symlink_to(tmp_path / "sdy")
    (links / "ABCD-1234").symlink_to("../sdz")
    monkeypatch.setattr("lakelink.watch.mounts._BY_UUID", links)
    found = told(tmp_path, kind="vfat", source="/dev/../" + str(device), fsid=7)
    assert found.identity == "uuid:abcd-1234"


def test_this_machine_is_described(tmp_path):
    found = file_system(LinuxKernel(), LinuxNotify(), str(tmp_path))
    assert found.kind
    assert found == file_system(LinuxKernel(), LinuxNotify(), str(tmp_path))


def test_nothing_there_is_a_missing_root(tmp_path):
    with pytest.raises(RootMissing):
        file_system(LinuxKernel(), LinuxNotify(), str(tmp_path / "missing"))
