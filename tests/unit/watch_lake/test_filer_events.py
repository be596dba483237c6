from lakelink.watch.filer_events import FilerKey, filer_keys


def entry(name, *, directory=False):
    return {"name": name, "attributes": {}} | ({"is_directory": True} if directory else {})


def posted(path, kind, **message):
    return {"key": path, "event_type": kind, "message": message}


def test_a_new_a_changed_and_a_removed_object():
    new = posted("/buckets/lake/a/b", "create", new_entry=entry("b"), new_parent_path="/buckets/lake/a")
    changed = posted(
        "/buckets/lake/a/b", "update", old_entry=entry("b"), new_entry=entry("b"), new_parent_path="/buckets/lake/a"
    )
    removed = posted("/buckets/lake/a/b", "delete", old_entry=entry("b"))
    assert filer_keys(new) == filer_keys(changed) == filer_keys(removed) == [FilerKey("lake", "a/b", False)]


def test_a_rename_names_both_ends():
    moved = posted(
        "/buckets/lake/a/b", "rename", old_entry=entry("b"), new_entry=entry("c"), new_parent_path="/buckets/pond/d"
    )
    assert filer_keys(moved) == [FilerKey("lake", "a/b", False), FilerKey("pond", "d/c", False)]


def test_a_directory_that_goes_or_moves_takes_its_children_along():
    gone = posted("/buckets/lake/a", "delete", old_entry=entry("a", directory=True))
    assert filer_keys(gone) == [FilerKey("lake", "a", True)]
    moved = posted(
        "/buckets/lake/a",
        "rename",
        old_entry=entry("a", directory=True),
        new_entry=entry("b", directory=True),
        new_parent_path="/buckets/lake",
    )
    assert filer_keys(moved) == [FilerKey("lake", "a", True), FilerKey("lake", "b", True)]


def test_a_directory_that_is_made_or_changed_is_looked_at_alone():
    made = posted("/buckets/lake/a", "create", new_entry=entry("a", directory=True), new_parent_path="/buckets/lake")
    changed = posted(
        "/buckets/lake/a",
        "update",
        old_entry=entry("a", directory=True),
        new_entry=entry("a", directory=True),
        new_parent_path="/buckets/lake/",
    )
    assert filer_keys(made) == filer_keys(changed) == [FilerKey("lake", "a", False)]


def test_a_bucket_that_is_removed_is_all_its_keys():
    assert filer_keys(posted("/buckets/lake", "delete", old_entry=entry("lake", directory=True))) == [
        FilerKey("lake", "", True)
    ]


def test_a_version_is_about_its_key():
    made = posted(
        "/buckets/lake/a/b.versions/v_1", "create", new_entry=entry("v_1"), new_parent_path="/buckets/lake/a/b.versions"
    )
    assert FilerKey("lake", "a/b", False) in filer_keys(made)
    latest = posted("/buckets/lake/a/b.versions", "update", old_entry=entry("b.versions", directory=True))
    assert FilerKey("lake", "a/b", False) in filer_keys(latest)


def test_parts_of_uploads_and_what_is_outside_of_buckets_are_nobodys():
    assert filer_keys(posted("/buckets/lake/.uploads/1/0001.part", "create", new_entry=entry("0001.part"))) == []
    assert filer_keys(posted("/etc/iam/identity.json", "update")) == []
    assert filer_keys(posted("/buckets", "create")) == []


def test_without_a_path_it_is_junk():
    assert filer_keys({"key": 7, "event_type": "create"}) is None
    assert filer_keys({"key": "a", "event_type": "create"}) is None
