import pytest

from lakelink.config.document import Document, parse_document
from lakelink.config.links import declared, events_of
from lakelink.errors import ConfigError
from lakelink.infra.linkfile import render
from lakelink.infra.spec import Association, LakeSpec
from lakelink.model.link import ALL_EVENTS, ConflictRule, Event, Rule
from lakelink.model.linkspec import LinkSpec, Pace, Safety, Transport

FULL = """[locations.lake]
url = "s3://company-lake"

[links.logs]
files = "/srv/logs/"
lake = "lake:logs"
import = ["new", "changed"]
export = "none"
conflict = "newest"
exclude = ["*.tmp", "!odd"]
include = ["keep.tmp"]
filter = ["cache/", "!cache/good"]
storage_class = "STANDARD_IA"
sse = "aws:kms:key-1"
bandwidth = "10MiB/s"
concurrency = 12
quiet = "500ms"
scan_interval = "30m"
list_interval = "1m30s"
trash_keep = "30d"
trash_max = "5GiB"
max_delete = "20%"
events = "https://sqs.eu-north-1.amazonaws.com/1/queue"
"""


def parsed(tmp_path, text):
    return parse_document(text, tmp_path / "f.toml")


def test_every_setting_of_a_link_is_read(tmp_path):
    assert declared(parsed(tmp_path, FULL)) == [
        LinkSpec(
            name="logs",
            ident="",
            files="/srv/logs",
            lake="lake:logs",
            rule=Rule(frozenset({Event.NEW, Event.CHANGED}), frozenset(), ConflictRule.NEWEST),
            filters=("*.tmp", "\\!odd", "!keep.tmp", "cache/", "!cache/good"),
            transport=Transport(
                bandwidth_bytes_per_s=10 << 20, concurrency=12, storage_class="STANDARD_IA", sse="aws:kms:key-1"
            ),
            pace=Pace(quiet_s=0.5, scan_interval_s=1800, list_interval_s=90),
            safety=Safety(max_delete_percent=20, trash_keep_s=30 * 86400, trash_max_bytes=5 << 30),
            events="https://sqs.eu-north-1.amazonaws.com/1/queue",
            declared=True,
        )
    ]


def test_what_is_not_written_has_the_defaults_that_commands_have(tmp_path):
    (spec,) = declared(parsed(tmp_path, '[links.a]\nfiles = "/a"\nlake = "s3://lake/a"\n'))
    assert spec == LinkSpec(name="a", ident="", files="/a", lake="s3://lake/a", declared=True)
    assert declared(Document()) == []


def test_a_brake_may_be_a_number_of_paths(tmp_path):
    (spec,) = declared(parsed(tmp_path, '[links.a]\nfiles = "/a"\nlake = "s3://lake/a"\nmax_delete = 500\n'))
    assert (spec.safety.max_delete_percent, spec.safety.max_delete_count) == (0, 500)


@pytest.mark.parametrize(
    ("words", "events"),
    [
        ("new,changed", {Event.NEW, Event.CHANGED}),
        ("new, deleted", {Event.NEW, Event.DELETED}),
        (["deleted"], {Event.DELETED}),
        ("all", ALL_EVENTS),
        ("none", set()),
        ([], set()),
    ],
)
def test_policies_are_any_subset_by_the_names_of_fsx(words, events):
    assert events_of(words) == events


@pytest.mark.parametrize(
    ("line", "sentence", "hint"),
    [
        ('exlude = ["*.tmp"]', "f.toml:4: unknown setting links.a.exlude", "exclude"),
        ('import = ["new", "chnged"]', "f.toml:4: links.a.import knows new, changed, deleted", ""),
        ('import = "nwe"', "did you mean new?", ""),
        ('import = ["all", "new"]', "not 'all'", ""),
        ('conflict = "newst"', "did you mean newest?", ""),
        ('quiet = "2"', "f.toml:4: links.a.quiet '2' is not a duration", ""),
        ('scan_interval = "0s"', "f.toml:4: links.a.scan_interval has to be at least 1s", ""),
        ('trash_max = "lots"', "'lots' is not a size", ""),
        ('max_delete = "some"', "'some' is not a percentage", "without quotes"),
        ("max_delete = -1", "at least 0", ""),
        ("max_delete = true", "whole number", ""),
        ('sse = "rot13"', "has to be AES256", ""),
        ('concurrency = "many"', "whole number", ""),
        ('exclude = [""]', "f.toml:4: links.a.exclude has an empty pattern", ""),
    ],
)
def test_a_wrong_setting_is_refused_with_its_line_and_the_nearest_word(tmp_path, line, sentence, hint):
    text = f'[links.a]\nfiles = "/a"\nlake = "s3://lake/a"\n{line}\n'
    with pytest.raises(ConfigError) as caught:
        declared(parsed(tmp_path, text))
    assert sentence in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("header", "files", "lake", "sentence"),
    [
        ("a", "srv/logs", "s3://lake/a", "f.toml:2: links.a.files has to be an absolute path"),
        ("a", "s3://lake/b", "s3://lake/a", "has to be a directory"),
        ("a", "/a", "/b", "f.toml:3: links.a.lake has to be s3://BUCKET/PREFIX"),
        ("a", "", "s3://lake/a", "files is missing"),
        ("a", "/a", "", "lake is missing"),
        ('"a b"', "/a", "s3://lake/a", "f.toml:1: a link cannot be called 'a b'"),
        ("x" * 64, "/a", "s3://lake/a", "cannot be called"),
    ],
)
def test_a_link_needs_a_name_a_directory_and_a_lake(tmp_path, header, files, lake, sentence):
    with pytest.raises(ConfigError) as caught:
        declared(parsed(tmp_path, f'[links.{header}]\nfiles = "{files}"\nlake = "{lake}"\n'))
    assert sentence in caught.value.message


def test_a_directory_may_be_a_named_location_and_a_link_a_table_only(tmp_path):
    (spec,) = declared(parsed(tmp_path, '[links.a]\nfiles = "disk:logs"\nlake = "lake:x"\n'))
    assert spec.files == "disk:logs"
    with pytest.raises(ConfigError, match=r"links\.a has to be a table"):
        declared(parsed(tmp_path, "[links]\na = 1\n"))


def test_the_sections_that_the_infrastructure_writes_are_links(tmp_path):
    two = (
        Association(file_system_path="/raw", prefix="raw/", auto_import=("NEW", "CHANGED"), auto_export=()),
        Association(file_system_path="/out", prefix="out", auto_import=(), auto_export=("NEW", "CHANGED", "DELETED")),
    )
    spec = LakeSpec(name="acme", region="eu-north-1", associations=two)
    links = declared(parsed(tmp_path, render(spec, "/srv")))
    assert len(links) == len(spec.links)
    assert [link.rule.imports for link in links] == [
        frozenset(Event(event.lower()) for event in link.auto_import) for link in spec.links
    ]
    assert all(link.lake.startswith(f"{spec.name}-lake:") for link in links)
