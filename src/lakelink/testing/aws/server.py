"""The fake FSx service over HTTP, so that boto3 and other tools can talk to it: JSON 1.1, as the API model says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from lakelink.testing.aws.fsx import SERVICE, FsxService
from lakelink.testing.aws.records import FsxError
from lakelink.testing.aws.shapes import response_problems, service_model

CONTENT_TYPE: Final = "application/x-amz-json-1.1"
MAX_REQUEST_BYTES: Final = 1 << 20


@contextmanager
def serve(service: FsxService, *, step_on_describe: bool = True, port: int = 0) -> Iterator[str]:
    """The service's address on loopback while the block runs.

    With `step_on_describe` a round passes before each describing call, so that whoever polls for a state sees it come.
    """
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(service, step_on_describe=step_on_describe))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="fake-fsx")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(service: FsxService, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """Status and document for one request. An answer that the API model does not know is a fault of the fake: status 500."""
    prefix, _, operation = target.partition(".")
    if prefix != service_model(SERVICE).metadata["targetPrefix"]:
        return 400, {"__type": "UnknownOperationException", "Message": f"{target} is not an operation of FSx"}
    try:
        request = json.loads(body or b"{}")
        found = service.call(operation, request)
    except ValueError as problem:
        return 400, {"__type": "SerializationException", "Message": str(problem)}
    except FsxError as problem:
        return 400, {"__type": problem.code, "Message": str(problem)}
    if problems := response_problems(SERVICE, operation, found):
        return 500, {"__type": "InternalServerError", "Message": "; ".join(problems)}
    return 200, found


def _handler(service: FsxService, *, step_on_describe: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the name is http.server's
            length = int(self.headers.get("Content-Length", "0"))
            if length > MAX_REQUEST_BYTES:
                self.send_error(413)
                return
            target, body = self.headers.get("X-Amz-Target", ""), self.rfile.read(length)
            if step_on_describe and ".Describe" in target:
                service.step()
            status, document = answer(service, target, body)
            text = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the signature is http.server's
            """Nothing on stderr: requests may carry names."""

    return Handler
