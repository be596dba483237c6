"""passwd, group, shadow, key files and SFTP commands of an old server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.gateway.takeover.people import DAY_NS, Standing, read_people, read_shadow
from lakelink.gateway.takeover.sftp_command import read_command, shell_kind

TODAY = 20_000


def shadow(line):
    return next(iter(read_shadow(line, TODAY)[0].values()))


@pytest.mark.parametrize(
    ("line", "standing"),
    [
        ("a:$6$s$h:19000:0:99999:7:::", Standing.USABLE),
        ("a:$6$s$h::::::", Standing.USABLE),
        ("a::19000:0:99999:7:::", Standing.EMPTY),
        ("a:!$6$s$h:19000:0:99999:7:::", Standing.LOCKED),
        ("a:!:19000:0:99999:7:::", Standing.NONE),
        ("a:!!:19000:0:99999:7:::", Standing.NONE),
        ("a:*:19000:0:99999:7:::", Standing.NONE),
        ("a:$6$s$h:0:0:99999:7:::", Standing.EXPIRED),
        ("a:$6$s$h:19000:0:90:7:::", Standing.EXPIRED),
        ("a:$6$s$h:19990:0:90:7:::", Standing.USABLE),
    ],
)
def test_an_entry_of_shadow_stands_as_login_would_take_it(line, standing):
    assert shadow(line).standing is standing


def test_the_account_and_its_password_expire_apart():
    assert shadow("a:$6$s$h:19000:0:99999:7::20100:").expires_ns == 20100 * DAY_NS
    assert shadow("a:$6$s$h:19000:0:99999:7::0:").expires_ns == 1
    assert shadow("a:$6$s$h:19000:0:99999:7:::").expires_ns == 0


def test_the_mark_of_a_lock_is_kept_apart_from_the_hash():
    entry = shadow("a:!$6$s$h:::::::")
    assert (entry.hash, entry.has_lock) == ("$6$s$h", True)
    assert "$6$" not in repr(entry)


def test_lines_that_are_none_are_told():
    assert read_shadow("broken\na:x:soon::::::\n", TODAY)[1] == [
        "shadow:1 is not understood",
        "shadow:2 has a date that is none",
    ]
    assert read_people("a:x:1\n", "g:x\n")[1] == ["group:1 is not understood", "passwd:1 is not understood"]


def test_people_have_all_their_groups_and_the_first_line_of_a_name_counts():
    people, troubles = read_people("a:x:1:10:A,room:/h:/s\na:x:2:10::/x:\n+nis\n", "main:x:10:\nmore:x:11:b,a\n")
    assert not troubles
    (person,) = people
    assert (person.uid, person.comment, person.groups, person.gids) == (1, "A", ("main", "more"), frozenset({10, 11}))


@given(st.text(), st.text())
def test_any_text_is_read_or_complained_about(passwd, group):
    read_people(passwd, group)
    read_shadow(passwd, TODAY)
    read_command(group)


def test_the_options_of_the_sftp_server_are_understood_or_told():
    command = read_command('internal-sftp -R -d "/in box" -u027 -l VERBOSE -P remove')
    assert (command.is_sftp, command.is_internal, command.is_read_only, command.start, command.umask) == (
        True,
        True,
        True,
        "/in box",
        0o27,
    )
    assert command.troubles == ["-P remove: single requests cannot be allowed or forbidden"]
    assert [note[:10] for note in command.notes] == ["-l VERBOSE"]
    assert read_command("/usr/lib/openssh/sftp-server -x").troubles == ["-x is not understood"]
    assert read_command("internal-sftp -u 9").troubles == ["-u 9 is not understood"]
    assert read_command("internal-sftp extra").troubles == ["'extra' is not understood"]
    assert not read_command("/usr/bin/rsync --server").is_sftp
    assert not read_command("").is_sftp


@pytest.mark.parametrize(
    ("shell", "kind"),
    [("/usr/sbin/nologin", "closed"), ("/bin/false", "closed"), ("/usr/bin/scponly", "sftp"), ("/bin/bash", "shell")],
)
def test_shells_are_for_transfer_or_closed_or_shells(shell, kind):
    assert shell_kind(shell) == kind
