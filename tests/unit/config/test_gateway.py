"""`[gateway]`: where it listens, what it offers, its limits."""

import pytest

from lakelink.config.document import Document, parse_document
from lakelink.config.gateway import has_gateway, read_gateway
from lakelink.config.serve import Address
from lakelink.errors import ConfigError


def read(tmp_path, text, **environ):
    return read_gateway(parse_document(f"[gateway]\n{text}\n", tmp_path / "lakelink.toml"), environ)


def test_by_default_it_listens_on_loopback_with_the_modern_policy(tmp_path):
    settings = read(tmp_path, "")
    assert settings == read_gateway(Document(), {})
    assert settings.listen == (Address("127.0.0.1", 2222),)
    assert (settings.policy, settings.workers, settings.host_keys, settings.allow) == ("modern", 1, (), ())


def test_everything_can_be_said(tmp_path):
    banner = tmp_path / "banner"
    banner.write_text("Partners only\n")
    settings = read(
        tmp_path,
        f"""
        listen = ["0.0.0.0:22", "[::]:22"]
        workers = 4
        policy = "compatible"
        banner_file = "{banner}"
        host_keys = ["/etc/ssh/ssh_host_ed25519_key"]
        allow = ["192.0.2.0/24"]
        never_ban = ["10.0.0.0/8"]
        trusted_proxies = ["10.0.0.1"]
        max_half_open = 40
        max_sessions = 7
        max_handles = 9
        login_timeout = "20s"
        idle_timeout = "5m"
        ban_after = 3
        ban_for = "1h"
        spool = "/var/spool/x"
        spool_max = "2GiB"
        audit_log = "/var/log/x"
        drain = "2m"
        users.ann.home = "/srv"
        """,
    )
    assert settings.listen == (Address("0.0.0.0", 22), Address("::", 22))  # noqa: S104
    assert settings.banner == "Partners only\n"
    limits = settings.limits
    assert (limits.half_open_start, limits.half_open_full, limits.max_sessions) == (10, 40, 7)
    assert (limits.login_timeout_s, limits.idle_timeout_s, limits.bans_after, limits.ban_s) == (20, 300, 3, 3600)
    assert (limits.spool_max_bytes, settings.drain_s, limits.max_handles) == (2 << 30, 120, 9)


def test_the_command_line_wins(tmp_path):
    assert read(tmp_path, "listen = 5", LAKELINK_GATEWAY_LISTEN="0.0.0.0:7").listen == (Address("0.0.0.0", 7),)  # noqa: S104


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('listen = "here"', "is no port"),
        ("listen = []", "the list is empty"),
        ("workers = 0", "at least 1"),
        ("workers = 1000", "at most 64"),
        ('policy = "moderm"', "did you mean modern"),
        ('host_keys = ["key"]', "absolute"),
        ('audit_log = "log"', "absolute"),
        ('allow = ["10.0.0.1/8"]', "host bits"),
        ('banner = "a"\nbanner_file = "b"', "beside it"),
        ('banner_file = "/nothing/there"', "cannot be read"),
        ('login_timeout = "0s"', "at least"),
        ("lisen = 1", "unknown setting"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read(tmp_path, text)


def test_the_daemon_runs_one_where_the_section_is_there_and_not_switched_off(tmp_path):
    def wanted(text):
        return has_gateway(parse_document(text, tmp_path / "lakelink.toml"))

    assert wanted("[gateway]")
    assert wanted("[gateway.users.ann]\nhome = '/srv'")
    assert not wanted("")
    assert not wanted("[gateway]\nenabled = false")
