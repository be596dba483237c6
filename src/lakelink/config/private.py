"""Secrets that settings name and never hold: in a variable, or in a file that only its owner can read. One way for all sections."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from lakelink.config.secret import Secret
from lakelink.config.settings import Section, Setting
from lakelink.errors import ConfigError


def read_secret(section: Section, name: str, what: str, environ: Mapping[str, str] = os.environ) -> Secret:
    """What `NAME_env` or `NAME_file` leads to; an empty one where the section has neither. `what` it is, for errors: "the token".

    Raises:
        ConfigError: both are named, the variable is not set, or the file is not what `read_private` takes.
    """
    variable, file = section.text(f"{name}_env"), section.text(f"{name}_file")
    if variable.value and file.value:
        raise ConfigError(f"{file.origin}: {name}_env names {what} as well", hint="Keep one of them.")
    if file.value:
        return Secret(read_private(file, what))
    if not variable.value:
        return Secret("")
    if not environ.get(variable.value):
        raise ConfigError(
            f"{variable.origin}: the variable {variable.value} is not set", hint="Set it, or name another."
        )
    return Secret(environ[variable.value])


def read_private(setting: Setting[str], what: str) -> str:
    """The content of a file that only its owner can read, without the line break at its end.

    Raises:
        ConfigError: it cannot be read, is empty, or others can read it.
    """
    path = Path(setting.value).expanduser()
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"{setting.origin}: {path} can be read by others", hint=f"chmod 600 {path}")
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{setting.origin}: {path} cannot be read", hint=f"It holds {what} and nothing else."
        ) from error
    if not text:
        raise ConfigError(f"{setting.origin}: {path} is empty", hint=f"It holds {what} and nothing else.")
    return text
