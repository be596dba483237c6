"""What a link can be told, as options of `link add` and `link update`. None = not said."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from cyclopts import Group, Parameter

from lakelink.cli.parameters import MAX_DELETE, Bandwidth, Concurrency, Filters, Sse, StorageClass, one
from lakelink.errors import UsageError
from lakelink.model.link import ConflictRule, Event
from lakelink.model.linkspec import Lazy, LinkSpec, Refresh, Room
from lakelink.model.task import MaxDelete

POLICY = Group("What travels", sort_key=1)
NOTICING = Group("When", sort_key=4)
SAFETY = Group("Safety", sort_key=5)
LAZY = Group("Lazy loading", sort_key=6)


def _policy(text: str) -> frozenset[Event]:
    from lakelink.config.links import events_of

    return events_of(text)


def duration(text: str) -> float:
    from lakelink.model.units import parse_duration

    return parse_duration(text)


def _interval(text: str) -> float:
    from lakelink.config.links import SHORTEST_INTERVAL_S

    seconds = duration(text)
    if seconds < SHORTEST_INTERVAL_S:
        raise ValueError(f"{text!r} is less than {SHORTEST_INTERVAL_S:.0f}s")
    return seconds


def size(text: str) -> int:
    from lakelink.model.units import parse_bytes

    return parse_bytes(text)


def _room(text: str) -> Room:
    from lakelink.config.links import room_of

    return room_of(text)


def _said(help_text: str, metavar: str, group: Group, parse: Callable[[str], object], name: str = "") -> Parameter:
    return Parameter(
        name=name or None,
        help=help_text,
        metavar=metavar,
        group=group,
        converter=one(parse),
        n_tokens=1,
        accepts_keys=False,
        negative=(),
        show_default=False,
    )


V = TypeVar("V")
_EVENTS = "new, changed, deleted, in any combination; all or none"


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """All of it but the name and the two places."""

    imports: Annotated[
        frozenset[Event] | None,
        _said(f"What the lake's changes do here: {_EVENTS}. All, unless given.", "EVENTS", POLICY, _policy, "--import"),
    ] = None
    exports: Annotated[
        frozenset[Event] | None,
        _said(
            f"What changes here do to the lake: {_EVENTS}. All, unless given.", "EVENTS", POLICY, _policy, "--export"
        ),
    ] = None
    conflict: Annotated[
        ConflictRule | None,
        Parameter(
            help="Whose change stands where both sides changed: keep-both (unless given), files, lake, newest. The other is never lost.",
            group=POLICY,
        ),
    ] = None
    filters: Filters = ()
    bandwidth: Bandwidth = None
    concurrency: Concurrency = None
    storage_class: StorageClass = None
    sse: Sse = None
    quiet_time: Annotated[
        float | None,
        _said("Where closing cannot be seen, a file is uploaded after so long without a change; 2s.", "TIME", NOTICING, duration),
    ] = None  # fmt: skip
    scan_interval: Annotated[
        float | None, _said("The directory is walked so often, whatever events say; 1h.", "TIME", NOTICING, _interval)
    ] = None
    list_interval: Annotated[
        float | None, _said("The prefix is listed so often, whatever events say; 5m.", "TIME", NOTICING, _interval)
    ] = None
    max_delete: Annotated[
        MaxDelete | None,
        Parameter(
            help="Halt when more than N paths, or P% of them, are about to be deleted; 50%, and more than 10.",
            metavar="N|P%",
            group=SAFETY,
            converter=MAX_DELETE,
            n_tokens=1,
            accepts_keys=False,
            show_default=False,
        ),
    ] = None
    trash_keep: Annotated[
        float | None, _said("What is removed or replaced locally is kept so long; 7d.", "TIME", SAFETY, duration)
    ] = None
    trash_max: Annotated[
        int | None, _said("… as long as it is no more than this; 100GiB. The oldest goes first.", "SIZE", SAFETY, size)
    ] = None

    keep_free: Annotated[
        Room | None,
        _said("Of a lazy link: loading a file releases others rather than leaving less than this free; 10%.", "P%|SIZE", LAZY, _room),
    ] = None  # fmt: skip
    free_up_to: Annotated[
        Room | None, _said("Of a lazy link: releasing ends when so much is free; 15%.", "P%|SIZE", LAZY, _room)
    ] = None
    release_after: Annotated[
        float | None,
        _said("Of a lazy link: what nobody has read or changed for so long is released; never, unless given.", "TIME", LAZY, duration),
    ] = None  # fmt: skip
    refresh: Annotated[
        Refresh | None,
        Parameter(
            help="Of a lazy link: what becomes of a loaded file when its object changes: stub (unless given), or load, which fetches it at once.",
            group=LAZY,
        ),
    ] = None

    def _lazy(self, spec: LinkSpec) -> Lazy | None:
        said = {
            "keep_free": self.keep_free,
            "free_up_to": self.free_up_to,
            "release_after_s": self.release_after,
            "refresh": self.refresh,
        }
        if spec.lazy is not None:
            return _with(spec.lazy, **said)
        if any(each is not None for each in said.values()):
            raise UsageError(
                "--keep-free, --free-up-to, --release-after and --refresh are for lazy links",
                hint="A link is made lazy by `lakelink link add --lazy`, and stays so.",
            )
        return None

    def apply(self, spec: LinkSpec) -> LinkSpec:
        """The link with what was said; the rest stays.

        Raises:
            UsageError: what is said of lazy links only, of one that is not.
        """
        return dataclasses.replace(
            spec,
            rule=_with(spec.rule, imports=self.imports, exports=self.exports, conflict=self.conflict),
            lazy=self._lazy(spec),
            filters=self.filters or spec.filters,
            transport=_with(
                spec.transport,
                bandwidth_bytes_per_s=self.bandwidth,
                concurrency=self.concurrency,
                storage_class=self.storage_class,
                sse=self.sse,
            ),
            pace=_with(
                spec.pace,
                quiet_s=self.quiet_time,
                scan_interval_s=self.scan_interval,
                list_interval_s=self.list_interval,
            ),
            safety=_with(
                spec.safety, **_brake(self.max_delete), trash_keep_s=self.trash_keep, trash_max_bytes=self.trash_max
            ),
        )


def _with(value: V, **said: Any) -> V:
    """The value with what is not None in it changed."""
    changes = {name: each for name, each in said.items() if each is not None}
    return dataclasses.replace(value, **changes)  # type: ignore[type-var]  # every V here is a dataclass


def _brake(asked: MaxDelete | None) -> dict[str, object]:
    if asked is None:
        return {}
    if asked.count is not None:
        return {"max_delete_percent": 0.0, "max_delete_count": asked.count}
    return {"max_delete_percent": asked.percent}
