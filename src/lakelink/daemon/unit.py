"""The unit for systemd, with this installation's program in it."""

from __future__ import annotations

import shlex
import sys
from importlib import resources
from pathlib import Path

NAME = "lakelink.service"
_PROGRAM = "/usr/bin/lakelink"


def unit() -> str:
    """What belongs into /etc/systemd/system/lakelink.service."""
    text = (resources.files("lakelink.daemon") / NAME).read_text(encoding="utf-8")
    return text.replace(_PROGRAM, _program())


def _program() -> str:
    beside = Path(sys.executable).with_name("lakelink")
    if beside.is_file():
        return shlex.quote(str(beside))
    return f"{shlex.quote(sys.executable)} -m lakelink"
