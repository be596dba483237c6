"""Links for people and as documents."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lakelink.model.link import ALL_EVENTS, Event
from lakelink.model.linkspec import Flow, Holding, Lazy, LinkSpec, LinkState, LinkStatus, Room
from lakelink.model.path import display, json_fields
from lakelink.model.units import exact_bytes, format_bytes, format_duration, format_percent

if TYPE_CHECKING:
    from lakelink.api.answers import WirePath

ORDER = tuple(Event)
NEEDS_SOMEBODY = {LinkState.MISCONFIGURED, LinkState.FAILED}


def spec_fields(spec: LinkSpec) -> dict[str, Any]:
    """A link as it was asked for: the document of `lakelink link show --json`."""
    return {
        "name": spec.name,
        "ident": spec.ident,
        "files": display(spec.files),
        "lake": spec.lake,
        "import": [event.value for event in ORDER if event in spec.rule.imports],
        "export": [event.value for event in ORDER if event in spec.rule.exports],
        "conflict": spec.rule.conflict.value,
        "filters": [display(line) for line in spec.filters],
        "bandwidth_bytes_per_s": spec.transport.bandwidth_bytes_per_s,
        "concurrency": spec.transport.concurrency,
        "storage_class": spec.transport.storage_class,
        "sse": spec.transport.sse,
        "quiet_s": spec.pace.quiet_s,
        "scan_interval_s": spec.pace.scan_interval_s,
        "list_interval_s": spec.pace.list_interval_s,
        "max_delete_percent": spec.safety.max_delete_percent,
        "max_delete_count": spec.safety.max_delete_count,
        "trash_keep_s": spec.safety.trash_keep_s,
        "trash_max_bytes": spec.safety.trash_max_bytes,
        "events": spec.events,
        "accept_unconditional_writes": spec.accept_unconditional,
        "declared": spec.declared,
        "paused": spec.paused,
        "lazy": _lazy_fields(spec.lazy) if spec.lazy else None,
    }


def _lazy_fields(lazy: Lazy) -> dict[str, Any]:
    return {
        "keep_free": _room(lazy.keep_free),
        "free_up_to": _room(lazy.free_up_to),
        "release_after_s": lazy.release_after_s,
        "refresh": lazy.refresh.value,
    }


def _room(room: Room) -> str:
    return f"{room.percent:g}%" if room.percent else format_bytes(room.size_bytes)


def status_fields(status: LinkStatus) -> dict[str, Any]:
    """How a link stands: an element of `links` in `lakelink status --json`."""
    return {
        "name": status.name,
        "ident": status.ident,
        "files": display(status.files),
        "lake": status.lake,
        "state": status.state.value,
        "paused": status.paused,
        "declared": status.declared,
        "reason": display(status.reason),
        "hint": status.hint,
        "activity": status.activity,
        "agreed": status.agreed,
        "held": status.held,
        "conflicts": status.conflicts,
        "problems": status.problems,
        "import": _flow_fields(status.imports),
        "export": _flow_fields(status.exports),
        "feeds": list(status.feeds),
        "guarantee": status.guarantee,
        "last_survey": stamp(status.last_survey_ns),
        "errors": dict(status.errors),
        "holding": dataclasses.asdict(status.holding) if status.holding else None,
    }


def _flow_fields(flow: Flow) -> dict[str, Any]:
    return {
        "pending": flow.pending,
        "oldest_queued_s": round(flow.oldest_queued_s, 3),
        "files": flow.files,
        "bytes": flow.bytes,
        "deleted": flow.deleted,
        "metadata": flow.metadata,
        "latency_p50_s": round(flow.latency_p50_s, 4),
        "latency_p99_s": round(flow.latency_p99_s, 4),
    }


def stamp(time_ns: int) -> str | None:
    """A time in UTC as ISO 8601; None for 0, which means never."""
    if not time_ns:
        return None
    moment = dt.datetime.fromtimestamp(time_ns / 1e9, dt.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def path_fields(path: WirePath) -> dict[str, str]:
    """`path`, and `path_base64` where it is not UTF-8."""
    return json_fields(path.exact)


def policy(events: frozenset[Event]) -> str:
    """`new,changed`, `none`."""
    return ",".join(event.value for event in ORDER if event in events) or "none"


def direction(spec: LinkSpec) -> str:
    """The two places and what travels between them, in one line."""
    return f"{display(spec.files)} {_arrow(spec)} {spec.lake}"


def _arrow(spec: LinkSpec) -> str:
    match bool(spec.rule.imports), bool(spec.rule.exports):
        case True, True:
            return "<->"
        case True, False:
            return "<--"
        case False, True:
            return "-->"
        case _:
            return "-x-"


def spec_lines(spec: LinkSpec) -> Iterator[str]:
    """A link as it was asked for, a line per setting."""
    yield f"{spec.name}: {direction(spec)}"
    both = spec.rule.imports == spec.rule.exports == ALL_EVENTS
    yield f"  carries      {'everything, both ways' if both else f'import {policy(spec.rule.imports)}, export {policy(spec.rule.exports)}'}"
    yield f"  on conflict  {spec.rule.conflict.value}"
    for line in spec.filters:
        yield f"  filter       {display(line)}"
    if spec.transport.bandwidth_bytes_per_s:
        yield f"  bandwidth    {format_bytes(spec.transport.bandwidth_bytes_per_s)}/s"
    if spec.transport.storage_class:
        yield f"  storage      {spec.transport.storage_class}"
    if spec.transport.sse:
        yield f"  encryption   {spec.transport.sse}"
    scan, listing = format_duration(spec.pace.scan_interval_s), format_duration(spec.pace.list_interval_s)
    yield f"  looks        at the directory every {scan}, at the lake every {listing}, and when told"
    brake = f"{format_percent(spec.safety.max_delete_percent)} and {spec.safety.max_delete_count:,} paths"
    yield f"  halts        when more than {brake} are about to be deleted"
    yield f"  trash        kept {format_duration(spec.safety.trash_keep_s)}, at most {exact_bytes(spec.safety.trash_max_bytes)}"
    if spec.events:
        yield f"  events       {spec.events}"
    if spec.accept_unconditional:
        yield "  writes       also to a store that checks no conditions"
    if spec.declared:
        yield "  declared     in the settings file; commands do not change it"


def status_lines(status: LinkStatus) -> Iterator[str]:
    """How a link stands, in a few lines."""
    activity = "paused" if status.paused else status.activity
    yield f"{status.name}: {status.state.value}{f', {activity}' if activity else ''}"
    yield f"  {display(status.files)} and {status.lake}"
    if status.reason:
        yield f"  why: {display(status.reason)}"
        if status.hint:
            yield f"  do:  {status.hint}"
    counts = [f"{status.agreed:,} paths agreed", f"{status.imports.pending + status.exports.pending:,} pending"]
    counts += [
        f"{count:,} {what}"
        for count, what in ((status.held, "held"), (status.conflicts, "in conflict"), (status.problems, "in trouble"))
        if count
    ]
    yield f"  {', '.join(counts)}"
    if status.holding is not None:
        yield from _holding_lines(status.holding)
    for name, flow in (("exported", status.exports), ("imported", status.imports)):
        if line := _flow_line(name, flow):
            yield f"  {line}"
    for sentence in status.feeds:
        yield f"  {sentence}"
    if status.guarantee:
        yield f"  {status.guarantee}"
    if status.last_survey_ns:
        yield f"  both sides last compared as a whole: {stamp(status.last_survey_ns)}"


def _holding_lines(holding: Holding) -> Iterator[str]:
    yield (
        f"  loaded here: {holding.resident_files:,} files ({format_bytes(holding.resident_bytes)}); in the lake alone: "
        f"{holding.released_files:,} ({format_bytes(holding.released_bytes)})"
    )
    moved = f"{holding.loaded_files:,} loaded ({format_bytes(holding.loaded_bytes)}), {holding.evicted_files:,} released for room or age"
    free = f"{format_bytes(holding.free_bytes)} of {format_bytes(holding.total_bytes)} free"
    yield f"  {moved}; {free}; {holding.view}"
    if holding.undescribed:
        yield f"  {holding.undescribed:,} objects are still to be asked for their mode, owner and times"


def _flow_line(name: str, flow: Flow) -> str:
    parts = []
    if flow.files:
        parts.append(f"{flow.files:,} ({format_bytes(flow.bytes)})")
    parts += [f"{count:,} {what}" for count, what in ((flow.metadata, "metadata"), (flow.deleted, "deleted")) if count]
    if not parts and not flow.pending:
        return ""
    line = f"{name}: {', '.join(parts) or 'nothing yet'}"
    if flow.latency_p50_s:
        line += f"; half within {format_duration(flow.latency_p50_s)}, 99% within {format_duration(flow.latency_p99_s)}"
    if flow.pending:
        line += f"; {flow.pending:,} pending, the oldest for {format_duration(flow.oldest_queued_s)}"
    return line


def tell_notes(notes: Iterable[str]) -> None:
    """Sentences beside the result, on standard error."""
    text = "".join(f"note: {sentence}\n" for sentence in notes)
    if text:
        sys.stdout.flush()
        sys.stderr.write(text)
        sys.stderr.flush()
