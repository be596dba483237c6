"""What a store says about changed keys, decoded: values in, values out.

An event means only "look at this key": what is there is found by looking, whatever the event claims. So nothing here is needed for being
right, and everything unknown may be passed over; it is counted, and the listing at an interval finds what was missed.

Known are the event message of Amazon S3 (User Guide, "Event message structure", eventVersion 2.x), also inside an SNS envelope, its
EventBridge form ("Using EventBridge"), what MinIO and Ceph send (the same records with their own `eventSource`), and what the filer of
SeaweedFS posts (`filer_events`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from lakelink.watch.filer_events import filer_keys

MAX_DEPTH = 3  # an envelope in an envelope in a list; more is junk
_ENCODES_KEYS = frozenset({"aws:s3", "minio:s3"})
_READS = ("ObjectAccessed:", "s3:ObjectAccessed:")  # MinIO reports reading as well


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """Look at this key of this bucket, and with `subtree` at all keys below it. An empty key is the bucket itself.

    `name`, `sequencer` and `version_id` only tell events apart; nothing is decided by them.
    """

    bucket: str
    key: str
    name: str = ""
    sequencer: str = ""
    version_id: str = ""
    subtree: bool = False


@dataclass(frozen=True, slots=True)
class Decoded:
    """One message: the keys to look at, and a sentence for each part that could not be understood.

    Neither: the message says nothing about keys (the test event that S3 sends when notifications are set up).
    """

    events: tuple[KeyEvent, ...] = ()
    problems: tuple[str, ...] = ()


def decode(body: bytes | str) -> Decoded:
    """The keys that a message names. Never raises: junk is a problem in the result."""
    decoder = _Decoder()
    decoder.text(body, 0)
    return Decoded(tuple(decoder.events), tuple(decoder.problems))


class _Decoder:
    """Collects what one message says, whatever its form."""

    def __init__(self) -> None:
        self.events: list[KeyEvent] = []
        self.problems: list[str] = []

    def text(self, body: bytes | str, depth: int) -> None:
        try:
            document = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            self.problems.append(f"not JSON: {error}")
            return
        self._document(document, depth)

    def _document(self, document: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            self.problems.append("too many envelopes in one another")
        elif isinstance(document, list):
            for each in document:
                self._document(each, depth + 1)
        elif isinstance(document, dict):
            self._message(document, depth)
        else:
            self.problems.append("not an object")

    def _message(self, message: dict[str, Any], depth: int) -> None:
        if isinstance(records := message.get("Records"), list):
            for record in records:
                self._record(record)
        elif isinstance(detail := message.get("detail"), dict):
            self._detail(_text(message, "detail-type"), detail)
        elif message.get("Type") == "Notification" and isinstance(inner := message.get("Message"), str):
            self.text(inner, depth + 1)
        elif "event_type" in message:
            self._filer(message)
        elif message.get("Event") != "s3:TestEvent":
            self.problems.append("not an event of a store that is known")

    def _record(self, record: Any) -> None:
        s3 = _of(record, "s3")
        seen = _of(s3, "object")
        bucket, key, name = _text(_of(s3, "bucket"), "name"), _text(seen, "key"), _text(record, "eventName")
        if not bucket or not key:
            self.problems.append("a record names no bucket or no key")
            return
        if name.startswith(_READS):
            return
        # Ceph and others send the key as it is: "a+b" is then "a+b". One look too many is cheaper than one too few.
        keys = {decode_key(key)} if _text(record, "eventSource") in _ENCODES_KEYS else {decode_key(key), key}
        sequencer, version_id = _text(seen, "sequencer"), _text(seen, "versionId")
        self.events += [KeyEvent(bucket, each, name, sequencer, version_id) for each in sorted(keys)]

    def _detail(self, name: str, detail: dict[str, Any]) -> None:
        seen = detail.get("object")
        bucket, key = _text(detail.get("bucket"), "name"), _text(seen, "key")
        if not bucket or not key:
            self.problems.append("the detail names no bucket or no key")
            return
        # EventBridge sends keys as they are (User Guide, "EventBridge event message structure").
        self.events.append(KeyEvent(bucket, key, name, _text(seen, "sequencer"), _text(seen, "version-id")))

    def _filer(self, message: dict[str, Any]) -> None:
        found = filer_keys(message)
        if found is None:
            self.problems.append("a message of a filer that names no path")
            return
        name = _text(message, "event_type")
        self.events += [KeyEvent(bucket, key, name, subtree=subtree) for bucket, key, subtree in found]


def decode_key(key: str) -> str:
    """The key of a record: form-encoded, "+" is a space (User Guide, "Event message structure"); %2F as MinIO writes it, too."""
    if "%" not in key and "+" not in key:
        return key
    raw = unquote_to_bytes(key.replace("+", " ").encode("utf-8", "surrogatepass"))
    return raw.decode("utf-8", "surrogateescape")


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: Any, name: str) -> str:
    found = _of(value, name)
    return found if isinstance(found, str) else ""


def compare_sequencers(one: str, other: str) -> int:
    """Negative, zero or positive: `one` is older than, the same as, or newer than `other`. Only for events of one key.

    Hexadecimal, of different lengths: right-padded with zeros, then compared as text (User Guide, "Event message structure").
    """
    width = max(len(one), len(other))
    left, right = one.upper().ljust(width, "0"), other.upper().ljust(width, "0")
    return (left > right) - (left < right)


class Duplicates:
    """Remembers which events were noted, so that the same event again costs no look. Bounded: the oldest are forgotten.

    Only an event that is the same in everything is a duplicate. An older one is none: it is looked at, which is always right.
    """

    def __init__(self, limit: int = 65_536) -> None:
        self._limit = limit
        self._seen: OrderedDict[tuple[str, str], KeyEvent] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def holds(self, event: KeyEvent) -> bool:
        """Whether this very event was noted before. An event without a sequencer never was."""
        noted = self._seen.get((event.bucket, event.key))
        if noted is None or not event.sequencer or not noted.sequencer:
            return False
        same_kind = (noted.name, noted.version_id) == (event.name, event.version_id)
        return same_kind and compare_sequencers(noted.sequencer, event.sequencer) == 0

    def note(self, event: KeyEvent) -> None:
        """The event was noted durably: only now may its repetition be dropped."""
        if not event.sequencer:
            return
        place = (event.bucket, event.key)
        self._seen[place] = event
        self._seen.move_to_end(place)
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)
