"""Events with fields, through the standard library's logging; as text or as one JSON document per line.

A secret cannot be logged by accident: an event carries only the fields named in `Field`, none of which is a place for a secret, and
only plain values; a URL loses its user, password and query on the way. Names of events are dotted, in the past tense, and all of them are here.

Levels: DEBUG is for developers, INFO is one line per run, WARNING means that a human may need to act, ERROR that lakelink gave up.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import IO, Literal, TypeAlias, get_args
from urllib.parse import urlsplit, urlunsplit

ROOT = "lakelink"
Value: TypeAlias = str | int | float | bool | None
Field: TypeAlias = Literal[
    "source", "target", "path", "code", "message", "files", "bytes", "deleted", "failed", "seconds", "exit_code", "endpoint", "pid",
    "link", "state", "hint", "call", "uid", "links", "trace",
]  # fmt: skip
FIELDS: frozenset[str] = frozenset(get_args(Field))
URL_FIELDS = frozenset({"source", "target", "endpoint"})


class Event(StrEnum):
    """Everything that is logged."""

    RUN_STARTED = "run.started"
    RUN_FINISHED = "run.finished"
    RUN_INTERRUPTED = "run.interrupted"
    DAEMON_STARTED = "daemon.started"
    DAEMON_STOPPED = "daemon.stopped"
    SETTINGS_READ = "settings.read"
    SETTINGS_REFUSED = "settings.refused"
    CALL_TAKEN = "call.taken"
    LINK_STARTED = "link.started"
    LINK_FAILED = "link.failed"
    LINK_CHANGED = "link.changed"  # its state, and why
    LINK_EVENT = "link.event"  # a line of its event log
    LINK_LEFT = "link.left"  # it did not stop in time
    TRASH_KEPT = "trash.kept"  # it could not be kept within its bounds
    WORKER_ENDED = "worker.ended"  # one of the gateway, by itself; it is started again
    GATEWAY_STARTED = "gateway.started"
    GATEWAY_STOPPED = "gateway.stopped"
    GATEWAY_FAILED = "gateway.failed"
    WORKFLOWS_STOPPED = "workflows.stopped"  # their records cannot be used; they go on when they can
    DEFECT = "defect.met"


# Without this the standard library writes warnings to standard error when nobody has asked for a log.
logging.getLogger(ROOT).addHandler(logging.NullHandler())


def emit(level: int, event: Event, fields: dict[Field, Value]) -> None:
    """Log one event. Does nothing that costs when the level is off.

    Raises:
        ValueError: a field that is not in `Field`: add it there, where it can be seen that it holds no secret.
    """
    logger = logging.getLogger(ROOT)
    if not logger.isEnabledFor(level):
        return
    unknown = fields.keys() - FIELDS
    if unknown:
        raise ValueError(f"not a field of the log: {', '.join(sorted(unknown))}")
    clean = {name: _clean(name, value) for name, value in fields.items()}
    logger.log(level, event.value, extra={"lakelink_fields": clean})


def _clean(name: str, value: Value) -> Value:
    if name not in URL_FIELDS or not isinstance(value, str) or "://" not in value:
        return value
    parts = urlsplit(value)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


class TextFormatter(logging.Formatter):
    """`2026-11-23T14:30:00Z INFO run.finished files=3 bytes=812`; values with blanks are quoted as in JSON."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        pairs = [f"{name}={_text(value)}" for name, value in _fields(record).items()]
        return " ".join([stamp, record.levelname, record.getMessage(), *pairs])


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time`, `level`, `event`, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        document = {"time": stamp, "level": record.levelname, "event": record.getMessage()} | _fields(record)
        return json.dumps(document)


class JournalFormatter(TextFormatter):
    """For journald: no stamp, since it has its own; the priority in front (sd-daemon(3), SD_INFO …), one line per event."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = [f"{name}={_text(value)}" for name, value in _fields(record).items()]
        return f"<{_PRIORITIES.get(record.levelno, 6)}>" + " ".join([record.getMessage(), *pairs])


_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def is_journal(stream: IO[str], environ: Mapping[str, str]) -> bool:
    """Whether what is written there goes to journald (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _fields(record: logging.LogRecord) -> dict[str, Value]:
    found: dict[str, Value] = getattr(record, "lakelink_fields", {})
    return found


def _text(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, str) and value and not any(c.isspace() or c in '"=' or not c.isprintable() for c in value):
        return value
    return json.dumps(value)


def configure(level: int, stream: IO[str], *, as_json: bool, journal: bool = False) -> None:
    """Send events of this level and above to `stream`. Called again, it replaces what was set before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if as_json else JournalFormatter() if journal else TextFormatter())
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
