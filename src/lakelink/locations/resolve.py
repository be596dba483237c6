"""From what the user writes to an open location: parse, name canonically, build the adapter with its wrappers.

/path  relative  ./a:b        a directory of this machine (or, as a source, one file)
s3://bucket/prefix            objects, with the access that the AWS tools would use
memory:name                   shared within the process, for tests
NAME:sub/path                 below the [locations.NAME] of the settings, with the access written there
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from lakelink.config.document import Document
from lakelink.config.locations import read_credentials, read_location
from lakelink.errors import ConfigError, LakelinkError, NotPermitted, RootMissing, UsageError
from lakelink.locations.base import Location, LocationSpec
from lakelink.model.entry import Entry, Kind
from lakelink.model.task import Symlinks
from lakelink.ports.clock import SystemClock

if TYPE_CHECKING:
    from lakelink.locations.s3.open import S3Access

SCHEMES = ("s3://", "file://", "memory:")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """How a location is used by one run. What the section of a named location says holds where nothing is set here."""

    writable: bool = True  # False: it has to exist, and nothing is ever made or removed
    bandwidth_bytes_per_s: int | None = None
    concurrency: int | None = None
    storage_class: str | None = None
    sse: str | None = None
    staged_completion: bool = False  # see S3Options
    symlinks: Symlinks = Symlinks.KEEP
    trash: bool = False
    one_file: bool = True  # not writable, and the path is a file: a location that holds just that file
    must_exist: bool = True  # not writable, and nothing is there: an error at once; else the scan says so


def parse_location(text: str, document: Document) -> LocationSpec:
    """The location that the text names. Nothing is opened; credentials stay names.

    Raises:
        UsageError: not a location; the hint shows how it is written, or names the nearest known name.
        ConfigError: the named section is wrong.
    """
    if "\0" in text or not text:
        raise UsageError("a location cannot be empty or hold a NUL byte", hint="Write . for the current directory.")
    if text.startswith(SCHEMES):
        return LocationSpec(_normal_url(text))
    scheme, is_url, _ = text.partition("://")
    if is_url and "/" not in scheme:
        raise UsageError(f"{text} begins with {scheme}://, which is not known", hint=f"Known: {' '.join(SCHEMES)}.")
    name, colon, sub = text.partition(":")
    if not colon or "/" in name:
        return LocationSpec(_file_url(text))
    settings = read_location(document, name)
    url = settings.url.value
    if not url.startswith(("/", *SCHEMES)):
        where = document.where("locations", name, "url")
        raise ConfigError(f"{where}: {url!r} is no absolute path and no URL", hint=f"Known: / {' '.join(SCHEMES)}.")
    base = _normal_url(url) if url.startswith(SCHEMES) else _file_url(url)
    return LocationSpec(_below(base, sub, text), name, settings.options())


def canonical_url(spec: LocationSpec) -> str:
    """One text for one place, however it was written: for locks, index names and comparing. No trailing slash.

    Local: the real path, symlinks resolved. S3: host of the endpoint, bucket, prefix; on AWS bucket names are unique, so the region
    does not count.
    """
    if spec.url.startswith("file://"):
        return "file://" + quote(os.path.realpath(os.fsencode(local_path(spec))))
    if spec.url.startswith("s3://"):
        from lakelink.ports.crt_endpoint import is_aws, parse_endpoint, resolve_endpoint, resolve_region

        options = spec.options
        region = resolve_region(options.get("region", ""), options.get("profile", ""), os.environ).value
        endpoint = parse_endpoint(resolve_endpoint(options.get("endpoint", ""), region, os.environ).value)
        host = "s3.amazonaws.com" if is_aws(endpoint.host) else endpoint.authority
        return f"s3://{host}/{spec.url.removeprefix('s3://')}"
    return spec.url


def local_path(spec: LocationSpec) -> str:
    """The path of a file:// location, as the kernel has it."""
    return os.fsdecode(unquote_to_bytes(spec.url.removeprefix("file://"))) or "/"


async def open_location(spec: LocationSpec, options: OpenOptions) -> Location:
    """The location, ready for its verbs; close it with `aclose`. `requests` of what is returned counts what was sent.

    Raises:
        RootMissing: not writable, and nothing is there.
        UsageError, ConfigError: a setting is wrong.
        Unreachable, NotPermitted: whether an S3 source is one object could not be found out.
    """
    if spec.url.startswith("s3://"):
        return await _open_s3(spec, options)
    inner: Location
    if spec.url.startswith("memory:"):
        from lakelink.locations.memory import MemoryLocation, MemoryStore

        name = spec.url.removeprefix("memory:")
        inner = MemoryLocation(MemoryStore.named(name), name=name)
    else:
        inner = _open_local(spec, options)
    # One side of a run is enough, and the target sees every byte: its pace holds the source back too.
    if options.bandwidth_bytes_per_s and options.writable:
        from lakelink.locations.wrap.throttled import Throttled

        return Throttled(inner, SystemClock(), bytes_per_s=options.bandwidth_bytes_per_s)
    return inner


def _open_local(spec: LocationSpec, options: OpenOptions) -> Location:
    from lakelink.locations.local.location import LocalLocation
    from lakelink.locations.local.options import LocalOptions

    path, only = local_path(spec), None
    if not options.writable:
        if options.must_exist and not os.path.lexists(path):
            raise RootMissing(f"{path} is not there", hint="Check the path; is the file system mounted?")
        if options.one_file and os.path.lexists(path) and not os.path.isdir(path):  # noqa: PTH112  # names are strings with surrogates here
            path, only = os.path.split(path)
    return LocalLocation(
        path,
        options=LocalOptions(trash=options.trash, create_root=options.writable, symlinks=options.symlinks, only=only),
    )


async def _open_s3(spec: LocationSpec, options: OpenOptions) -> Location:
    location = _s3_location(spec, options)
    parent_url, _, name = spec.url.rpartition("/")
    if options.writable or not options.one_file or parent_url == "s3:/":  # a whole bucket is never one object
        return location
    from lakelink.locations.wrap.only import Only

    parent = _s3_location(LocationSpec(parent_url, spec.name, spec.options), options)
    try:
        is_one = await _is_one_object(parent, name, location)
    except BaseException:
        await parent.aclose()
        await location.aclose()
        raise
    await (location if is_one else parent).aclose()
    return Only(parent, name) if is_one else location


async def _is_one_object(parent: Location, name: str, location: Location) -> bool:
    """Whether there is an object of that very key and nothing below it: then it is a file, else a directory."""
    (entry,) = await parent.stat([name])
    # Who may only see below a prefix is refused at its own name: then it is a prefix. Any other trouble says nothing.
    if isinstance(entry, LakelinkError) and not isinstance(entry, NotPermitted):
        raise entry
    if not isinstance(entry, Entry) or entry.kind is Kind.DIR:
        return False
    async for batch in location.scan():
        if any(row.path for row in batch.rows):
            return False
    return True


def _s3_location(spec: LocationSpec, options: OpenOptions) -> Location:
    """Bandwidth and concurrency are limited at the wire, per request."""
    from lakelink.locations.s3.open import Traffic, open_s3
    from lakelink.locations.s3.options import Addressing, Checksum, S3Options

    given = spec.options
    defaults = S3Options()
    return open_s3(
        spec.url,
        s3_access(given),
        S3Options(
            addressing=Addressing(given.get("addressing", defaults.addressing)),
            storage_class=options.storage_class or given.get("storage_class", ""),
            sse=options.sse or given.get("sse", ""),
            requester_pays=given.get("requester_pays") == "true",
            checksum=Checksum(given.get("checksum", defaults.checksum)),
            staged_completion=options.staged_completion,
        ),
        traffic=Traffic(bytes_per_s=options.bandwidth_bytes_per_s, concurrency=options.concurrency),
        spec=spec,
    )


def s3_access(given: Mapping[str, str]) -> S3Access:
    """How a store is reached with the options of a `LocationSpec`; credentials are read where those say.

    Raises:
        ConfigError: they cannot be read.
    """
    from lakelink.locations.s3.open import S3Access
    from lakelink.ports.crt_auth import CredentialSource

    key = read_credentials(given)
    source = CredentialSource(profile=given.get("profile", ""), anonymous=given.get("anonymous") == "true")
    if key is not None:
        source = CredentialSource(key.access_key, key.secret_key.reveal(), key.session_token.reveal())
    return S3Access(
        endpoint=given.get("endpoint", ""),
        region=given.get("region", ""),
        credentials=source,
        ca_bundle=given.get("ca_bundle", ""),
        verify=given.get("insecure_tls") != "true",
        proxy=given.get("proxy"),
    )


def _file_url(path: str) -> str:
    absolute = os.path.abspath(path)  # noqa: PTH100  # names are strings with surrogates, and no link is resolved
    return "file://" + quote(os.fsencode(absolute))


def _normal_url(url: str) -> str:
    if url.startswith("memory:"):
        return url
    if url.startswith("file://"):
        path = os.fsdecode(unquote_to_bytes(url.removeprefix("file://")))
        if not path.startswith("/"):
            raise UsageError(f"{url} names another machine", hint="Write file:///absolute/path, or just the path.")
        return _file_url(path)
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if not bucket:
        raise UsageError(f"{url} names no bucket", hint="Write s3://BUCKET/PREFIX.")
    # Slashes after a prefix mean nothing (`KeySpace`): one place has one name, for locks and for what overlaps.
    prefix = prefix.rstrip("/")
    if "//" in f"/{prefix}":
        # Dropping a slash would name other objects; keeping both, other objects than the store means by it.
        raise UsageError(f"{url} has an empty name between two slashes", hint="Keys like this cannot be files.")
    return f"s3://{bucket}/{prefix}".rstrip("/")


def _below(base: str, sub: str, text: str) -> str:
    sub = sub.strip("/")
    if ".." in sub.split("/"):
        raise UsageError(f"{text} leads out of the location", hint="Write the path without .. components.")
    if not sub:
        return base
    if base.startswith("file://"):
        sub = quote(os.fsencode(sub))
    return f"{base.rstrip('/')}/{sub}"
