"""Resolving conflicts by command. Everything is done on the files side, where what is replaced goes to the trash; the link carries it like any change."""

from __future__ import annotations

from typing import Literal

from lakelink.engine.contents import open_content
from lakelink.errors import LakelinkError, PreconditionFailed, UsageError
from lakelink.links.crew import Crew
from lakelink.links.dirty import FILES
from lakelink.links.effects import Step
from lakelink.links.hsm.lazy import is_here
from lakelink.links.observe import Look
from lakelink.locations.base import Delete, Write
from lakelink.locations.content import Content
from lakelink.model.entry import Entry, Expect, Kind
from lakelink.model.link import Agreed
from lakelink.model.path import display
from lakelink.model.plan import Verb
from lakelink.state.findings import Clash, Intent, Result

Keep = Literal["files", "lake", "both"]
_STANDING = {"files": Verb.TAKE_FILES, "lake": Verb.TAKE_LAKE, "both": Verb.KEEP_BOTH}


async def resolve(crew: Crew, conflict_id: int, keep: Keep) -> None:
    """See `Link.resolve`."""
    clash = next((c for c in crew.journal.conflicts() if c.id == conflict_id), None)
    if clash is None:
        raise UsageError(f"there is no open conflict {conflict_id}", hint="`lakelink link conflicts NAME` lists them.")
    if clash.copy:
        await _settle_copy(crew, clash, keep)
    else:
        await _settle_standing(crew, clash, keep)
    crew.journal.resolve(conflict_id, keep, crew.clock.time_ns())


async def _settle_copy(crew: Crew, clash: Clash, keep: Keep) -> None:
    """The path holds the lake's version and the copy the files'."""
    if keep == "both":
        return
    path, copy = clash.path, clash.copy
    there, kept = await crew.files.stat([path, copy])
    for seen in (there, kept):
        if isinstance(seen, LakelinkError):
            raise seen
    if not isinstance(kept, Entry):
        raise PreconditionFailed(f"{display(copy)} is not there", hint="Was it moved? Then keep both.")
    if keep == "files":
        await _put_back(crew, path, (copy, kept), there if isinstance(there, Entry) else None)
    await _have_bytes(crew, copy, kept)  # in the trash they have to be there
    (error,) = await crew.files.delete([Delete(copy, kept.kind, Expect(kept.version))])
    now_s = crew.clock.monotonic()
    for changed in (path, copy):
        crew.dirty.note(changed, FILES, now_s)
    if error is not None:
        raise error


async def _put_back(crew: Crew, path: str, copy: tuple[str, Entry], old: Entry | None) -> None:
    """The copy's content takes the place of what is at the path, which goes to the trash with its bytes."""
    name, kept = copy
    if old is not None and old.kind is Kind.DIR:
        raise PreconditionFailed(
            f"{display(path)} is a directory", hint="Move the copy where it belongs, then keep both."
        )
    if old is not None:
        await _have_bytes(crew, path, old)
    content = await _content(crew, name, kept)
    write = Write(path, kept.kind, content, kept.posix, Expect(old.version if old else None))
    (answer,) = await crew.files.write([write])
    if isinstance(answer, LakelinkError):
        raise answer
    await crew.files.flush()  # the copy goes only when its bytes are safe at the path


async def _content(crew: Crew, path: str, entry: Entry) -> Content:
    """What the file holds; of a lazy link it may have to be loaded first."""
    await _have_bytes(crew, path, entry)
    return await open_content(path, crew.files, entry)


async def _have_bytes(crew: Crew, path: str, entry: Entry) -> None:
    """Its bytes are here, also where the link is lazy.

    Raises:
        PreconditionFailed: they cannot be had.
    """
    if crew.lazy is None or entry.resident:
        return
    (result,) = await crew.lazy.load([path])
    if not is_here(result):
        raise result.error or PreconditionFailed(
            f"{display(path)} cannot be loaded: {result.outcome.value}", hint="Is the store there? Try again."
        )


async def _settle_standing(crew: Crew, clash: Clash, keep: Keep) -> None:
    """Both versions stand because the policies do not let the link settle it; the operator does."""
    mark = crew.dirty.claim(clash.path, crew.clock.monotonic())
    if mark is None:
        raise PreconditionFailed(f"{display(clash.path)} is being looked at", hint="Try again in a moment.")
    try:
        crew.dirty.concerns_files(mark)
        mark.lake = True
        (look,) = await crew.observer.look([mark])
        answer = await _force(crew, look, keep, clash.reason)
        await crew.files.flush()
        crew.journal.settle([Result(clash.path, keep_base=False, base=answer)], crew.clock.time_ns())
    except LakelinkError:
        crew.note_both(clash.path, crew.clock.monotonic())  # what was begun is looked at
        raise
    finally:
        crew.dirty.done(mark)


async def _force(crew: Crew, look: Look, keep: Keep, reason: str) -> Agreed | None:
    files, lake = look.files, look.lake
    if not isinstance(files, Entry) or not isinstance(lake, Entry):
        raise PreconditionFailed(f"{display(look.path)} is not on both sides any more", hint="It is looked at again.")
    step = Step(look, _STANDING[keep], files, lake, reason)
    crew.journal.begin([Intent(step.path, step.verb.value)], crew.clock.time_ns())
    answer = await crew.keeper(crew.effects()).run(step, crew.rule.conflict)
    if isinstance(answer, LakelinkError):
        raise answer
    return answer
