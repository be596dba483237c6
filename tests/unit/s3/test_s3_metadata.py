from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.locations.s3.metadata import (
    attribute_headers,
    bare_etag,
    entry_of_headers,
    foreign_attributes,
    parse_http_date_ns,
    parse_iso_ns,
    parse_time_ns,
    posix_headers,
    read_posix,
)
from lakelink.model.entry import Kind, Posix

POSIX = Posix(mode=0o644, uid=1000, gid=100, mtime_ns=1595002920000000001, atime_ns=1595002921000000002)


def test_the_writer_writes_exactly_what_fsx_writes():
    assert dict(posix_headers(Kind.FILE, POSIX)) == {
        "x-amz-meta-file-permissions": "0100644",
        "x-amz-meta-file-owner": "1000",
        "x-amz-meta-file-group": "100",
        "x-amz-meta-file-atime": "1595002921000000002ns",
        "x-amz-meta-file-mtime": "1595002920000000001ns",
        "x-amz-meta-user-agent": "lakelink",
    }
    assert dict(posix_headers(Kind.DIR, POSIX))["x-amz-meta-file-permissions"] == "0040644"
    assert dict(posix_headers(Kind.SYMLINK, POSIX))["x-amz-meta-file-permissions"] == "0120644"
    assert posix_headers(Kind.FILE, None) == []


posixes = st.builds(
    Posix,
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, (1 << 32) - 1),
    gid=st.integers(0, (1 << 32) - 1),
    mtime_ns=st.integers(-(10**18), 10**19),
    atime_ns=st.integers(-(10**18), 10**19),
)


@given(posixes, st.sampled_from([Kind.FILE, Kind.DIR, Kind.SYMLINK]))
def test_what_is_written_is_read_back(posix, kind):
    assert read_posix(dict(posix_headers(kind, posix)), marker=kind is Kind.DIR) == (kind, posix)


@pytest.mark.parametrize(
    ("permissions", "kind", "mode"),
    [
        ("0100644", Kind.FILE, 0o644),
        ("100644", Kind.FILE, 0o644),
        ("0644", Kind.FILE, 0o644),
        ("644", Kind.FILE, 0o644),
        ("0104755", Kind.FILE, 0o4755),
        ("0060644", Kind.FILE, 0o644),
    ],
)
def test_the_reader_takes_every_spelling_of_a_mode(permissions, kind, mode):
    found_kind, posix = read_posix({"x-amz-meta-file-permissions": permissions}, marker=False)

    assert (found_kind, posix.mode) == (kind, mode)


@pytest.mark.parametrize("permissions", ["", "rw-r--r--", "9", "-1", "7777777"])
def test_a_mode_that_is_none_is_not_guessed(permissions):
    assert read_posix({"x-amz-meta-file-permissions": permissions}, marker=False) == (Kind.FILE, None)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1595002920000000000ns", 1595002920000000000),
        ("1595002920000ms", 1595002920000000000),
        ("1595002920000", 1595002920000000000),
        ("-5ns", -5),
        ("", None),
        (None, None),
        ("yesterday", None),
        ("1.5ns", None),
    ],
)
def test_times_are_nanoseconds_with_ns_and_milliseconds_without(text, time_ns):
    assert parse_time_ns(text) == time_ns


def test_partial_metadata_gets_the_documented_defaults():
    headers = {"x-amz-meta-file-mtime": "7ns"}

    assert read_posix(headers, marker=False)[1] == Posix(0o644, 0, 0, 7, 7)
    assert read_posix(headers, marker=True) == (Kind.DIR, Posix(0o755, 0, 0, 7, 7))
    assert read_posix({"x-amz-meta-file-owner": "5"}, marker=False)[1] is None
    assert read_posix(headers | {"x-amz-meta-file-owner": "x", "x-amz-meta-file-group": "-2"}, marker=False)[1].uid == 0


def test_a_link_is_a_link_by_its_type_bits_alone():
    assert read_posix(dict(posix_headers(Kind.SYMLINK, None)), marker=False) == (Kind.SYMLINK, None)
    full = {"x-amz-meta-file-permissions": "120777", "x-amz-meta-file-mtime": "5ns"}
    assert read_posix(full, marker=False) == (Kind.SYMLINK, Posix(0o777, 0, 0, 5, 5))


def test_an_object_of_somebody_else_has_no_posix_metadata_but_a_version():
    entry = entry_of_headers(
        {
            "content-length": "12",
            "etag": '"abc"',
            "last-modified": "Mon, 23 Nov 2026 10:00:00 GMT",
            "x-amz-version-id": "null",
        },
        marker=False,
    )

    assert entry.posix is None
    assert (entry.version.size_bytes, entry.version.etag, entry.version.version_id) == (12, "abc", "")
    assert entry.version.time_ns == parse_iso_ns("2026-11-23T10:00:00.987Z") == 1795428000 * 10**9
    assert parse_http_date_ns("no date") == 0
    assert bare_etag(' "x" ') == "x"


def test_foreign_metadata_survives_and_ours_is_never_mistaken_for_it():
    headers = {
        "content-type": "text/csv",
        "cache-control": "no-cache",
        "x-amz-meta-colour": "blue",
        "x-amz-meta-file-mtime": "1ns",
        "x-amz-meta-user-agent": "aws-datasync",
        "etag": '"x"',
        "content-length": "3",
        "x-amz-server-side-encryption": "AES256",
    }

    kept = foreign_attributes(headers)

    assert kept == {"content-type": "text/csv", "cache-control": "no-cache", "x-amz-meta-colour": "blue"}
    assert dict(attribute_headers({"Content-Type": "text/csv", "X-Amz-Meta-Colour": "blue", "user.xattr": "no"})) == {
        "content-type": "text/csv",
        "x-amz-meta-colour": "blue",
    }
    assert attribute_headers(None) == []


@pytest.mark.parametrize("owner", ["9" * 5000, "4294967296", "-1", "root", "\u0663"])
def test_an_owner_that_is_none_is_root_however_long_it_is(owner):
    _, posix = read_posix({"x-amz-meta-file-mtime": "7ns", "x-amz-meta-file-owner": owner}, marker=False)
    assert posix.uid == 0


@pytest.mark.parametrize("stored", ["A", "not base64", "A" * 44 + "="])
def test_a_checksum_that_is_none_is_no_digest(stored):
    assert entry_of_headers({"etag": '"e"', "x-amz-checksum-sha256": stored}, marker=False).digest == b""
