"""The notification configuration of a bucket as a document that belongs to many: ours is added and taken out, the rest stays as it is.

The XML itself is edited, never a model of it: what somebody else put there, and we have never heard of, is written back unchanged.
(Amazon S3 API Reference, NotificationConfiguration; User Guide, "Configuring event notifications using object key name filtering".)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote_plus
from xml.etree import ElementTree as ET

from lakelink.errors import StorageError, Unsupported
from lakelink.watch.s3_events import decode_key

EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
LIFECYCLE = ("s3:LifecycleExpiration:*",)  # AWS alone has these: objects that expire raise no ObjectRemoved
NO_API = "Use a webhook if the store can push, else the listing at an interval finds its changes."
_NS = "http://s3.amazonaws.com/doc/2006-03-01/"
ET.register_namespace("", _NS)  # written as the default one: not every store reads prefixes
_KINDS = {  # element of a configuration: element that names its destination
    "TopicConfiguration": "Topic",
    "QueueConfiguration": "Queue",
    "CloudFunctionConfiguration": "CloudFunction",
}


@dataclass(frozen=True, slots=True)
class Notification:
    """One configuration: keys with this prefix and suffix, these events, to that destination."""

    id: str
    arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def overlaps(self, other: Notification) -> bool:
        """Whether an event could match both, which S3 refuses."""
        prefixes = self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix)
        suffixes = self.suffix.endswith(other.suffix) or other.suffix.endswith(self.suffix)
        return prefixes and suffixes and any(_same(a, b) for a in self.events for b in other.events)


def _same(one: str, other: str) -> bool:
    """Whether two event types have an event in common; `s3:ObjectCreated:*` stands for all that begin like that."""
    left, right = one.removesuffix("*"), other.removesuffix("*")
    if one.endswith("*") and other.endswith("*"):
        return left.startswith(right) or right.startswith(left)
    if one.endswith("*"):
        return other.startswith(left)
    return one.startswith(right) if other.endswith("*") else one == other


class Notifications:
    """The document of one bucket."""

    def __init__(self, body: bytes, bucket: str) -> None:
        """Read an answer of GetBucketNotificationConfiguration.

        Raises:
            Unsupported: no such document: the store does not have this API, whatever it answers to a PUT.
            StorageError: not XML.
        """
        self._bucket = bucket
        self._root = _parsed(body, bucket)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Notifications) and ET.canonicalize(self.document()) == ET.canonicalize(
            other.document()
        )

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def copy(self) -> Notifications:
        """One that can be changed apart."""
        return Notifications(self.document(), self._bucket)

    @property
    def all(self) -> list[Notification]:
        """Every configuration that has a destination."""
        return [_read(each, _KINDS[_name(each)]) for each in self._root if _name(each) in _KINDS]

    def find(self, notification_id: str) -> Notification | None:
        """The configuration of this id."""
        return next((each for each in self.all if each.id == notification_id), None)

    def add(self, ours: Notification) -> None:
        """Add a configuration with a queue; one of the same id is replaced."""
        self.remove(ours.id)
        root = self._root
        # The schema has an order: topics, queues, functions, the rest.
        place = max(
            (i + 1 for i, each in enumerate(root) if _name(each) in {"TopicConfiguration", "QueueConfiguration"}),
            default=0,
        )
        root.insert(place, self._written(ours))

    def remove(self, notification_id: str) -> bool:
        """Take out the configuration of this id; whether it was there."""
        root = self._root
        found = [each for each in root if _name(each) in _KINDS and _child(each, "Id") == notification_id]
        for each in found:
            root.remove(each)
        return bool(found)

    def document(self) -> bytes:
        """The body of a PutBucketNotificationConfiguration."""
        return bytes(ET.tostring(self._root, encoding="utf-8"))

    def _written(self, ours: Notification) -> ET.Element:
        root = self._root
        space = root.tag.removesuffix("NotificationConfiguration")

        def add(parent: ET.Element, name: str, text: str = "") -> ET.Element:
            made = ET.SubElement(parent, f"{space}{name}")
            made.text = text or None
            return made

        found = ET.Element(f"{space}QueueConfiguration")
        add(found, "Id", ours.id)
        add(found, "Queue", ours.arn)
        for event in ours.events:
            add(found, "Event", event)
        if ours.prefix or ours.suffix:
            key = add(add(found, "Filter"), "S3Key")
            for name, value in (("prefix", ours.prefix), ("suffix", ours.suffix)):
                if value:
                    rule = add(key, "FilterRule")
                    add(rule, "Name", name)
                    # User Guide, "object key name filtering": special characters are form-encoded here, too.
                    add(rule, "Value", quote_plus(value.encode("utf-8", "surrogateescape"), safe="/"))
        return found


def _parsed(body: bytes, bucket: str) -> ET.Element:
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise StorageError(f"the notifications of {bucket} are no plain XML document")
    try:
        root = ET.fromstring(body) if body.strip() else None  # noqa: S314  # without entities, see above
    except ET.ParseError as error:
        raise StorageError(f"the notifications of {bucket} are not XML: {error}") from error
    if root is None or _name(root) != "NotificationConfiguration":
        raise Unsupported(f"the store of {bucket} has no event notifications", hint=NO_API)
    return root


def overlapping(ours: Notification, others: Sequence[Notification]) -> list[Notification]:
    """Those of others that S3 would not have beside ours."""
    return [each for each in others if each.id != ours.id and each.overlaps(ours)]


def _read(element: ET.Element, destination: str) -> Notification:
    rules = {"prefix": "", "suffix": ""}
    for rule in element.iter():
        if _name(rule) == "FilterRule":
            rules[_child(rule, "Name").lower()] = _child(rule, "Value")  # AWS answers "Prefix" to "prefix"
    events = tuple(each.text or "" for each in element if _name(each) == "Event")
    prefix, suffix = decode_key(rules["prefix"]), decode_key(rules["suffix"])
    return Notification(_child(element, "Id"), _child(element, destination), events, prefix, suffix)


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _child(element: ET.Element, name: str) -> str:
    return next((each.text or "" for each in element if _name(each) == name), "")
