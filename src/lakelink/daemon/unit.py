"""The unit for systemd, with this installation's program in it."""

from __future__ import annotations

import shlex
import sys
from importlib import resources
from pathlib import Path

NAME = "lakelink.service"
LAZY_NAME = "lakelink-lazy.conf"
_PROGRAM = "/usr/bin/lakelink"


def unit() -> str:
    """What belongs into /etc/systemd/system/lakelink.service."""
    return _with_program(NAME)


def lazy_drop_in() -> str:
    """What belongs into /etc/systemd/system/lakelink.service.d/lazy.conf where links are lazy."""
    return _with_program(LAZY_NAME)


def _with_program(name: str) -> str:
    text = (resources.files("lakelink.daemon") / name).read_text(encoding="utf-8")
    return text.replace(_PROGRAM, _program())


def _program() -> str:
    beside = Path(sys.executable).with_name("lakelink")
    if beside.is_file():
        return shlex.quote(str(beside))
    return f"{shlex.quote(sys.executable)} -m lakelink"
