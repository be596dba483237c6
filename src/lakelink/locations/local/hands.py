"""What the verbs that change something share."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lakelink.errors import LakelinkError, NameUnsupported, PreconditionFailed
from lakelink.locations.local.areas import Areas
from lakelink.locations.local.directories import Directories
from lakelink.locations.local.options import Durability
from lakelink.locations.local.oserror import translate
from lakelink.locations.local.place import Place, taken
from lakelink.locations.local.root import Root
from lakelink.locations.local.stage import Stages
from lakelink.model.entry import Kind
from lakelink.model.path import display, file_problem, is_own, join, split
from lakelink.ports.kernel import Kernel

T = TypeVar("T")


def name_problem(path: str) -> str | None:
    """Why no file can have this path here, or None."""
    if is_own(path):
        return "the name is lakelink's own"
    return file_problem(path) if path else None


@dataclass(frozen=True, slots=True)
class Means:
    """What the verbs that change something share, for the life of a location."""

    kernel: Kernel
    root: Root
    areas: Areas
    stages: Stages
    owner: bool  # keep uid and gid
    trash: bool
    durability: Durability


class Hands:
    """One call's way to the places it works on; runs in one thread. `directories` belongs to who made it."""

    def __init__(self, means: Means, directories: Directories) -> None:
        self.means = means
        self.directories = directories
        self._seen: set[str] = set()

    def place(self, path: str, kind: Kind, *, make: bool = False) -> Place:
        """Where `path` is, its directory open; with `make`, directories are made as needed."""
        parent, name = split(path)
        try:
            fd = self.directories.make(parent) if make else self.directories.get(parent)
        except OSError as error:
            if make and error.errno in {errno.ENOTDIR, errno.ELOOP}:
                raise self._in_the_way(parent) from error
            raise
        if parent not in self._seen:
            self._seen.add(parent)
            self.means.areas.begin(fd)
        return Place(fd, name or ".", path, kind)

    def _in_the_way(self, parent: str) -> PreconditionFailed:
        """The error that names what is where a directory is needed; for the path of a directory that cannot be opened."""
        here = ""
        for component in parent.split("/"):
            here = join(here, component)
            try:
                self.directories.get(here)
            except OSError:
                break
        return taken(here, "is there and not a directory")

    def require_name(self, path: str) -> None:
        """The path can be a name here.

        Raises:
            NameUnsupported: it cannot.
        """
        problem = name_problem(path)
        if problem is not None:
            raise NameUnsupported(f"{display(path)}: {problem}")

    def attempt(self, path: str, step: Callable[[], T]) -> T | LakelinkError:
        """The step's result, its trouble as a value. A step that began before mounts were looked at closely is repeated when it met another one."""
        areas = self.means.areas
        while True:
            closely = areas.closely
            try:
                return step()
            except LakelinkError as error:
                return error
            except FileExistsError:
                return taken(path, "is already there")
            except (OSError, OverflowError) as error:
                if isinstance(error, OSError) and error.errno == errno.EXDEV and not closely:
                    areas.closely = True
                    continue
                return translate(error, path)
