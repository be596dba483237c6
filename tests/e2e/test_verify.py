from tests.e2e.program import make_tree


def test_equal_trees_are_exit_code_0(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one", "sub/b": "two"})
    on_lake("sync", source, on_lake.lake, "-q")
    done = on_lake("verify", source, on_lake.lake)
    assert (done.code, done.trouble) == (0, "")
    assert done.out.startswith("equal: ")


def test_every_kind_of_difference_is_named(on_lake, tmp_path):
    source = make_tree(
        tmp_path / "source", {"same": "x", "content": "one", "missing": "x", "metadata": "x", "kind": "x"}
    )
    on_lake("sync", source, on_lake.lake, "-q")
    on_lake("put", "-", f"{on_lake.lake}/extra", "-q", stdin=b"x")
    on_lake("rm", f"{on_lake.lake}/missing", "-q")
    stamp = (source / "content").stat().st_mtime_ns
    (source / "content").write_text("two", encoding="utf-8")
    import os

    os.utime(source / "content", ns=(stamp, stamp))
    (source / "metadata").chmod(0o600)
    (source / "kind").unlink()
    (source / "kind").mkdir()
    done = on_lake("verify", source, on_lake.lake, "--json")
    assert done.code == 1
    assert {(d["path"], d["what"]) for d in done.json["differences"] if d["path"]} == {
        ("content", "content"),
        ("missing", "missing"),
        ("extra", "extra"),
        ("metadata", "metadata"),
        ("kind", "kind"),
    }
    text = on_lake("verify", source, on_lake.lake)
    assert text.code == 1
    assert "other content       content" in text.out
    assert "only at the target  extra" in text.out


def test_a_side_that_is_not_there_says_nothing_about_equality(on_lake, tmp_path):
    done = on_lake("verify", tmp_path / "nowhere", on_lake.lake)
    assert (done.code, done.out) == (4, "")
