"""The attribute: what is written comes back, and stays small."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.links.hsm.stub import LOADED, STUB, Coded, Flags, Origin, Stub, Unreadable, decode, encode, flags_of
from lakelink.model.entry import Version

MD5 = "9e107d9d372bb6826bd81d3542a419d6"
SECOND = 1_000_000_000


def stub(path: str, version: Version, mtime_ns: int, flags: Flags = STUB) -> Stub:
    return Stub(Origin("s3://lake/p", path, version), mtime_ns, flags)


versions = st.builds(
    Version,
    size_bytes=st.integers(0, 5 << 40),
    time_ns=st.integers(-(2**62), 2**62),
    etag=st.one_of(st.just(MD5), st.just(f"{MD5}-17"), st.just(MD5.upper()), st.just(f"{MD5}-0"), st.text(max_size=80)),
    version_id=st.text(max_size=100),
)


@given(versions, st.integers(-(2**62), 2**62), st.integers(0, 1 << 30), st.text(min_size=1, max_size=60))
def test_what_is_encoded_is_decoded(version, mtime_ns, place, name):
    name = name.replace("/", "-")
    value = encode(stub(f"a/b/{name}", version, mtime_ns), place)
    assert decode(value) == Coded(place, name, version, mtime_ns, STUB)


def test_an_ordinary_stub_fits_into_a_default_ext4_inode():
    version = Version(123_456_789, 1_700_000_000 * SECOND, etag=MD5)
    assert len(encode(stub("2026/06/part-00017-8a4f.parquet", version, version.time_ns), 4711)) <= 64


@given(st.integers(0, 0x3FF), versions)
def test_the_flags_alone_are_those_of_the_whole(number, version):
    value = encode(stub("d/f", version, SECOND, Flags(number)), 7)
    assert flags_of(value) == decode(value).flags == Flags(number) & ~Flags.DIRTY


@pytest.mark.parametrize("value", [b"", b"\x02\x0d", b"\x01", b"\x01\xff"])
def test_flags_of_what_is_no_attribute_are_not_guessed(value):
    with pytest.raises(Unreadable):
        flags_of(value)


def test_dirty_is_never_stored():
    coded = decode(encode(stub("f", Version(1, 0), 0, LOADED | Flags.DIRTY), 1))
    assert coded.flags == LOADED


def test_the_inode_of_a_file_elsewhere_is_kept():
    version = Version(1, SECOND, ino=2**63)
    assert decode(encode(stub("f", version, SECOND), 1)).version == version


def test_a_name_that_is_not_utf_8_survives():
    assert decode(encode(stub("d/\udcff", Version(0, 0), 0), 1)).name == "\udcff"


@given(st.binary(max_size=60))
def test_foreign_bytes_are_refused_or_read_but_never_crash(value):
    with contextlib.suppress(Unreadable):
        decode(value)


def test_a_value_that_was_cut_short_is_refused():
    value = encode(stub("f", Version(7, SECOND, etag=MD5, version_id="v" * 30), SECOND), 3)
    for end in range(len(value) - 1):
        if value[:end] and end < len(value) - 1:
            with pytest.raises(Unreadable):
                decode(value[:end])


def test_a_value_that_no_attribute_holds_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        encode(stub("f", Version(1, 0, version_id="v" * 5000), 0), 1)
