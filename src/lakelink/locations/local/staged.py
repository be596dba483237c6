"""A file that is filled by whoever asked for it, and takes its place when it is done: what the gateway and the mount write into."""

from __future__ import annotations

import threading

from lakelink.errors import ChangedWhileRead, LakelinkError
from lakelink.locations.base import Write
from lakelink.locations.local.copying import copy_file
from lakelink.locations.local.directories import Directories
from lakelink.locations.local.hands import Hands, Means
from lakelink.locations.local.place import taken
from lakelink.locations.local.source import FileContent
from lakelink.locations.local.stage import Stage
from lakelink.locations.local.workers import Workers
from lakelink.locations.local.write import Writer
from lakelink.model.entry import Entry, Kind, Version
from lakelink.model.path import split

_PRIVATE = 0o600  # until `place` says what it is to be


class LocalStaged:
    """See `StagedFile`."""

    def __init__(self, means: Means, workers: Workers, stage: Stage) -> None:
        self._means = means
        self._workers = workers
        self._stage = stage

    @property
    def fd(self) -> int:
        return self._stage.fd

    async def place(self, write: Write) -> Entry:
        def end(stop: threading.Event) -> Entry | LakelinkError:
            with Directories(self._means.kernel, self._means.root.fd()) as directories:
                return Writer(Hands(self._means, directories), stop).end(write, self._stage)

        answer = await self._workers.run(end)
        if isinstance(answer, LakelinkError):
            raise answer
        return answer

    def discard(self) -> None:
        self._stage.discard()


async def stage(means: Means, workers: Workers, path: str, like: Version | None) -> LocalStaged:
    """See `Stager.stage`."""

    def begin(stop: threading.Event) -> Stage | LakelinkError:
        with Directories(means.kernel, means.root.fd(create=True)) as directories:
            hands = Hands(means, directories)

            def step() -> Stage:
                hands.require_name(path)
                place = hands.place(path, Kind.FILE, make=True)
                made = means.stages.open(place.dir_fd, split(path)[0], _PRIVATE)
                try:
                    if like is not None:
                        _fill(means, workers, made, (path, like), stop)
                except BaseException:
                    made.discard()
                    raise
                return made

            return hands.attempt(path, step)

    answer = await workers.run(begin, undo=_undo)
    if isinstance(answer, ChangedWhileRead):
        raise taken(path) from answer
    if isinstance(answer, LakelinkError):
        raise answer
    return LocalStaged(means, workers, answer)


def _fill(means: Means, workers: Workers, made: Stage, origin: tuple[str, Version], stop: threading.Event) -> None:
    source = FileContent(means.kernel, means.root, workers, *origin).open_file()
    try:
        copy_file(means.kernel, source.fd, made.fd, source.st, stop)
        source.check()
    finally:
        source.close()


def _undo(begun: Stage | LakelinkError) -> None:
    if isinstance(begun, Stage):
        begun.discard()
