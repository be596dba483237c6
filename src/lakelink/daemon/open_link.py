"""An open link as the daemon sees it, and one that is not open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from lakelink.errors import InternalError, LakelinkError
from lakelink.links.check import CheckResult
from lakelink.links.hsm.commands import Commands
from lakelink.links.tasks import Tasks
from lakelink.model.linkspec import LinkSpec, LinkState, LinkStatus


class OpenLink(Protocol):
    """A link with both sides open: what the daemon asks of it."""

    async def run(self) -> None:
        """Keep both sides in step until cancelled. Effects under way at that moment are finished, or left to the next start."""
        ...

    def status(self) -> LinkStatus: ...

    async def survey(self, paths: Sequence[str] = ()) -> None: ...

    async def settle(self, timeout_s: float) -> bool: ...

    def pause(self) -> None: ...

    def resume(self, *, allow_deletes: bool = False) -> None: ...

    def update(self, spec: LinkSpec) -> None: ...

    @property
    def tasks(self) -> Tasks: ...

    @property
    def commands(self) -> Commands | None:
        """Commands on the files of a lazy link; None of another."""
        ...

    def note(self, code: str, message: str) -> None:
        """A line in the link's event log."""
        ...

    async def resolve(self, conflict_id: int, keep: Literal["files", "lake", "both"]) -> None: ...

    async def check(self, *, repair: bool) -> CheckResult: ...

    async def aclose(self) -> None:
        """Close both sides and the journal. Idempotent."""
        ...


class Opener(Protocol):
    """Opens links on whatever world it stands for."""

    async def __call__(self, spec: LinkSpec) -> OpenLink:
        """Both sides open, and under watch."""
        ...

    async def accept_root(self, spec: LinkSpec) -> None:
        """The directory that is there now is the root of the link, which is not open; nothing is agreed on."""
        ...


def unopened(spec: LinkSpec, trouble: LakelinkError | None = None, activity: str = "opening") -> LinkStatus:
    """The status of a link that is not open: waiting for its first try, or in trouble."""
    state = LinkState.CREATING
    if trouble is not None:
        state = LinkState.FAILED if isinstance(trouble, InternalError) else LinkState.MISCONFIGURED
    return LinkStatus(
        name=spec.name,
        ident=spec.ident,
        files=spec.files,
        lake=spec.lake,
        state=state,
        paused=spec.paused,
        declared=spec.declared,
        reason=trouble.message if trouble else "",
        hint=trouble.hint if trouble else "",
        activity="waiting to try again" if trouble else activity,
    )
