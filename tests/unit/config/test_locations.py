import pytest

from lakelink.config.document import Document, parse_document
from lakelink.config.locations import read_credentials, read_location, read_locations
from lakelink.errors import ConfigError, UsageError

TEXT = """[locations.lake]
url = "s3://lake/data"
endpoint = "https://s3.example.net:9000"
region = "eu-north-1"
profile = "ops"
addressing = "path"
requester_pays = true

[locations.disk]
url = "/srv/data"
"""


def parsed(tmp_path, text=TEXT):
    return parse_document(text, tmp_path / "f.toml")


def test_a_location_is_read_with_its_access_and_where_it_was_written(tmp_path):
    lake = read_location(parsed(tmp_path), "lake")
    assert lake.url.value == "s3://lake/data"
    assert lake.region.origin == f"{tmp_path}/f.toml:4 locations.lake.region"
    assert lake.sse.is_default
    assert lake.options() == {
        "endpoint": "https://s3.example.net:9000",
        "region": "eu-north-1",
        "profile": "ops",
        "addressing": "path",
        "requester_pays": "true",
    }
    assert set(read_locations(parsed(tmp_path))) == {"lake", "disk"}


def test_an_unknown_location_names_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="there is no location 'lak'") as caught:
        read_location(parsed(tmp_path), "lak")
    assert "Did you mean lake:?" in caught.value.hint
    assert "./lak:" in caught.value.hint


def test_an_unknown_location_like_no_other_lists_the_known_ones(tmp_path):
    with pytest.raises(UsageError) as caught:
        read_location(parsed(tmp_path), "zzz")
    assert "Known: disk, lake." in caught.value.hint
    with pytest.raises(UsageError) as caught:
        read_location(Document(), "zzz")
    assert "No [locations.zzz] in no settings file" in caught.value.hint


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("url = 's3://b'\nregoin = 'x'", "f.toml:3: unknown setting locations.x.regoin"),
        ("region = 'x'", "f.toml:1: locations.x.url is missing"),
        (
            "url = 's3://b'\naddressing = 'virtuel'",
            "f.toml:3: locations.x.addressing has to be one of auto, path, virtual; did you mean virtual?",
        ),
        (
            "url = 's3://b'\nsecret_key = 'x'",
            "f.toml:3: locations.x.secret_key: credentials are not written into the settings",
        ),
        ("url = 's3://b'\nrole_arn = 'arn'", "f.toml:3: locations.x.role_arn: a role is assumed by a profile"),
        ("url = 's3://b'\naccess_key_env = 'A'", "access_key_env and secret_key_env belong together"),
        (
            "url = 's3://b'\nprofile = 'p'\nanonymous = true",
            "f.toml:4: locations.x.anonymous cannot be used together with profile",
        ),
        (
            "url = 's3://b'\nendpoint = 'localhost:1'",
            "f.toml:3: locations.x.endpoint has to begin with https:// or http://",
        ),
        ("url = 's3://b'\nrequester_pays = 'perhaps'", "f.toml:3: locations.x.requester_pays has to be true or false"),
    ],
)
def test_a_wrong_section_is_reported_with_file_line_and_name(tmp_path, body, sentence):
    with pytest.raises(ConfigError) as caught:
        read_location(parsed(tmp_path, f"[locations.x]\n{body}\n"), "x")
    assert sentence in caught.value.message


def test_a_written_secret_is_not_repeated_in_the_error(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read_location(parsed(tmp_path, "[locations.x]\nurl = 's3://b'\nsecret_key = 'hunter2'\n"), "x")
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_a_location_name_cannot_look_like_a_path(tmp_path):
    with pytest.raises(ConfigError, match="cannot be called 'a/b'"):
        read_location(parsed(tmp_path, "[locations.'a/b']\nurl = '/x'\n"), "a/b")


def test_credentials_come_from_the_variables_named():
    options = {"access_key_env": "K", "secret_key_env": "S", "session_token_env": "T"}
    found = read_credentials(options, {"K": "AK", "S": "sk", "T": "tok"})
    assert (found.access_key, found.secret_key.reveal(), found.session_token.reveal(), found.origin) == (
        "AK",
        "sk",
        "tok",
        "$K",
    )
    assert "sk" not in repr(found).replace("secret_key", "")
    with pytest.raises(ConfigError, match="environment variable S is not set"):
        read_credentials(options, {"K": "AK", "T": "x"})


def test_without_names_the_chain_decides():
    assert read_credentials({"profile": "p"}, {}) is None


def test_credentials_come_from_a_file_that_nobody_else_can_read(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# mine\n[default]\naws_access_key_id = AK\naws_secret_access_key=s=k\n")
    path.chmod(0o600)
    found = read_credentials({"credentials_file": str(path)}, {})
    assert (found.access_key, found.secret_key.reveal(), bool(found.session_token)) == ("AK", "s=k", False)
    for mode in (0o640, 0o604):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="can be read by others") as caught:
            read_credentials({"credentials_file": str(path)}, {})
        assert caught.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"nothing\n", "holds no aws_access_key_id"), (b"\xff", "not UTF-8")]
)
def test_a_file_without_a_key_is_refused(tmp_path, content, sentence):
    path = tmp_path / "keys"
    path.touch(0o600)
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=sentence):
        read_credentials({"credentials_file": str(path)}, {})


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_credentials({"credentials_file": str(tmp_path / "no")}, {})
