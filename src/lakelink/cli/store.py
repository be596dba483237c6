"""`lakelink store`: an S3 server of one's own, and what a store can do."""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from lakelink.cli.parameters import Output
from lakelink.errors import Busy, StorageError, Unreachable

if TYPE_CHECKING:
    from lakelink.locations.embedded import EmbeddedStore

ABOUT = """Run an S3 server; find out what a store can do.

For example:

```
lakelink store serve ~/lake-server
lakelink store validate s3://lake/validation
```
"""
app = App(name="store", help=ABOUT)

WATCH_EVERY_S = 1.0
STOPPING = {signal.SIGINT, signal.SIGTERM}


@app.command
def serve(
    directory: Path,
    /,
    *,
    port: Annotated[int, Parameter(help="Listen here; a free port unless given.", show_default=False)] = 0,
    bucket: Annotated[str, Parameter(help="The bucket that is there from the start.")] = "lake",
    output: Output = Output(),
) -> int:
    """Run an S3 server on loopback, in the foreground.

    It is SeaweedFS, with its data and its generated keys below DIRECTORY; started again it has both again. One process, no redundancy: for
    trying things and for tests, not for the only copy of anything.

    For example:

    ```
    lakelink store serve ~/lake-server
    . ~/lake-server/env.sh
    ```

    Args:
        directory: holds everything; it is made where it does not exist.
    """
    from lakelink.locations.embedded import EmbeddedStore

    directory = directory.absolute()  # the server runs in a directory of its own
    with _alone(directory), EmbeddedStore(directory, bucket=bucket, port=port) as store:
        # From here on signals wait until they are asked for; the server was started before, so that it does not inherit that.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        file = _write_environment(store)
        _announce(store, file, output)
        while signal.sigtimedwait(STOPPING, WATCH_EVERY_S) is None:
            # WNOWAIT leaves the ended process to the one who started it.
            if os.waitid(os.P_PID, store.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                raise Unreachable(
                    "the server has ended by itself", hint=f"{directory / 'weed.log'} has its last words."
                )
    return 0


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the directory for one server; two would ruin its data.

    Raises:
        Busy: another one runs in it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(directory / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(
            f"{directory} cannot be used: {error.strerror}", hint="Choose a directory of yours."
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Busy(f"a server runs in {directory} already", hint=f"Use it: . {directory / 'env.sh'}") from None
    finally:
        os.close(fd)


def _write_environment(store: EmbeddedStore) -> Path:
    """`env.sh`: what a client has to know, for its owner alone."""
    file = store.directory / "env.sh"
    values = {
        "AWS_ENDPOINT_URL_S3": store.endpoint,
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
        "AWS_REGION": "us-east-1",
    }
    text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())
    temporary = file.with_name(f".env.sh.{os.getpid()}")
    try:
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as handle:
            handle.write(text)
        temporary.replace(file)
    except OSError as error:
        raise StorageError(
            f"{file} cannot be written: {error.strerror}", hint="Choose a directory of yours."
        ) from error
    return file


def _announce(store: EmbeddedStore, file: Path, output: Output) -> None:
    if output.json:
        from lakelink.cli.result import print_json

        print_json({"endpoint": store.endpoint, "bucket": store.bucket, "environment": str(file)})
    elif not output.quiet:
        print(f"An S3 server is ready at {store.endpoint}, with the bucket {store.bucket}.")
        print(f"In another terminal:  . {shlex.quote(str(file))} && lakelink ls s3://{store.bucket}")
        print("Stop it with Ctrl-C.")
    sys.stdout.flush()


@app.command
def validate(
    location: str,
    /,
    *,
    quick: Annotated[
        bool, Parameter(help="Fewer rounds, and no checks that move thousands of objects.", negative=())
    ] = False,
    only: Annotated[
        str, Parameter(help="Check only promises that contain these words.", metavar="WORDS", show_default=False)
    ] = "",
    output: Output = Output(),
) -> int:
    """Find out whether a store keeps the promises that lakelink relies on.

    Works in a new prefix below LOCATION and nowhere else, and removes what it made. Conditional writes are tested with many writers at
    once: a single try passes on a store whose check is racy. Ends with 0 when all promises are kept and with 1 otherwise.

    For example:

    ```
    lakelink store validate s3://lake/validation
    lakelink store validate s3://lake/validation --quick --json
    ```

    Args:
        location: where it may work: s3://bucket/prefix, a directory, or NAME:sub/path.
    """
    from lakelink.cli.interrupt import run_interruptible
    from lakelink.cli.supervise import INTERRUPTED
    from lakelink.cli.validation import run_validation

    def on_interrupt() -> None:
        sys.stderr.write(f"interrupted: what was made is below {location.rstrip('/')}/lakelink-validate-…\n")

    result = run_interruptible(run_validation(location, output, quick=quick, only=only), on_interrupt)
    if result is None:
        on_interrupt()
        return INTERRUPTED
    return result
