import dataclasses
import os
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.config.document import parse_document
from lakelink.errors import ConfigError, NotFound, Refused, StorageError, UsageError
from lakelink.links.places import device_path, relation
from lakelink.links.registry import Registry
from lakelink.model.link import Event, Rule
from lakelink.model.linkspec import LinkSpec, Pace, Safety, Transport


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def registry(state):
    with_links = Registry(state)
    yield with_links
    with_links.close()


def link(name, files, lake, **more):
    return LinkSpec(name=name, ident="", files=str(files), lake=lake, **more)


def settings(tmp_path, text):
    return parse_document(textwrap.dedent(text), tmp_path / "lakelink.toml")


def test_a_link_is_remembered_whole_by_the_next_process(state, tmp_path):
    spec = link(
        "logs",
        tmp_path / "logs",
        "s3://lake/logs",
        rule=Rule(imports=frozenset({Event.NEW})),
        filters=("*.tmp", "!ä"),
        transport=Transport(bandwidth_bytes_per_s=5),
        pace=Pace(quiet_s=0.25),
        safety=Safety(trash_max_bytes=7),
        events="queue",
        paused=True,
    )
    first = Registry(state)
    stored = first.add(spec)
    first.close()
    assert stored == dataclasses.replace(spec, ident=stored.ident)
    assert len(stored.ident) == 16
    second = Registry(state)
    assert second.list() == [stored]
    assert second.get("logs") == stored
    assert second._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    second.close()


def test_a_relative_directory_is_remembered_so_that_it_means_the_same_elsewhere(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert registry.add(link("a", "data", "s3://lake/a")).files == str(tmp_path / "data")
    name = os.fsdecode(b"caf\xe9")
    stored = registry.add(link("b", name, "s3://lake/b"))
    assert stored.files == f"file://{tmp_path}/caf%E9"
    assert registry.get("b") == stored


@pytest.mark.parametrize(
    ("files", "lake", "sentence"),
    [
        ("/x/logs", "s3://lake/other", "/x/logs is the same place as /x/logs of link logs"),
        ("/x/logs/", "s3://lake/other", "is the same place as"),
        ("/x/logs/2026", "s3://lake/other", "/x/logs/2026 lies inside /x/logs of link logs"),
        ("/x", "s3://lake/other", "/x lies around /x/logs of link logs"),
        ("/y", "s3://lake/logs/", "s3://lake/logs/ is the same place as s3://lake/logs of link logs"),
        ("/y", "s3://lake/logs/2026", "lies inside"),
        ("/y", "s3://lake", "s3://lake lies around s3://lake/logs of link logs"),
    ],
)
def test_links_share_no_directory_and_no_prefix(registry, files, lake, sentence):
    registry.add(link("logs", "/x/logs", "s3://lake/logs"))
    with pytest.raises(Refused) as caught:
        registry.add(link("more", files, lake))
    assert sentence in caught.value.message
    assert caught.value.hint
    assert [spec.name for spec in registry.list()] == ["logs"]


@pytest.mark.parametrize(("files", "lake"), [("/x/logs2", "s3://lake/logs2"), ("/x/log", "s3://lake2/logs")])
def test_names_that_only_begin_alike_are_apart(registry, files, lake):
    registry.add(link("logs", "/x/logs", "s3://lake/logs"))
    registry.add(link("more", files, lake))
    assert len(registry.list()) == 2


def test_a_symlink_does_not_hide_that_directories_overlap(registry, tmp_path):
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "alias").symlink_to("real")
    registry.add(link("a", tmp_path / "real", "s3://lake/a"))
    with pytest.raises(Refused, match="lies inside"):
        registry.add(link("b", tmp_path / "alias" / "sub", "s3://lake/b"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to bind a mount")
def test_a_bind_mount_does_not_hide_that_directories_overlap(registry, tmp_path):
    (tmp_path / "real" / "sub" / "deep").mkdir(parents=True)
    other = tmp_path / "other"
    other.mkdir()
    registry.add(link("a", tmp_path / "real", "s3://lake/a"))
    if subprocess.run(["mount", "--bind", tmp_path / "real" / "sub", other], check=False).returncode:
        pytest.skip("mounts are not allowed here")
    try:
        with pytest.raises(Refused, match="of link a"):
            registry.add(link("b", other / "deep", "s3://lake/b"))
    finally:
        subprocess.run(["umount", other], check=True)
    registry.add(link("b", other / "deep", "s3://lake/b"))


def test_the_same_store_under_two_names_is_one_place_and_two_stores_are_two(tmp_path, state):
    document = settings(
        tmp_path,
        """
        [locations.one]
        url = "s3://lake/base"
        endpoint = "http://127.0.0.1:9000"
        [locations.other]
        url = "s3://lake"
        endpoint = "http://127.0.0.1:9001"
        [locations.again]
        url = "s3://lake"
        endpoint = "http://127.0.0.1:9000"
        """,
    )
    registry = Registry(state, document)
    registry.add(link("a", "/a", "one:x"))
    registry.add(link("b", "/b", "other:base/x"))
    with pytest.raises(Refused, match="of link a"):
        registry.add(link("c", "/c", "again:base"))
    registry.close()


def test_a_name_is_given_once(registry):
    registry.add(link("a", "/a", "s3://lake/a"))
    with pytest.raises(Refused, match="there is a link a already: /a and s3://lake/a"):
        registry.add(link("a", "/b", "s3://lake/b"))
    with pytest.raises(UsageError, match="cannot be called"):
        registry.add(link("a/b", "/b", "s3://lake/b"))


@pytest.mark.parametrize(
    ("files", "lake"), [("s3://lake/a", "s3://lake/b"), ("/a", "/b"), ("/a", "ftp://x"), ("/a", "nowhere:x")]
)
def test_what_is_no_directory_or_no_lake_is_refused(registry, files, lake):
    with pytest.raises(UsageError):
        registry.add(link("a", files, lake))
    assert registry.list() == []


def test_a_pattern_that_cannot_be_stored_is_refused(registry):
    with pytest.raises(UsageError, match="not UTF-8"):
        registry.add(link("a", "/a", "s3://lake/a", filters=("\udce9",)))


def test_a_directory_that_holds_the_state_is_refused(registry, tmp_path, state):
    for files in (tmp_path, state, "/"):
        with pytest.raises(Refused, match="its own journal"):
            registry.add(link("a", files, "s3://lake/a"))


def test_an_unknown_name_names_the_nearest(registry):
    with pytest.raises(NotFound) as caught:
        registry.get("logs")
    assert "lakelink link add" in caught.value.hint
    registry.add(link("logs", "/a", "s3://lake/a"))
    with pytest.raises(NotFound, match="no link 'lgos'") as caught:
        registry.get("lgos")
    assert caught.value.hint == "Did you mean logs?"


def test_settings_may_change_and_paths_never(registry):
    spec = registry.add(link("a", "/a", "s3://lake/a"))
    changed = dataclasses.replace(spec, filters=("x",), paused=True)
    assert registry.update(changed) == changed
    assert registry.get("a") == changed
    for wrong in ({"files": "/b"}, {"lake": "s3://lake/b"}, {"ident": "0" * 16}):
        with pytest.raises(Refused) as caught:
            registry.update(dataclasses.replace(spec, **wrong))
        assert "never change" in caught.value.hint
    assert registry.get("a") == changed


def test_a_removed_link_gives_back_its_places_and_never_its_ident(registry):
    first = registry.add(link("a", "/a", "s3://lake/a"))
    registry.remove("a")
    assert (registry.list(), registry.removed()) == ([], (first.ident,))
    second = registry.add(link("a", "/a", "s3://lake/a"))
    assert second.ident != first.ident
    with pytest.raises(NotFound):
        registry.remove("b")


def test_a_link_has_the_same_ident_after_its_state_was_lost(state, registry):
    first = registry.add(link("a", "/a", "s3://lake/a"))
    registry.close()
    for file in state.iterdir():
        file.unlink()
    again = Registry(state)
    assert again.add(link("a", "/a", "s3://lake/a")).ident == first.ident
    assert again.add(link("b", "/b", "s3://lake/b")).ident != first.ident
    again.close()


ONE = '[links.a]\nfiles = "/a"\nlake = "s3://lake/a"\n'
TWO = ONE + '[links.b]\nfiles = "/b"\nlake = "s3://lake/b"\n'


def test_a_reload_says_what_came_what_changed_and_what_rests(registry, tmp_path):
    first = registry.reload(settings(tmp_path, TWO))
    assert [spec.name for spec in first.added] == ["a", "b"]
    assert all(spec.declared and spec.ident for spec in first.added)
    same = registry.reload(settings(tmp_path, TWO))
    assert (same.added, same.updated, same.paused) == ((), (), ())

    changed = registry.reload(settings(tmp_path, ONE + 'exclude = ["x"]\n'))
    assert changed.added == ()
    assert [(spec.name, spec.filters) for spec in changed.updated] == [("a", ("x",))]
    assert [(spec.name, spec.paused) for spec in changed.paused] == [("b", True)]
    assert registry.get("b").paused
    assert registry.reload(settings(tmp_path, ONE + 'exclude = ["x"]\n')).paused == ()

    back = registry.reload(settings(tmp_path, TWO))
    assert [(spec.name, spec.paused) for spec in back.updated] == [("a", False), ("b", False)]
    assert [spec.ident for spec in back.updated] == [spec.ident for spec in first.added]


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        (ONE.replace("/a", "/other", 1), ConfigError, "link a keeps /a, not /other"),
        (ONE.replace("lake/a", "lake/other"), ConfigError, "was s3://s3.amazonaws.com/lake/a and would now be"),
        (TWO.replace('"/b"', '"/a/b"'), Refused, "lakelink.toml:4: /a/b lies inside /a of link a"),
        (TWO.replace('"/b"', '"/added/x"'), Refused, "of link added"),
        (TWO.replace("lake/b", "lake/added"), Refused, "of link added"),
        (TWO + "conflict = 'x'\n", ConfigError, "links.b.conflict"),
        (ONE + '[links.added]\nfiles = "/z"\nlake = "s3://lake/z"\n', ConfigError, "link added keeps /added, not /z"),
    ],
)
def test_settings_that_are_wrong_change_nothing(registry, tmp_path, text, error, sentence):
    registry.reload(settings(tmp_path, ONE))
    registry.add(link("added", "/added", "s3://lake/added"))
    before = registry.list()
    with pytest.raises(error) as caught:
        registry.reload(settings(tmp_path, text))
    assert sentence in caught.value.message
    assert registry.list() == before


def test_a_declared_link_is_changed_only_in_its_file(registry, tmp_path):
    registry.reload(settings(tmp_path, ONE))
    spec = registry.get("a")
    with pytest.raises(Refused, match="declared in the settings file"):
        registry.update(dataclasses.replace(spec, filters=("x",)))
    with pytest.raises(Refused, match="declared in the settings file"):
        registry.remove("a")
    assert registry.update(dataclasses.replace(spec, paused=True)).paused
    assert registry.reload(settings(tmp_path, ONE)).updated == ()  # a pause outlives a reload
    assert registry.get("a").paused


def test_a_link_whose_section_is_gone_keeps_its_places_until_it_is_removed(registry, tmp_path):
    registry.reload(settings(tmp_path, ONE))
    registry.reload(settings(tmp_path, ""))
    renamed = ONE.replace("links.a", "links.renamed")
    with pytest.raises(Refused, match="of link a") as caught:
        registry.reload(settings(tmp_path, renamed))
    assert "lakelink link remove a" in caught.value.hint
    registry.remove("a")
    assert [spec.name for spec in registry.reload(settings(tmp_path, renamed)).added] == ["renamed"]


def test_a_resting_link_may_be_taken_over_by_commands(registry, tmp_path):
    registry.reload(settings(tmp_path, ONE))
    registry.reload(settings(tmp_path, ""))
    registry.update(dataclasses.replace(registry.get("a"), paused=False))
    assert (registry.get("a").declared, registry.get("a").paused) == (False, False)
    assert [spec.name for spec in registry.reload(settings(tmp_path, ONE)).updated] == ["a"]
    assert registry.get("a").declared


def test_a_named_location_that_leads_elsewhere_is_noticed_before_anything_is_touched(state, tmp_path):
    text = '[locations.lake]\nurl = "s3://lake/{}"\n[links.a]\nfiles = "/a"\nlake = "lake:x"\n'
    registry = Registry(state, settings(tmp_path, text.format("one")))
    registry.reload(settings(tmp_path, text.format("one")))
    registry.add(link("b", "/b", "lake:y"))
    registry.verify("a")
    registry.verify("b")
    with pytest.raises(ConfigError, match="would now be"):
        registry.reload(settings(tmp_path, text.format("two")))
    registry.verify("a")
    registry.close()
    elsewhere = Registry(state, settings(tmp_path, text.format("two")))
    with pytest.raises(
        ConfigError, match=r"link b: the lake of link b was .*/lake/one/y and would now be .*/lake/two/y"
    ):
        elsewhere.verify("b")
    elsewhere.close()


def test_an_endpoint_of_the_environment_that_is_gone_is_noticed(state, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000")
    registry = Registry(state)
    registry.add(link("a", "/a", "s3://lake/a"))
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    with pytest.raises(ConfigError, match="was s3://127"):
        registry.verify("a")
    registry.close()


ADD = """
import sys
from pathlib import Path
from lakelink.errors import Refused
from lakelink.links.registry import Registry
from lakelink.model.linkspec import LinkSpec
registry = Registry(Path(sys.argv[1]))
try:
    registry.add(LinkSpec(name=sys.argv[2], ident="", files="/data/" + sys.argv[3], lake="s3://lake/" + sys.argv[2]))
    print("added")
except Refused:
    print("refused")
"""


def test_commands_at_once_cannot_slip_past_each_other(state):
    """Eight processes make the state directory's first database and want nested directories: one gets one."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ADD, str(state), f"n{number}", "/".join("x" * (number + 1))],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    answers = [process.communicate(timeout=100)[0].strip() for process in running]
    assert sorted(answers) == ["added"] + ["refused"] * 7
    registry = Registry(state)
    assert len(registry.list()) == 1
    registry.close()


def test_a_damaged_list_of_links_is_an_error_that_says_so(state, registry):
    registry.add(link("a", "/a", "s3://lake/a"))
    registry._db.execute("UPDATE link SET spec=x'00'")
    with pytest.raises(StorageError, match=r"links\.sqlite cannot be used"):
        registry.list()


component = st.sampled_from(["a", "b", "ab", "a b", "ä", "a%20"])
place = st.lists(component, max_size=4)


@given(place, place)
def test_places_relate_as_their_components_do(one, other):
    expected = None
    if one == other:
        expected = "is the same place as"
    elif one[: len(other)] == other:
        expected = "lies inside"
    elif other[: len(one)] == one:
        expected = "lies around"
    assert relation("s3://host/" + "/".join(one), "s3://host/" + "/".join(other)) == expected
    assert relation("s3://host/" + "/".join(one), "s3://elsewhere/" + "/".join(other)) is None


MOUNTS = b"""22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 8:1 /srv/real /mnt/bind rw - ext4 /dev/sda1 rw
31 22 0:5 / /mnt/with\\040space rw - tmpfs tmpfs rw
32 31 8:2 / /mnt/with\\040space rw - ext4 /dev/sdb rw
damaged line
"""


@pytest.mark.parametrize(
    ("path", "device"),
    [
        (b"/", "8:1:/"),
        (b"/srv/real/x", "8:1:/srv/real/x"),
        (b"/mnt/bind/x", "8:1:/srv/real/x"),
        (b"/mnt/bind", "8:1:/srv/real"),
        (b"/mnt/bindings", "8:1:/mnt/bindings"),
        (b"/mnt/with space/\xe9", "8:2:/%E9"),
    ],
)
def test_a_path_is_known_by_its_device(path, device):
    assert device_path(path, MOUNTS) == device


def test_without_mounts_no_device_is_known():
    assert device_path(b"/x", b"") == ""
