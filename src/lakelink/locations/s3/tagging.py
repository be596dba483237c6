"""Tags of objects: read, and added to."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from html import unescape

from lakelink.errors import Unsupported
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.xml import escaped

MOST_TAGS = 10  # Amazon S3 user guide, object tagging


async def tags_of(client: S3Client, key: str) -> dict[str, str]:
    """The tags of an object."""
    response = await client.call(client.request("GetObjectTagging", "GET", key, query="tagging="), key)
    pairs = re.findall(rb"<Key>([^<]*)</Key>\s*<Value>([^<]*)</Value>", response.body)
    return {unescape(name.decode()): unescape(value.decode()) for name, value in pairs}


async def add_tags(client: S3Client, key: str, tags: Mapping[str, str]) -> None:
    """The object has these tags and those that it had. Nothing is sent where it has them already.

    Raises:
        NotFound: there is no such object. Unsupported: these would be more than ten.
    """
    old = await tags_of(client, key)
    new = old | dict(tags)
    if new == old:
        return
    if len(new) > MOST_TAGS:
        raise Unsupported(f"{key} would have {len(new)} tags", hint=f"An object has at most {MOST_TAGS}.")
    items = "".join(
        f"<Tag><Key>{escaped(name)}</Key><Value>{escaped(value)}</Value></Tag>" for name, value in new.items()
    )
    body = f'<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet>{items}</TagSet></Tagging>'.encode()
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode("ascii")
    headers = [("content-md5", digest), ("content-type", "application/xml")]
    request = client.request("PutObjectTagging", "PUT", key, query="tagging=", headers=headers)
    request.body = body
    await client.call(request, key)
