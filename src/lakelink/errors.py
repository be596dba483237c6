"""The whole error tree: what went wrong, the exit code it means, whether to try again, and what the operator does next.

Adapters translate at their border and chain with ``from``: an OSError, an AwsCrtError or a sqlite3.Error never crosses a
port. Trouble with one path is a `lakelink.model.change.Problem`, a value, made from such an error by `problem_of`.

    LakelinkError
    ├── UsageError            2    the request itself is wrong; nothing was touched
    │   └── ConfigError       2    a setting is wrong; names the setting and where it came from
    ├── Refused               3    a safety rule says no; nothing was touched
    │   └── Busy              3    another run holds the target
    │   └── Declined          3    the gateway does not do that; the sentence is for its client
    ├── Halt                  3    a link stopped before it does harm; it goes on when the cause is gone
    │   ├── RootGone          3    its directory is not there, or does not answer
    │   ├── RootReplaced      3    another directory is in its place, or the file system is not mounted
    │   ├── RootEmptied       3    everything is gone from its directory at once
    │   ├── RootTaken         3    its directory belongs to another link
    │   ├── RootReadOnly      3    its directory cannot be written to
    │   ├── LakeGone          3    its bucket is not there
    │   ├── LakeForbidden     3    its bucket may not be used
    │   └── TooManyDeletes    3    more would be deleted than its brake allows
    ├── Unreachable           4    the other side does not answer; later it may
    │   ├── Untrusted         4    its certificate is not trusted
    │   └── NoDaemon          4    no daemon serves this state directory
    ├── NotPermitted          4    credentials are missing, expired beyond refresh, or lack the right
    │   └── CredentialsRefused 4   nothing on this location can work with these credentials
    ├── NotFound              1    the named object, file, bucket or root is not there
    │   └── QueueMissing      4    the queue of a lake's events is not there
    ├── PreconditionFailed    1    the target is no longer the version that was to be replaced; observe again
    ├── ChangedWhileRead      1    the source changed while it was read; observe again
    ├── Corrupt               1    bytes arrived that do not match their checksum or length
    ├── NoSpace               1    the target is full or over quota
    ├── Unsupported           1    this location cannot hold or do that
    │   └── OutOfOrder        1    a large upload was written out of order after its beginning had been sent on
    ├── InTheWay              1    a directory with content stands where a file should go
    ├── Tampered              1    a stub was written to while nothing guarded it; what is in it is kept
    └── InternalError         70   a broken invariant of ours; please report
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from lakelink.model.change import Problem


class Retry(Enum):
    """What a caller may do about an error."""

    NEVER = "never"
    LATER = "later"  # the same call may succeed after a pause
    AFTER_RESCAN = "after-rescan"  # only after looking again and deciding again


class LakelinkError(Exception):
    """An error with a stable code, one clear sentence, and a hint that says what to do next."""

    code: ClassVar[str] = "LL000"
    exit_code: ClassVar[int] = 70
    retry: ClassVar[Retry] = Retry.NEVER

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LakelinkError):
    """The request itself is wrong; nothing was touched."""

    code = "LL100"
    exit_code = 2


class ConfigError(UsageError):
    """A setting is wrong; the message names the setting and where it came from."""

    code = "LL101"


class Refused(LakelinkError):
    """A safety rule says no; nothing was touched."""

    code = "LL200"
    exit_code = 3


class Busy(Refused):
    """Another run holds the target."""

    code = "LL201"
    retry = Retry.LATER


class Declined(Refused):
    """The gateway does not do what its client asked for; nothing was touched. The sentence is for the client."""

    code = "LL202"


class Halt(LakelinkError):
    """A link stopped before it could do harm. Nothing was deleted; it looks again by itself, and goes on when the cause is gone."""

    code = "LL210"
    exit_code = 3
    retry = Retry.LATER


class RootGone(Halt):
    """The directory of a link is not there, cannot be opened, or does not answer: nothing is known about what it holds."""

    code = "LL211"


class RootReplaced(Halt):
    """What is at the path of a link is not the directory that the link was made with: its file system is not mounted, or it was replaced."""

    code = "LL212"


class RootEmptied(Halt):
    """The directory of a link is empty, and was not: everything in the lake would be deleted."""

    code = "LL213"


class RootTaken(Halt):
    """The directory of a link carries the marker of another link, or lies inside the directory of one."""

    code = "LL214"


class RootReadOnly(Halt):
    """The directory of a link cannot be written to."""

    code = "LL215"


class LakeGone(Halt):
    """The bucket of a link is not there: nothing is known about what it held."""

    code = "LL216"


class LakeForbidden(Halt):
    """The bucket of a link may not be used with the credentials there are."""

    code = "LL217"


class TooManyDeletes(Halt):
    """More paths of a link would be deleted within a minute than its brake allows."""

    code = "LL218"


class Unreachable(LakelinkError):
    """The other side does not answer, resets connections or asks us to slow down beyond our patience."""

    code = "LL300"
    exit_code = 4
    retry = Retry.LATER


class Untrusted(Unreachable):
    """The other side could not prove who it is (its certificate), or speaks no TLS; trying again does not help."""

    code = "LL305"
    retry = Retry.NEVER


class NoDaemon(Unreachable):
    """No daemon serves this state directory, and the command needs one."""

    code = "LL310"


class NotPermitted(LakelinkError):
    """Credentials are missing or lack the right; the hint names the permission where it is known."""

    code = "LL301"
    exit_code = 4


class CredentialsRefused(NotPermitted):
    """No credentials were found, or the store does not know them: nothing on this location can work."""

    code = "LL304"


class NotFound(LakelinkError):
    """The named object, file, bucket or root is not there."""

    code = "LL302"
    exit_code = 1
    retry = Retry.AFTER_RESCAN


class RootMissing(NotFound):
    """The root of a location (bucket or directory) is not there: nothing is known about what it holds."""

    code = "LL303"
    exit_code = 4


class QueueMissing(NotFound):
    """The queue of a lake's events is not there: what it held, and what the store sent since then, has to be found by listing."""

    code = "LL308"
    exit_code = 4


class PreconditionFailed(LakelinkError):
    """What is there is not the version that was to be replaced. Look again, then decide again; never retry blindly."""

    code = "LL400"
    exit_code = 1
    retry = Retry.AFTER_RESCAN


class ChangedWhileRead(LakelinkError):
    """The source changed while it was read; nothing was stored."""

    code = "LL401"
    exit_code = 1
    retry = Retry.AFTER_RESCAN


class Corrupt(LakelinkError):
    """Bytes arrived that do not match their checksum or length; nothing was stored."""

    code = "LL402"
    exit_code = 1
    retry = Retry.LATER


class NoSpace(LakelinkError):
    """The target is full or over quota."""

    code = "LL403"
    exit_code = 1


class Unsupported(LakelinkError):
    """This location cannot hold that name or do that operation."""

    code = "LL404"
    exit_code = 1


class StorageError(LakelinkError):
    """The operating system or the store refused an operation for a reason of its own; the message carries its words."""

    code = "LL405"
    exit_code = 1


class NameUnsupported(Unsupported):
    """The other side cannot hold this name; the path is reported and skipped."""

    code = "LL406"


class OutOfOrder(Unsupported):
    """A large upload was written out of order after its beginning had been sent on; nothing was stored."""

    code = "LL409"


class InTheWay(LakelinkError):
    """The target has a directory with content where the source has a file; without --delete it is not removed."""

    code = "LL407"
    exit_code = 1


class WatchLimit(LakelinkError):
    """The kernel's limit of watches or of watching processes is reached: what is not watched is scanned at an interval, which is slower."""

    code = "LL408"
    exit_code = 1
    retry = Retry.LATER


class NotResident(LakelinkError):
    """The bytes of a file of a lazy link are in the lake at the moment, not here: it is a stub. Who opens it by its path has them loaded."""

    code = "LL420"
    exit_code = 1
    retry = Retry.AFTER_RESCAN


class ContentUnknown(LakelinkError):
    """A file of a lazy link shows no bytes, and nothing says that zeros are meant: it may be a stub that lost its mark. It is neither read nor stored."""

    code = "LL421"
    exit_code = 1


class ContentLost(LakelinkError):
    """The version of an object that a stub stands for is gone from the lake: what the file held is not to be had any more."""

    code = "LL422"
    exit_code = 1


class Tampered(LakelinkError):
    """A stub holds bytes that were written while nothing guarded it, or its attribute is not to be read. They are kept; nothing is loaded over them."""

    code = "LL430"
    exit_code = 1


class InternalError(LakelinkError):
    """A broken invariant of lakelink itself."""

    code = "LL900"


def problem_of(path: str, error: LakelinkError) -> Problem:
    """The per-path value of an error, for reports that go on."""
    return Problem(path=path, code=error.code, message=error.message, hint=error.hint)


def all_errors() -> list[type[LakelinkError]]:
    """Every error class, by code: the error reference in the documentation is checked against this."""
    found: dict[str, type[LakelinkError]] = {}
    queue = [LakelinkError]
    while queue:
        cls = queue.pop()
        found[cls.code] = cls
        queue.extend(cls.__subclasses__())
    return [found[code] for code in sorted(found)]
