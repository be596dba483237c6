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


class Admits(msgspec.Struct, tag="admits", frozen=True):
    id: int
    address: str


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
    half_open: int


FromWorker: TypeAlias = Hello | Admits | Failed | Open | Close | Report


class Answer(msgspec.Struct, tag="answer", frozen=True):
    """To a question of that number: each reads the field that it asked for."""

    id: int
    admitted: bool = True
    delay_s: float = 0.0
    refusal: str = ""


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
