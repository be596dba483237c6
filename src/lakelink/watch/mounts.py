"""What file system a root is on: whether others can change it unseen, and what names it for good.

/proc/self/mountinfo (proc(5)) tells type, source and mount point; where there is no /proc, statfs(2) tells the type. The identity outlives a
remount and a reboot, which device numbers do not.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from lakelink.model.path import ROOT
from lakelink.ports.kernel import Kernel
from lakelink.ports.notify import Notify
from lakelink.watch.root import WatchedRoot

# Every client has its own idea of what happens in these; none hears of the others' writes.
_NETWORK = frozenset(
    {
        "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs",
        "panfs", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
    }
)  # fmt: skip
_MAGIC = {  # linux/magic.h, and lustre_user.h for Lustre
    0x0BD00BD0: "lustre", 0x6969: "nfs", 0xFF534D42: "cifs", 0xFE534D42: "smb3", 0x517B: "smbfs", 0x65735546: "fuse", 0x794C7630: "overlay",
    0x01021997: "9p", 0x00C36400: "ceph", 0x5346414F: "afs", 0x01161970: "gfs2", 0x7461636F: "ocfs2", 0xEF53: "ext4", 0x58465342: "xfs",
    0x9123683E: "btrfs", 0x01021994: "tmpfs",
}  # fmt: skip
_BY_UUID = Path("/dev/disk/by-uuid")
_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo."""

    number: int
    root: str  # the directory of the file system that is mounted; not "/" for a bind mount or a subvolume
    point: str
    kind: str
    source: str


@dataclass(frozen=True, slots=True)
class FileSystem:
    """What a root is on."""

    kind: str  # as mountinfo names it: ext4, nfs4, fuse.sshfs …
    remote: bool  # others can change it without an event here
    whole_mount: bool  # the root is the top of a mount that shows the whole file system
    identity: str  # "uuid:…", "fsid:…" or "KIND:SOURCE"; "" where nothing identifies it. See `identify`

    def caveat(self, scan_interval_s: float) -> str:
        """One sentence for the operator about changes that raise no event here; "" where there are none."""
        within = f"they are found by scan only, within {scan_interval_s:g} s"
        if self.remote:
            return f"This is {self.kind}: writes of other clients raise no event there; {within}."
        if self.kind == "overlay":
            return f"This is an overlay: changes made directly in a layer below it raise no event; {within}."
        return ""


def parse_mounts(table: bytes) -> list[Mount]:
    """The lines of mountinfo; a line that is not one is left out."""
    mounts = []
    for line in table.splitlines():
        before, found, after = line.partition(b" - ")
        fields, rest = before.split(b" "), after.split(b" ")
        if found and len(fields) >= 6 and len(rest) >= 2 and fields[0].isdigit():
            mounts.append(Mount(int(fields[0]), _text(fields[3]), _text(fields[4]), _text(rest[0]), _text(rest[1])))
    return mounts


def _text(field: bytes) -> str:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field).decode("utf-8", "surrogateescape")


def mounts_below(mounts: list[Mount], place: str) -> frozenset[str]:
    """The mount points below the absolute path `place`, relative to it."""
    prefix = place.rstrip("/") + "/"
    return frozenset(mount.point[len(prefix) :] for mount in mounts if mount.point.startswith(prefix)) - {ROOT}


def file_system(kernel: Kernel, notify: Notify, path: str) -> FileSystem:
    """What the directory `path` is on.

    Raises:
        RootMissing: nothing is there.
        NotPermitted: it cannot be opened.
    """
    with WatchedRoot(kernel, path).open() as fd:
        number, _ = kernel.mount_of(fd)
        mount = next((m for m in parse_mounts(notify.mount_table()) if m.number == number), None)
        kind = mount.kind if mount else _MAGIC.get(notify.file_system_magic(fd), "unknown")
        # A FUSE file system changes behind the mount too; fuseblk is a local disk that only this machine writes.
        remote = kind in _NETWORK or kind == "fuse" or kind.startswith("fuse.")
        whole = (
            mount is not None
            and mount.root == "/"
            and notify.place_of(fd) == mount.point.encode("utf-8", "surrogateescape")
        )
        return FileSystem(kind, remote, whole, _identify(notify, fd, mount, remote=remote))


def _identify(notify: Notify, fd: int, mount: Mount | None, *, remote: bool) -> str:
    """What stays the same over remounts and reboots, the best that there is.

    A network file system: its kind and source, as in the mount table. Otherwise the UUID in the superblock, from the file system itself or
    from udev's links. Where there is none: f_fsid of statfs(2), which ext4 and btrfs derive from the UUID, but others from the device number
    (then it may change over a reboot, and an operator has to say that the root is the same).
    """
    if remote and mount is not None:
        return f"{mount.kind}:{mount.source}"
    found = notify.file_system_uuid(fd)
    if found:
        return f"uuid:{uuid.UUID(bytes=found)}"
    if mount is not None and mount.source.startswith("/dev/"):
        linked = _linked_uuid(Path(mount.source))
        if linked:
            return f"uuid:{linked}"
    fsid = notify.file_system_fsid(fd)
    return f"fsid:{fsid:016x}" if fsid else ""


def _linked_uuid(device: Path) -> str:
    try:
        target = device.resolve()
        return next((link.name.lower() for link in _BY_UUID.iterdir() if link.resolve() == target), "")
    except OSError:
        return ""
