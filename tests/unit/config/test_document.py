import os

import pytest

from lakelink.config import document
from lakelink.config.document import Document, find_document, load_document, parse_document
from lakelink.errors import ConfigError

TEXT = '''# a comment
[locations.lake]
url = "s3://lake/data"   # the place
note = """
[locations.fake]
fake = 1
"""
sse = "AES256"

[links."my link"]
files = "/srv"
export.kind = "all"
'''


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(document, "SEARCHED", (document.SEARCHED[0], tmp_path / "etc.toml"))
    return tmp_path


def test_without_a_file_the_settings_are_empty():
    settings = load_document(None, {})
    assert settings.path is None
    assert settings.section("locations") == {}


def test_files_are_found_in_the_documented_order(elsewhere):
    (elsewhere / "etc.toml").write_text("[task]\n")
    assert find_document(None, {}) == elsewhere / "etc.toml"
    (elsewhere / "lakelink.toml").write_text("[task]\n")
    assert str(find_document(None, {})) == "lakelink.toml"
    (elsewhere / "by-variable.toml").write_text("[task]\n")
    assert str(find_document(None, {"LAKELINK_CONFIG": "by-variable.toml"})) == "by-variable.toml"
    assert str(find_document("etc.toml", {"LAKELINK_CONFIG": "by-variable.toml"})) == "etc.toml"


@pytest.mark.parametrize(
    ("config", "environ", "by"),
    [("no.toml", {}, "--config"), (None, {"LAKELINK_CONFIG": "no.toml"}, r"\$LAKELINK_CONFIG")],
)
def test_a_file_asked_for_by_name_has_to_be_there(config, environ, by):
    with pytest.raises(ConfigError, match=f"{by}: there is no settings file no.toml"):
        load_document(config, environ)


def test_broken_toml_is_reported_with_its_line(elsewhere):
    (elsewhere / "lakelink.toml").write_text('[task]\nname = "x\n')
    with pytest.raises(ConfigError, match=r"^lakelink.toml:2: not valid TOML"):
        load_document(None, {})


def test_a_file_that_is_not_utf8_is_refused(elsewhere):
    (elsewhere / "lakelink.toml").write_bytes(b"[task]\nname = '\xff'\n")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 15"):
        load_document(None, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_refused(elsewhere):
    path = elsewhere / "lakelink.toml"
    path.write_text("")
    path.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_document(None, {})


def test_an_unknown_section_names_the_nearest(elsewhere):
    with pytest.raises(ConfigError, match=r"f.toml:2: unknown section location$") as caught:
        parse_document("\n[location.x]\n", elsewhere.joinpath("f.toml").relative_to(elsewhere))
    assert caught.value.hint == "Did you mean locations?"


def test_an_unknown_section_like_no_other_lists_the_known_ones(elsewhere):
    with pytest.raises(ConfigError) as caught:
        parse_document("[zzz]\n", elsewhere)
    assert "Known here: console, gateway, infra, links, locations" in caught.value.hint


def test_a_section_has_to_be_a_table(elsewhere):
    with pytest.raises(ConfigError, match=r"f.toml:1: task has to be a table"):
        parse_document("task = 1\n", elsewhere / "f.toml").section("task")


def test_lines_are_known_for_tables_keys_and_dotted_keys_but_not_inside_strings(tmp_path):
    settings = parse_document(TEXT, tmp_path / "f.toml")

    def line(*keys):
        return settings.where(*keys).removeprefix(f"{tmp_path}/f.toml:")

    assert line("locations", "lake") == "2"
    assert line("locations", "lake", "url") == "3"
    assert line("locations", "lake", "sse") == "8"
    assert line("locations", "lake", "unwritten") == "2"
    assert line("links", "my link", "export", "kind") == "12"
    assert ("locations", "fake") not in settings.lines
    assert settings.where("task") == f"{tmp_path}/f.toml"
    assert Document().where("task") == "no settings file"


def test_sections_are_handed_out_raw_and_read_only(tmp_path):
    links = parse_document(TEXT, tmp_path / "f.toml").section("links")
    assert links["my link"] == {"files": "/srv", "export": {"kind": "all"}}
    with pytest.raises(TypeError):
        links["x"] = 1
