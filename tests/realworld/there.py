"""One who writes in the lake with a client that knows nothing of links, straight to the store."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.realworld.ledger import Ledger
from tests.realworld.names import MIB, SHARED, SLOW, content, size_of

BUCKET = "lake"
_LINK = b"target-"


class Stranger:
    """The only foreign writer of the prefix, so that what it looked at right before is all that it may destroy, but for what the link has put there meanwhile:
    and of that the link keeps the file, or has put it into the trash.
    """

    def __init__(self, client: Any, prefix: str, ledger: Ledger, seed: str) -> None:
        self._s3 = client
        self._prefix = prefix
        self._ledger = ledger
        self._random = random.Random(seed)
        self._count = 0
        self._acts: list[tuple[int, Callable[[], str]]] = [
            (8, self._put),
            (5, self._put_if_unchanged),
            (2, self._put_new),
            (4, self._delete),
            (2, self._upload_in_parts),
            (2, self._copy),
            (2, self._describe),
            (1, self._put_link),
            (1, self._mark_directory),
            (1, self._delete_below),
            (1, self._change_kind),
            (1, self._put_many),
        ]

    def act(self) -> None:
        """One act. Where the answer is an error nobody knows whether it happened: nothing is due, and what it was about to replace is not either."""
        _, act = self._random.choices(self._acts, weights=[weight for weight, _ in self._acts])[0]
        try:
            told = act()
        except ClientError as error:
            told = f"{act.__name__.strip('_')}: {error.response['Error'].get('Code')}"
        except BotoCoreError as error:
            told = f"{act.__name__.strip('_')}: {type(error).__name__}"
            time.sleep(0.2)
        self._ledger.tell("there", told)

    # ── acts ──

    def _put(self) -> str:
        path = self._random.choice([*SHARED, *SLOW])
        data = self._mint(path)
        self._saw(path)
        self._send(path, data, **self._metadata())
        return f"put {path!r} {data[:8].decode()} {len(data)}"

    def _put_if_unchanged(self) -> str:
        path = self._random.choice(SHARED)
        data = self._mint(path)
        etag = self._saw(path)
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        self._send(path, data, **condition)
        return f"replaced {path!r} {data[:8].decode()} {len(data)}"

    def _put_new(self) -> str:
        self._count += 1
        path = f"from there/{self._count % 7}/{self._count}"
        data = self._mint(path)
        self._s3.put_object(**self._at(path), Body=data, **self._metadata())
        self._ledger.due(data)
        return f"put {path!r} {data[:8].decode()} {len(data)}"

    def _delete(self) -> str:
        path = self._some()
        self._saw(path)
        self._s3.delete_object(**self._at(path))
        return f"deleted {path!r}"

    def _upload_in_parts(self) -> str:
        path = self._random.choice([*SHARED, "large/3"])
        data = content(self._ledger.mint(path), self._random.choice([1000, 6 * MIB]))
        self._ledger.written(data)
        where = self._at(path) | {"UploadId": self._s3.create_multipart_upload(**self._at(path))["UploadId"]}
        parts = []
        for number, at in enumerate(range(0, len(data), 5 * MIB), 1):
            tag = self._s3.upload_part(**where, PartNumber=number, Body=data[at : at + 5 * MIB])["ETag"]
            parts.append({"PartNumber": number, "ETag": tag})
        self._saw(path)
        self._s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
        self._ledger.due(data)
        return f"uploaded {path!r} {data[:8].decode()} {len(data)} in {len(parts)} parts"

    def _copy(self) -> str:
        path, to = self._some(), self._random.choice(SHARED)
        if path == to:
            return "copied nothing"
        self._saw(to)
        self._s3.copy_object(**self._at(to), CopySource={"Bucket": BUCKET, "Key": f"{self._prefix}/{path}"})
        return f"copied {path!r} to {to!r}"

    def _describe(self) -> str:
        path = self._some()
        self._s3.copy_object(
            **self._at(path),
            CopySource={"Bucket": BUCKET, "Key": f"{self._prefix}/{path}"},
            MetadataDirective="REPLACE",
            Metadata={"file-permissions": "0100640", "file-mtime": f"{10**18 + self._random.randrange(10**9)}ns"},
        )
        return f"described {path!r}"

    def _put_link(self) -> str:
        path = self._random.choice(SHARED)
        data = _LINK + self._ledger.mint(path)
        self._ledger.written(data)
        self._saw(path)
        self._send(path, data, Metadata={"file-permissions": "0120777"})
        return f"put link {path!r} {data.decode()}"

    def _mark_directory(self) -> str:
        path = self._random.choice(["q/", "from there/empty/", "d/new/"])
        self._saw(
            path.rstrip("/")
        )  # SeaweedFS takes the one for the other where an object stands in the place of a directory
        if self._random.random() < 0.4:
            self._s3.delete_object(**self._at(path))
            return f"deleted marker {path!r}"
        self._s3.put_object(**self._at(path), Body=b"")
        return f"put marker {path!r}"

    def _delete_below(self) -> str:
        below = self._random.choice(["d/e/", "p/", "k/", "m/", "q/", "from there/3/", "slow/"])
        keys = [path for path in self._listed() if path.startswith(below)]
        for path in keys:
            self._saw(path)
            self._s3.delete_object(**self._at(path))
        return f"deleted {len(keys)} below {below!r}"

    def _change_kind(self) -> str:
        """An object goes, and keys below it come; or the other way round."""
        path = self._random.choice(["k", "m", "q"])
        below = [each for each in self._listed() if each.startswith(path + "/")]
        for each in below or [path]:
            self._saw(each)
            self._s3.delete_object(**self._at(each))
        new = path if below else f"{path}/now below"
        data = self._mint(new)
        self._saw(new)
        self._send(new, data)
        return f"{path!r} changed its kind: {new!r} {data[:8].decode()}"

    def _put_many(self) -> str:
        self._count += 1
        for number in range(20):
            path = f"many/{self._count}/{number}"
            data = content(self._ledger.mint(path), 300)
            self._ledger.written(data)
            self._s3.put_object(**self._at(path), Body=data)
            self._ledger.due(data)
        return f"put 20 below 'many/{self._count}'"

    # ── what they share ──

    def _at(self, path: str) -> dict[str, str]:
        return {"Bucket": BUCKET, "Key": f"{self._prefix}/{path}"}

    def _mint(self, path: str) -> bytes:
        data = content(self._ledger.mint(path), size_of(self._random))
        self._ledger.written(data)
        return data

    def _send(self, path: str, data: bytes, **how: Any) -> None:
        began_s = time.monotonic()
        self._s3.put_object(**self._at(path), Body=data, **how)
        self._ledger.due(data)
        self._ledger.took(data, path, (began_s, time.monotonic()))

    def _saw(self, path: str) -> str:
        """Look at what will be replaced: it is this writer who throws it away. Returns its ETag, "" where nothing is."""
        try:
            found = self._s3.get_object(**self._at(path))
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            return ""
        self._ledger.overwritten(found["Body"].read(), f"there at {path!r}")
        return str(found["ETag"])

    def _metadata(self) -> dict[str, Any]:
        mtime = 10**18 + self._random.randrange(10**9)
        return self._random.choice(
            [
                {},
                {"ContentType": "text/plain", "Metadata": {"colour": "blue"}},
                {"Metadata": {"file-permissions": "0100640", "file-mtime": f"{mtime}ns"}},
            ]
        )

    def _some(self) -> str:
        paths = [path for path in self._listed() if not path.endswith("/")]
        return self._random.choice(paths) if paths else "nothing"

    def _listed(self) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{self._prefix}/")
        cut = len(self._prefix) + 1
        keys = [row["Key"][cut:] for page in pages for row in page.get("Contents", ())]
        return [key for key in keys if key and not key.startswith(".lakelink/")]
