"""Does one operation after the other on two trees, a lazy and a plain one, and compares what came of it. A program of its own, since it reads stubs.

`python -I -S fsx.py LAZY PLAIN`: a line of JSON in per operation, a line of JSON out: `[what it said on the lazy tree, and on the plain one]`.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import mmap
import os
import sys
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_OFFSET = ctypes.c_int64
KEEP_SIZE, PUNCH, COLLAPSE, ZERO, INSERT = 1, 2, 8, 16, 32
EXCHANGE = 2
_held: dict[tuple[str, int], int] = {}


def call(name, *arguments):
    if getattr(_libc, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def digest(data):
    return [len(data), hashlib.blake2b(data, digest_size=8).hexdigest()]


class Tree:
    """One of both."""

    def __init__(self, top):
        self.top = top

    def at(self, name):
        return Path(self.top, name)

    def opened(self, name, flags):
        return os.open(self.at(name), flags | os.O_CLOEXEC, 0o644)

    def using(self, name, flags, work):
        fd = self.opened(name, flags)
        try:
            return work(fd)
        finally:
            os.close(fd)

    # Reading
    def read(self, name):
        def work(fd):
            parts = []
            while part := os.read(fd, 40_000):
                parts.append(part)
            return digest(b"".join(parts))

        return self.using(name, os.O_RDONLY, work)

    def pread(self, name, at, size):
        return self.using(name, os.O_RDONLY, lambda fd: digest(os.pread(fd, size, at)))

    def mmap_read(self, name, at, size):
        def work(fd):
            length = os.fstat(fd).st_size
            if not length:
                return digest(b"")
            with mmap.mmap(fd, length, prot=mmap.PROT_READ) as view:
                return digest(view[at : at + size])

        return self.using(name, os.O_RDONLY, work)

    def sendfile(self, name, other):
        def work(source):
            def pour(target):
                length, at = os.fstat(source).st_size, 0
                while at < length:
                    at += os.sendfile(target, source, at, length - at)
                return at

            return self.using(other, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, pour)

        return self.using(name, os.O_RDONLY, work)

    def copy_range(self, name, other, at, size, to):
        def work(source):
            return self.using(
                other, os.O_WRONLY | os.O_CREAT, lambda target: os.copy_file_range(source, target, size, at, to)
            )

        return self.using(name, os.O_RDONLY, work)

    # Writing
    def write(self, name, at, text):
        return self.using(name, os.O_WRONLY | os.O_CREAT, lambda fd: os.pwrite(fd, bytes.fromhex(text), at))

    def mmap_write(self, name, at, text):
        def work(fd):
            length = os.fstat(fd).st_size
            if not length:
                return 0
            with mmap.mmap(fd, length) as view:
                data = bytes.fromhex(text)[: max(0, length - at)]
                view[at : at + len(data)] = data
                return len(data)

        return self.using(name, os.O_RDWR, work)

    def append(self, name, text):
        return self.using(name, os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, bytes.fromhex(text)))

    def anew(self, name, text):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        return self.using(name, flags, lambda fd: os.write(fd, bytes.fromhex(text)))

    def truncate(self, name, size):
        os.truncate(self.at(name), size)

    def ftruncate(self, name, size):
        self.using(name, os.O_RDWR, lambda fd: os.ftruncate(fd, size))

    def fallocate(self, name, mode, at, size):
        self.using(name, os.O_RDWR, lambda fd: call("fallocate", fd, mode, _OFFSET(at), _OFFSET(size)))

    # Names and metadata
    def rename(self, name, other):
        self.at(name).rename(self.at(other))

    def exchange(self, name, other):
        call("renameat2", -100, os.fsencode(self.at(name)), -100, os.fsencode(self.at(other)), EXCHANGE)

    def unlink(self, name):
        self.at(name).unlink()

    def link(self, name, other):
        os.link(self.at(name), self.at(other))

    def chmod(self, name, mode):
        self.at(name).chmod(mode)

    def utime(self, name, time_ns):
        os.utime(self.at(name), ns=(time_ns, time_ns))

    def mark(self, name, text):
        os.setxattr(self.at(name), "user.test", text.encode())

    def marked(self, name):
        return os.getxattr(self.at(name), "user.test").decode()

    # Descriptors that stay
    def hold(self, name, number):
        self.drop(number)
        _held[self.top, number] = self.opened(name, os.O_RDWR)

    def held_read(self, number, at, size):
        return digest(os.pread(_held[self.top, number], size, at))

    def held_write(self, number, at, text):
        return os.pwrite(_held[self.top, number], bytes.fromhex(text), at)

    def held_truncate(self, number, size):
        os.ftruncate(_held[self.top, number], size)

    def drop(self, number):
        fd = _held.pop((self.top, number), -1)
        if fd >= 0:
            os.close(fd)

    # What is there
    def names(self):
        found = {}
        for path in Path(self.top).rglob("*"):
            if path.is_file():
                st = path.stat()
                found[str(path.relative_to(self.top))] = [st.st_size, st.st_mode, st.st_nlink, st.st_uid]
        return dict(sorted(found.items()))

    def time(self, name):
        return self.at(name).stat().st_mtime_ns


def said(tree, verb, arguments):
    try:
        return getattr(tree, verb)(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    except KeyError:
        return "not held"


def main(lazy, plain):
    trees = Tree(lazy), Tree(plain)
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        print(json.dumps([said(tree, verb, arguments) for tree in trees]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
