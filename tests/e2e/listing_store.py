"""A store that lists a great many empty objects, for runs that change nothing: `python -m tests.e2e.listing_store COUNT PREFIX`."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PER_DIRECTORY = 1000
PAGE = 1000


def path_of(number: int) -> str:
    return f"d{number // PER_DIRECTORY:05d}/file-{number:08d}.bin"


def page(prefix: str, start: int, count: int) -> bytes:
    end = min(start + PAGE, count)
    keys = [path_of(number) for number in range(start, end)]
    if not start:
        keys.append("")  # the marker of the prefix itself
    rows = "".join(
        f"<Contents><Key>{prefix}/{key}</Key><LastModified>2026-01-01T10:00:00.000Z</LastModified>"
        "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>0</Size></Contents>"
        for key in keys
    )
    more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < count else ""
    return (
        f"<?xml version='1.0'?><ListBucketResult><IsTruncated>{'true' if more else 'false'}</IsTruncated>"
        f"{more}{rows}</ListBucketResult>"
    ).encode()


def main(count: int, prefix: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            wanted = query.get("prefix", [""])[0]
            start = int(query.get("continuation-token", ["0"])[0])
            self._answer(200, page(prefix, start, count if f"{prefix}/".startswith(wanted) else 0))

        def do_HEAD(self) -> None:
            self._answer(404, b"")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
