"""Asking the daemon: the standard library, one connection per call, a deadline for each wait."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lakelink.api.calls import VERSION, Call, answer_type
from lakelink.api.failure import Failure, error_of
from lakelink.daemon import endpoint
from lakelink.errors import NoDaemon, NotPermitted, Unreachable, UsageError

A = TypeVar("A")

CONNECT_WITHIN_S = 5.0
ANSWER_WITHIN_S = 60.0
BEAT_WITHIN_S = 30.0  # the daemon sends one every second or so
LINE_BYTES = 64 << 20
START_IT = "Start it: lakelink serve (or systemctl start lakelink)."


class Client:
    """The daemon of a state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    def ask(self, call: Call[A], on_beat: Callable[[A], None] | None = None) -> A:
        """Carry out the call. A long one tells how it goes by beats.

        Raises:
            NoDaemon: nobody listens. Unreachable: no answer in time; whether it was carried out is not known, and calls may be repeated.
            NotPermitted: the daemon is another user's. Any error that the daemon answers with.
        """
        if not call.long:
            return self._short(call)
        kind: Any = answer_type(type(call))
        for line in self._lines(call):
            if (raw := line.get("failure")) is not None:
                raise error_of(msgspec.json.decode(raw, type=Failure))
            if (raw := line.get("answer")) is not None:
                answer: A = msgspec.json.decode(raw, type=kind)
                return answer
            if on_beat is not None and (raw := line.get("beat")) is not None and bytes(raw) != b"null":
                on_beat(msgspec.json.decode(raw, type=kind))
        raise Unreachable("the daemon ended the answer before its end", hint="Is it stopping? Ask again.")

    def _short(self, call: Call[A]) -> A:
        connection, response = self._send(call, ANSWER_WITHIN_S)
        try:
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise _silent(error) from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise error_of(_failure(body))
        answer: A = msgspec.json.decode(body, type=answer_type(type(call)))
        return answer

    def _lines(self, call: Call[Any]) -> Iterator[dict[str, msgspec.Raw]]:
        connection, response = self._send(call, BEAT_WITHIN_S)
        try:
            if response.status != http.client.OK:
                raise error_of(_failure(response.read()))
            while line := response.readline(LINE_BYTES):
                yield msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        except (OSError, http.client.HTTPException) as error:
            raise _silent(error) from error
        finally:
            connection.close()

    def _send(self, call: Call[Any], timeout_s: float) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        try:
            body = msgspec.json.encode(call)
        except UnicodeEncodeError as error:
            raise UsageError(
                "a name in the request is not UTF-8", hint="Write it percent-encoded, as in file:///srv/%FF."
            ) from error
        connection = http.client.HTTPConnection("lakelink")
        connection.sock = self._connect()
        connection.sock.settimeout(timeout_s)
        try:
            connection.request("POST", f"/v{VERSION}/{call.name}", body, {"Content-Type": "application/json"})
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _silent(error) from error

    def _connect(self) -> socket.socket:
        try:
            return endpoint.connect(self._state_dir, CONNECT_WITHIN_S)
        except PermissionError as error:
            raise NotPermitted(
                f"the daemon of {self._state_dir} is another user's", hint="Run the command as that user, or as root."
            ) from error
        except OSError as error:
            raise NoDaemon(f"no daemon serves {self._state_dir}", hint=START_IT) from error


def _failure(body: bytes) -> Failure:
    try:
        return msgspec.json.decode(body, type=dict[str, Failure])["failure"]
    except (msgspec.MsgspecError, KeyError):
        return Failure("LL300", "the daemon's answer is not understood", "Is it of the same version?", 4)


def _silent(error: BaseException) -> Unreachable:
    return Unreachable(
        f"the daemon does not answer: {error}",
        hint="Its log says what it does; `lakelink status` shows how links stand.",
    )
