"""The policy of a queue as a document that belongs to many: one statement per bucket is ours.

(Amazon S3 User Guide, "Granting permissions to publish event notification messages to a destination".)
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from lakelink.errors import Refused

_MARK = "lakelink"


def statement_id(bucket: str) -> str:
    """The name of our statement for a bucket; only letters and digits are allowed in it."""
    return _MARK + hashlib.sha256(bucket.encode()).hexdigest()[:16]


def statement(queue_arn: str, bucket: str, account: str) -> dict[str, Any]:
    """S3 may send, for this bucket of this account only: a name alone could be taken by somebody else once the bucket is deleted."""
    partition = queue_arn.split(":")[1]
    return {
        "Sid": statement_id(bucket),
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": f"arn:{partition}:s3:::{bucket}"},
            "StringEquals": {"aws:SourceAccount": account},
        },
    }


def with_statement(policy: str, ours: dict[str, Any]) -> str:
    """The policy with our statement in it; the very same text where it is there already.

    Raises:
        Refused: the policy is no document that could be added to.
    """
    document = _read(policy)
    found = _statements(document)
    if ours in found:
        return policy
    document["Statement"] = [each for each in found if not _is(each, ours["Sid"])] + [ours]
    return json.dumps(document)


def without_statement(policy: str, sid: str) -> str:
    """The policy without the statement of this name; "" where nothing is left, the very same text where it was not there."""
    document = _read(policy)
    found = _statements(document)
    rest = [each for each in found if not _is(each, sid)]
    if len(rest) == len(found):
        return policy
    document["Statement"] = rest
    return json.dumps(document) if rest else ""


def _is(each: Any, sid: str) -> bool:
    return isinstance(each, dict) and each.get("Sid") == sid


def _read(policy: str) -> dict[str, Any]:
    if not policy:
        return {"Version": "2012-10-17", "Statement": []}
    try:
        document = json.loads(policy)
    except ValueError as error:
        raise Refused("the policy of the queue is not JSON, so nothing can be added to it") from error
    if not isinstance(document, dict):
        raise Refused("the policy of the queue is no policy document, so nothing can be added to it")
    return document


def _statements(document: dict[str, Any]) -> list[Any]:
    found = document.get("Statement", [])
    return list(found) if isinstance(found, list) else [found]  # a single one may stand without a list
