"""`[serve]`: where the daemon listens, and with which token."""

import pytest

from lakelink.config.document import parse_document
from lakelink.config.serve import Address, parse_address, read_serve
from lakelink.errors import ConfigError


def read(tmp_path, text, **environ):
    return read_serve(parse_document(f"[serve]\n{text}\n", tmp_path / "lakelink.toml"), environ)


def test_nothing_listens_unless_told(tmp_path):
    settings = read(tmp_path, "")
    assert (settings.metrics, settings.webhook, settings.stop_within_s) == (None, None, 20.0)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", Address("127.0.0.1", 9464)),
        ("0", Address("127.0.0.1", 0)),
        ("0.0.0.0:9464", Address("0.0.0.0", 9464)),  # noqa: S104
        ("[::1]:9464", Address("::1", 9464)),
        ("host:1", Address("host", 1)),
    ],
)
def test_addresses(text, address):
    assert parse_address(text) == address


def test_a_port_may_be_a_bare_number(tmp_path):
    assert read(tmp_path, "metrics = 9464").metrics == Address("127.0.0.1", 9464)


@pytest.mark.parametrize("text", ["", "here", ":9464", "host:", "1:65536", "9464x", "-1"])
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match="is no port"):
        parse_address(text)


def test_a_webhook_with_a_token_from_a_file_or_a_variable(tmp_path):
    token = tmp_path / "token"
    token.write_text("secret\n", encoding="utf-8")
    token.chmod(0o600)
    settings = read(tmp_path, f'webhook = "0.0.0.0:1"\nwebhook_token_file = "{token}"\nstop_within = "5s"')
    assert settings.webhook.token.reveal() == "secret"
    assert settings.stop_within_s == 5
    settings = read(tmp_path, 'webhook = "1"\nwebhook_token_env = "TOKEN"', TOKEN="other")
    assert settings.webhook.token.reveal() == "other"
    assert read(tmp_path, "", LAKELINK_METRICS="7").metrics == Address("127.0.0.1", 7)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('metrics = "here"', "is no port"),
        ('metrix = "1"', "unknown setting"),
        ('webhook_token_env = "TOKEN"\nwebhook = "1"', "is not set"),
        ('webhook_token_file = "/nothing/there"\nwebhook = "1"', "cannot be read"),
        ('webhook_token_file = "a"\nwebhook_token_env = "B"\nwebhook = "1"', "names the token as well"),
        ('webhook_cert = "a"', "has no address"),
        ("stop_within = 5", "has to be text"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path, text, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        read(tmp_path, text)
    assert "lakelink.toml" in caught.value.message


def test_a_token_that_others_can_read_is_refused(tmp_path):
    token = tmp_path / "token"
    token.write_text("secret", encoding="utf-8")
    token.chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by others"):
        read(tmp_path, f'webhook = "1"\nwebhook_token_file = "{token}"')
    token.write_text("", encoding="utf-8")
    token.chmod(0o600)
    with pytest.raises(ConfigError, match="is empty"):
        read(tmp_path, f'webhook = "1"\nwebhook_token_file = "{token}"')
