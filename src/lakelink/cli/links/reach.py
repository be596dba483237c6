"""How a command reaches the links: the daemon where one runs, else the registry itself, with no daemon starting meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from lakelink.errors import NoDaemon

if TYPE_CHECKING:
    from pathlib import Path

    from lakelink.api.calls import Call
    from lakelink.config.document import Document
    from lakelink.links.registry import Registry

T = TypeVar("T")

STARTED_WITHIN_S = 15.0  # a daemon that holds its lock and does not listen yet is reading its settings
POLL_S = 0.1


def ask(call: Call[T], on_beat: Callable[[T], None] | None = None) -> T:
    """Ask the daemon.

    Raises:
        NoDaemon: none runs; the hint says how it is started. Unreachable, NotPermitted; any error that it answers with.
    """
    from lakelink.config.state_dir import state_dir_path
    from lakelink.daemon.client import Client
    from lakelink.daemon.lock import holder

    directory = state_dir_path()
    client, deadline_s = Client(directory), time.monotonic() + STARTED_WITHIN_S
    while True:
        try:
            return client.ask(call, on_beat)
        except NoDaemon:
            if not holder(directory) or time.monotonic() > deadline_s:
                raise
        time.sleep(POLL_S)


def alone(work: Callable[[Registry, Document, Path], T], config: str | None) -> T | None:
    """What `work` does on the registry, with no daemon starting meanwhile; None where one runs.

    Raises:
        ConfigError, Refused: the settings are wrong. StorageError: the registry cannot be used. What `work` raises.
    """
    from lakelink.config.document import load_document
    from lakelink.config.state_dir import state_dir
    from lakelink.daemon.lock import no_daemon
    from lakelink.links.registry import Registry

    directory = state_dir()
    with no_daemon(directory) as nobody:
        if not nobody:
            return None
        document = load_document(config)
        registry = Registry(directory, document)
        try:
            # Settings that declare no link may be those of another directory: they withdraw none.
            if document.section("links"):
                registry.reload(document)
            return work(registry, document, directory)
        finally:
            registry.close()


def either(call: Call[T], work: Callable[[Registry, Document, Path], T], config: str | None) -> T:
    """The daemon's answer; without one, what `work` does on the registry, which holds what the settings declare by then.

    Raises:
        What `alone` and `ask` raise.
    """
    done = alone(work, config)
    return ask(call) if done is None else done
