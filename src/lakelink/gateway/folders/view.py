"""The tree that one user sees: the virtual folders of the account, merged into one, each with its permission and quota.

Names are looked up in the mapping first, and then in the location behind a folder, which never leads out of itself: a local one follows no link,
objects have none. Symbolic links are shown, and followed only as virtual paths: wherever they say they lead, it is inside this tree.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from lakelink.errors import Declined, LakelinkError, NotFound, Unsupported
from lakelink.gateway.folders.in_order import InOrder
from lakelink.gateway.folders.listing import is_empty, list_names
from lakelink.gateway.folders.moving import Move, rename
from lakelink.gateway.folders.opening import Opening, Upload, read_file, write_file
from lakelink.gateway.folders.paths import joined, parent_of
from lakelink.gateway.folders.places import MOST_LINKS, Place, Places
from lakelink.gateway.folders.quota import count
from lakelink.gateway.folders.shared import Opener, Shared
from lakelink.handles.reader import Reader
from lakelink.locations.base import Delete, SetPosix, Write
from lakelink.locations.content import BytesContent
from lakelink.model.account import Account
from lakelink.model.entry import Entry, Expect, Kind, Posix
from lakelink.model.path import display


class View:
    """The files of one session. Made by `open_view`; `aclose` it when the session ends, however it ends.

    Every path is virtual, absolute and normal (`paths.virtual_path`). Each method raises, besides what it names: NotFound, NotPermitted,
    Unreachable and StorageError of the location behind.
    """

    def __init__(self, account: Account, opener: Opener, shared: Shared) -> None:
        self.account = account
        self.shared = shared
        self.places = Places(account, opener, shared)
        self._uploads: dict[str, Upload] = {}
        self._in_order = InOrder(shared.ahead, shared.known)

    async def stat(self, path: str, *, follow: bool) -> Entry:
        """What is at the path; with `follow`, at the end of the links that lead on from there."""
        upload = self._uploads.get(path)
        if upload is not None:
            return upload.entry
        for _ in range(MOST_LINKS):
            spot = self.places.spot(path)
            if spot.folder is None:
                return Entry(kind=Kind.DIR)
            place = await self.places.place(path)
            # A client that has listed a directory often looks at every file in it next.
            remembered = not place.location.traits.posix_in_list
            found = self.shared.known.recent(place.text, place.relative) if remembered else None
            if found is None:
                found = await self.places.look(place)
            if found is None and (spot.is_mount or self.places.mapping.names_in(path)):
                return Entry(kind=Kind.DIR)  # a folder is there for its user before anything is stored in it
            if found is None:
                raise NotFound(f"there is no {display(path)}")
            if found.kind is not Kind.SYMLINK or not follow:
                return found
            path = joined(parent_of(path), found.target or "")
        raise Declined("Too many symbolic links")

    def shown(self, entry: Entry) -> Posix:
        """The metadata to show of an entry that has none of its own."""
        return self.places.shown_posix(entry.kind)

    async def names(self, path: str) -> AsyncIterator[list[tuple[str, Entry]]]:
        """What is in the directory, in groups; uploads of this session that are under way included.

        Raises:
            NotFound: there is no such directory.
        """
        seen: set[str] = set()
        mine = {each.rpartition("/")[2]: upload for each, upload in self._uploads.items() if parent_of(each) == path}
        self._in_order.listing(path)
        async for group in list_names(self.places, path):
            self._in_order.listed(path, group)
            seen.update(name for name, _ in group if name in mine)
            yield [(name, mine[name].entry if name in mine else entry) for name, entry in group]
        yield [(name, upload.entry) for name, upload in mine.items() if name not in seen]

    async def read_file(self, path: str) -> Reader:
        """The file, open for reading, as the version that is there now.

        Raises:
            Declined: it is not a file.
        """
        place, entry = await self._followed(path, content=True)
        self._in_order.opens(place)
        return await read_file(self.places, place, entry)

    async def write_file(self, path: str, wanted: Opening) -> Upload:
        """See `opening.write_file`. Close it with `commit` or `discard`."""
        if path in self._uploads:
            raise Declined("It is being written in this session already")
        place = await self.places.place(path, write=True, content=wanted.read)
        # Only an upload that replaces whatever is there can do without a look; on this machine a look costs nothing.
        anew = wanted.create and wanted.truncate and not (wanted.exclusive or wanted.append)
        far = not place.location.traits.local and bool(place.relative)
        new = anew and far and self.shared.known.lacks(place.text, place.relative)
        before = None
        if not new:
            place, before = await self._followed(path, write=True, content=wanted.read)
        upload = await write_file(self.places, place, before, wanted, assumed=new)
        self._uploads[path] = upload
        self._note(place, is_open=True)
        return upload

    async def commit(self, upload: Upload) -> Entry:
        """The upload is at its path, whole.

        Raises:
            PreconditionFailed: somebody else stored something there since it was opened; theirs stays. Others: nothing was stored.
        """
        place = upload.place
        try:
            entry = await upload.writer.commit()
        except LakelinkError:
            self.shared.known.forget(place.text, place.relative)
            raise
        finally:
            self._changed(place)
            await self.discard(upload)
        self.shared.known.saw(place.text, place.relative, entry)
        count(self.shared, place, entry.size_bytes - (upload.before.size_bytes if upload.before else 0))
        return entry

    async def discard(self, upload: Upload) -> None:
        """Nothing of it remains. Idempotent."""
        mine = [path for path, each in self._uploads.items() if each is upload]
        for path in mine:
            del self._uploads[path]
        await upload.writer.discard()
        if mine:
            self._note(upload.place, is_open=False)

    def _note(self, place: Place, *, is_open: bool) -> None:
        if not place.location.traits.local:
            self.shared.options.on_upload(place.text, place.relative, is_open)

    async def remove(self, path: str) -> None:
        """The file or link is gone.

        Raises:
            Declined: it is a directory. PreconditionFailed: it changed in this moment.
        """
        place = await self.places.place(path, write=True)
        entry = await self.places.existing(place)
        if entry.kind is Kind.DIR:
            raise Declined("It is a directory")
        await self._delete(place, entry)
        count(self.shared, place, -entry.size_bytes)

    async def make_directory(self, path: str, mode: int | None) -> None:
        """There is a directory now.

        Raises:
            Declined: something is there already.
        """
        spot = self.places.spot(path)
        if spot.folder is None or spot.is_mount:
            raise Declined("It exists already")
        place = await self.places.place(path, write=True)
        await self.places.require_name(place, Kind.DIR)
        if await self.places.look(place) is not None or self.places.mapping.names_in(path):
            raise Declined("It exists already")
        posix = self.places.new_posix(Kind.DIR, mode)
        await self._write(place, Write(place.relative, Kind.DIR, None, posix, Expect(None)))
        known = self.shared.known
        known.made(place.text, place.relative)
        known.saw_directory(place.text, place.relative)
        known.listed(place.text, place.relative, set())  # nothing was there a moment ago

    async def remove_directory(self, path: str) -> None:
        """The directory is gone.

        Raises:
            Declined: it is not empty, or no directory, or a folder of the account.
        """
        spot = self.places.spot(path)
        if spot.folder is None or spot.is_mount or self.places.mapping.holds_folders(path):
            raise Declined("It is a folder of the account")
        place = await self.places.place(path, write=True)
        entry = await self.places.existing(place)
        if entry.kind is not Kind.DIR:
            raise Declined("It is not a directory")
        if not await is_empty(self.places, place):
            raise Declined("The directory is not empty")
        await self._delete(place, entry)

    async def rename(self, path: str, new_path: str, *, replaces: bool, most_paths: int) -> None:
        """See `moving.rename`. Both paths are in one folder.

        Raises:
            Declined: something is at the new path, and is not to be replaced or cannot be.
        """
        old = await self.places.place(path, write=True)
        new = await self.places.place(new_path, write=True)
        if old.folder is not new.folder:
            raise Unsupported("it cannot be renamed from one folder into another")
        if not old.relative or path in self._uploads or new_path in self._uploads:
            raise Declined("It is in use")
        entry = await self.places.existing(old)
        if path == new_path:
            return
        await self.places.require_name(new, entry.kind)
        there = await self.places.look(new)
        if there is not None:
            if not replaces and not self.shared.options.rename_replaces:
                raise Declined("It exists already")
            if Kind.DIR in {there.kind, entry.kind}:
                raise Declined("It is a directory")
        try:
            await rename(self.places, Move(old, new, entry, there), most_paths)
        finally:
            self._renamed(old, new, entry)
        count(self.shared, new, -(there.size_bytes if there else 0))

    def _renamed(self, old: Place, new: Place, entry: Entry) -> None:
        if entry.kind is Kind.DIR:
            self.shared.ahead.changed_all()
        self._changed(old, subtree=entry.kind is Kind.DIR)
        self._changed(new, subtree=entry.kind is Kind.DIR)

    def _changed(self, place: Place, *, subtree: bool = False) -> None:
        """Who remembers what is there has to look again."""
        self.shared.ahead.changed(place.relative)
        self.shared.options.on_changed(place.text, place.relative, subtree)

    async def set_posix(self, path: str, posix: Posix) -> None:
        """The path has that mode and those times; its owner stays. In an upload of this session: it will have them.

        Raises:
            PreconditionFailed: somebody else changed it in this moment.
        """
        place, entry = await self._followed(path, write=True)
        if entry is None:
            raise NotFound(f"there is no {display(path)}")
        before = entry.posix or self.places.shown_posix(entry.kind)
        wanted = replace(posix, uid=before.uid, gid=before.gid)
        if not place.relative or wanted == entry.posix:
            return
        change = SetPosix(place.relative, entry.kind, wanted, Expect(entry.version))
        try:
            (answer,) = await place.location.set_posix([change])
        finally:
            self._changed(place)
        if isinstance(answer, LakelinkError):
            self.shared.known.forget(place.text, place.relative)
            raise answer
        self.shared.known.saw(place.text, place.relative, answer)

    def upload_at(self, path: str) -> Upload | None:
        """The upload of this session to that path, if one is under way."""
        return self._uploads.get(path)

    async def read_link(self, path: str) -> str:
        """The target of a link, as it was stored.

        Raises:
            Declined: it is no link.
        """
        entry = await self.places.existing(await self.places.place(path))
        if entry.kind is not Kind.SYMLINK or entry.target is None:
            raise Declined("It is not a symbolic link")
        return entry.target

    async def make_link(self, path: str, target: str) -> None:
        """A symbolic link is at the path, where the gateway allows that. It leads to a virtual path, wherever it says.

        Raises:
            Unsupported: the gateway does not allow it.
        """
        if not self.shared.options.makes_symlinks:
            raise Unsupported("symbolic links are not made here")
        place = await self.places.place(path, write=True)
        await self.places.require_name(place, Kind.SYMLINK)
        if await self.places.look(place) is not None:
            raise Declined("It exists already")
        content = BytesContent(target.encode("utf-8", "surrogateescape"))
        posix = replace(self.places.new_posix(Kind.FILE), mode=0o777)
        await self._write(place, Write(place.relative, Kind.SYMLINK, content, posix, Expect(None)))
        self.shared.known.made(place.text, place.relative)

    async def aclose(self) -> None:
        """Give up what is still open: uploads that were not closed leave nothing. Idempotent."""
        for upload in list(self._uploads.values()):
            await self.discard(upload)
        self._in_order.aclose()

    async def _followed(self, path: str, *, write: bool = False, content: bool = False) -> tuple[Place, Entry | None]:
        """Where the path leads over the links at its end, and what is there; for writing as it is now. Each folder on the way is asked."""
        for _ in range(MOST_LINKS):
            place = await self.places.place(path, write=write, content=content)
            found = None if write else self.shared.known.fresh(place.text, place.relative)
            if found is None:
                found = await self.places.look(place)
            if found is None or found.kind is not Kind.SYMLINK:
                return place, found
            path = joined(parent_of(path), found.target or "")
        raise Declined("Too many symbolic links")

    async def _write(self, place: Place, write: Write) -> None:
        try:
            (answer,) = await place.location.write([write])
        finally:
            self._changed(place)
        if isinstance(answer, LakelinkError):
            raise answer

    async def _delete(self, place: Place, entry: Entry) -> None:
        self.shared.known.forget(place.text, place.relative)
        try:
            (answer,) = await place.location.delete([Delete(place.relative, entry.kind, Expect(entry.version))])
        finally:
            # Also what was seen or fetched while it was being removed.
            self.shared.known.forget(place.text, place.relative)
            self._changed(place)
        if answer is not None:
            raise answer


async def open_view(account: Account, opener: Opener, shared: Shared) -> View:
    """What the account sees. Locations are opened when they are first used, and shared by the sessions of the process.

    Raises:
        ConfigError: the folders of the account are no tree: a path is not absolute and normal, or is there twice.
    """
    return View(account, opener, shared)
