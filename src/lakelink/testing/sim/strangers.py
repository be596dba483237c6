"""Other writers of a simulated bucket: clients that know nothing of lakelink, and do what clients do."""

from __future__ import annotations

import random
from collections.abc import Callable

from lakelink.locations.s3.keys import encode_key, encode_query
from lakelink.ports.wire import WireRequest, WireResponse
from lakelink.testing.sim.ledger import Ledger, tokens_in
from lakelink.testing.sim.store import BUCKET, SimStore

STRANGER = "stranger"
_NAMES = ("a", "b", "c.txt", "d/x", "d/y", "d/", "e/f/z", "e/f", "d", "\u00e4", "sp ace", "new/deep/er")
_IMPOSSIBLE = ("x//y", "up/../z", "./dot", "nul\0", "d/x/below")
_MTIME_NS = 1_600_000_000_000_000_000


class Strangers:
    """All foreign writers below one prefix. What their requests replace or delete, they threw away."""

    def __init__(
        self, store: SimStore, prefix: str, ledger: Ledger, *, name: str = STRANGER, describing: bool = True
    ) -> None:
        self._name = name
        self._store = store
        self._prefix = prefix
        self._ledger = ledger
        self._upload: tuple[str, str] | None = None  # key, id
        self._old: list[bytes] = []
        self._acts: list[tuple[int, Callable[[random.Random], str]]] = [
            (6, self._put),
            (2, self._put_if_unchanged),
            (3, self._delete),
            (2, self._multipart),
            (1, self._copy),
            (int(describing), self._rewrite_metadata),
            (1, self._put_back),
            (1, self._put_impossible),
            (1, self._put_link),
        ]

    def act(self, choice: random.Random) -> str:
        """One act, and what it was in words."""
        (_, act) = choice.choices(self._acts, weights=[weight for weight, _ in self._acts])[0]
        return self._carry_out(lambda: act(choice))

    def put_at(self, key: str, choice: random.Random) -> str:
        """One of them puts an object there, at this very moment."""
        return self._carry_out(lambda: self._put_at(key, choice))

    def _carry_out(self, act: Callable[[], str]) -> str:
        before, first = self._visible(), self._ledger.count
        told = f"{self._name}: {act()}"
        after = self._visible()
        self._ledger.act(before, after, told)
        self._ledger.excuse(self._ledger.since(first).difference(*after.values()), "it was refused")
        return told

    def _visible(self) -> dict[str, set[int]]:
        objects = self._store.objects.now
        return {key: tokens_in(stored.body) for key, stored in objects.items() if key.startswith(self._prefix)}

    def _send(
        self,
        operation: str,
        key: str,
        *,
        body: bytes = b"",
        headers: list[tuple[str, str]] | None = None,
        query: str = "",
    ) -> WireResponse:
        request = WireRequest(operation, "POST", f"/{BUCKET}/{encode_key(key)}", query, headers or [], body)
        result = self._store.handle(request, body, self._name)
        return result if isinstance(result, WireResponse) else result()

    def _new(self, choice: random.Random) -> str:
        return self._prefix + choice.choice(_NAMES)

    def _some(self, choice: random.Random) -> str | None:
        own = self._prefix + ".lakelink/"
        keys = sorted(k for k in self._store.objects.now if k.startswith(self._prefix) and not k.startswith(own))
        return choice.choice(keys) if keys else None

    def _body(self, key: str) -> bytes:
        return b"" if key.endswith("/") else self._ledger.mint(f"{self._name}: {key!r}")

    def _headers(self, choice: random.Random) -> list[tuple[str, str]]:
        """With metadata as FSx writes it, with that of a foreign tool, or with none."""
        mtime = _MTIME_NS + choice.randrange(10**9)
        return choice.choice(
            [
                [],
                [("content-type", "text/plain"), ("x-amz-meta-colour", "blue")],
                [("x-amz-meta-file-permissions", "0100640"), ("x-amz-meta-file-mtime", f"{mtime}ns")],
            ]
        )

    def _put(self, choice: random.Random) -> str:
        return self._put_at((self._some(choice) if choice.random() < 0.5 else None) or self._new(choice), choice)

    def _put_at(self, key: str, choice: random.Random) -> str:
        self._send("PutObject", key, body=self._body(key), headers=self._headers(choice))
        return f"put {key!r}"

    def _put_if_unchanged(self, choice: random.Random) -> str:
        key = self._some(choice)
        if key is None:
            return "nothing to replace"
        etag = self._store.objects.now[key].etag
        self._send("PutObject", key, body=self._body(key), headers=[("if-match", f'"{etag}"')])
        return f"replace {key!r}"

    def _delete(self, choice: random.Random) -> str:
        key = self._some(choice)
        if key is None:
            return "nothing to delete"
        self._send("DeleteObject", key)
        return f"delete {key!r}"

    def _multipart(self, choice: random.Random) -> str:
        if self._upload is None:
            key = self._new(choice).rstrip("/")
            upload_id = _element(self._send("CreateMultipartUpload", key, query="uploads=").body, "UploadId")
            self._upload = key, upload_id
            return f"begin to upload {key!r}"
        key, upload_id = self._upload
        self._upload = None
        query = f"partNumber=1&uploadId={encode_query(upload_id)}"
        etag = self._send("UploadPart", key, body=self._body(key), query=query).headers["etag"]
        part = f"<Part><ETag>{etag}</ETag><PartNumber>1</PartNumber></Part>"
        body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
        self._send("CompleteMultipartUpload", key, body=body, query=f"uploadId={encode_query(upload_id)}")
        return f"upload {key!r}"

    def _copy(self, choice: random.Random) -> str:
        source, key = self._some(choice), self._new(choice)
        if source is None or source.endswith("/") or key.endswith("/"):
            return "nothing to copy"
        self._send("CopyObject", key, headers=[("x-amz-copy-source", f"/{BUCKET}/{encode_key(source)}")])
        return f"copy {source!r} to {key!r}"

    def _rewrite_metadata(self, choice: random.Random) -> str:
        key = self._some(choice)
        if key is None or key.endswith("/"):
            return "nothing to describe"
        source = ("x-amz-copy-source", f"/{BUCKET}/{encode_key(key)}")
        headers = [source, ("x-amz-metadata-directive", "REPLACE"), *self._headers(choice)]
        self._send("CopyObject", key, headers=headers)
        return f"give {key!r} other metadata"

    def _put_back(self, choice: random.Random) -> str:
        """A content that was there before: its ETag comes back with it."""
        key = self._some(choice)
        if key is None or key.endswith("/"):
            return "nothing to put back"
        self._old = [*self._old, self._store.objects.now[key].body][-4:]
        self._send("PutObject", key, body=choice.choice(self._old))
        return f"put an earlier content back to {key!r}"

    def _put_impossible(self, choice: random.Random) -> str:
        key = self._prefix + choice.choice(_IMPOSSIBLE)
        self._send("PutObject", key, body=self._body(key))
        return f"put {key!r}, which no file can be"

    def _put_link(self, choice: random.Random) -> str:
        key = self._new(choice).rstrip("/")
        self._send("PutObject", key, body=b"a", headers=[("x-amz-meta-file-permissions", "0120777")])
        return f"put {key!r}, a symlink"


def _element(document: bytes, name: str) -> str:
    return document.decode().partition(f"<{name}>")[2].partition(f"</{name}>")[0]
