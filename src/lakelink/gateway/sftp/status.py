"""What a client is told about trouble: SFTP status codes and sentences without anything that is not the client's business."""

from __future__ import annotations

from enum import IntEnum

from lakelink.errors import (
    Declined,
    LakelinkError,
    NotFound,
    NotPermitted,
    RootMissing,
    Unreachable,
    Unsupported,
)
from lakelink.gateway.sftp.wire import UINT32, Op, packet, string


class Status(IntEnum):
    """Status codes of version 3."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    NO_CONNECTION = 6
    CONNECTION_LOST = 7
    OP_UNSUPPORTED = 8


_SENTENCES = {
    Status.OK: "Success",
    Status.EOF: "End of file",
    Status.NO_SUCH_FILE: "No such file",
    Status.PERMISSION_DENIED: "Permission denied",
    Status.FAILURE: "Failure",
    Status.BAD_MESSAGE: "Bad message",
    Status.OP_UNSUPPORTED: "Operation unsupported",
}


def status_packet(request: bytes, status: Status, sentence: str = "") -> bytes:
    """The answer of that request id."""
    text = (sentence or _SENTENCES[status]).encode("utf-8", "replace")
    return packet(Op.STATUS, request, UINT32.pack(status), string(text), string(b"en"))


def status_of(error: LakelinkError) -> Status:
    """The status that says as much as version 3 can."""
    if isinstance(error, RootMissing | Unreachable):
        return Status.FAILURE
    if isinstance(error, NotFound):
        return Status.NO_SUCH_FILE
    if isinstance(error, NotPermitted):
        return Status.PERMISSION_DENIED
    if isinstance(error, Unsupported):
        return Status.OP_UNSUPPORTED
    return Status.FAILURE


def sentence_of(error: LakelinkError) -> str:
    """What the client may read. Trouble of the store behind names buckets, keys and hosts, which are for the log alone."""
    if isinstance(error, Declined):
        return error.message
    if isinstance(error, RootMissing | Unreachable):
        return f"The storage cannot be reached at the moment ({error.code})"
    status = status_of(error)
    if status is Status.FAILURE:
        return f"{type(error).__doc__ or 'Failure'} ({error.code})".replace("\n", " ")
    return _SENTENCES[status]
