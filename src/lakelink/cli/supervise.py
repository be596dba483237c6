"""The edge of the program: every way in which a command can end becomes an exit code and a few clear lines."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence

from lakelink.errors import InternalError, LakelinkError, StorageError

USAGE = 2
INTERNAL = 70
INTERRUPTED = 128 + signal.SIGINT  # 130, as shells report it
READER_GONE = 128 + signal.SIGPIPE  # 141: what any filter ends with whose reader went away

UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF}


def supervised(command: Callable[[], int], *, debug: bool) -> int:
    """Run a command and return its exit code; nothing escapes.

    Errors of lakelink are told as `error[CODE]: sentence` and `hint: …` on standard error. Anything else is a defect: one line, exit
    code 70, and with `debug` the traceback.
    """
    try:
        code = command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say("interrupted")
        code = INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        code = READER_GONE
    except Exception as error:  # noqa: BLE001  # the one place that may: the edge of the program
        code = _tell(error, debug=debug)
    return code


def _tell(error: Exception, *, debug: bool) -> int:
    if isinstance(error, LakelinkError):
        return tell([error], debug=debug)
    if isinstance(error, ExceptionGroup):
        known, rest = error.split(LakelinkError)
        if rest is None and known is not None:
            return tell(list(_leaves(known)), debug=debug)
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return _output_lost(error)
    return _defect(error, debug=debug)


def explain(error: LakelinkError) -> str:
    """The lines that tell an error: `error[LL302]: sentence`, then `hint: what to do`."""
    lines = f"error[{error.code}]: {error.message}"
    return f"{lines}\nhint: {error.hint}" if error.hint else lines


def tell(errors: Sequence[LakelinkError], *, debug: bool = False) -> int:
    """Tell each error on standard error; the exit code is that of the gravest."""
    for error in errors:
        _say(explain(error))
        if debug or isinstance(error, InternalError):
            _traceback(error, debug=debug)
    return max(error.exit_code for error in errors)


def _leaves(group: ExceptionGroup[LakelinkError]) -> Iterator[LakelinkError]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _defect(error: Exception, *, debug: bool) -> int:
    _say(f"error[{InternalError.code}]: lakelink failed in a way that it should not: {type(error).__name__}: {error}")
    _traceback(error, debug=debug)
    return INTERNAL


def _traceback(error: Exception, *, debug: bool) -> None:
    if not debug:
        _say("hint: Run it again with --debug and report what it prints; nothing partial is visible at the target.")
        return
    import traceback

    _say("".join(traceback.format_exception(error)).rstrip())


def _output_lost(error: OSError) -> int:
    """Adapters translate every error of theirs, so what arrives here comes from writing the result."""
    _drop_output()
    return tell(
        [StorageError(f"standard output cannot be written: {error.strerror}", hint="Is the disk that it goes to full?")]
    )


def _drop_output() -> None:
    """Python flushes standard output once more at exit, and would complain about what cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:  # standard error is closed: the exit code is all that is left
        pass
