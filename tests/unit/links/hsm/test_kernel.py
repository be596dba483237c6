"""A stub is never opened for its bytes by the link itself."""

import errno
import os

import pytest

from lakelink.links.hsm.kernel import LazyKernel, open_with_bytes, without_bytes
from lakelink.links.hsm.stub import LOADED, STUB, Origin, Stub, encode
from lakelink.model.entry import Version

ORIGIN = Origin("s3://lake", "a", Version(5, 1_000_000_000, etag="x"))


def value(flags):
    return encode(Stub(ORIGIN, 1_000_000_000, flags), 1)


def test_only_a_released_file_has_no_bytes():
    assert without_bytes(value(STUB))
    assert not without_bytes(value(LOADED))
    assert not without_bytes(None)


def test_an_attribute_that_cannot_be_understood_is_believed_to_say_so():
    assert without_bytes(b"\xff of a later format")


def test_a_file_that_turns_out_to_be_a_stub_once_it_is_open_is_closed_again():
    closed = []
    with pytest.raises(OSError, match="No data available") as refused:
        open_with_bytes("f", lambda: None, lambda: 7, lambda _fd: value(STUB), closed.append)
    assert (refused.value.errno, closed) == (errno.ENODATA, [7])


def test_plain_files_are_opened_as_ever(tmp_path):
    (tmp_path / "f").write_bytes(b"bytes")
    kernel, top = LazyKernel(), os.open(tmp_path, os.O_RDONLY)
    try:
        fd = kernel.open("f", os.O_RDONLY, dir_fd=top)
        assert os.read(fd, 9) == b"bytes"
        os.close(fd)
        assert not kernel.is_stub("f", dir_fd=top)
        with pytest.raises(FileNotFoundError):
            kernel.open("absent", os.O_RDONLY, dir_fd=top)
    finally:
        os.close(top)
