"""sshd_config as sshd reads it."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.gateway.takeover.sshd_config import Connection, effective, parse, read_test_output
from lakelink.gateway.takeover.words import address_in_list, in_list, intersection, network_of, split


def config(text, **files):
    texts = {"/etc/ssh/sshd_config": text, **{f"/etc/ssh/{name}": body for name, body in files.items()}}
    return parse(
        "/etc/ssh/sshd_config",
        lambda path: texts[path].encode() if path in texts else None,
        lambda pattern: sorted(name for name in texts if fnmatch.fnmatch(name, pattern)),
    )


def value(text, keyword, connection=None, **files):
    return effective(config(text, **files), connection)[keyword]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a b\tc", ["a", "b", "c"]),
        ('a "b c" d', ["a", "b c", "d"]),
        ("a 'b c'", ["a", "b c"]),
        ("a # comment", ["a"]),
        ("a#b", ["a#b"]),
        (r'"a\"b"', ['a"b']),
        (r"a\ b", ["a b"]),
        ("", []),
    ],
)
def test_a_line_is_split_as_sshd_splits_it(line, words):
    assert split(line) == words


def test_a_quote_that_is_not_closed_is_told_and_not_guessed():
    with pytest.raises(ValueError, match="not closed"):
        split('a "b')
    assert config('Banner "/etc/issue').troubles == ['/etc/ssh/sshd_config:1: a " is not closed']


@given(st.lists(st.text(st.characters(exclude_categories=["C"], exclude_characters='"\\'), min_size=1)))
def test_quoted_words_come_back_as_they_were(words):
    assert split(" ".join(f'"{word}"' for word in words)) == words


def test_the_first_value_wins_and_lists_add_up():
    text = "MaxAuthTries 3\nMaxAuthTries 9\nAllowUsers a b\nAllowUsers c\nPort=2200\n"
    assert value(text, "maxauthtries") == ["3"]
    assert value(text, "allowusers") == ["a", "b", "c"]
    assert value(text, "port") == ["2200"]


def test_a_match_block_overrides_what_stands_before_it_and_the_first_block_wins():
    text = "PasswordAuthentication no\nMatch User a\nPasswordAuthentication yes\nMatch User a,b\nPasswordAuthentication no\nMatch all\nBanner x\n"
    assert value(text, "passwordauthentication") == ["no"]
    assert value(text, "passwordauthentication", Connection("a")) == ["yes"]
    assert value(text, "passwordauthentication", Connection("b")) == ["no"]
    assert value(text, "banner", Connection("c")) == ["x"]
    assert value(text, "banner") == ["none"]


def test_criteria_of_one_line_hold_together():
    text = "Match Group partners,!staff Address 10.0.0.0/8,!10.9.0.0/16\nForceCommand internal-sftp\n"
    for groups, address, command in [
        (("partners",), "10.1.2.3", "internal-sftp"),
        (("partners", "staff"), "10.1.2.3", "none"),
        (("partners",), "10.9.2.3", "none"),
        (("partners",), "192.0.2.1", "none"),
        (("other",), "10.1.2.3", "none"),
    ]:
        assert value(text, "forcecommand", Connection("u", groups, address)) == [command]


def test_an_included_file_stays_within_the_block_around_it_and_its_own_blocks_end_with_it():
    text = "Include first.conf\nMaxAuthTries 6\nMatch User a\nInclude inner.conf\nBanner outer\n"
    files = {
        "first.conf": "Match User z\nMaxSessions 1\n",
        "inner.conf": "ForceCommand internal-sftp\nMatch User b\nChrootDirectory /never\n",
    }
    assert value(text, "maxauthtries", **files) == ["6"]
    assert value(text, "forcecommand", Connection("a"), **files) == ["internal-sftp"]
    assert value(text, "chrootdirectory", Connection("b"), **files) == ["none"]
    assert value(text, "banner", Connection("a"), **files) == ["outer"]


def test_what_a_match_line_asks_and_nobody_can_answer_is_told():
    made = config("Match Exec /bin/true\nBanner x\nMatch User\nMatch Version foo\n")
    assert [trouble.rpartition(": ")[2] for trouble in made.troubles] == [
        "Match exec is not understood",
        "Match user is not understood",
        "Match version is not understood",
    ]
    assert effective(made, Connection("a"))["banner"] == ["none"]


def test_includes_without_end_are_cut():
    assert "nested deeper" in config("Include sshd_config\n").troubles[0]


def test_old_names_mean_the_new_ones():
    assert value("ChallengeResponseAuthentication no\n", "kbdinteractiveauthentication") == ["no"]
    assert value("Subsystem sftp internal-sftp -d /x\n", "subsystem sftp") == ["internal-sftp -d /x"]


def test_the_answer_of_sshd_itself_has_the_same_shape():
    values = read_test_output(
        "port 22\nport 2200\nauthorizedkeysfile a b\nsubsystem sftp /usr/lib/sftp-server -R\nusepam yes\n"
    )
    assert values["port"] == ["22", "2200"]
    assert values["authorizedkeysfile"] == ["a", "b"]
    assert values["subsystem sftp"] == ["/usr/lib/sftp-server -R"]
    assert values["usepam"] == ["yes"]


@pytest.mark.parametrize(
    ("pattern", "network"),
    [
        ("10.1.2.3", "10.1.2.3/32"),
        ("10.1.0.0/16", "10.1.0.0/16"),
        ("10.1.*", "10.1.0.0/16"),
        ("10.*", "10.0.0.0/8"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("*.example.com", None),
        ("10.1.2?", None),
        ("1*", None),
        ("999.*", None),
    ],
)
def test_patterns_of_addresses_become_networks_or_nothing(pattern, network):
    assert str(network_of(pattern) or None) == str(network)


@given(st.ip_addresses(v=4), st.integers(8, 32))
def test_an_address_is_in_the_network_that_is_made_from_it(address, length):
    assert address_in_list([f"{address}/{length}"], str(address))
    assert not address_in_list(["0.0.0.0/0", f"!{address}/{length}"], str(address))


def test_a_negated_pattern_decides_against():
    assert in_list(["*", "!root"], "alice")
    assert not in_list(["*", "!root"], "root")
    assert not in_list(["!root"], "alice")
    assert not in_list(["[ab]"], "a")


@pytest.mark.parametrize(
    ("lists", "common"),
    [
        ([[], []], []),
        ([["10.0.0.0/8"], []], ["10.0.0.0/8"]),
        ([["10.0.0.0/8"], ["10.1.0.0/16", "192.0.2.0/24"]], ["10.1.0.0/16"]),
        ([["10.0.0.0/8"], ["192.0.2.0/24"]], None),
        ([["::/0"], ["192.0.2.0/24"]], None),
    ],
)
def test_an_address_has_to_be_on_every_list(lists, common):
    assert intersection(lists) == common


_networks = st.lists(
    st.builds(lambda a, n: f"{a}/{n}", st.ip_addresses(v=4, network="10.0.0.0/28"), st.integers(28, 32)), max_size=4
)


@given(_networks, _networks, st.ip_addresses(v=4, network="10.0.0.0/28"))
def test_the_intersection_has_exactly_the_addresses_of_both(one, two, address):
    def has(networks):
        return not networks or address_in_list(networks, str(address))

    common = intersection([one, two])
    assert (common is not None and has(common)) == (has(one) and has(two))
