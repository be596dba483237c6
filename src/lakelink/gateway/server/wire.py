"""What a worker and its gateway say to each other: JSON lines over a socket pair.

Fields are added and none is removed: after an upgrade a new worker speaks with an older gateway.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from lakelink.model.gateway import LiveSession

LINE_BYTES = 8 << 20


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """A worker listens."""

    pid: int


class Arrive(msgspec.Struct, tag="arrive", frozen=True):
    id: int
    token: str
    address: str


class Settled(msgspec.Struct, tag="settled", frozen=True):
    token: str


class Failed(msgspec.Struct, tag="failed", frozen=True):
    id: int
    address: str
    user: str


class Open(msgspec.Struct, tag="open", frozen=True):
    id: int
    session: LiveSession
    most: int


class Close(msgspec.Struct, tag="close", frozen=True):
    session: str


class Report(msgspec.Struct, tag="report", frozen=True):
    sessions: list[LiveSession]
    counts: dict[str, int]


class Moved(msgspec.Struct, tag="moved", frozen=True):
    id: int
    user: str
    bytes_per_s: int
    up_bytes: int
    down_bytes: int


class Change(msgspec.Struct, tag="change", frozen=True):
    """See `telling.Changed`."""

    bucket: str
    key: str
    subtree: bool


FromWorker: TypeAlias = Hello | Arrive | Settled | Failed | Open | Close | Report | Moved | Change


class Answer(msgspec.Struct, tag="answer", frozen=True):
    """To a question of that number: each reads the field that it asked for."""

    id: int
    refusal: str = ""
    delay_s: float = 0.0
    up_s: float = 0.0
    down_s: float = 0.0


class Kick(msgspec.Struct, tag="kick", frozen=True):
    sessions: list[str]


class Drain(msgspec.Struct, tag="drain", frozen=True):
    within_s: float


ToWorker: TypeAlias = Answer | Kick | Drain

_encode = msgspec.json.Encoder().encode
decode_from_worker = msgspec.json.Decoder(FromWorker).decode
decode_to_worker = msgspec.json.Decoder(ToWorker).decode


def line_of(message: FromWorker | ToWorker) -> bytes:
    """The message and a line break."""
    return _encode(message) + b"\n"
