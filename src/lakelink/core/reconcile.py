"""The meaning of a link, as one pure function: from the base and one observation of each side to what is to be done.

The table is that of a three-way merge in which a change is never dropped: what only one side did is carried to the other, what both did
alike is adopted, what both did differently is a conflict. A deletion loses to a modification, since the modifier had bytes that the deleter
had not seen. What a policy does not carry is held: the base stays, so that nothing is resurrected later, and a change on the other side of it is
a conflict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lakelink.core.delta import Delta, delta, known_equal, same_posix
from lakelink.core.residency import files_delta, is_outdated, is_stub, settled
from lakelink.model.entry import Entry, Kind
from lakelink.model.link import Agreed, ConflictRule, Event, Rule, Unknown
from lakelink.model.plan import CONFLICTS, Decision, Plan, Verb

Side = Entry | None | Unknown
_EVENT = {
    Delta.NEW: Event.NEW,
    Delta.CONTENT: Event.CHANGED,
    Delta.METADATA: Event.CHANGED,
    Delta.DELETED: Event.DELETED,
}
_EXPORT = {
    Delta.NEW: Verb.EXPORT,
    Delta.CONTENT: Verb.EXPORT,
    Delta.METADATA: Verb.EXPORT_METADATA,
    Delta.DELETED: Verb.EXPORT_DELETE,
}
_IMPORT = {
    Delta.NEW: Verb.IMPORT,
    Delta.CONTENT: Verb.IMPORT,
    Delta.METADATA: Verb.IMPORT_METADATA,
    Delta.DELETED: Verb.IMPORT_DELETE,
}


def decide(
    path: str, base: Agreed | None, files: Side, lake: Side, rule: Rule, *, same_bytes: bool | None = None
) -> Decision | None:
    """What to do about one path; None = nothing. A pure function of its arguments: the same observations, the same answer.

    `same_bytes` is the answer to an earlier COMPARE of these very versions.
    """
    files = settled(files, lake, base)
    mine = files_delta(path, base, files)
    theirs = delta(base.lake if base else None, lake)
    if isinstance(files, Unknown) or isinstance(lake, Unknown) or Delta.UNKNOWN in (mine, theirs):
        return Decision(path, Verb.WAIT, None, None, "a side could not be looked at")
    if mine is Delta.SAME and theirs is Delta.SAME:
        return None
    # Both sides are known, and at least one of them moved.
    if files is None and lake is None:
        return Decision(path, Verb.FORGET, None, None, "gone on both sides")
    if mine is Delta.STALE and theirs is Delta.SAME:
        return _renew(path, files, lake, rule)
    if theirs is Delta.SAME:
        carried = _EVENT[mine] in rule.exports
        return Decision(path, _EXPORT[mine] if carried else Verb.HOLD, files, lake, f"files: {mine.value}")
    if mine is Delta.SAME:
        carried = _EVENT[theirs] in rule.imports
        return Decision(path, _IMPORT[theirs] if carried else Verb.HOLD, files, lake, f"lake: {theirs.value}")
    return _both(path, (mine, files), (theirs, lake), rule, same_bytes)


def _both(
    path: str,
    mine: tuple[Delta, Entry | None],
    theirs: tuple[Delta, Entry | None],
    rule: Rule,
    same_bytes: bool | None,
) -> Decision:
    """Both sides moved since they were equal, and at least one still has something there."""
    files, lake = mine[1], theirs[1]
    if files is None:
        return _one_deleted(path, theirs[0], (files, lake), rule, deleted_by_files=True)
    if lake is None:
        return _one_deleted(path, mine[0], (files, lake), rule, deleted_by_files=False)
    # Something is there on both sides.
    known = known_equal(files, lake)
    equal = same_bytes if known is None else known
    if equal and same_posix(files, lake):
        return Decision(path, Verb.ADOPT, files, lake, "both sides did the same")
    if mine[0] is Delta.METADATA and theirs[0] is Delta.METADATA:
        equal = True  # neither touched its bytes, and these were equal
    if equal:
        return _metadata(path, files, lake, rule)
    if is_outdated(path, files, lake):
        return _renew(path, files, lake, rule)
    if mine[0] is Delta.METADATA:
        return _carry(path, Verb.IMPORT, files, lake, rule)
    if theirs[0] is Delta.METADATA:
        return _carry(path, Verb.EXPORT, files, lake, rule)
    if equal is None and not is_stub(files):
        return Decision(path, Verb.COMPARE, files, lake, "both sides changed; only the bytes can tell")
    return _conflict(path, files, lake, rule)


def _one_deleted(
    path: str, other: Delta, sides: tuple[Entry | None, Entry | None], rule: Rule, *, deleted_by_files: bool
) -> Decision:
    """One side deleted. If the other only touched metadata, the deleter had seen every byte, and the deletion stands; else the bytes survive."""
    files, lake = sides
    if other in (Delta.METADATA, Delta.STALE):
        verb, carried = (
            (Verb.EXPORT_DELETE, Event.DELETED in rule.exports)
            if deleted_by_files
            else (Verb.IMPORT_DELETE, Event.DELETED in rule.imports)
        )
        return Decision(
            path, verb if carried else Verb.HOLD, files, lake, "deleted on one side, metadata changed on the other"
        )
    verb, events = (Verb.IMPORT, rule.imports) if deleted_by_files else (Verb.EXPORT, rule.exports)
    carried = Event.CHANGED in events or Event.NEW in events
    return Decision(
        path, verb if carried else Verb.HOLD, files, lake, "deleted on one side, modified on the other: it survives"
    )


def _metadata(path: str, files: Entry, lake: Entry, rule: Rule) -> Decision:
    """The bytes are equal and the metadata is not: no byte is at stake, so one side's metadata is taken."""
    prefer_lake = rule.conflict is ConflictRule.LAKE or (
        rule.conflict is ConflictRule.NEWEST and _lake_is_newer(files, lake)
    )
    order = (
        (Verb.IMPORT_METADATA, Verb.EXPORT_METADATA) if prefer_lake else (Verb.EXPORT_METADATA, Verb.IMPORT_METADATA)
    )
    for verb in order:
        if Event.CHANGED in (rule.exports if verb is Verb.EXPORT_METADATA else rule.imports):
            return Decision(path, verb, files, lake, "equal content, other metadata")
    return Decision(path, Verb.ADOPT, files, lake, "equal content; no policy carries its metadata")


def _renew(path: str, files: Entry | None, lake: Entry | None, rule: Rule) -> Decision:
    """A stub of a version that is not there any more: nothing of it is this side's own, so it is made anew."""
    carried = Event.CHANGED in rule.imports
    return Decision(path, Verb.IMPORT if carried else Verb.HOLD, files, lake, "a stub of another version")


def _carry(path: str, verb: Verb, files: Entry, lake: Entry, rule: Rule) -> Decision:
    """One side has new bytes and the other only new metadata: the bytes win, with the metadata they came with."""
    events = rule.exports if verb is Verb.EXPORT else rule.imports
    return Decision(
        path, verb if Event.CHANGED in events else Verb.HOLD, files, lake, "new content against new metadata"
    )


def _conflict(path: str, files: Entry, lake: Entry, rule: Rule) -> Decision:
    may_import = bool(rule.imports & {Event.CHANGED, Event.NEW})
    may_export = bool(rule.exports & {Event.CHANGED, Event.NEW})
    if files.kind is Kind.DIR or lake.kind is Kind.DIR:
        # A directory cannot be a conflict copy as a whole: the other thing steps aside.
        verb, allowed = (Verb.MAKE_WAY, may_export) if files.kind is Kind.DIR else (Verb.KEEP_BOTH, may_import)
        return Decision(path, verb if allowed else Verb.STAND, files, lake, "a directory against something else")
    rules = {
        ConflictRule.KEEP_BOTH: Verb.KEEP_BOTH,
        ConflictRule.FILES: Verb.TAKE_FILES,
        ConflictRule.LAKE: Verb.TAKE_LAKE,
        ConflictRule.NEWEST: Verb.TAKE_LAKE if _lake_is_newer(files, lake) else Verb.TAKE_FILES,
    }
    verb = rules[rule.conflict]
    allowed = may_export if verb is Verb.TAKE_FILES else may_import
    return Decision(path, verb if allowed else Verb.STAND, files, lake, "both sides changed")


def _lake_is_newer(files: Entry, lake: Entry) -> bool:
    """Only for the rule `newest`, which the user chose knowing that clocks differ. A tie goes to the lake, which others see."""
    mine = files.posix.mtime_ns if files.posix else 0
    theirs = lake.posix.mtime_ns if lake.posix else (lake.version.time_ns if lake.version else 0)
    return theirs >= mine


def reconcile(
    base: Mapping[str, Agreed],
    files: Mapping[str, Entry | Unknown],
    lake: Mapping[str, Entry | Unknown],
    rule: Rule,
    paths: Iterable[str],
) -> Plan:
    """The plan for `paths` (dirty ones, or all). A path that a mapping does not have is absent on that side: only complete observations may
    be given. Steps are in an order in which they can be carried out: deletions from the deepest up, then creations from the top down.
    """
    plan = Plan()
    removals: list[Decision] = []
    for path in sorted(set(paths)):
        decision = decide(path, base.get(path), files.get(path), lake.get(path), rule)
        if decision is None:
            continue
        if decision.verb in CONFLICTS:
            plan.conflicts.append(decision)
        if decision.verb is Verb.WAIT:
            plan.waiting.append(path)
        elif decision.verb is Verb.HOLD:
            plan.held.append(decision)
        elif decision.verb is Verb.COMPARE:
            plan.compare.append(decision)
        elif decision.verb in (Verb.EXPORT_DELETE, Verb.IMPORT_DELETE):
            removals.append(decision)
        elif decision.verb is not Verb.STAND:
            plan.steps.append(decision)
    plan.steps = [*reversed(removals), *plan.steps]
    return plan
