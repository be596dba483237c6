"""One virtual path in the location behind it: looked at, with what the account may do there."""

from __future__ import annotations

from dataclasses import dataclass

from lakelink.errors import Declined, LakelinkError, NotFound, NotPermitted
from lakelink.gateway.folders.mapping import Mapping, Spot
from lakelink.gateway.folders.paths import parent_of
from lakelink.gateway.folders.shared import Opener, Shared
from lakelink.locations.base import Location
from lakelink.model.account import Account, Folder, Permission
from lakelink.model.entry import Entry, Kind, Posix
from lakelink.model.path import display, is_own

MOST_LINKS = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where a virtual path really is."""

    path: str  # virtual
    folder: Folder
    location: Location
    relative: str

    @property
    def text(self) -> str:
        """The location as the account names it: the key of what is remembered about it."""
        return self.folder.location


class Places:
    """Finds and looks at places for one account."""

    def __init__(self, account: Account, opener: Opener, shared: Shared) -> None:
        self.account = account
        self.mapping = Mapping(account.folders)
        self.shared = shared
        self._opener = opener

    def spot(self, path: str) -> Spot:
        """The folder that decides about the path.

        Raises:
            NotFound: nothing can be there.
        """
        spot = self.mapping.find(path)
        if spot is None or is_own(spot.relative):
            raise NotFound(f"there is no {display(path)}")
        return spot

    async def place(self, path: str, *, write: bool = False, content: bool = False) -> Place:
        """Where the path is. `write`: something there will be changed. `content`: its bytes will be read.

        Raises:
            NotFound: nothing can be there. NotPermitted: the folder is read-only, or write-only.
        """
        spot = self.spot(path)
        folder = spot.folder
        if folder is None:
            raise NotPermitted(f"{display(path)} is a directory of the gateway's own")
        if (write and folder.permission is Permission.READ_ONLY) or (
            content and folder.permission is Permission.WRITE_ONLY
        ):
            raise NotPermitted(f"{display(folder.path)} is {folder.permission.value}")
        location = await self.shared.location(folder.location, self._opener)
        return Place(path, folder, location, spot.relative)

    async def look(self, place: Place) -> Entry | None:
        """What is there now; None = nothing. What is found is remembered."""
        if place.relative and place.location.name_problem(place.relative, Kind.FILE):
            return None
        (found,) = await place.location.stat([place.relative])
        if isinstance(found, LakelinkError):
            raise found
        known = self.shared.known
        if found is None:
            known.forget(place.text, place.relative)
        elif found.kind is Kind.DIR:
            known.saw_directory(place.text, place.relative)
        else:
            known.saw(place.text, place.relative, found)
        return found

    async def existing(self, place: Place) -> Entry:
        """As `look`.

        Raises:
            NotFound: nothing is there.
        """
        found = await self.look(place)
        if found is None:
            raise NotFound(f"there is no {display(place.path)}")
        return found

    async def require_name(self, place: Place, kind: Kind) -> None:
        """Something of that name can be made there, in a directory that exists.

        Raises:
            Declined: the location cannot hold the name. NotFound: there is no such directory.
        """
        if not place.relative:
            raise Declined("It is the top of a folder")
        problem = place.location.name_problem(place.relative, kind)
        if problem is not None:
            raise Declined(f"The storage cannot hold this name: {problem}")
        parent = place.relative.rpartition("/")[0]
        if not self.shared.known.has_directory(place.text, parent):
            above = await self.look(Place(parent_of(place.path), place.folder, place.location, parent))
            if above is None or above.kind is not Kind.DIR:
                raise NotFound(f"there is no directory {display(parent_of(place.path))}")

    def new_posix(self, kind: Kind, mode: int | None = None) -> Posix:
        """The metadata of something that is made now."""
        now_ns = self.shared.clock.time_ns()
        account = self.account
        usual = account.directory_mode if kind is Kind.DIR else account.file_mode
        wanted = usual if mode is None else mode & 0o777
        return Posix(wanted, account.uid, account.gid, now_ns, now_ns)

    def shown_posix(self, kind: Kind) -> Posix:
        """What is shown where the storage knows nothing of owner, mode and times."""
        account = self.account
        usual = account.directory_mode if kind is Kind.DIR else account.file_mode
        return Posix(usual, account.uid, account.gid, 0, 0)
