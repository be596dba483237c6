"""Deciding what to do about paths that were looked at: the pure decision, and what has to be asked before it is sure."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from lakelink.core.delta import Delta, delta
from lakelink.core.reconcile import decide
from lakelink.core.residency import is_doubtful_hole, is_stub
from lakelink.engine.contents import same_content
from lakelink.errors import ContentUnknown, LakelinkError, NameUnsupported, Retry, problem_of
from lakelink.links.crew import Crew
from lakelink.links.dirty import FILES, LAKE
from lakelink.links.effects import Step
from lakelink.links.keeping import clash_of
from lakelink.links.observe import Look
from lakelink.links.torn import APART, is_doubtful, is_md5, is_object, is_torn_copy
from lakelink.links.writers import Writers
from lakelink.model.entry import Entry, Kind
from lakelink.model.link import Agreed, Event
from lakelink.model.path import display
from lakelink.model.plan import Decision, Verb
from lakelink.state.findings import Held, Result, Trouble

QUICK_ATTEMPTS = 5
BLOCKED_ATTEMPTS = 3
PAUSE_S = 0.1
FIRST_RETRY_S = 5.0
LAST_RETRY_S = 600.0
SECOND_NS = 1_000_000_000
TICK_S = 0.012
"""Kernels before 6.13 stamp files by the timer tick, of up to 10 ms: only a time that lies further back names one content."""
TICK_PATIENCE_S = 2.0
"""What is written to without a pause is carried after so long all the same."""
MOST_BELOW = 10_000
"""So many paths are noted along with their directory; more are found by a survey, which waits for room."""
DELETES = frozenset({Verb.EXPORT_DELETE, Verb.IMPORT_DELETE})
_TORN = (Verb.KEEP_BOTH, Verb.TAKE_FILES)
_EVENTS = {Delta.NEW: Event.NEW, Delta.DELETED: Event.DELETED}


class Judge:
    """Turns looks into steps, or into results where nothing has to be done."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._writers = Writers(crew)
        self._etags_tell = True  # an ETag that looks like an MD5 is one, as far as was seen

    async def prepare(self, looks: Sequence[Look]) -> None:
        """What is asked for all of a batch at once. Before `judge`."""
        await self._writers.ask(looks)

    async def judge(self, look: Look) -> Step | Result | None:
        """What to do; None = the path has to be looked at again later, and is in Dirty again."""
        crew = self._crew
        if look.excluded:
            return Result(look.path, keep_base=look.base is None)
        if self._is_fresh(look):
            crew.dirty.later(look.mark, crew.clock.monotonic() + TICK_S)
            return None
        self._look_below(look)
        doubtful = await self._is_doubtful(look)
        decision = decide(look.path, look.base, look.files, look.lake, crew.rule)
        if decision is not None and look.listed and decision.verb is not Verb.IMPORT:
            await crew.observer.ask_lake([look])
            decision = decide(look.path, look.base, look.files, look.lake, crew.rule)
        if decision is not None and decision.verb is Verb.COMPARE:
            try:
                files, lake = _both(decision)
                look.same_bytes = await same_content(look.path, (crew.files, files), (crew.lake, lake))
            except LakelinkError as error:
                return self.failed(look, error)
            decision = decide(look.path, look.base, look.files, look.lake, crew.rule, same_bytes=look.same_bytes)
        decision = await self._untorn(decision, doubtful=doubtful)
        if decision is not None and decision.verb is Verb.EXPORT and await self._is_only_touched(look):
            decision = decide(look.path, look.base, look.files, look.lake, crew.rule)
        if decision is None and await self._is_other_content(look):
            decision = decide(look.path, look.base, look.files, look.lake, crew.rule)
        return await self._concluded(look, decision)

    async def _concluded(self, look: Look, decision: Decision | None) -> Step | Result | None:
        if decision is None or decision.verb is Verb.ADOPT:
            needed = await self._is_needed(look, decision)
            if needed is not None:
                return self.failed(look, needed)
        if decision is None:
            return self._unchanged(look)
        return None if await self._writers.keeps_back(look, decision.verb) else self._act(look, decision)

    async def _is_needed(self, look: Look, decision: Decision | None) -> LakelinkError | None:
        """Why both sides cannot agree on what is there yet: of a lazy link the file that was known for the object may stand for it elsewhere."""
        if decision is not None:
            return await self._crew.effects().adoptable(Step(look, Verb.ADOPT, decision.files, decision.lake))
        files, lake = look.files, look.lake
        if not isinstance(files, Entry) or not isinstance(lake, Entry) or not is_stub(files):
            return None
        return await self._crew.effects().adoptable(Step(look, Verb.ADOPT, files, lake))

    async def _is_doubtful(self, look: Look) -> bool:
        """Whether nobody can tell if the file is somebody's, or what is left of an import that the last process had begun."""
        crew = self._crew
        # A hole may stand for what is there; and what is held of the lake is not forgotten because something was heard of the files side.
        if not look.lake_seen and (is_doubtful_hole(look.files) or (look.base is None and self._is_held(look.path))):
            await crew.observer.ask_lake([look])
        if look.path not in crew.placing:
            return False
        if not look.lake_seen:
            await crew.observer.ask_lake([look])
        return await is_doubtful(look, crew.placing[look.path], crew.files)

    def _look_at_names(self, look: Look) -> None:
        """A file that stood for an object that is gone may have other names, which stand for objects of their own then."""
        crew, base = self._crew, look.base
        version = base.files.version if base and crew.lazy else None
        for path, _ in crew.journal.by_inode([version.ino]).get(version.ino, ()) if version else ():
            if path != look.path:
                crew.note_both(path, crew.clock.monotonic())

    def _is_held(self, path: str) -> bool:
        journal = self._crew.journal
        return journal.counts["held"] > 0 and journal.is_held(path)

    async def _untorn(self, decision: Decision | None, *, doubtful: bool) -> Decision | None:
        """A file that is a part of what an import had begun to put there is no change of anybody's, and no conflict; one that may be is kept apart."""
        crew = self._crew
        if decision is None or decision.path not in crew.placing:
            return decision
        if decision.verb in _TORN:
            files, lake = _both(decision)
            with suppress(LakelinkError):  # a side moved: somebody works on it
                if await is_torn_copy(decision.path, (crew.files, files), (crew.lake, lake)):
                    return replace(decision, verb=Verb.IMPORT, reason="a power failure left a part of it")
        if doubtful and decision.verb in APART:
            return replace(decision, verb=Verb.KEEP_BOTH, reason="perhaps a part of an import that was cut off")
        return decision

    def _is_fresh(self, look: Look) -> bool:
        """Whether the file could still be written to without a change of its version."""
        files, base, clock = look.files, look.base, self._crew.clock
        if not isinstance(files, Entry) or files.kind is not Kind.FILE or files.version is None:
            return False
        if base is not None and base.files.version == files.version:
            return False
        age_ns = clock.time_ns() - files.version.time_ns
        return 0 <= age_ns < TICK_S * SECOND_NS and clock.monotonic() - look.mark.since_s < TICK_PATIENCE_S

    def _look_below(self, look: Look) -> None:
        """A directory that is none any more takes all that was in it along, and nobody may have told of that."""
        crew, base = self._crew, look.base
        if base is None or base.files.kind is not Kind.DIR:
            return
        for side, now in ((FILES, look.files), (LAKE, look.lake)):
            if now is None or (isinstance(now, Entry) and now.kind is not Kind.DIR):
                now_s = crew.clock.monotonic()
                inside = crew.journal.below(look.path, MOST_BELOW + 1)
                if len(inside) > MOST_BELOW:
                    if look.path not in crew.doomed:  # else that survey is what shows it now
                        crew.survey_below(side, look.path)
                    continue
                for path in inside:
                    if path not in crew.dirty and path not in crew.doomed:
                        crew.dirty.note(path, side, now_s)

    async def _is_only_touched(self, look: Look) -> bool:
        """Whether only the time of a file moved: its bytes are those that the ETag of the object is the MD5 of. Then there is nothing to upload."""
        base, files = look.base, look.files
        if base is None or not isinstance(files, Entry) or base.lake.version is None:
            return False
        etag = base.lake.version.etag
        if files.size_bytes != base.files.size_bytes or not await self._is_content(look.path, files, etag):
            return False
        known = b"md5:" + bytes.fromhex(etag)
        look.files = replace(files, digest=known)
        look.base = Agreed(replace(base.files, digest=known), base.lake)
        return True

    async def _is_other_content(self, look: Look) -> bool:
        """Whether a file of which something was heard has other bytes than agreed, although its inode, size and time are the same.

        An archive that is unpacked over an older one removes each file and makes it anew: with the inode that has just become free, and with the
        time of whole seconds that its maker gave to every file. Only small files are asked, by the ETag that is an MD5; where it looks like one
        and is none, the object's bytes say so once.
        """
        base, files, mark = look.base, look.files, look.mark
        # A name that we have linked is heard of, but never closed.
        if base is None or not mark.files or mark.unsettled or not isinstance(files, Entry):
            return False
        if files.kind is not Kind.FILE or not files.size_bytes or files.version is None or files.origin is not None:
            return False  # an inode that was made anew has no origin
        etag = base.lake.version.etag if base.lake.version else ""
        if files.version != base.files.version or files.version.time_ns % SECOND_NS:
            return False
        if not self._etags_tell or not is_md5(etag) or await self._is_content(look.path, files, etag):
            return False
        sides = (self._crew.files, replace(files, digest=b"")), (self._crew.lake, replace(base.lake, digest=b""))
        try:
            if await same_content(look.path, *sides):
                self._etags_tell = False
                return False
        except LakelinkError:
            return False  # a side moved: that is noticed by itself
        look.base = Agreed(replace(base.files, version=None, digest=b""), base.lake)
        return True

    async def _is_content(self, path: str, files: Entry, etag: str) -> bool:
        return await is_object(path, self._crew.files, files, etag)

    async def find_origins(self, steps: Sequence[Step]) -> None:
        """New files whose inode is that of an agreed path, unchanged, were renamed or linked: the store has their bytes already.

        The inode of a removed file is given to the next new one. Archives give times of whole seconds, often the same to every file, so that only
        its bytes tell such a file from a renamed one; a time that a clock gave says enough.
        """
        new = [s for s in steps if s.verb is Verb.EXPORT and s.look.base is None and s.lake is None and s.files]
        known = self._crew.journal.by_inode([s.files.version.ino for s in new if s.files and s.files.version])
        self._find_moved_stubs(new)
        for step in new if known else []:
            files = step.files
            if is_stub(files):
                continue
            for path, agreed in known.get(files.version.ino, ()) if files and files.version else ():
                if files is None or agreed.files.kind is not files.kind:
                    continue
                if files.kind is Kind.DIR:
                    self._crew.doomed.renamed(path)
                elif (
                    files.size_bytes
                    and agreed.lake.version
                    and agreed.files.version == files.version
                    and (
                        (files.version and files.version.time_ns % SECOND_NS)
                        or await self._is_content(step.path, files, agreed.lake.version.etag)
                    )
                ):
                    self._crew.doomed.renamed(path)
                    step.origin = (path, agreed)

    def _find_moved_stubs(self, new: Sequence[Step]) -> None:
        """A stub names the object that has its bytes: no brake counts that one's deletion."""
        for step in new:
            if step.files is not None and is_stub(step.files) and step.files.origin is not None:
                self._crew.doomed.renamed(step.files.origin.path)
                step.moved = True

    def _unchanged(self, look: Look) -> Result:
        """Both sides are as agreed. What only names the version may have moved; the next survey is spared a question."""
        base = look.base
        if (
            base is not None
            and look.lake_seen
            and isinstance(look.lake, Entry)
            and look.lake.version != base.lake.version
        ):
            return Result(look.path, keep_base=False, base=Agreed(base.files, look.lake))
        return Result(look.path)

    def _act(self, look: Look, decision: Decision) -> Step | Result | None:
        path, verb = look.path, decision.verb
        if verb is Verb.WAIT:
            return self.failed(look, look.error or _unknown(look))
        if verb is Verb.HOLD:
            return Result(path, held=_held(look))
        if verb is Verb.FORGET:
            self._look_at_names(look)
            return Result(path, keep_base=False)
        if verb is Verb.ADOPT:
            files, lake = _both(decision)
            return Result(path, keep_base=False, base=Agreed(files, lake))
        if verb in DELETES and not look.mark.condemned:
            side = FILES if verb is Verb.EXPORT_DELETE else LAKE
            mark, now_s = look.mark, self._crew.clock.monotonic()
            self._crew.doomed.add(
                path, side, now_s, directory=_is_directory(look), attempts=mark.attempts, number=mark.number
            )
            return None
        if self._is_blocked(look, decision):
            # It was tried: what is in the directory on the other side is there to stay. So it is a conflict after all, and the file steps aside.
            reason = "a file against a directory that is not empty"
            events = self._crew.rule.imports if verb is Verb.EXPORT else self._crew.rule.exports
            aside = Verb.KEEP_BOTH if verb is Verb.EXPORT else Verb.MAKE_WAY
            verb = aside if events & {Event.NEW, Event.CHANGED} else Verb.STAND
            decision = replace(decision, verb=verb, reason=reason)
        if verb in (Verb.EXPORT, Verb.IMPORT) and (error := self._name_error(decision)) is not None:
            return self.failed(look, error)
        if verb is Verb.STAND:
            step = Step(look, verb, decision.files, decision.lake, decision.reason)
            return Result(path, clash=clash_of(step, self._crew.rule.conflict))
        lazy = self._crew.lazy
        as_stub = lazy is not None and verb is Verb.IMPORT and lazy.makes_stub(decision.files)
        return Step(look, verb, decision.files, decision.lake, decision.reason, as_stub=as_stub)

    def _is_blocked(self, look: Look, decision: Decision) -> bool:
        """Whether a file cannot take the place of a directory, although nothing in that one is about to go."""
        new, old = decision.files, decision.lake
        if decision.verb is Verb.IMPORT:
            new, old = old, new
        elif decision.verb is not Verb.EXPORT:
            return False
        if new is None or old is None or new.kind is Kind.DIR or old.kind is not Kind.DIR:
            return False
        crew = self._crew
        return look.mark.attempts >= BLOCKED_ATTEMPTS and not crew.doomed.has_below(look.path)

    def _waits_for_deletions(self, look: Look) -> bool:
        """Whether something takes the place of a directory from which agreed paths are about to go."""
        base, crew = look.base, self._crew
        if base is None or base.files.kind is not Kind.DIR or not len(crew.doomed):
            return False
        return crew.doomed.has_below(look.path)

    def _name_error(self, decision: Decision) -> NameUnsupported | None:
        """Why the other side cannot hold that name."""
        exporting = decision.verb is Verb.EXPORT
        entry = decision.files if exporting else decision.lake
        side = self._crew.lake if exporting else self._crew.files
        problem = side.name_problem(decision.path, entry.kind if entry else Kind.FILE)
        if problem is None:
            return None
        return NameUnsupported(
            f"{display(decision.path)}: {problem}", hint="Rename it, or exclude it; everything else goes on."
        )

    def failed(self, look: Look, error: LakelinkError) -> Result | None:
        """Look again soon where that may help; else it is listed as a problem, and tried again at growing intervals."""
        crew, mark = self._crew, look.mark
        crew.tally.errors[error.code] += 1
        if error.retry is not Retry.NEVER and self._waits_for_deletions(look):
            # They end by themselves, and only then is it known whether this one fails: until then no attempt counts towards giving up.
            mark.attempts = min(mark.attempts, 1)
        if error.retry is not Retry.NEVER and mark.attempts < QUICK_ATTEMPTS:
            pause_s = PAUSE_S * 2**mark.attempts * (0.5 + crew.random.uniform()) if mark.attempts else 0.0
            crew.dirty.again(mark, crew.clock.monotonic() + pause_s if pause_s else 0.0)
            return None
        attempts = max(0, mark.attempts - QUICK_ATTEMPTS if error.retry is not Retry.NEVER else mark.attempts)
        pause_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(attempts, 16))
        again_ns = crew.clock.time_ns() + int(pause_s * SECOND_NS)
        trouble = Trouble(problem_of(look.path, error), mark.attempts + 1, again_ns)
        return Result(look.path, trouble=trouble, keep_intent=look.path in crew.placing)


def _unknown(look: Look) -> LakelinkError:
    """Why a side that answered is unknown all the same."""
    if isinstance(look.files, Entry) and not look.files.resident:
        return ContentUnknown(
            f"{display(look.path)} has the size of its object and not one byte, and nothing says that zeros are meant",
            hint="It may have lost its attributes in a copy or a restore: `lakelink hsm restore` takes the lake's version. If its zeros are meant, "
            "`lakelink hsm accept` says so.",
        )
    return LakelinkError("a side could not be looked at")


def _both(decision: Decision) -> tuple[Entry, Entry]:
    if decision.files is None or decision.lake is None:
        raise AssertionError
    return decision.files, decision.lake


def _is_directory(look: Look) -> bool:
    entry = look.files if isinstance(look.files, Entry) else look.lake
    return isinstance(entry, Entry) and entry.kind is Kind.DIR


def _held(look: Look) -> Held:
    base = look.base
    mine = delta(base.files if base else None, look.files)
    theirs = delta(base.lake if base else None, look.lake)
    side, moved = (FILES, mine) if mine is not Delta.SAME else (LAKE, theirs)
    return Held(look.path, side, _EVENTS.get(moved, Event.CHANGED))
