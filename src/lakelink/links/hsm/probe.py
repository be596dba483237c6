"""Which tier this kernel, file system and user can have: found out with a probe file, by a reader that gets the right bytes or does not.

The probe is the real thing in small: a file that is one hole, a mark on it, a reader in another process, bytes that are put there while it waits.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass

from lakelink.links.hsm.base import Tier
from lakelink.links.hsm.stub import ATTRIBUTE
from lakelink.ports import permission

WITHIN_S = 10.0
_WORDS = b"the bytes of the probe"
_FLAGS = permission.FAN_CLOEXEC | permission.FAN_UNLIMITED_QUEUE | permission.FAN_UNLIMITED_MARKS
PRE_CONTENT_GROUP = _FLAGS | permission.FAN_CLASS_PRE_CONTENT
CONTENT_GROUP = _FLAGS | permission.FAN_CLASS_CONTENT
MASKS = {Tier.PRE_CONTENT: permission.MARK_BOTH, Tier.OPEN: permission.FAN_OPEN_PERM}


@dataclass(frozen=True, slots=True)
class Probe:
    """What can be had here, and why not more."""

    tier: Tier
    why: str = ""


def open_group() -> int:
    """A group for permission events; the class that knows errnos where the kernel has it. OSError EPERM without CAP_SYS_ADMIN."""
    try:
        return permission.group(PRE_CONTENT_GROUP)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return permission.group(CONTENT_GROUP)


def probe(directory: str) -> Probe:
    """Try it in `directory`, which has to be writable; nothing stays there (blocking, some 50 ms)."""
    try:
        group_fd = open_group()
    except OSError as error:
        return Probe(Tier.NONE, _no_group(error))
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".lakelink-probe-") as file:
            return _try(group_fd, file.fileno(), file.name)
    except OSError as error:
        return Probe(Tier.NONE, f"no probe file in {directory}: {error.strerror}")
    finally:
        os.close(group_fd)


def _no_group(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return "only a process with CAP_SYS_ADMIN in the first user namespace may hold up opens (fanotify_init: EPERM)"
    return f"the kernel has no fanotify permission events (fanotify_init: {error.strerror})"


def _try(group_fd: int, fd: int, path: str) -> Probe:
    os.ftruncate(fd, len(_WORDS))
    trouble = _attributes(fd)
    if trouble:
        return Probe(Tier.NONE, trouble)
    why = ""
    for tier, mask in MASKS.items():
        try:
            permission.mark(group_fd, fd, mask)
        except OSError as error:
            why = f"{why}the file system takes no mark for {tier.value} events ({error.strerror}); "
            continue
        found = _read_by_another(group_fd, fd, path)
        permission.unmark(group_fd, fd, mask)
        if found == _WORDS:
            return Probe(tier, why.removesuffix("; "))
        why = f"{why}with {tier.value} events a reader got {found[:22]!r}; "
    return Probe(Tier.NONE, why.removesuffix("; "))


def _attributes(fd: int) -> str:
    try:
        os.setxattr(fd, ATTRIBUTE, b"probe")
        os.removexattr(fd, ATTRIBUTE)
    except OSError as error:
        return f"no trusted.* attributes here ({error.strerror})"
    return ""


def _read_by_another(group_fd: int, fd: int, path: str) -> bytes:
    """What another process reads while this one answers. Whoever waits is freed at the end, whatever happened: the group closes before the file."""
    reader = subprocess.Popen([sys.executable, "-I", "-S", "-c", _READ, path], stdout=subprocess.PIPE)
    done = threading.Event()
    answering = threading.Thread(target=_answer, args=(group_fd, fd, done), daemon=True)
    answering.start()
    try:
        return reader.communicate(timeout=WITHIN_S)[0]
    except subprocess.TimeoutExpired:
        return b"nothing"
    finally:
        done.set()
        answering.join(WITHIN_S)
        reader.kill()
        reader.communicate()


_READ = "import os, sys; os.write(1, os.read(os.open(sys.argv[1], os.O_RDONLY), 100))"


def _answer(group_fd: int, fd: int, done: threading.Event) -> None:
    waiting = select.poll()
    waiting.register(group_fd, select.POLLIN)
    while not done.is_set():
        if not waiting.poll(50):
            continue
        for question in permission.questions(os.read(group_fd, 4096)):
            # Through the descriptor from before the mark: it asks nobody.
            with contextlib.suppress(OSError):
                os.pwrite(fd, _WORDS, 0)
            permission.allow(group_fd, question.fd)
            os.close(question.fd)
