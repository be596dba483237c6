"""The codes of FSx for Lustre for what can go wrong with a path, where there is one; else lakelink's own.

Event log: "Data repository event logs" (FSx for Lustre user guide). Completion report: "Working with task completion reports", the codes of
"Troubleshooting failed data repository tasks".
"""

from __future__ import annotations

from lakelink.errors import (
    Busy,
    ChangedWhileRead,
    InternalError,
    InTheWay,
    LakeForbidden,
    LakeGone,
    LakelinkError,
    NameUnsupported,
    NoSpace,
    NotFound,
    NotPermitted,
    PreconditionFailed,
    RootMissing,
    Unreachable,
    Unsupported,
)
from lakelink.model.linkspec import Direction
from lakelink.model.path import file_problem, is_utf8


def direction_of(verb: str) -> Direction | None:
    """Which way a verb of a link carries; None where it carries nothing, or the verb is not known."""
    if verb.startswith("export") or verb in {"take-files", "make-way"}:
        return Direction.EXPORT
    if verb.startswith("import") or verb in {"take-lake", "keep-both"}:
        return Direction.IMPORT
    return None


def log_code(verb: str, path: str, error: LakelinkError) -> str:
    """What an event log calls the failure of a verb at a path."""
    direction = direction_of(verb) or direction_of_name(path, error)
    if direction is Direction.IMPORT:
        return _import_code(error, deletes=verb == "import-delete")
    return error.code if direction is None else _export_code(path, error)


def report_code(direction: Direction, path: str, error: LakelinkError) -> str:
    """What the completion report of a task in this direction calls it."""
    match error:
        case NameUnsupported():
            if direction is Direction.IMPORT:
                return "S3ObjectPathNotPosixCompliant"
            return "PathSizeTooLong" if is_utf8(path) else error.code
        case NotPermitted() | LakeForbidden():
            return "S3AccessDenied"
        case NotFound() | LakeGone():
            return "S3ObjectNotFound" if direction is Direction.IMPORT else "S3FileDeleted"
        case InTheWay():
            return "S3ObjectTypeMismatch"
        case NoSpace():
            return "NoDiskSpace"
        case InternalError():
            return "InternalError"
        case Unreachable():
            return "S3Error"
        case _:
            return "FileSizeTooLarge" if _is_too_large(error) else _busy_or_own(error, "ResourceBusy")


def _import_code(error: LakelinkError, *, deletes: bool) -> str:
    match error:
        case NotPermitted() | LakeForbidden():
            return "S3ImportDeleteAccessDenied" if deletes else "S3ImportAccessDenied"
        case RootMissing() | LakeGone():
            return "S3ImportDeleteBucketDoesNotExist" if deletes else "S3ImportBucketDoesNotExist"
        case NameUnsupported():
            return "S3ImportObjectPathNotPosixCompliant"
        case InTheWay():
            return "S3ImportObjectTypeMismatch"
        case NotFound():
            return "S3ImportObjectDeleted"
        case NoSpace():
            return "NoDiskSpace"
        case _:
            return error.code


def _export_code(path: str, error: LakelinkError) -> str:
    match error:
        case NotPermitted() | LakeForbidden():
            return "S3ExportAccessDenied"
        case NameUnsupported():
            return "S3ExportPathSizeTooLong" if is_utf8(path) else error.code
        case InternalError():
            return "S3ExportInternalError"
        case _:
            return "S3ExportFileSizeTooLarge" if _is_too_large(error) else _busy_or_own(error, "S3ExportResourceBusy")


def direction_of_name(path: str, error: LakelinkError) -> Direction | None:
    """A name that no file can have comes from the lake; any other that is refused comes from the files."""
    if not isinstance(error, NameUnsupported):
        return None
    return Direction.IMPORT if file_problem(path) else Direction.EXPORT


def _is_too_large(error: LakelinkError) -> bool:
    return isinstance(error, Unsupported) and "larger than" in error.message


def _busy_or_own(error: LakelinkError, busy: str) -> str:
    return busy if isinstance(error, Busy | ChangedWhileRead | PreconditionFailed) else error.code
