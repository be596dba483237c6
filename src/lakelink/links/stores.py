"""What a link can rely on at its store when two writers meet: raced once, and remembered in `STATE/stores/`.

AWS is known to check conditions and act in one step. Any other store is raced when a link to it is made, or first opened; the verdict holds
for 30 days, for all links to that bucket.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lakelink.errors import LakelinkError, Refused, StorageError, Unreachable
from lakelink.locations.base import Location
from lakelink.locations.s3.location import S3Location
from lakelink.locations.s3.options import MAX_COPY_BYTES
from lakelink.locations.s3.probe import LINK_CONDITIONS, Support, race_conditions
from lakelink.model.linkspec import DAY_S, LinkSpec
from lakelink.model.units import format_bytes, format_duration
from lakelink.ports.clock import Clock
from lakelink.ports.crt_endpoint import is_aws

DIRECTORY = "stores"
RENEW_AFTER_S = 30 * DAY_S
PROBE_WITHIN_S = 18.0
VERSION = 1
_NEEDED = ("PUT If-None-Match", "PUT If-Match", "DELETE If-Match")  # without copies a link still works
_COPIES = ("Copy If-None-Match", "Copy If-Match")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a store honours each condition that links use. As JSON it is the file that is kept."""

    store: str  # endpoint and bucket
    server: str  # what the store calls itself
    probed_ns: int  # 0: known without a race
    conditions: dict[str, Support]
    version: int = VERSION

    @property
    def is_conditional(self) -> bool:
        """Whether the store looks at conditions of PUT and DELETE at all."""
        return not {self.conditions[name] for name in _NEEDED} & {Support.IGNORED, Support.REFUSED}

    def sentence(self) -> str:
        """What holds where two writers meet, for people."""
        if not self.is_conditional:
            return "the store honours no conditions: another writer within a moment of ours may be overwritten"
        racy = [name for name in LINK_CONDITIONS if self.conditions[name] is Support.RACY]
        if racy:
            return (
                f"the store checks conditions before a change and not with it ({', '.join(racy)}): "
                "another writer within that moment may be overwritten"
            )
        sure = "every change of the lake is conditional: the store itself refuses what would overwrite another writer"
        if self.is_aws:
            return sure
        if any(self.conditions[name] is not Support.ATOMIC for name in _COPIES):
            return f"{sure}; objects above 8 MiB and changes of metadata are checked by a look right before"
        return f"{sure}; objects above {format_bytes(MAX_COPY_BYTES)} are checked by a look right before"

    @property
    def caveat(self) -> str:
        """What somebody who links to this store should know at once: it checks conditions too early; "" where it does not."""
        return f"Two writers: {self.sentence()}." if Support.RACY in self.conditions.values() else ""

    @property
    def is_aws(self) -> bool:
        return not self.probed_ns


class Stores:
    """The verdicts of a state directory. Several processes may hold one each: a file is replaced whole."""

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self._directory = state_dir / DIRECTORY
        self._clock = clock
        self._racing = asyncio.Lock()  # links to one store that are opened at once race it once

    async def judge(self, lake: Location, *, anew: bool = False) -> Verdict | None:
        """What is known of the store behind `lake`, found out by a race where nothing is, where it is old, or `anew`; None: it is no S3 store.

        Everything happens below `PREFIX/.lakelink/` and is removed. A verdict that cannot be renewed goes on to hold.

        Raises:
            Unreachable, NotPermitted, RootMissing: nothing is known, and it could not be found out.
            StorageError: the verdict cannot be written down.
        """
        if not isinstance(lake, S3Location):
            return None
        store = f"{lake.client.endpoint}/{lake.client.bucket}"
        if is_aws(lake.client.endpoint.host):
            return Verdict(
                store=store, server="AmazonS3", probed_ns=0, conditions=dict.fromkeys(LINK_CONDITIONS, Support.ATOMIC)
            )
        async with self._racing:
            known = self._read(store)
            now_ns = self._clock.time_ns()
            if known is not None and not anew and 0 <= now_ns - known.probed_ns < RENEW_AFTER_S * 1e9:
                return known
            try:
                verdict = await _probed(lake, store, now_ns)
            except LakelinkError:
                if known is None:
                    raise
                return known
            self._write(verdict)
            return verdict

    def _path(self, store: str) -> Path:
        return self._directory / f"{hashlib.sha256(store.encode()).hexdigest()[:32]}.json"

    def _read(self, store: str) -> Verdict | None:
        """What was written down; a file that cannot be read, or of another version, is as good as none."""
        try:
            verdict = msgspec.json.decode(self._path(store).read_bytes(), type=Verdict)
        except (OSError, msgspec.DecodeError):
            return None
        complete = verdict.version == VERSION and set(LINK_CONDITIONS) <= set(verdict.conditions)
        return verdict if complete and verdict.store == store else None

    def _write(self, verdict: Verdict) -> None:
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            fd, name = tempfile.mkstemp(dir=self._directory, prefix=".new-")
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(msgspec.json.format(msgspec.json.encode(verdict), indent=2))
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path(verdict.store))
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise StorageError(
                f"what was found out about {verdict.store} cannot be kept in {self._directory}: {error.strerror}",
                hint="Is the disk full? Check the rights of the state directory.",
            ) from error


async def _probed(lake: S3Location, store: str, now_ns: int) -> Verdict:
    try:
        async with asyncio.timeout(PROBE_WITHIN_S):
            races, server = await race_conditions(lake)
    except TimeoutError as error:
        raise Unreachable(
            f"{store} did not answer a race of writers within {format_duration(PROBE_WITHIN_S)}",
            hint="It is raced again later; `lakelink store validate` takes its time.",
        ) from error
    undecided = [race.name for race in races if race.rounds and race.unclear == race.rounds]
    if undecided:
        raise Unreachable(
            f"{store} told no writer who had won ({', '.join(undecided)})", hint="It is raced again later."
        )
    return Verdict(store=store, server=server, probed_ns=now_ns, conditions={race.name: race.support for race in races})


def check_accepted(spec: LinkSpec, verdict: Verdict | None) -> None:
    """A link writes only to a store that honours conditions, unless it was told that this may be otherwise.

    Raises:
        Refused: the store does not, and that was not accepted; nothing was changed.
    """
    if verdict is None or verdict.is_conditional or spec.accept_unconditional or not spec.rule.exports:
        return
    raise unconditional(spec)


def unconditional(spec: LinkSpec) -> Refused:
    """Why a link to such a store is not made."""
    return Refused(
        f"the store of {spec.lake} does not check conditions on writes: a second writer's change could be lost",
        hint="Use a store that does, or accept it where lakelink is the only writer: --accept-unconditional-writes of `lakelink link add`, "
        "or accept_unconditional_writes = true in its section.",
    )
