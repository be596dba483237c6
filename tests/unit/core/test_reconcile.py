"""Every combination of base, files, lake, kinds and rules in a small world."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from lakelink.core.delta import Delta, delta, known_equal, same_posix
from lakelink.core.reconcile import decide, reconcile
from lakelink.core.residency import files_delta, is_outdated, is_stub
from lakelink.model.entry import Entry, Kind, Origin, Posix, Version
from lakelink.model.link import ALL_EVENTS, UNKNOWN, Agreed, ConflictRule, Event, Rule
from lakelink.model.plan import CONFLICTS, Verb


def entry(
    data: str, *, side: str, kind: Kind = Kind.FILE, mtime: int = 1, mode: int = 0o644, digest: bool = True
) -> Entry:
    """What a side sees of a thing whose content is named by a word: the ETag and the inode follow the content, the digest may be unknown."""
    number = sum(map(ord, data)) + mode
    version = Version(1, mtime, ino=number) if side == "files" else Version(1, mtime + mode, etag=data)
    return Entry(
        kind=kind,
        size_bytes=1,
        posix=Posix(mode, 0, 0, mtime, mtime),
        version=version,
        digest=b"md5:" + data.encode() if digest and kind is Kind.FILE else b"",
        target=data if kind is Kind.SYMLINK else None,
    )


def stub(data: str, *, path: str = "p", mtime: int = 1, mode: int = 0o644) -> Entry:
    """A file without bytes that stands for an object, by the word that is its content."""
    origin = Origin("s3://lake", path, Version(1, 0, etag=data))
    return replace(entry(data, side="files", mtime=mtime, mode=mode, digest=False), resident=False, origin=origin)


def absent_bytes() -> dict[str, Entry]:
    """What the files side alone can be."""
    hole = replace(entry("zeros", side="files", mtime=6, digest=False), resident=False)
    return {
        "stub": stub("old"),
        "stub, chmod": stub("old", mode=0o600),
        "stub, touched": stub("old", mtime=9),
        "stub of the new object": stub("new", mtime=4),
        "stub of an object that is gone": stub("gone", mtime=7),
        "stub moved here": stub("elsewhere", path="q", mtime=8),
        "loaded": replace(stub("old"), resident=True),
        "loaded, edited": replace(entry("mine", side="files", mtime=5), origin=stub("old").origin, size_bytes=3),
        "hole": hole,
        "hole of another size": replace(hole, size_bytes=2, version=Version(2, 6, ino=5)),
    }


def states(side: str) -> dict[str, Entry | object | None]:
    return {
        "absent": None,
        "same": entry("old", side=side),
        "chmod": entry("old", side=side, mode=0o600),
        "edited": entry("new", side=side, mtime=5 if side == "files" else 4),
        "edited otherwise": entry("other-" + side, side=side, mtime=3),
        "edited unseen": entry("dark-" + side, side=side, mtime=2, digest=False),
        "directory": entry("", side=side, kind=Kind.DIR),
        "link": entry("there", side=side, kind=Kind.SYMLINK),
        "unknown": UNKNOWN,
        "problem": Entry(kind=Kind.PROBLEM),
    }


BASE = Agreed(entry("old", side="files"), entry("old", side="lake"))
POLICIES = [ALL_EVENTS, frozenset[Event](), frozenset({Event.NEW, Event.CHANGED}), frozenset({Event.DELETED})]
RULES = [Rule(i, e, c) for i in POLICIES for e in POLICIES for c in ConflictRule]
FILES = states("files") | absent_bytes()
WORLD = list(itertools.product([None, BASE], FILES.items(), states("lake").items(), RULES))

TO_LAKE = {Verb.EXPORT, Verb.EXPORT_METADATA, Verb.EXPORT_DELETE}
TO_FILES = {Verb.IMPORT, Verb.IMPORT_METADATA, Verb.IMPORT_DELETE}


def seen(base: Agreed | None, side: str, now: Entry | None) -> bool:
    """Whether every byte of a side was part of the base, or there is none."""
    then = getattr(base, side) if base else None
    moved = files_delta("p", base, now) if side == "files" else delta(then, now)
    return now is None or moved in (Delta.SAME, Delta.METADATA, Delta.STALE)


@pytest.mark.parametrize("base", [None, BASE], ids=["no base", "base"])
def test_no_byte_that_the_other_side_has_not_seen_is_overwritten_or_deleted(base):
    for known, (_, files), (_, lake), rule in WORLD:
        if known is not base:
            continue
        decision = decide("p", base, files, lake, rule)
        if decision is None:
            continue
        if decision.verb in TO_LAKE:
            assert seen(base, "lake", lake) or known_equal(files, lake)
        if decision.verb in TO_FILES:
            assert seen(base, "files", files) or known_equal(files, lake) or is_outdated("p", files, lake)


def test_what_has_no_bytes_is_never_compared_by_them():
    for base, (_, files), (_, lake), rule in WORLD:
        if isinstance(files, Entry) and not files.resident and files.size_bytes == 1:
            decision = decide("p", base, files, lake, rule)
            assert decision is None or decision.verb is not Verb.COMPARE


def test_a_hole_of_the_size_of_its_object_is_unknown():
    for base, (_, lake), rule in itertools.product([None, BASE], states("lake").items(), RULES):
        decision = decide("p", base, FILES["hole"], lake, rule)
        of_object = isinstance(lake, Entry) and lake.size_bytes == 1
        assert (decision.verb is Verb.WAIT) is bool(
            base or of_object or lake is UNKNOWN or lake == states("lake")["problem"]
        )


def test_a_hole_of_another_size_is_zeros_that_somebody_meant():
    assert decide("p", None, FILES["hole of another size"], None, Rule()).verb is Verb.EXPORT
    assert decide("p", BASE, FILES["hole of another size"], BASE.lake, Rule()).verb is Verb.EXPORT


def test_a_stub_of_its_own_object_never_replaces_bytes_of_the_lake():
    for base, (one, files), (_, lake), rule in WORLD:
        if not is_stub(files) or one == "stub moved here" or lake is None:
            continue
        decision = decide("p", base, files, lake, rule)
        assert decision is None or decision.verb not in CONFLICTS | {Verb.EXPORT}


STUBS = [
    (None, "stub", "same", Verb.ADOPT),
    (None, "stub, chmod", "same", Verb.EXPORT_METADATA),
    (None, "stub", "edited", Verb.IMPORT),
    (None, "stub", "directory", Verb.IMPORT),
    (None, "stub moved here", "absent", Verb.EXPORT),
    (None, "stub moved here", "same", Verb.KEEP_BOTH),
    (None, "loaded", "same", Verb.ADOPT),
    (BASE, "loaded", "same", None),
    (BASE, "loaded", "edited", Verb.IMPORT),
    (BASE, "loaded, edited", "edited", Verb.KEEP_BOTH),
    (BASE, "stub", "same", None),
    (BASE, "stub, touched", "same", Verb.EXPORT_METADATA),
    (BASE, "stub", "edited", Verb.IMPORT),
    (BASE, "stub", "absent", Verb.IMPORT_DELETE),
    (BASE, "stub of the new object", "edited", Verb.ADOPT),
    (BASE, "stub of an object that is gone", "same", Verb.IMPORT),
    (BASE, "stub of an object that is gone", "edited", Verb.IMPORT),
    (BASE, "stub of an object that is gone", "absent", Verb.IMPORT_DELETE),
    (BASE, "stub moved here", "same", Verb.EXPORT),
    (BASE, "stub moved here", "edited", Verb.KEEP_BOTH),
    (BASE, "stub moved here", "absent", Verb.EXPORT),
]


@pytest.mark.parametrize(("base", "files", "lake", "verb"), STUBS)
def test_the_table_of_stubs(base, files, lake, verb):
    decision = decide("p", base, FILES[files], states("lake")[lake], Rule())
    assert (decision.verb if decision else None) is verb


def test_an_outdated_stub_is_held_where_changes_are_not_imported():
    rule = Rule(imports=frozenset({Event.NEW}))
    assert decide("p", BASE, FILES["stub of an object that is gone"], BASE.lake, rule).verb is Verb.HOLD


def test_a_stub_stands_for_an_object_only_by_its_etag():
    assert known_equal(stub("old"), replace(BASE.lake, version=None)) is None
    assert known_equal(replace(stub("old"), origin=None), BASE.lake) is None
    assert known_equal(BASE.lake, stub("old")) is True
    assert not is_outdated("p", BASE.files, BASE.lake)
    directory = Agreed(entry("", side="files", kind=Kind.DIR), entry("", side="lake", kind=Kind.DIR))
    assert files_delta("p", directory, stub("old")) is Delta.STALE


def test_an_unknown_side_is_waited_for():
    for base, (one, files), (other, lake), rule in WORLD:
        if {"unknown", "problem"} & {one, other}:
            assert decide("p", base, files, lake, rule).verb is Verb.WAIT


def test_nothing_is_done_that_the_policies_do_not_carry():
    for base, (_, files), (_, lake), rule in WORLD:
        decision = decide("p", base, files, lake, rule)
        if decision is None:
            continue
        if not rule.exports:
            assert decision.verb not in TO_LAKE | {Verb.TAKE_FILES, Verb.MAKE_WAY}
        if not rule.imports:
            assert decision.verb not in TO_FILES | {Verb.TAKE_LAKE, Verb.KEEP_BOTH}
        if decision.verb is Verb.EXPORT_DELETE:
            assert Event.DELETED in rule.exports
        if decision.verb is Verb.IMPORT_DELETE:
            assert Event.DELETED in rule.imports


def test_without_a_base_nothing_is_ever_deleted():
    for base, (_, files), (_, lake), rule in WORLD:
        decision = decide("p", base, files, lake, rule)
        if base is None and decision is not None:
            assert decision.verb not in {Verb.EXPORT_DELETE, Verb.IMPORT_DELETE}


def settle(decision, base):
    """What the executor leaves behind, symbolically: (base, files, lake)."""
    files, lake = decision.files, decision.lake

    def as_lake(one: Entry) -> Entry:
        name = one.digest[4:].decode() or (one.target or "")
        name = one.origin.version.etag if one.origin else name
        one = replace(one, resident=True, origin=None)
        return replace(one, version=Version(1, one.posix.mtime_ns + one.posix.mode, etag=name))

    def as_files(one: Entry) -> Entry:
        return replace(one, version=Version(1, one.posix.mtime_ns, ino=7))

    match decision.verb:
        case Verb.EXPORT | Verb.EXPORT_METADATA | Verb.TAKE_FILES | Verb.MAKE_WAY:
            lake = as_lake(files)
            if files.origin:  # it stands for the object at its own path from now on
                files = replace(files, origin=Origin("s3://lake", "p", lake.version))
            elif not files.resident:  # zeros that were exported are marked as ours
                files = replace(files, resident=True)
        case Verb.IMPORT | Verb.IMPORT_METADATA | Verb.TAKE_LAKE | Verb.KEEP_BOTH:
            files = as_files(lake)
        case Verb.EXPORT_DELETE | Verb.IMPORT_DELETE | Verb.FORGET:
            return None, None, None
        case Verb.HOLD | Verb.STAND | Verb.COMPARE | Verb.WAIT:
            return base, files, lake
    return Agreed(files, lake), files, lake


def test_one_step_settles_every_path_and_then_there_is_silence():
    for base, (one, files), (other, lake), rule in WORLD:
        if {"unknown", "problem"} & {one, other}:
            continue
        decision = decide("p", base, files, lake, rule)
        if decision is None or decision.verb in {Verb.HOLD, Verb.STAND, Verb.COMPARE, Verb.WAIT}:
            continue
        assert decide("p", *settle(decision, base), rule) is None


def test_what_is_held_or_stands_is_decided_the_same_way_each_time():
    for base, (_, files), (_, lake), rule in WORLD:
        assert decide("p", base, files, lake, rule) == decide("p", base, files, lake, rule)


def test_with_all_events_only_conflicts_comparisons_and_unknowns_are_left_open():
    for base, (_, files), (_, lake), rule in WORLD:
        if rule.imports == rule.exports == ALL_EVENTS:
            decision = decide("p", base, files, lake, rule)
            assert decision is None or decision.verb is not Verb.HOLD


TABLE = [
    (None, "edited", "absent", Verb.EXPORT),
    (None, "absent", "edited", Verb.IMPORT),
    (None, "edited", "edited otherwise", Verb.KEEP_BOTH),
    (None, "edited unseen", "edited", Verb.COMPARE),
    (BASE, "same", "same", None),
    (BASE, "edited", "same", Verb.EXPORT),
    (BASE, "same", "edited", Verb.IMPORT),
    (BASE, "chmod", "same", Verb.EXPORT_METADATA),
    (BASE, "same", "chmod", Verb.IMPORT_METADATA),
    (BASE, "absent", "same", Verb.EXPORT_DELETE),
    (BASE, "same", "absent", Verb.IMPORT_DELETE),
    (BASE, "absent", "absent", Verb.FORGET),
    (BASE, "absent", "edited", Verb.IMPORT),
    (BASE, "edited", "absent", Verb.EXPORT),
    (BASE, "absent", "chmod", Verb.EXPORT_DELETE),
    (BASE, "chmod", "absent", Verb.IMPORT_DELETE),
    (BASE, "chmod", "chmod", Verb.ADOPT),
    (BASE, "chmod", "edited", Verb.IMPORT),
    (BASE, "edited", "chmod", Verb.EXPORT),
    (BASE, "edited", "edited otherwise", Verb.KEEP_BOTH),
    (BASE, "link", "same", Verb.EXPORT),
    (BASE, "edited", "directory", Verb.KEEP_BOTH),
    (BASE, "directory", "edited", Verb.MAKE_WAY),
    (BASE, "directory", "directory", Verb.ADOPT),
    (BASE, "link", "link", Verb.ADOPT),
]


@pytest.mark.parametrize(("base", "files", "lake", "verb"), TABLE)
def test_the_table_of_the_documentation(base, files, lake, verb):
    decision = decide("p", base, states("files")[files], states("lake")[lake], Rule())
    assert (decision.verb if decision else None) is verb


@pytest.mark.parametrize(
    ("rule", "verb"),
    [
        (ConflictRule.FILES, Verb.TAKE_FILES),
        (ConflictRule.LAKE, Verb.TAKE_LAKE),
        (ConflictRule.NEWEST, Verb.TAKE_FILES),
    ],
)
def test_conflict_rules_choose_whose_change_stands(rule, verb):
    decision = decide("p", BASE, states("files")["edited"], states("lake")["edited otherwise"], Rule(conflict=rule))
    assert decision.verb is verb
    assert decision.verb in CONFLICTS


def test_the_newest_is_the_lakes_when_its_time_is_later_and_by_last_modified_when_that_is_all_there_is():
    rule = Rule(conflict=ConflictRule.NEWEST)
    late = entry("other", side="lake", mtime=9)
    assert decide("p", BASE, states("files")["edited"], late, rule).verb is Verb.TAKE_LAKE
    assert decide("p", BASE, states("files")["edited"], replace(late, posix=None), rule).verb is Verb.TAKE_LAKE
    bare = replace(late, posix=None, version=None)
    assert decide("p", BASE, states("files")["edited"], bare, rule).verb is Verb.TAKE_FILES
    assert decide("p", BASE, replace(states("files")["edited"], posix=None), bare, rule).verb is Verb.TAKE_LAKE


def test_a_touched_file_with_equal_bytes_is_only_metadata():
    touched = entry("old", side="files", mtime=8)
    assert delta(BASE.files, replace(touched, version=Version(1, 8, ino=99))) is Delta.METADATA
    assert delta(replace(BASE.files, version=None), replace(BASE.files, version=None)) is Delta.SAME


def test_what_is_not_known_of_content_is_not_guessed():
    one = replace(BASE.files, digest=b"")
    assert known_equal(one, BASE.lake) is None
    assert known_equal(replace(one, size_bytes=2), BASE.lake) is False
    assert known_equal(replace(one, size_bytes=0), replace(BASE.lake, size_bytes=0)) is True
    assert known_equal(replace(one, digest=b"sha1:x"), BASE.lake) is None
    assert delta(BASE.files, replace(BASE.files, size_bytes=2)) is Delta.CONTENT
    assert same_posix(replace(one, posix=None), BASE.lake)


def test_a_plan_deletes_from_the_deepest_up_and_creates_from_the_top_down():
    directory = {side: entry("", side=side, kind=Kind.DIR) for side in ("files", "lake")}
    base = {p: Agreed(directory["files"], directory["lake"]) for p in ("d", "d/e")}
    base["d/e/f"] = BASE
    files = {"n": directory["files"], "n/m": states("files")["edited"], "u": UNKNOWN, "h": states("files")["edited"]}
    files["c"] = states("files")["edited unseen"]
    lake = {
        "d": directory["lake"],
        "d/e": directory["lake"],
        "d/e/f": BASE.lake,
        "h": states("lake")["edited otherwise"],
    }
    lake["c"] = states("lake")["edited"]
    plan = reconcile(base, files, lake, Rule(), [*files, *lake])
    assert [(s.path, s.verb) for s in plan.steps] == [
        ("d/e/f", Verb.EXPORT_DELETE),
        ("d/e", Verb.EXPORT_DELETE),
        ("d", Verb.EXPORT_DELETE),
        ("h", Verb.KEEP_BOTH),
        ("n", Verb.EXPORT),
        ("n/m", Verb.EXPORT),
    ]
    assert [d.path for d in plan.compare] == ["c"]
    assert [d.path for d in plan.conflicts] == ["h"]
    assert plan.waiting == ["u"]
    nothing = reconcile({}, {"x": states("files")["edited"]}, {}, Rule(exports=frozenset()), ["x", "y"])
    assert [d.path for d in nothing.held] == ["x"]
    imports = Rule(exports=frozenset())
    standing = reconcile({"x": BASE}, {"x": directory["files"]}, {"x": states("lake")["edited"]}, imports, ["x"])
    assert not standing.steps
    assert [d.path for d in standing.conflicts] == ["x"]


def test_a_link_that_leads_elsewhere_has_other_content():
    then = entry("here", side="files", kind=Kind.SYMLINK)
    assert delta(then, replace(then, target="there")) is Delta.CONTENT
    assert delta(then, replace(then)) is Delta.SAME


@pytest.mark.parametrize("conflict", ConflictRule)
def test_when_both_only_touched_metadata_no_bytes_are_moved_though_no_digest_is_known(conflict):
    base = Agreed(entry("old", side="files", digest=False), entry("old", side="lake", digest=False))
    files, lake = (
        replace(one, posix=replace(one.posix, mode=mode)) for one, mode in ((base.files, 0o600), (base.lake, 0o640))
    )
    decision = decide("p", base, files, lake, Rule(ALL_EVENTS, ALL_EVENTS, conflict))
    assert decision.verb in {Verb.EXPORT_METADATA, Verb.IMPORT_METADATA}


def test_a_comparison_of_the_bytes_decides_what_digests_could_not():
    files, lake = states("files")["edited unseen"], states("lake")["edited unseen"]
    same = replace(lake, posix=files.posix)
    assert decide("p", BASE, files, same, Rule()).verb is Verb.COMPARE
    assert decide("p", BASE, files, same, Rule(), same_bytes=True).verb is Verb.ADOPT
    assert decide("p", BASE, files, same, Rule(), same_bytes=False).verb is Verb.KEEP_BOTH
    # What the digests know is not asked of anybody.
    other = states("lake")["edited otherwise"]
    assert decide("p", BASE, states("files")["edited"], other, Rule(), same_bytes=True).verb is Verb.KEEP_BOTH


def test_what_happens_inside_a_directory_is_no_change_of_it():
    then = entry("", side="files", kind=Kind.DIR, mtime=1)
    now = entry("", side="files", kind=Kind.DIR, mtime=9)
    assert delta(then, now) is Delta.SAME
    assert delta(then, entry("", side="files", kind=Kind.DIR, mode=0o700)) is Delta.METADATA


def test_another_target_or_owner_is_noticed():
    there, here = entry("there", side="files", kind=Kind.SYMLINK), entry("here", side="files", kind=Kind.SYMLINK)
    assert delta(there, here) is Delta.CONTENT
    owned = replace(BASE.files, posix=replace(BASE.files.posix, uid=7))
    assert delta(BASE.files, owned) is Delta.METADATA


def test_metadata_given_to_an_object_that_had_none_is_a_change_and_lost_metadata_is_none():
    bare, told = replace(BASE.lake, posix=None), BASE.lake
    assert delta(bare, told) is Delta.METADATA
    assert delta(told, bare) is Delta.SAME
    assert delta(bare, bare) is Delta.SAME
    assert decide("p", Agreed(BASE.files, bare), BASE.files, told, Rule()).verb is Verb.IMPORT_METADATA


def test_metadata_that_both_changed_is_settled_without_reading_a_byte():
    mine = replace(entry("old", side="files", mode=0o600), version=BASE.files.version, digest=b"")
    theirs = replace(entry("old", side="lake", mode=0o640), digest=b"")
    assert decide("p", BASE, mine, theirs, Rule()).verb is Verb.EXPORT_METADATA
    assert decide("p", BASE, mine, theirs, Rule(conflict=ConflictRule.LAKE)).verb is Verb.IMPORT_METADATA
