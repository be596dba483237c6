"""What a link does to its two sides. Each change names the version it replaces; each answer is what both sides agree on now, or an error.

All may be repeated: a step whose answer was lost is refused by its own condition the second time, and then decided again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from lakelink.core.residency import is_stub
from lakelink.errors import LakelinkError, NotFound
from lakelink.links.observe import Look
from lakelink.locations.base import Copy, Delete, Location, Read, SetPosix, Write
from lakelink.locations.content import BytesContent, Content
from lakelink.model.entry import Entry, Expect, Kind, Posix
from lakelink.model.link import Agreed
from lakelink.model.plan import Verb

SMALL_BYTES = 1 << 20
"""Up to here the bytes of an object are fetched before its metadata is needed, since one answer carries both."""

Answer = Agreed | LakelinkError | None
"""What both sides hold now (None: nothing), or why not."""


@dataclass(slots=True)
class Step:
    """One path and what is to be done about it; both sides are known."""

    look: Look
    verb: Verb
    files: Entry | None
    lake: Entry | None
    reason: str = ""
    origin: tuple[str, Agreed] | None = (
        None  # the same inode, unchanged, was agreed on at that path: its object has the bytes
    )

    as_stub: bool = False  # the file is to come without its bytes
    moved: bool = (
        False  # a stub that was renamed or linked: its object is copied, and has the metadata it had under the old name
    )

    @property
    def path(self) -> str:
        return self.look.path

    @property
    def size_bytes(self) -> int:
        """How much has to be moved."""
        if self.as_stub or (self.verb is Verb.EXPORT and is_stub(self.files)):
            return 0
        if self.verb in (Verb.EXPORT, Verb.TAKE_FILES):
            return self.files.size_bytes if self.files and self.files.kind is not Kind.DIR else 0
        return self.lake.size_bytes if self.lake else 0


class Effects:
    """Carries out steps, a group of one verb at a time; one answer per step, in order.

    Raises:
        RootMissing, Unreachable, CredentialsRefused, NotPermitted: a side as a whole cannot be used; each step was done whole or not at all.
    """

    def __init__(self, files: Location, lake: Location) -> None:
        self._files = files
        self._lake = lake

    async def run(self, verb: Verb, steps: Sequence[Step]) -> list[Answer]:
        acts: dict[Verb, Callable[[Sequence[Step]], Awaitable[list[Answer]]]] = {
            Verb.EXPORT: self.export,
            Verb.IMPORT: self.import_,
            Verb.EXPORT_METADATA: self.export_metadata,
            Verb.IMPORT_METADATA: self.import_metadata,
            Verb.EXPORT_DELETE: self.export_delete,
            Verb.IMPORT_DELETE: self.import_delete,
        }
        return await acts[verb](steps)

    async def adoptable(self, step: Step) -> LakelinkError | None:  # noqa: ARG002  # of a plain link everything is
        """Why both sides cannot agree on what was seen at a path yet; None: they can, and nothing more has to be done for it."""
        return None

    # ── files to lake ──

    async def export(self, steps: Sequence[Step]) -> list[Answer]:
        """The lake becomes what the files side is, in the place of the version that was seen there."""
        copied = await self._copy([step for step in steps if step.origin is not None])
        answers, contents = await self._open(
            self._files, steps, [None if step.path in copied else step.files for step in steps]
        )
        answers = [copied.get(step.path, answer) for step, answer in zip(steps, answers, strict=True)]
        refused = await self._clear(
            self._lake, [(s, s.lake, s.files) for s, a in zip(steps, answers, strict=True) if a is None]
        )
        writes: list[tuple[int, Write]] = []
        for i, (step, content) in enumerate(zip(steps, contents, strict=True)):
            answers[i] = answers[i] or refused.get(step.path)
            if answers[i] is None and step.files is not None:
                expect = Expect(step.lake.version if step.lake and not other_kind(step.lake, step.files) else None)
                writes.append((i, Write(step.path, step.files.kind, content, step.files.posix, expect)))
        for (i, _), answer in zip(writes, await self._lake.write([w for _, w in writes]), strict=True):
            files = steps[i].files
            if isinstance(answer, LakelinkError) or files is None:
                answers[i] = answer if isinstance(answer, LakelinkError) else None
            else:
                answers[i] = Agreed(files, answer if files.target is None else replace(answer, target=files.target))
        return answers

    async def _copy(self, steps: Sequence[Step]) -> dict[str, Answer]:
        """Renamed files as copies inside the store. What cannot be copied for whatever reason is not in the answer: it is uploaded."""
        copies = [
            Copy(step.origin[0], step.origin[1].lake.version, step.path, Expect(None))
            for step in steps
            if step.origin and step.origin[1].lake.version
        ]
        found: dict[str, Answer] = {}
        for step, answer in zip(steps, await self._lake.copy(copies) if copies else [], strict=True):
            if step.files is None or step.origin is None or isinstance(answer, LakelinkError):
                continue
            # The object has the metadata of the origin; what was changed along with the name is found by the next look.
            then = step.origin[1].files.posix
            files = replace(step.files, posix=then) if then else step.files
            found[step.path] = Agreed(files, replace(answer, target=step.files.target))
        return found

    async def export_metadata(self, steps: Sequence[Step]) -> list[Answer]:
        """The object gets the metadata of the file; its bytes stay."""
        changes = [
            SetPosix(s.path, s.files.kind, s.files.posix, Expect(s.lake.version))
            for s in steps
            if s.files and s.lake and s.files.posix
        ]
        answers = await self._lake.set_posix(changes)
        return [
            a
            if isinstance(a, LakelinkError)
            else Agreed(s.files, replace(a, digest=s.lake.digest, target=s.files.target))  # type: ignore[union-attr, arg-type]
            for s, a in zip(steps, answers, strict=True)
        ]

    async def export_delete(self, steps: Sequence[Step]) -> list[Answer]:
        """The object goes, if it is the version that was seen."""
        return await self._delete(self._lake, [(step.path, step.lake) for step in steps])

    # ── lake to files ──

    async def import_(self, steps: Sequence[Step]) -> list[Answer]:
        """The file becomes what the lake is, in the place of the version that was seen there; that one goes to the trash."""
        answers, contents = await self._open(self._lake, steps, [step.lake for step in steps])
        entries = await asyncio.gather(*(self._describe(s, c) for s, c in zip(steps, contents, strict=True)))
        for i, found in enumerate(entries):
            if answers[i] is None and isinstance(found, LakelinkError):
                answers[i] = found
        refused = await self._clear(
            self._files, [(s, s.files, s.lake) for s, a in zip(steps, answers, strict=True) if a is None]
        )
        writes: list[tuple[int, Write]] = []
        for i, (step, found) in enumerate(zip(steps, entries, strict=True)):
            answers[i] = answers[i] or refused.get(step.path)
            if answers[i] is None and not isinstance(found, LakelinkError):
                entry, content = found
                old = step.files if step.files and not other_kind(step.files, entry) else None
                write = Write(
                    step.path, entry.kind, content, wanted_posix(entry, old), Expect(old.version if old else None)
                )
                writes.append((i, write))
        for (i, _), answer in zip(writes, await self._files.write([w for _, w in writes]), strict=True):
            found = entries[i]
            if isinstance(answer, LakelinkError):
                answers[i] = answer
            elif not isinstance(found, LakelinkError):
                answers[i] = Agreed(answer, found[0])
        return answers

    async def import_metadata(self, steps: Sequence[Step]) -> list[Answer]:
        """The file gets the metadata of the object; its bytes stay."""
        changes = [
            SetPosix(s.path, s.lake.kind, s.lake.posix, Expect(s.files.version))
            for s in steps
            if s.lake and s.files and s.lake.posix
        ]
        answers = await self._files.set_posix(changes)
        return [
            a if isinstance(a, LakelinkError) else Agreed(replace(a, target=s.lake.target), s.lake)  # type: ignore[union-attr, arg-type]
            for s, a in zip(steps, answers, strict=True)
        ]

    async def import_delete(self, steps: Sequence[Step]) -> list[Answer]:
        """The file goes to the trash, if it is the version that was seen; a directory goes when it is empty."""
        return await self._delete(self._files, [(step.path, step.files) for step in steps])

    # ── what they share ──

    async def _open(
        self, side: Location, steps: Sequence[Step], entries: Sequence[Entry | None]
    ) -> tuple[list[Answer], list[Content | None]]:
        """The contents of the versions that were seen; directories have none."""
        answers: list[Answer] = [None] * len(steps)
        contents: list[Content | None] = [None] * len(steps)
        wanted = [i for i, entry in enumerate(entries) if entry is not None and entry.kind is not Kind.DIR]
        reads = [Read(steps[i].path, e.size_bytes, e.version) for i in wanted if (e := entries[i])]
        for i, got in zip(wanted, await side.read(reads) if reads else [], strict=True):
            if isinstance(got, LakelinkError):
                answers[i] = got
            else:
                contents[i] = got
        return answers, contents

    async def _describe(self, step: Step, content: Content | None) -> tuple[Entry, Content | None] | LakelinkError:
        """What is at the path of the lake, with its metadata: the answer that carries the bytes tells; a large object is asked for."""
        entry = step.lake
        if entry is None:
            return NotFound(f"{step.path} is gone")
        if content is None:
            return entry, None
        try:
            if entry.size_bytes <= SMALL_BYTES:
                data = await content.load()
                return _complete(content.entry or entry, data), BytesContent(data)
            if step.look.listed:
                (seen,) = await self._lake.stat([step.path])
                if isinstance(seen, LakelinkError):
                    return seen
                if (
                    seen is None
                    or seen.version is None
                    or entry.version is None
                    or seen.version.etag != entry.version.etag
                ):
                    return NotFound(f"{step.path} is no longer what was listed")
                entry = seen
        except LakelinkError as error:
            return error
        return entry, content

    async def _clear(
        self, side: Location, changes: Sequence[tuple[Step, Entry | None, Entry | None]]
    ) -> dict[str, LakelinkError]:
        """A directory has to go before a file can take its name, and the other way round. What could not be removed, by path."""
        doomed = [(step.path, old) for step, old, new in changes if old and new and other_kind(old, new)]
        answers = await self._delete(side, doomed) if doomed else []
        return {path: a for (path, _), a in zip(doomed, answers, strict=True) if isinstance(a, LakelinkError)}

    async def _delete(self, side: Location, wanted: Sequence[tuple[str, Entry | None]]) -> list[Answer]:
        answers: list[Answer] = [None] * len(wanted)
        present = [(i, path, entry) for i, (path, entry) in enumerate(wanted) if entry is not None]
        deletes = [Delete(path, entry.kind, Expect(entry.version)) for _, path, entry in present]
        for (i, _, _), error in zip(present, await side.delete(deletes), strict=True):
            answers[i] = error
        return answers


def other_kind(old: Entry, new: Entry) -> bool:
    """Whether the one has to be removed for the other: a write replaces files and symlinks by each other, never a directory."""
    return (old.kind is Kind.DIR) is not (new.kind is Kind.DIR)


def _complete(entry: Entry, data: bytes) -> Entry:
    if entry.kind is Kind.SYMLINK and entry.target is None:
        return replace(entry, target=data.decode("utf-8", "surrogateescape"))
    return entry


def wanted_posix(entry: Entry, old: Entry | None) -> Posix | None:
    """An object without metadata leaves the file's mode and owner as they are (FSx for Lustre: "Automatically import updates")."""
    if (
        entry.posix is not None
        or old is None
        or old.posix is None
        or entry.kind is not Kind.FILE
        or old.kind is not Kind.FILE
    ):
        return entry.posix
    time_ns = entry.version.time_ns if entry.version else old.posix.mtime_ns
    return replace(old.posix, mtime_ns=time_ns, atime_ns=time_ns)
