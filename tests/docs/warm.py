"""`lakelink` without the start of an interpreter: a process that has imported the program forks once for each command.

A page has a hundred commands, and most of the time of a short one is imports. The client, a script of a few lines, hands over its arguments, environment,
directory and standard streams; the fork is the program from there on, and answers with its exit code. Daemons and servers do not run like this.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

PATIENCE_S = 60.0
CLIENT = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    socket.send_fds(connection, [b"."], [0, 1, 2])
    with connection.makefile("rwb") as stream:
        stream.write(json.dumps([sys.argv[2:], dict(os.environ), os.getcwd()]).encode() + b"\\n")
        stream.flush()
        code = stream.read()
sys.exit(int(code) if code else "it was killed")
"""


@contextlib.contextmanager
def warm(folder: Path, server: str = "tests.docs.warm") -> Iterator[str]:
    """A command that does what `lakelink` does, as a shell writes it. `folder` has a short name: sockets have no long ones.

    Another module that calls `serve` lends another program in the same way.
    """
    address = folder / "warm"
    (folder / "client.py").write_text(CLIENT, encoding="utf-8")
    command = [sys.executable, "-m", server, str(address)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield shlex.join([sys.executable, "-IS", str(folder / "client.py"), str(address)])
        finally:
            process.terminate()


def serve(address: str, prepare: Callable[[], None], program: Callable[[], None]) -> None:
    """Fork for each connection, until killed. `prepare` imports what `program` takes, which reads its arguments in `sys.argv`."""
    prepare()
    assert threading.active_count() == 1, "a fork would lose the other threads"
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listening.accept()
            with connection:
                if os.fork() == 0:
                    listening.close()
                    _become(connection, program)


def _import_all() -> None:
    import lakelink

    for module in pkgutil.walk_packages(lakelink.__path__, "lakelink."):
        if not module.name.startswith(("lakelink.testing", "lakelink.infra", "lakelink.__main__")):
            importlib.import_module(module.name)


def _lakelink() -> None:
    from lakelink.__main__ import main

    main()


def _become(connection: socket.socket, program: Callable[[], None]) -> None:
    """Be the program that the client asks for, and end with it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    with connection.makefile("rb") as asked:
        arguments, environ, folder = json.loads(asked.readline())
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.argv = ["lakelink", *arguments]
    code = 70
    try:
        program()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        connection.sendall(str(code).encode())
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1], _import_all, _lakelink)
