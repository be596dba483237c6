"""Where the tree of a lazy link lies: in a directory of mode 0700 beside ROOT, on the same file system. ROOT itself is only where the view is mounted.

/data/genomes              the view, empty while there is none
/data/.genomes.lakelink/   0700: places, sockets and the table of waiting readers
  tree/                    what was at ROOT when the link became lazy
"""

from __future__ import annotations

import os
import shutil

from lakelink.errors import Refused, RootGone, RootReadOnly
from lakelink.links.hsm.kernel import LazyKernel
from lakelink.model.path import OWN_DIRECTORY, display


def backing_of(root: str) -> str:
    """The backing directory of a root."""
    parent, name = os.path.split(os.path.abspath(root))  # noqa: PTH100
    return os.path.join(parent, f".{name}.lakelink")  # noqa: PTH118


def tree_of(root: str) -> str:
    """Where the files are."""
    return os.path.join(backing_of(root), "tree")  # noqa: PTH118


def check_root(root: str) -> None:
    """A directory can become the root of a lazy link.

    Raises:
        Refused: it is where a file system is mounted, so that nothing beside it is on the same one.
    """
    if os.path.ismount(root) and not os.path.isdir(tree_of(root)):  # noqa: PTH112
        raise Refused(
            f"a file system is mounted at {display(root)}: nothing beside it is on the same one",
            hint=f"Link a directory below it, such as {display(root)}/files.",
        )


def settle(root: str) -> str:
    """The tree is in its place; the first time what is at ROOT moves there, as it is, and is held as loaded. May be repeated; returns the tree.

    Raises:
        Refused: see `check_root`. RootGone, RootReadOnly: it cannot be done; what was at ROOT is there, or in the tree.
    """
    backing, tree = backing_of(root), tree_of(root)
    try:
        if not os.path.isdir(tree):  # noqa: PTH112
            check_root(root)
            os.makedirs(backing, mode=0o700, exist_ok=True)  # noqa: PTH103
            os.rename(root, tree)  # noqa: PTH104
        os.chmod(backing, 0o700)  # noqa: PTH101
        if not os.path.isdir(root):  # noqa: PTH112
            _like(root, tree)
    except FileNotFoundError as error:
        raise RootGone(f"{display(root)} is not there", hint="Make it first, or mount its file system.") from error
    except OSError as error:
        raise RootReadOnly(
            f"{display(root)} cannot be made lazy: {error.strerror}", hint="Its parent directory has to be writable."
        ) from error
    return tree


def give_back(root: str) -> None:
    """What is in the tree is at ROOT again, as a plain directory. There is no view any more. May be repeated.

    Raises:
        RootReadOnly: it cannot be done: everything is in the tree still.
    """
    backing, tree = backing_of(root), tree_of(root)
    if not os.path.isdir(tree):  # noqa: PTH112
        return
    if _has_stub(tree):
        raise RootReadOnly(
            f"files without bytes are in {display(tree)}: they would be read as zeros at {display(root)}, so all of it stays there",
            hint="What is in the lake can be fetched with `lakelink sync`; then remove that directory.",
        )
    try:
        if os.path.isdir(root):  # noqa: PTH112
            os.rmdir(root)  # noqa: PTH106
        os.rename(tree, root)  # noqa: PTH104
        shutil.rmtree(backing, ignore_errors=True)
    except OSError as error:
        raise RootReadOnly(
            f"the files of {display(root)} stay in {display(tree)}: {error.strerror}",
            hint="Is somebody in the directory, or is it not empty? Move them by hand.",
        ) from error


def _like(path: str, other: str) -> None:
    """An empty directory with the owner and mode of another."""
    st = os.stat(other)  # noqa: PTH116
    os.mkdir(path, 0o700)  # noqa: PTH102
    os.chown(path, st.st_uid, st.st_gid)
    os.chmod(path, st.st_mode & 0o7777)  # noqa: PTH101


def _has_stub(tree: str) -> bool:
    """Whether any file outside lakelink's own directory has its bytes elsewhere."""
    kernel = LazyKernel()
    for _, directories, files, fd in os.fwalk(tree):
        if OWN_DIRECTORY in directories:
            directories.remove(OWN_DIRECTORY)
        if any(kernel.is_stub(name, dir_fd=fd) for name in files):
            return True
    return False
