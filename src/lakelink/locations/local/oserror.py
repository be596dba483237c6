"""OSError at the border: what each errno means to a caller."""

from __future__ import annotations

import errno
import os

from lakelink.errors import (
    LakelinkError,
    NameUnsupported,
    NoSpace,
    NotFound,
    NotPermitted,
    NotResident,
    PreconditionFailed,
    StorageError,
    Unsupported,
)
from lakelink.model.path import display

# What a file system answers to a call or a flag that it does not have: rename flags, O_TMPFILE, FICLONE, hard links.
# EISDIR is what kernels that do not know O_TMPFILE say to it.
NOT_OFFERED = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EISDIR})
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})  # ELOOP: a link where the path needs a directory

_NOT_A_DIRECTORY = "A file or a link is where the path needs a directory; it is looked at again in the next run."
_MEANING: dict[int, tuple[type[LakelinkError], str]] = {
    errno.ENOSPC: (NoSpace, "Free some space or inodes on the target, then run again."),
    errno.EDQUOT: (NoSpace, "The owner's quota on the target is used up."),
    errno.EROFS: (NotPermitted, "Mount the file system read-write."),
    errno.EACCES: (NotPermitted, "Run as a user that may do this, or change mode or owner."),
    errno.EPERM: (NotPermitted, "Run as a user that may do this, or change mode, owner or attributes (lsattr)."),
    errno.ENAMETOOLONG: (NameUnsupported, "This file system holds only shorter names."),
    errno.EILSEQ: (NameUnsupported, "This file system holds only names in its own encoding."),
    errno.ENOENT: (NotFound, "It was there a moment ago; it is looked at again in the next run."),
    errno.ENOTDIR: (PreconditionFailed, _NOT_A_DIRECTORY),
    errno.ELOOP: (PreconditionFailed, _NOT_A_DIRECTORY),
    errno.EMFILE: (StorageError, "Raise the limit of open files (ulimit -n)."),
    errno.ENODATA: (NotResident, "It is a stub: its bytes are in the lake, and are loaded by whoever opens it."),
    errno.EFBIG: (Unsupported, "This file system holds only smaller files."),
}


def translate(error: OSError | OverflowError, path: str) -> LakelinkError:
    """The error of the tree that `error` means for `path`, already chained to it; raise it or answer it."""
    shown = display(path) or "the root"
    found: LakelinkError
    if isinstance(error, OverflowError):
        found = Unsupported(f"{shown}: its owner or a time is out of the range of this system")
    else:
        kind, hint = _MEANING.get(error.errno or 0, (StorageError, ""))
        found = kind(f"{shown}: {os.strerror(error.errno) if error.errno else error}", hint=hint)
    found.__cause__ = error
    return found
