"""Lines of authorized_keys: what they allow, and which are refused."""

import base64
import contextlib
import struct

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.errors import UsageError
from lakelink.gateway.credentials.authorized_keys import parse_file, parse_key
from lakelink.gateway.credentials.key_options import matches_sources, read_expiry

KEY = asyncssh.generate_private_key("ssh-ed25519", comment="a@b")
LINE = KEY.export_public_key("openssh").decode().strip()
FAR = 1 << 62


def rsa_line(bits):
    modulus = (1 << (bits - 1)).to_bytes(bits // 8 + 1)
    blob = b"".join(struct.pack(">I", len(part)) + part for part in (b"ssh-rsa", b"\x01\x00\x01", modulus))
    return f"ssh-rsa {base64.b64encode(blob).decode()} old"


def test_a_line_is_known_by_the_fingerprint_that_ssh_keygen_prints():
    key = parse_key(LINE)
    assert (key.type, key.comment, key.fingerprint) == ("ssh-ed25519", "a@b", KEY.get_fingerprint())
    assert key.admits("192.0.2.1", 0)
    assert repr(key.blob) not in repr(key)


@pytest.mark.parametrize(
    "kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"]
)
def test_every_common_kind_is_taken_and_the_library_reads_what_is_handed_on(kind):
    line = asyncssh.generate_private_key(kind).export_public_key("openssh").decode()
    key = parse_key(f'restrict,cert-authority,principals="ann,bob" {line}')
    assert key.options.principals == ("ann", "bob")
    asyncssh.import_authorized_keys(key.demand)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "not a public key"),
        ("ssh-dss AAAAB3NzaC1kc3M= x", "ssh-dss"),
        (rsa_line(1024), "1024 bits is too weak"),
        ("ssh-ed25519 AAAA", "damaged"),
        (LINE.replace("ssh-ed25519", "ssh-rsa"), "damaged"),
        (LINE[:40], "damaged"),
        (f'command="/bin/sh" {LINE}', "runs a program"),
        (f"verify-required {LINE}", "verify-required"),
        (f"agent {LINE}", "agent"),
        (f'expiry-time="soon" {LINE}', "no time"),
        (f'principals="a*" {LINE}', "principals"),
        (f'from="10.0.0.0/8 {LINE}', "option from"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
    ],
    ids=lambda text: (
        text if LINE[12:] not in text and LINE[:40] not in text else "line"
    ),  # the key is another in each process
)
def test_what_is_no_key_or_cannot_be_kept_is_refused(line, sentence):
    with pytest.raises(UsageError, match=sentence):
        parse_key(line)


def test_a_strong_enough_rsa_key_is_taken():
    assert parse_key(rsa_line(2048)).type == "ssh-rsa"


def test_options_that_hold_anyway_change_nothing():
    options = 'no-pty,no-port-forwarding,restrict,permitopen="x:1",command="internal-sftp -u 027",environment="A=b",pty'
    assert parse_key(f"{options} {LINE}").options == parse_key(LINE).options


def test_from_and_expiry_time_decide_where_and_how_long_a_key_is_good():
    key = parse_key(f'from="10.0.0.0/8,!10.9.*",expiry-time="20300101Z" {LINE}')
    before, after = read_expiry("20291231Z"), read_expiry("20300101Z")
    assert key.admits("10.1.2.3", before)
    assert not key.admits("10.9.2.3", before)
    assert not key.admits("192.0.2.1", before)
    assert not key.admits("10.1.2.3", after)


@pytest.mark.parametrize(
    ("patterns", "address", "meant"),
    [
        ("192.0.2.*", "192.0.2.7", True),
        ("192.0.2.?", "192.0.2.77", False),
        ("2001:db8::/32", "2001:db8::5", True),
        ("*.example.com", "192.0.2.7", False),
        ("!192.0.2.7,192.0.2.0/24", "192.0.2.7", False),
        ("192.0.2.0/24,!192.0.2.7", "192.0.2.7", False),
        ("!192.0.2.8", "192.0.2.7", False),
        ("10.0.0.0/99", "10.0.0.1", False),
        ("[1]*", "1.2.3.4", False),
    ],
)
def test_patterns_are_those_of_ssh_config(patterns, address, meant):
    assert matches_sources(patterns, address) is meant


def test_a_time_without_a_zone_is_the_machines_own():
    assert read_expiry("20300101") in {read_expiry("20300101Z") + hours * 3_600_000_000_000 for hours in range(-14, 15)}
    assert read_expiry("203001010130Z") - read_expiry("20300101Z") == 5_400_000_000_000
    assert read_expiry("20300101013005Z") - read_expiry("203001010130Z") == 5_000_000_000


def test_a_file_is_taken_whole_or_not_and_the_line_is_named():
    assert parse_file(f"# ours\n\n{LINE}\n  {LINE}  \n") == [LINE, LINE]
    with pytest.raises(UsageError, match=r"^line 2: "):
        parse_file(f"{LINE}\nnonsense\n")
    with pytest.raises(UsageError, match="no public key"):
        parse_file("# nothing\n")


@given(st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text):
    with contextlib.suppress(UsageError):
        assert parse_key(text).blob


@given(st.text(alphabet='abc,="\\ -', max_size=60))
def test_no_options_do_more_than_be_refused(text):
    with contextlib.suppress(UsageError):
        assert parse_key(f"{text} {LINE}").blob
