"""Conflicts of a lazy link: nothing is read of a file that is not here; its conflict copy is made inside the store."""

from __future__ import annotations

from lakelink.core.conflict_name import conflict_names
from lakelink.core.residency import is_stub
from lakelink.errors import LakelinkError, NotFound, PreconditionFailed
from lakelink.links.effects import Answer, Step
from lakelink.links.hsm.effects import lost
from lakelink.links.keeping import Keeper, no_name
from lakelink.locations.base import Copy, Location
from lakelink.model.entry import Entry, Expect
from lakelink.model.link import ConflictRule
from lakelink.model.path import display


class LazyKeeper(Keeper):
    """See `Keeper`."""

    async def _copy(self, path: str, entry: Entry, side: Location) -> str | LakelinkError:
        if not is_stub(entry) or entry.origin is None:
            return await super()._copy(path, entry, side)
        if side is not self.lake:
            return PreconditionFailed(
                f"{display(path)} is not loaded, and its conflict copy may not be made in the lake",
                hint="`lakelink hsm restore` loads it; then the conflict is settled.",
            )
        origin = entry.origin
        for name in conflict_names(path, self.host, origin.version.etag.replace("-", "")):
            (answer,) = await side.copy([Copy(origin.path, origin.version, name, Expect(None))])
            if isinstance(answer, Entry) or await self._is_copy(side, name, origin.version.etag):
                return name
            if not isinstance(answer, PreconditionFailed):
                return answer
        return no_name(path)

    async def _is_copy(self, side: Location, name: str, etag: str) -> bool:
        """Whether it was made by an earlier attempt."""
        (there,) = await side.stat([name])
        return isinstance(there, Entry) and there.version is not None and there.version.etag == etag

    async def _take_files(self, step: Step, rule: ConflictRule) -> Answer:
        """As ever, but nothing goes to the trash for a stub whose object is gone: there is nothing that could take its place."""
        origin = step.files.origin if step.files and is_stub(step.files) else None
        if origin is not None:
            (there,) = await self.lake.stat([origin.path])
            if isinstance(there, LakelinkError):
                return there
            if there is None or there.version is None or there.version.etag != origin.version.etag:
                return lost(step, NotFound(f"{display(origin.path)} is gone"))
        return await super()._take_files(step, rule)

    async def _take_lake(self, step: Step, rule: ConflictRule) -> Answer:
        """A stub leaves nothing in the trash: what it stands for, and what was moved here with it, becomes a conflict copy."""
        if is_stub(step.files):
            return await self._keep_both(step, rule)
        return await super()._take_lake(step, rule)
