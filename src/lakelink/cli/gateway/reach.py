"""How a command reaches the gateway of this state directory, whichever process runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lakelink.errors import NoDaemon, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from lakelink.api.calls import Call

T = TypeVar("T")
START_IT = "Start it: lakelink gateway serve, or lakelink serve with a [gateway] section."


def ask(state_dir: Path, call: Call[T]) -> T:
    """Ask the gateway; one that cannot start is asked for at its daemon, which knows why.

    Raises:
        NoDaemon: none runs. Unreachable: a daemon is to run one, and it does not start. Any error that it answers with.
    """
    from lakelink.daemon.client import Client

    try:
        return Client(state_dir / "gateway").ask(call)
    except NoDaemon as error:
        try:
            return Client(state_dir).ask(call)
        except (NoDaemon, NotFound):
            raise NoDaemon("no gateway runs on this state directory", hint=START_IT) from error
