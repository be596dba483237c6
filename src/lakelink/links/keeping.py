"""What becomes of conflicts: both sides changed, and no byte of either is lost, whatever the rule says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lakelink.core.conflict_name import conflict_name, conflict_names
from lakelink.engine.contents import open_content
from lakelink.engine.digest import digest
from lakelink.errors import CredentialsRefused, Halt, LakelinkError, PreconditionFailed, RootMissing, Unreachable
from lakelink.links.dirty import FILES, LAKE, Dirty
from lakelink.links.effects import Answer, Effects, Step
from lakelink.locations.base import Copy, Delete, Location, Write
from lakelink.model.entry import Entry, Expect, Kind
from lakelink.model.link import ConflictRule
from lakelink.model.path import display
from lakelink.model.plan import Verb
from lakelink.ports.clock import Clock
from lakelink.state.findings import Clash
from lakelink.state.journal import Journal

ALGORITHM: Final = "xxh3"
_LONGEST_DIGEST: Final = 32
_WORDS: Final = {Kind.FILE: "a file", Kind.DIR: "a directory", Kind.SYMLINK: "a link"}
BY_RULE: Final = "by the rule"


@dataclass(frozen=True, slots=True)
class Keeper:
    """Carries out conflict verbs, one path at a time. Each may be repeated: a conflict copy has the name of its content."""

    files: Location
    lake: Location
    journal: Journal
    dirty: Dirty
    clock: Clock
    effects: Effects
    host: str
    exports: bool  # conflict copies may go to the lake

    async def run(self, step: Step, rule: ConflictRule) -> Answer:
        """What both sides hold at the path afterwards, or why the conflict is still there.

        Raises:
            as `Effects`.
        """
        try:
            match step.verb:
                case Verb.KEEP_BOTH:
                    return await self._keep_both(step, rule)
                case Verb.MAKE_WAY:
                    return await self._make_way(step, rule)
                case Verb.TAKE_FILES:
                    return await self._take_files(step, rule)
                case _:
                    return await self._take_lake(step, rule)
        except (RootMissing, Unreachable, CredentialsRefused, Halt):
            raise
        except LakelinkError as error:  # of this path: it moved, or cannot be read
            return error

    async def _keep_both(self, step: Step, rule: ConflictRule) -> Answer:
        """The file's version becomes a conflict copy, then the lake's takes its place, or nothing where the lake has none; what it displaces is in
        the trash as well.
        """
        if step.files is None:
            return PreconditionFailed(f"{step.path} is gone")
        side, other = (self.lake, LAKE) if self.exports else (self.files, FILES)
        copy = await self._copy(step.path, step.files, side)
        if isinstance(copy, LakelinkError):
            return copy
        self.journal.note_clash(clash_of(step, rule, copy), self.clock.time_ns())
        (answer,) = await self.effects.run(Verb.IMPORT if step.lake else Verb.IMPORT_DELETE, [step])
        self.dirty.note(copy, other, self.clock.monotonic())
        return answer

    async def _copy(self, path: str, entry: Entry, side: Location) -> str | LakelinkError:
        """Put the file's version beside its path, on that side. One that is there already with the same content is as good."""
        hexdigest = (await digest(await open_content(path, self.files, entry), ALGORITHM)).hex()
        for name in conflict_names(path, self.host, hexdigest):
            content = await open_content(path, self.files, entry)
            (answer,) = await side.write([Write(name, entry.kind, content, entry.posix, Expect(None))])
            if isinstance(answer, Entry) or await self._holds(side, name, hexdigest, entry.size_bytes):
                return name
            if not isinstance(answer, PreconditionFailed):
                return answer
        return no_name(path)

    async def _holds(self, side: Location, name: str, hexdigest: str, size_bytes: int) -> bool:
        """Whether that content is there already, from an earlier attempt."""
        (there,) = await side.stat([name])
        if not isinstance(there, Entry) or there.kind is Kind.DIR or there.size_bytes != size_bytes:
            return False
        return (await digest(await open_content(name, side, there), ALGORITHM)).hex() == hexdigest

    async def _make_way(self, step: Step, rule: ConflictRule) -> Answer:
        """The lake's file becomes a conflict copy there, since a directory has its name; then the directory is exported."""
        lake = step.lake
        if lake is None or lake.version is None:
            return PreconditionFailed(f"{step.path} is gone")
        hexdigest = (await digest(await open_content(step.path, self.lake, lake), ALGORITHM)).hex()
        for copy in conflict_names(step.path, self.host, hexdigest):
            (answer,) = await self.lake.copy([Copy(step.path, lake.version, copy, Expect(None))])
            if isinstance(answer, Entry) or await self._holds(self.lake, copy, hexdigest, lake.size_bytes):
                break
            if not isinstance(answer, PreconditionFailed):
                return answer
        else:
            return no_name(step.path)
        self.journal.note_clash(clash_of(step, rule, copy), self.clock.time_ns())
        (done,) = await self.effects.run(Verb.EXPORT, [step])
        self.dirty.note(copy, LAKE, self.clock.monotonic())
        return done

    async def _take_files(self, step: Step, rule: ConflictRule) -> Answer:
        """The lake's version is fetched into the trash of the root, then the file's takes its place."""
        lake = step.lake
        if lake is None:
            return PreconditionFailed(f"{step.path} is gone")
        if lake.kind is not Kind.DIR and (error := await self._to_trash(step.path, lake)) is not None:
            return error
        self.journal.note_clash(clash_of(step, rule, "", BY_RULE), self.clock.time_ns())
        (answer,) = await self.effects.run(Verb.EXPORT, [step])
        return answer

    async def _to_trash(self, path: str, lake: Entry) -> LakelinkError | None:
        """Nobody else has that name meanwhile, and nobody looks at it: it is there for a moment, whole, and then in the trash."""
        hexdigest = (await digest(await open_content(path, self.lake, lake), ALGORITHM)).hex()
        name = conflict_name(path, "lake", hexdigest, _LONGEST_DIGEST)
        claimed = self.dirty.claim(name, self.clock.monotonic())
        try:
            (found,) = await self.files.stat([name])
            # Of an earlier attempt. A power failure can have taken its bytes and left its name: then it is in the way.
            if isinstance(found, Entry) and not await self._holds(self.files, name, hexdigest, lake.size_bytes):
                (error,) = await self.files.delete([Delete(name, found.kind, Expect(found.version))])
                if error is not None:
                    return error
                found = None
            if found is None:
                content = await open_content(path, self.lake, lake)
                (found,) = await self.files.write([Write(name, lake.kind, content, lake.posix, Expect(None))])
            if isinstance(found, LakelinkError):
                return found
            await self.files.flush()
            (error,) = await self.files.delete([Delete(name, found.kind, Expect(found.version))])
            return error
        finally:
            if claimed is not None:
                self.dirty.done(claimed)

    async def _take_lake(self, step: Step, rule: ConflictRule) -> Answer:
        """The lake's version takes the place of the file's, which goes to the trash."""
        self.journal.note_clash(clash_of(step, rule, "", BY_RULE), self.clock.time_ns())
        (answer,) = await self.effects.run(Verb.IMPORT, [step])
        return answer


def no_name(path: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"other files have all names that a conflict copy of {display(path)} could get", hint="Rename or remove them."
    )


def clash_of(step: Step, rule: ConflictRule, copy: str = "", resolution: str = "") -> Clash:
    """The conflict as it is listed."""
    return Clash(step.path, step.reason, _words(step.files), _words(step.lake), copy, rule.value, resolution=resolution)


def _words(entry: Entry | None) -> str:
    """What a side held, for people."""
    if entry is None:
        return "nothing"
    if entry.kind is Kind.DIR:
        return _WORDS[Kind.DIR]
    time_ns = entry.posix.mtime_ns if entry.posix else (entry.version.time_ns if entry.version else 0)
    try:
        moment = datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        moment = "no known time"
    target = f" to {entry.target}" if entry.kind is Kind.SYMLINK else f" of {entry.size_bytes} bytes"
    return f"{_WORDS.get(entry.kind, 'something')}{target}, {moment}"
