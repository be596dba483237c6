"""What the filer of SeaweedFS posts about its tree, as buckets and keys.

One message is `{"key": PATH, "event_type": "create" | "update" | "delete" | "rename", "message": EventNotification}`
(seaweedfs: weed/notification/webhook/types.go, http.go; EventNotification: weed/pb/filer.proto, fields in snake case). Entries that are
empty are left out, so what happened shows in which of `old_entry` and `new_entry` there is; PATH is where the old one was, else the new one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

BUCKETS = "/buckets/"  # where the S3 gateway keeps them (seaweedfs: `weed scaffold -config=filer`, buckets_folder)
_UPLOADS = (
    ".uploads"  # parts of multipart uploads, at the top of a bucket; the completed object has an event of its own
)
_VERSIONS = ".versions"  # KEY.versions/ holds the versions of KEY


class FilerKey(NamedTuple):
    """Look at this key; with `subtree`, at all keys below as well. An empty key is the bucket itself."""

    bucket: str
    key: str
    subtree: bool


def filer_keys(document: dict[str, Any]) -> list[FilerKey] | None:
    """The keys that a message is about: none where it is about something outside of all buckets; None where it names no path."""
    path = document.get("key")
    if not isinstance(path, str) or not path.startswith("/"):
        return None
    message = document.get("message")
    message = message if isinstance(message, dict) else {}
    old, new = message.get("old_entry"), message.get("new_entry")
    moved = _new_path(message.get("new_parent_path"), new)
    paths = {path}
    if moved:
        paths.add(moved)
    # A directory that is gone, or that came from elsewhere: its children may have no events of their own.
    subtree = _is_directory(old) and (new is None or moved not in {"", path})
    found: list[FilerKey] = []
    for each in sorted(paths):
        found.extend(_keys_of(each, subtree=subtree))
    return found


def _new_path(parent: Any, entry: Any) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(parent, str) or not isinstance(name, str) or not parent or not name:
        return ""
    return f"{parent.rstrip('/')}/{name}"


def _is_directory(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("is_directory") is True


def _keys_of(path: str, *, subtree: bool) -> list[FilerKey]:
    if not path.startswith(BUCKETS):
        return []
    bucket, _, key = path.removeprefix(BUCKETS).partition("/")
    if not bucket or key.partition("/")[0] == _UPLOADS:
        return []
    found = [FilerKey(bucket, key, subtree)]
    # "a/b.versions/v_1" is a version of "a/b"; where it is a key like any other, one look too many does no harm.
    parent = key if key.endswith(_VERSIONS) else key.rpartition("/")[0]
    if parent.endswith(_VERSIONS):
        found.append(FilerKey(bucket, parent.removesuffix(_VERSIONS), subtree=False))
    return found
