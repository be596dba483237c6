"""What a lazy link does to its two sides: objects come as stubs, and stubs go nowhere but by copies within the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lakelink.core.delta import stands_for
from lakelink.core.residency import is_stub
from lakelink.errors import ChangedWhileRead, ContentLost, LakelinkError, NotFound, PreconditionFailed
from lakelink.links.effects import Answer, Effects, Step, other_kind, wanted_posix
from lakelink.links.hsm.base import Candidate, NewStub, Outcome
from lakelink.links.hsm.freeing import Act, Freeing, replaces
from lakelink.links.hsm.heirs import Heirs, Names
from lakelink.links.hsm.lazy import Laziness
from lakelink.locations.base import Copy, Location, Write
from lakelink.model.entry import Entry, Expect, Kind
from lakelink.model.link import Agreed
from lakelink.model.path import display


class LazyEffects(Effects):
    """See `Effects`. Before an object is replaced or removed, every stub that still stands for it is made to stand for a copy, or loaded."""

    def __init__(
        self, files: Location, lake: Location, lazy: Laziness, note: Callable[[str], object], names: Names
    ) -> None:
        """`note`: the path is to be looked at on both sides, now."""
        super().__init__(files, lake)
        self._lazy = lazy
        self._heirs = Heirs(lake, lazy, names)
        self._freeing = Freeing(lake, lazy, self._heirs, note)

    # ── lake to files ──

    async def import_(self, steps: Sequence[Step]) -> list[Answer]:
        """Files come as stubs, all else as in any link."""
        order = [step.path for step in steps]
        kept = await self._bequeath(steps)
        steps, refused = await self._described([s for s in steps if s.path not in kept])
        refused |= kept
        stubs = [s for s in steps if s.path not in refused and self._comes_as_stub(s)]
        as_ever = [s for s in steps if s.path not in refused and not self._comes_as_stub(s)]
        answers: dict[str, Answer] = dict(refused)
        answers |= zip([s.path for s in as_ever], await super().import_(as_ever) if as_ever else [], strict=True)
        answers |= zip([s.path for s in stubs], await self._make(stubs) if stubs else [], strict=True)
        return [answers[path] for path in order]

    async def import_delete(self, steps: Sequence[Step]) -> list[Answer]:
        """As in any link."""
        kept = await self._bequeath(steps)
        going = [s for s in steps if s.path not in kept]
        answers: dict[str, Answer] = dict(kept)
        answers |= zip([s.path for s in going], await super().import_delete(going), strict=True)
        return [answers[step.path] for step in steps]

    async def _bequeath(self, steps: Sequence[Step]) -> dict[str, LakelinkError]:
        """Before a name of a stub goes here, since its object went."""
        return await self._heirs.bequeath([(s.path, s.files) for s in steps if s.files and is_stub(s.files)])

    async def _described(self, steps: Sequence[Step]) -> tuple[list[Step], dict[str, LakelinkError]]:
        """What only a listing has shown is asked for: no answer with bytes will tell its metadata, nor whether it is a symlink."""
        listed = [s.path for s in steps if s.look.listed and s.lake is not None and s.lake.kind is Kind.FILE]
        if not listed:
            return list(steps), {}
        seen = dict(zip(listed, await self._lake.stat(listed), strict=True))
        told: list[Step] = []
        refused: dict[str, LakelinkError] = {}
        for step in steps:
            found = seen.get(step.path, step.lake)
            if isinstance(found, LakelinkError):
                refused[step.path] = found
            elif found is None or step.lake is None or not _is_same(found, step.lake):
                refused[step.path] = NotFound(f"{display(step.path)} is no longer what was listed")
            elif found is not step.lake:
                step.look.lake, step.look.lake_seen = found, True
                step.lake = found
            told.append(step)
        return told, refused

    def _comes_as_stub(self, step: Step) -> bool:
        lake = step.lake
        if lake is None or lake.kind is not Kind.FILE or not lake.size_bytes or lake.version is None:
            return False
        return self._lazy.makes_stub(step.files)

    async def _make(self, steps: Sequence[Step]) -> list[Answer]:
        """Each stub takes the place of what was seen there."""
        refused = await self._clear(self._files, [(s, s.files, s.lake) for s in steps])
        writes: list[Write] = []
        for step in steps:
            lake = step.lake
            if lake is None or step.path in refused:
                continue
            old = step.files if step.files and not other_kind(step.files, lake) else None
            posix = wanted_posix(lake, old) or self._lazy.posix_of(lake)
            content = self._lazy.files.stub(step.path, lake, posix)
            writes.append(Write(step.path, Kind.FILE, content, posix, Expect(old.version if old else None)))
        answers = dict(zip([w.path for w in writes], await self._files.write(writes), strict=True))
        return [refused.get(s.path) or _agreed(answers[s.path], s.lake) for s in steps]

    # ── files to lake ──

    async def export(self, steps: Sequence[Step]) -> list[Answer]:
        """Bytes that are here are uploaded; a stub that was moved here becomes a copy of its object, and stands for that one from then on."""
        replacing = [s for s in steps if replaces(s)]
        others = [s for s in steps if not replaces(s)]
        answers: dict[str, Answer] = {}
        answers |= zip([s.path for s in replacing], await self._freeing.act(replacing, self._store), strict=True)
        answers |= zip([s.path for s in others], await self._store(others), strict=True)
        return [answers[step.path] for step in steps]

    async def _store(self, steps: Sequence[Step]) -> list[Answer]:
        stubs = [s for s in steps if is_stub(s.files)]
        bytes_ = [s for s in steps if not is_stub(s.files)]
        answers: dict[str, Answer] = {}
        answers |= zip([s.path for s in bytes_], await super().export(bytes_) if bytes_ else [], strict=True)
        answers |= zip([s.path for s in stubs], await self._copy_stubs(stubs) if stubs else [], strict=True)
        return [answers[step.path] for step in steps]

    async def _copy_stubs(self, steps: Sequence[Step]) -> list[Answer]:
        refused = await self._clear(self._lake, [(s, s.lake, s.files) for s in steps])
        copies: list[Copy] = []
        for step in steps:
            origin = step.files.origin if step.files else None
            if origin is None or step.path in refused:
                continue
            there = step.lake if step.lake and step.files and not other_kind(step.lake, step.files) else None
            copies.append(
                Copy(origin.path, origin.version, step.path, Expect(there.version if there else None)),
            )
        copied = dict(zip([c.path for c in copies], await self._lake.copy(copies) if copies else [], strict=True))
        done: dict[str, Answer] = {}
        placed: list[tuple[str, Entry, Entry]] = []
        for step in steps:
            answer = refused.get(step.path) or copied[step.path]
            if isinstance(answer, LakelinkError):
                done[step.path] = lost(step, answer)
            elif step.files is not None:
                placed.append((step.path, step.files, answer))
        done |= await self._follow(placed)
        return [done[step.path] for step in steps]

    async def export_metadata(self, steps: Sequence[Step]) -> list[Answer]:
        """As in any link; a store that gives the object another ETag with it has the stub stand for the new one."""
        answers = await self._as_it_is_known(steps, super().export_metadata)
        moved = [
            (step.path, step.files, answer.lake)
            for step, answer in zip(steps, answers, strict=True)
            if isinstance(answer, Agreed)
            and step.files
            and is_stub(step.files)
            and not stands_for(step.files, answer.lake)
        ]
        followed = await self._follow(moved)
        return [followed.get(step.path, answer) for step, answer in zip(steps, answers, strict=True)]

    async def import_metadata(self, steps: Sequence[Step]) -> list[Answer]:
        """As in any link."""
        return await self._as_it_is_known(steps, super().import_metadata)

    async def _as_it_is_known(self, steps: Sequence[Step], act: Act) -> list[Answer]:
        """`act`, but before another file comes to be known for an object, the one that was known for it must not need it any more: whoever
        replaces or removes the object later looks for the file that is known.
        """
        needed = await self._freeing.needed([s for s in steps if replaces(s)])
        ready = [s for s in steps if s.path not in needed]
        answers: dict[str, Answer] = dict(needed)
        answers |= zip([s.path for s in ready], await act(ready) if ready else [], strict=True)
        return [answers[step.path] for step in steps]

    async def adoptable(self, step: Step) -> LakelinkError | None:
        """See `Effects.adoptable`."""
        needed = await self._freeing.needed([step]) if replaces(step) else {}
        if step.path not in needed and not await self._heirs.own(step.path, step.files, step.lake):
            return PreconditionFailed(f"{display(step.path)} moved on meanwhile")
        return needed.get(step.path)

    async def _follow(self, placed: Sequence[tuple[str, Entry, Entry]]) -> dict[str, Answer]:
        """These stubs (path, files, lake) stand for those objects from now on. Their own metadata stays, and what an object has differently is found
        by the next look.
        """
        candidates: list[Candidate] = []
        stubs: list[NewStub] = []
        for path, files, lake in placed:
            origin = self._lazy.origin_of(path, lake)
            if files.origin is None or files.version is None or files.posix is None or origin is None:
                raise AssertionError(path)
            candidates.append(Candidate(path, files.version, files.origin))
            stubs.append(NewStub(path, files.posix, origin))
        results = await self._lazy.guard.restub(candidates, stubs) if candidates else []
        answers: dict[str, Answer] = {}
        for (path, files, lake), stub, result in zip(placed, stubs, results, strict=True):
            if result.outcome is Outcome.DONE and result.version is not None:
                posix = replace(lake.posix, atime_ns=stub.posix.atime_ns) if lake.posix else stub.posix
                followed = replace(files, version=result.version, posix=posix, origin=stub.origin)
                answers[path] = Agreed(followed, lake)
            else:
                # It was loaded, written to or renamed meanwhile: the next look tells. The object is there, and its bytes are the right ones.
                answers[path] = result.error or PreconditionFailed(f"{display(path)} moved on meanwhile")
        return answers

    async def export_delete(self, steps: Sequence[Step]) -> list[Answer]:
        """As in any link, but not while a stub that has another name now stands for the object."""
        return await self._freeing.act(steps, super().export_delete)


def _is_same(found: Entry, listed: Entry) -> bool:
    mine, theirs = found.version, listed.version
    return mine is not None and theirs is not None and mine.etag == theirs.etag


def _agreed(answer: Entry | LakelinkError, lake: Entry | None) -> Answer:
    if isinstance(answer, LakelinkError) or lake is None:
        return answer if isinstance(answer, LakelinkError) else None
    return Agreed(answer, lake)


def lost(step: Step, error: LakelinkError) -> LakelinkError:
    """Why a stub has no copy. Where its object is gone for good, nothing that is tried again will help."""
    origin = step.files.origin if step.files else None
    if origin is None or not isinstance(error, NotFound | ChangedWhileRead):
        return error
    return ContentLost(
        f"{display(step.path)} stands for {display(origin.path)} as it was, and that is gone from the lake",
        hint=f"Put that version back at {display(origin.path)}, or remove the file.",
    )
