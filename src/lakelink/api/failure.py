"""Errors on the wire: code, sentence, hint and exit code, and back into the error that they were."""

from __future__ import annotations

import msgspec

from lakelink.errors import LakelinkError, all_errors


class Failure(msgspec.Struct, frozen=True):
    """Why a call was not carried out."""

    code: str
    message: str
    hint: str
    exit_code: int


def failure_of(error: LakelinkError) -> Failure:
    """The error as a value for the wire."""
    return Failure(_encodable(error.code), _encodable(error.message), _encodable(error.hint), error.exit_code)


def error_of(failure: Failure) -> LakelinkError:
    """The error that a failure was, of its own class where this side knows it; code and exit code are those of the other side in any case."""
    known = {cls.code: cls for cls in all_errors()}
    error = known.get(failure.code, LakelinkError)(failure.message, hint=failure.hint)
    vars(error).update(code=failure.code, exit_code=failure.exit_code)  # the instance's own, before the class's
    return error


def _encodable(text: str) -> str:
    """A message may hold a name that is not UTF-8; JSON may not."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
