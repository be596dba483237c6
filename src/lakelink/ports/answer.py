"""HTTP/1.1 answers from the bytes of a connection (RFC 9112), strictly: what can be read in two ways is not read at all."""

from __future__ import annotations

import re

MOST_HEAD_BYTES = 64 << 10
MAX_ERROR_BODY_BYTES = 64 << 10
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?").fullmatch
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?").fullmatch
_NO_BODY = frozenset({204, 304})


class NotHttp(ValueError):
    """What came is no answer, or more than one."""


class Answer:
    """One answer, fed as it arrives. `head`: the answer to a HEAD request, which has no body whatever it says.

    The body of a status other than 2xx is kept up to `MAX_ERROR_BODY_BYTES`; `received` counts all of it.
    """

    __slots__ = (
        "_chunked",
        "_head",
        "_left",
        "_limit",
        "_pieces",
        "_rest",
        "_trailers",
        "_until_end",
        "headers",
        "is_over",
        "received",
        "reusable",
        "status",
    )

    def __init__(self, *, head: bool) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.received = 0
        self.is_over = False
        self.reusable = False
        """Whether the connection may carry another request afterwards."""
        self._head = head
        self._rest = b""
        self._pieces: list[bytes] = []
        self._limit = 0
        self._left = 0  # of the body, or of the chunk that is being read
        self._chunked = self._until_end = self._trailers = False

    @property
    def body(self) -> bytes:
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    def feed(self, data: bytes) -> None:
        """Take what arrived.

        Raises:
            NotHttp: it cannot be understood, or something follows the end of the answer.
        """
        if self.is_over:
            raise NotHttp("bytes behind the end of the answer")
        if self._rest:
            data = self._rest + data
            self._rest = b""
        while data and not self.is_over:
            if not self.status:
                data = self._take_head(data)
            elif self._chunked:
                data = self._take_chunk(data)
            else:
                data = self._take_body(data)
        if data:
            raise NotHttp("bytes behind the end of the answer")

    def end(self) -> None:
        """The other side has closed the connection.

        Raises:
            NotHttp: the answer is not whole.
        """
        if self.is_over:
            return
        if not self._until_end:
            raise NotHttp(f"the answer ended after {self.received} bytes" if self.status else "no answer")
        self.is_over = True

    def _take_head(self, data: bytes) -> bytes:
        end = data.find(b"\r\n\r\n")
        if end < 0 or end > MOST_HEAD_BYTES:
            if max(end, len(data)) > MOST_HEAD_BYTES:
                raise NotHttp("a head that is too long")
            self._rest = data
            return b""
        status_line, *lines = data[:end].split(b"\r\n")
        found = _STATUS_LINE(status_line)
        if found is None:
            raise NotHttp("no HTTP answer")
        status = int(found[2])
        if status < 200:
            if status == 101:
                raise NotHttp("another protocol")
            return data[end + 4 :]  # the answer proper follows
        self.headers = _fields(lines)
        self.status = status
        self._frame(keeps_open=found[1] == b"1")
        return data[end + 4 :]

    def _frame(self, *, keeps_open: bool) -> None:
        """How long the body is (RFC 9112, section 6.3)."""
        headers, length = self.headers, self.headers.get("content-length")
        self.reusable = keeps_open and headers.get("connection", "").lower() != "close"
        if not 200 <= self.status < 300:
            self._limit = MAX_ERROR_BODY_BYTES
        if self._head or self.status in _NO_BODY:
            self.is_over = True
        elif "transfer-encoding" in headers:
            if headers["transfer-encoding"].lower() != "chunked" or length is not None:
                raise NotHttp("a transfer coding that is not known")
            self._chunked = True
        elif length is not None:
            if not (length.isascii() and length.isdecimal()):
                raise NotHttp("a length that is no number")
            self._left = int(length)
            self.is_over = not self._left
        else:
            self._until_end, self.reusable = True, False

    def _take_body(self, data: bytes) -> bytes:
        if self._until_end:
            self._keep(data)
            return b""
        piece = data[: self._left]
        self._left -= len(piece)
        self._keep(piece)
        self.is_over = not self._left
        return data[len(piece) :]

    def _take_chunk(self, data: bytes) -> bytes:
        if self._left > 2:  # the line break behind a chunk counts as its last two bytes
            piece = data[: self._left - 2]
            self._left -= len(piece)
            self._keep(piece)
            return data[len(piece) :]
        if self._left:
            if len(data) < 2:
                self._rest = data
                return b""
            if data[:2] != b"\r\n":
                raise NotHttp("a chunk that does not end")
            self._left = 0
            return data[2:]
        line, found, rest = data.partition(b"\r\n")
        if len(line) > MOST_HEAD_BYTES:
            raise NotHttp("a line that is too long")
        if not found:
            self._rest = data
            return b""
        self._line(line)
        return rest

    def _line(self, line: bytes) -> None:
        if self._trailers:
            self.is_over = not line
            return
        size = _SIZE(line)
        if size is None:
            raise NotHttp("a chunk without a size")
        count = int(size[1], 16)
        self._trailers = not count
        self._left = count + 2 if count else 0

    def _keep(self, piece: bytes) -> None:
        self.received += len(piece)
        if not self._limit or self.received <= self._limit:
            self._pieces.append(piece)


def _fields(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        try:
            name, colon, value = line.decode("utf-8").partition(":")
        except UnicodeDecodeError as error:
            raise NotHttp("a header that is not text") from error
        if not colon or _NAME(name) is None or "\r" in value or "\n" in value or "\0" in value:
            raise NotHttp("a header that is none")
        name, value = name.lower(), value.strip(" \t")
        if name == "content-length" and headers.get(name, value) != value:
            raise NotHttp("two lengths")
        headers[name] = value
    return headers
