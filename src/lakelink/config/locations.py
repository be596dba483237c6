"""`[locations.NAME]`: a place by name, with its own access. Credentials are named here, never written."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from lakelink.config.document import Document, nearest
from lakelink.config.secret import Secret
from lakelink.config.settings import Section, Setting
from lakelink.errors import ConfigError, UsageError

ADDRESSING = ("auto", "path", "virtual")
CHECKSUMS = ("crc64nvme", "crc32c", "none")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""What a location may be called: it never holds a slash, a dot or a colon, so it cannot be mistaken for a path."""

_WRITTEN_SECRETS = {
    "access_key",
    "secret_key",
    "aws_access_key_id",
    "aws_secret_access_key",
    "session_token",
    "password",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationSettings:
    """One `[locations.NAME]` section, as written. Empty text = not set."""

    name: str
    url: Setting[str]
    endpoint: Setting[str]
    region: Setting[str]
    profile: Setting[str]
    ca_bundle: Setting[str]
    addressing: Setting[str]
    access_key_env: Setting[str]
    secret_key_env: Setting[str]
    session_token_env: Setting[str]
    credentials_file: Setting[str]
    anonymous: Setting[bool]
    requester_pays: Setting[bool]
    sse: Setting[str]
    storage_class: Setting[str]
    checksum: Setting[str]
    proxy: Setting[str]
    insecure_tls: Setting[bool]

    def options(self) -> dict[str, str]:
        """What is set beside the URL, as text: the options of a `LocationSpec`. Holds names of credentials, never credentials."""
        found: dict[str, str] = {}
        for each in fields(self):
            setting = getattr(self, each.name)
            if each.name != "url" and isinstance(setting, Setting) and not setting.is_default:
                found[each.name] = str(setting.value).lower() if isinstance(setting.value, bool) else setting.value
        return found


def read_location(document: Document, name: str) -> LocationSettings:
    """The named section.

    Raises:
        UsageError: there is no location of that name; the hint names the nearest.
        ConfigError: the section is wrong; the message names the setting, the file and the line.
    """
    sections = document.section("locations")
    if name not in sections:
        near = nearest(name, sections)
        known = (
            f"Known: {', '.join(sorted(sections))}." if sections else f"No [locations.{name}] in {document.where()}."
        )
        hint = f"Did you mean {near}:? " if near else f"{known} "
        raise UsageError(
            f"there is no location {name!r}", hint=f"{hint}A local name with a colon is written ./{name}:…"
        )
    keys = ("locations", name)
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{document.where(*keys)}: a location cannot be called {name!r}", hint="Letters, digits, - and _."
        )
    section = Section(document, keys, sections[name])
    _refuse_written_secrets(section)
    if section.has("role_arn"):
        raise ConfigError(
            f"{section.where('role_arn')}: a role is assumed by a profile",
            hint="Write role_arn and source_profile into a profile of ~/.aws/config, and name that profile here.",
        )
    settings = LocationSettings(
        name=name,
        url=section.text("url"),
        endpoint=section.text("endpoint"),
        region=section.text("region"),
        profile=section.text("profile"),
        ca_bundle=section.text("ca_bundle"),
        addressing=section.choice("addressing", ADDRESSING, "auto"),
        access_key_env=section.text("access_key_env"),
        secret_key_env=section.text("secret_key_env"),
        session_token_env=section.text("session_token_env"),
        credentials_file=section.text("credentials_file"),
        anonymous=section.flag("anonymous"),
        requester_pays=section.flag("requester_pays"),
        sse=section.text("sse"),
        storage_class=section.text("storage_class"),
        checksum=section.choice("checksum", CHECKSUMS, "crc64nvme"),
        proxy=section.text("proxy"),
        insecure_tls=section.flag("insecure_tls"),
    )
    section.finish()
    _check_together(section, settings)
    return settings


def read_locations(document: Document) -> dict[str, LocationSettings]:
    """Every named location, by name.

    Raises:
        ConfigError: a section is wrong.
    """
    return {name: read_location(document, name) for name in document.section("locations")}


def _refuse_written_secrets(section: Section) -> None:
    for key in sorted(_WRITTEN_SECRETS):
        if section.has(key):
            raise ConfigError(
                f"{section.where(key)}: credentials are not written into the settings",
                hint="Name a profile, or the variables that hold them (access_key_env, secret_key_env), or a credentials_file.",
            )


def _check_together(section: Section, settings: LocationSettings) -> None:
    if not settings.url.value:
        raise ConfigError(f"{section.where('url')} is missing", hint='For example url = "s3://bucket/prefix".')
    if bool(settings.access_key_env.value) != bool(settings.secret_key_env.value):
        raise ConfigError(f"{section.where('access_key_env')} and secret_key_env belong together")
    ways = {
        "profile": bool(settings.profile.value),
        "access_key_env": bool(settings.access_key_env.value),
        "credentials_file": bool(settings.credentials_file.value),
        "anonymous": settings.anonymous.value,
    }
    chosen = [way for way, is_set in ways.items() if is_set]
    if len(chosen) > 1:
        raise ConfigError(
            f"{section.where(chosen[1])} cannot be used together with {chosen[0]}", hint="Keep one of them."
        )
    if settings.endpoint.value and not settings.endpoint.value.startswith(("http://", "https://")):
        raise ConfigError(f"{section.where('endpoint')} has to begin with https:// or http://")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key, read at the moment of use from where the settings say."""

    access_key: str
    secret_key: Secret
    session_token: Secret
    origin: str


def read_credentials(options: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> Credentials | None:
    """The key that a location's options name; None where they leave it to a profile or to the AWS chain.

    Raises:
        ConfigError: a variable is not set, or the file is missing, readable by others, or holds no key.
    """
    if variable := options.get("access_key_env"):
        token = options.get("session_token_env", "")
        secret_variable = options["secret_key_env"]
        for needed in filter(None, (variable, secret_variable, token)):
            if not environ.get(needed):
                raise ConfigError(
                    f"the environment variable {needed} is not set", hint=f"Export {needed}, or name another."
                )
        return Credentials(
            environ[variable], Secret(environ[secret_variable]), Secret(environ[token] if token else ""), f"${variable}"
        )
    if file := options.get("credentials_file"):
        return _read_credentials_file(Path(file).expanduser())
    return None


def _read_credentials_file(path: Path) -> Credentials:
    """Lines `aws_access_key_id = …`, `aws_secret_access_key = …`, optionally `aws_session_token = …`; section headers are ignored."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(f"{path} can be read by others", hint=f"chmod 600 {path}")
            text = file.read().decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="credentials_file names it.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8", hint="credentials_file names it.") from error
    pairs = [line.partition("=") for line in text.splitlines() if not line.lstrip().startswith(("#", ";", "["))]
    found = {key.strip().lower(): value.strip() for key, sign, value in pairs if sign}
    access_key, secret_key = found.get("aws_access_key_id"), found.get("aws_secret_access_key")
    if not access_key or not secret_key:
        raise ConfigError(
            f"{path} holds no aws_access_key_id and aws_secret_access_key", hint="Write key = value lines."
        )
    return Credentials(access_key, Secret(secret_key), Secret(found.get("aws_session_token", "")), str(path))
