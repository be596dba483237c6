"""All links of a state directory: taken up, changed while they run, let go. What the registry says is what runs."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import shutil
from pathlib import Path

from lakelink.api.answers import Removed
from lakelink.config.document import Document
from lakelink.config.locations import read_locations
from lakelink.daemon.journals import link_directory
from lakelink.daemon.keeper import Keeper
from lakelink.daemon.open_link import Opener, OpenLink
from lakelink.daemon.removal import forget, kept, release, remove_files
from lakelink.daemon.supervise import outcome
from lakelink.errors import Busy, LakelinkError, Refused
from lakelink.links.registry import Registry
from lakelink.locations.resolve import parse_location
from lakelink.model.linkspec import LinkSpec, LinkState, LinkStatus
from lakelink.model.path import display
from lakelink.obs import log
from lakelink.obs.log import Event

STOP_LINK_WITHIN_S = 10.0
CLEARED_WITHIN_S = 20.0


class Supervisor:
    """One keeper per link. Used from one event loop; each change is stored before it takes effect."""

    def __init__(self, state_dir: Path, document: Document, opener: Opener) -> None:
        """Open the registry.

        Raises:
            StorageError: it cannot be opened.
        """
        self.state_dir = state_dir
        self.document = document
        self.registry = Registry(state_dir, document)
        self._opener = opener
        self._keepers: dict[str, Keeper] = {}
        self._told: dict[str, LinkState] = {}
        self._changing = asyncio.Lock()  # two changes at once would each follow half of the other

    def start(self) -> list[str]:
        """Take over what the settings declare, and take up every link; returns what the settings changed.

        Raises:
            ConfigError, Refused: the settings are wrong; no link was taken up.
        """
        read_locations(self.document)
        changed = self.registry.reload(self.document)
        for ident in self.registry.removed():
            shutil.rmtree(link_directory(self.state_dir, ident), ignore_errors=True)
        for spec in self.registry.list():
            self._take_up(spec)
        return _sentences(changed.added, changed.updated, changed.paused)

    async def views(self) -> None:
        """Returns once every lazy link has its view, or cannot have it now: whoever starts after the daemon finds files there."""
        lazy = [keeper for keeper in self._keepers.values() if keeper.spec.lazy is not None]
        await asyncio.gather(*(keeper.tried() for keeper in lazy))

    async def stop(self, within_s: float) -> bool:
        """End all links, all at once; whether each ended in time."""
        ended = await asyncio.gather(*(keeper.stop(within_s) for keeper in self._keepers.values()))
        self.registry.close()
        return all(ended)

    def keeper(self, name: str) -> Keeper:
        """The link of that name.

        Raises:
            NotFound: there is none; the hint names the nearest.
        """
        self.registry.get(name)
        return self._keepers[name]

    def statuses(self) -> list[LinkStatus]:
        """How each link stands, by name."""
        return [self._keepers[name].status() for name in sorted(self._keepers)]

    async def add(self, spec: LinkSpec) -> LinkSpec:
        """Store a new link and take it up.

        Raises:
            UsageError, ConfigError, Refused: see `Registry.add`.
        """
        async with self._changing:
            spec = self.registry.add(spec)
            self._take_up(spec)
            return spec

    async def update(self, spec: LinkSpec, was: LinkSpec) -> LinkSpec:
        """Store other settings and take them over.

        Raises:
            NotFound, Refused: see `update_stored`.
        """
        async with self._changing:
            spec = update_stored(self.registry, spec, was)
            await self._keepers[spec.name].update(spec, STOP_LINK_WITHIN_S)
            return spec

    async def pause(self, name: str) -> Keeper:
        """Let a link rest, also over restarts.

        Raises:
            NotFound: there is none.
        """
        async with self._changing:
            keeper = self.keeper(name)
            self.registry.update(dataclasses.replace(self.registry.get(name), paused=True))
            keeper.pause()
            return keeper

    async def resume(self, name: str, *, allow_deletes: bool, accept_root: bool = False) -> Keeper:
        """Let a link go on.

        Raises:
            NotFound: there is none.
        """
        async with self._changing:
            keeper = self.keeper(name)
            spec = self.registry.update(dataclasses.replace(self.registry.get(name), paused=False))
            keeper.spec = spec
            if accept_root:
                await keeper.accept_root(STOP_LINK_WITHIN_S)
            keeper.resume(allow_deletes=allow_deletes)
            return keeper

    async def let_go(self, name: str, *, delete_files: bool = False) -> Removed:
        """End a link, forget it, and remove its journal. Both sides stay as they are, but with `delete_files` for what `remove_files` says.

        Raises:
            NotFound: there is none. Refused: it is declared. Busy: it has not ended in time; it is still there.
        """
        async with self._changing:
            keeper = self.keeper(name)
            if self.registry.get(name).declared:
                self.registry.remove(name)  # says why not
            keeper.deleting(now=True)
            if not await keeper.stop(STOP_LINK_WITHIN_S):
                keeper.deleting(now=False)
                raise Busy(f"link {name} is still ending", hint="Try again in a moment; nothing was removed.")
            # From here on it is no link any more, also after a power failure: what goes locally below was not deleted by a user, and must never
            # be carried to the lake.
            spec = self.registry.remove(name)
            del self._keepers[name]
            self._told.pop(name, None)
            told: list[str] = []
            deleted = 0
            if delete_files:
                done = await outcome(remove_files(spec, self.document, self.state_dir))
                if isinstance(done, LakelinkError):
                    told.append(f"some local files stay, since a side could not be used: {done.message}")
                else:
                    deleted = done
            told += await self._clear_away(spec, files=not delete_files)
            return Removed(name, deleted, told)

    async def _clear_away(self, spec: LinkSpec, *, files: bool) -> list[str]:
        """What is kept about a link goes; what stays is a sentence each."""
        await asyncio.to_thread(forget, self.state_dir, spec)
        try:
            async with asyncio.timeout(CLEARED_WITHIN_S):  # the directory's file server may be away
                told = await asyncio.to_thread(release, spec, self.document)
                return [*await asyncio.to_thread(kept, spec, self.document, files=files), *told]
        except TimeoutError:
            return [f"the marker of the link stays in {display(spec.files)}, which does not answer"]

    async def reload(self, document: Document) -> list[str]:
        """Take other settings over, all of them or, where anything is wrong, none; returns what changed, a sentence each.

        Raises:
            ConfigError, Refused: the settings are wrong; everything goes on as before.
        """
        async with self._changing:
            read_locations(document)
            changed = self.registry.reload(document)
            old, self.document = self.document, document
            for spec in changed.added:
                self._take_up(spec)
            told = _sentences(changed.added, changed.updated, changed.paused)
            followed = {spec.name for spec in (*changed.updated, *changed.paused)}
            for spec in self.registry.list():
                try:
                    if spec.name in followed:
                        await self._keepers[spec.name].update(spec, STOP_LINK_WITHIN_S)
                    if _moved(spec, old, document):
                        told.append(f"link {spec.name} is opened again, since its location has changed")
                        await self._keepers[spec.name].reopen(STOP_LINK_WITHIN_S)
                except Busy as error:
                    told.append(error.message)
            return told

    def tell_changes(self) -> None:
        """Log each link whose state is another one than at the last call."""
        for status in self.statuses():
            if self._told.get(status.name) is status.state:
                continue
            self._told[status.name] = status.state
            bad = status.state in {LinkState.MISCONFIGURED, LinkState.FAILED}
            fields: dict[log.Field, log.Value] = {"link": status.name, "state": status.state.value}
            if status.reason:
                fields |= {"message": status.reason, "hint": status.hint}
            log.emit(logging.WARNING if bad else logging.INFO, Event.LINK_CHANGED, fields)
            self._keepers[status.name].note(f"Link{status.state.title()}", status.reason)

    def _take_up(self, spec: LinkSpec) -> None:
        keeper = self._keepers[spec.name] = Keeper(spec, _Verified(self.registry, self._opener))
        keeper.start()


@dataclasses.dataclass(frozen=True, slots=True)
class _Verified:
    """An opener that looks first whether the link's lake is still the one that it was made with: else its base would be of somewhere else."""

    registry: Registry
    opener: Opener

    async def __call__(self, spec: LinkSpec) -> OpenLink:
        self.registry.verify(spec.name)
        return await self.opener(spec)

    async def accept_root(self, spec: LinkSpec) -> None:
        self.registry.verify(spec.name)
        await self.opener.accept_root(spec)


def update_stored(registry: Registry, spec: LinkSpec, was: LinkSpec) -> LinkSpec:
    """Store other settings of a link that still is what it was when they were thought up.

    Raises:
        Refused: somebody else has changed it. NotFound, Refused: see `Registry.update`.
    """
    if registry.get(spec.name) != was:
        raise Refused(f"link {spec.name} was changed by somebody else meanwhile", hint="Look at it, and try again.")
    return registry.update(spec)


def _moved(spec: LinkSpec, old: Document, new: Document) -> bool:
    """Whether a link has to be opened again: what its locations are reached with has changed."""

    def reached(document: Document) -> object:
        try:
            return [parse_location(text, document) for text in (spec.files, spec.lake)]
        except LakelinkError as error:
            return error.message

    return reached(old) != reached(new)


def _sentences(added: tuple[LinkSpec, ...], updated: tuple[LinkSpec, ...], paused: tuple[LinkSpec, ...]) -> list[str]:
    return [
        *(f"link {spec.name} is added" for spec in added),
        *(f"link {spec.name} is updated" for spec in updated),
        *(f"link {spec.name} is paused, since its section is gone" for spec in paused),
    ]


def refuse_queued(status: LinkStatus, *, discard: bool) -> None:
    """A link is not let go while changes are on their way.

    Raises:
        Refused: some are, or it is not known.
    """
    if discard:
        return
    hint = f"Wait for them (lakelink status), or leave them uncarried: lakelink link remove {status.name} --discard."
    pending = status.imports.pending + status.exports.pending
    if pending:
        raise Refused(f"link {status.name} has {pending:,} changes queued", hint=hint)
    if status.paused or status.state is not LinkState.AVAILABLE:
        raise Refused(
            f"link {status.name} is {status.state.value}{', paused' if status.paused else ''}: what is queued is not known",
            hint=hint,
        )
