"""Where lakelink remembers things between runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lakelink.errors import ConfigError

VARIABLE = "LAKELINK_STATE_DIR"
ROOT_DIRECTORY = Path("/var/lib/lakelink")


def state_dir_path(environ: Mapping[str, str] = os.environ) -> Path:
    """$LAKELINK_STATE_DIR, else /var/lib/lakelink for root, else $XDG_STATE_HOME/lakelink. Nothing is made.

    XDG_STATE_HOME is ~/.local/state where it is not set or not absolute (XDG Base Directory Specification 0.8).
    """
    if asked := environ.get(VARIABLE):
        return Path(asked).absolute()
    if os.geteuid() == 0:
        return ROOT_DIRECTORY
    home = environ.get("XDG_STATE_HOME", "")
    base = Path(home) if home.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    return base / "lakelink"


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The state directory; it exists afterwards, for this user alone (0700). An existing one keeps its mode.

    Raises:
        ConfigError: it cannot be made, or is not a directory that this user can write to.
    """
    path = state_dir_path(environ)
    hint = f"Set {VARIABLE} to a directory that this user can write to."
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the state directory {path} cannot be made: {error.strerror}", hint=hint) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"the state directory {path} cannot be written to", hint=hint)
    return path
