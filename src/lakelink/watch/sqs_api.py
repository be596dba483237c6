"""Amazon SQS, as much as is needed here: its JSON protocol over the signed wire that carries S3 as well.

Native connections, the same credentials as the store, and a call that is cancelled is gone at once; a client library would need a thread that
sits in each long poll. (Amazon SQS API Reference, "Making requests with the AWS JSON protocol".)
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from lakelink.errors import (
    ConfigError,
    CredentialsRefused,
    LakelinkError,
    NotPermitted,
    QueueMissing,
    StorageError,
    Unreachable,
)
from lakelink.ports.crt import CrtWire, CrtWireOptions
from lakelink.ports.crt_auth import CredentialSource, CrtSigner
from lakelink.ports.crt_endpoint import DEFAULT_REGION, parse_endpoint
from lakelink.ports.wire import S3Wire, WireRequest

BATCH = 10  # messages per call (Amazon SQS Developer Guide, "Message quotas")
CALL_TIMEOUT_S = 45.0  # longer than the longest poll, 20 s
_ARN = re.compile(r"arn:(aws[a-z-]*):sqs:([a-z0-9-]+):([0-9]{12}):([A-Za-z0-9_-]{1,80}(?:\.fifo)?)").fullmatch
_AWS_HOST = re.compile(r"sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?").fullmatch
_CREDENTIALS = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "ExpiredToken"}
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "InvalidSecurity", "KmsAccessDenied"})
_LATER = frozenset({"ThrottlingException", "RequestThrottled", "OverLimit", "KmsThrottled", "ServiceUnavailable"})


@dataclass(frozen=True, slots=True)
class QueueName:
    """A queue: `arn:PARTITION:sqs:REGION:ACCOUNT:NAME`."""

    partition: str
    region: str
    account: str
    name: str

    @property
    def arn(self) -> str:
        return f"arn:{self.partition}:sqs:{self.region}:{self.account}:{self.name}"


def parse_queue(text: str, region: str = "") -> QueueName:
    """The queue of an ARN, or of a URL; a URL of AWS names its region, for another one it is `region`.

    Raises:
        ConfigError: neither, or one of a FIFO queue, to which S3 cannot send.
    """
    found = _of_url(text, region) if text.startswith(("https://", "http://")) else text
    match = _ARN(found)
    if match is None:
        raise ConfigError(
            f"{text!r} names no SQS queue",
            hint="Write arn:aws:sqs:REGION:ACCOUNT:NAME, or https://sqs.REGION.amazonaws.com/ACCOUNT/NAME.",
        )
    if match[4].endswith(".fifo"):
        raise ConfigError(
            f"{match[4]} is a FIFO queue, and S3 sends to standard queues only", hint="Use another queue."
        )
    return QueueName(match[1], match[2], match[3], match[4])


def _of_url(url: str, region: str) -> str:
    """The URL as an ARN; "" where it has no account and name."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    aws = _AWS_HOST(parts.netloc)
    where = aws[1] if aws else region or DEFAULT_REGION
    partition = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    kind = next((value for start, value in partition.items() if where.startswith(start)), "aws")
    account, slash, name = parts.path.strip("/").partition("/")
    return f"arn:{kind}:sqs:{where}:{account}:{name}" if slash else ""


def queue_endpoint(text: str) -> str:
    """The endpoint that a queue's URL names, where it is not one of AWS; else "", which leaves it to the environment."""
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc and not _AWS_HOST(parts.netloc) else ""


def sqs_endpoint(region: str, environ: Mapping[str, str]) -> str:
    """Where the service answers: AWS_ENDPOINT_URL_SQS, AWS_ENDPOINT_URL, else AWS (AWS General Reference, SQS endpoints)."""
    for name in ("AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL"):
        if environ.get(name):
            return environ[name]
    return f"https://sqs.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")


class Message(NamedTuple):
    """A message of a queue; `handle` is needed to delete it, and a later receipt brings a newer one."""

    id: str
    handle: str
    body: str
    sent_ms: int  # 0 = not known


class SqsApi:
    """Calls to the service of one region. Every call ends within CALL_TIMEOUT_S; nothing is tried again here."""

    def __init__(self, wire: S3Wire, endpoint: str) -> None:
        self._wire = wire
        self._endpoint = endpoint.rstrip("/")

    def url(self, queue: QueueName) -> str:
        """The queue's URL: what the service would answer to GetQueueUrl, without the permission for that."""
        return f"{self._endpoint}/{queue.account}/{queue.name}"

    async def call(self, action: str, **arguments: Any) -> dict[str, Any]:
        """The answer of one action; names as in the API reference.

        Raises:
            QueueMissing: there is no such queue. NotPermitted: the hint names the permission.
            Unreachable: no answer in time, or "later". StorageError: refused for another reason.
        """
        request = WireRequest(
            operation=action,
            method="POST",
            path="/",
            headers=[("content-type", "application/x-amz-json-1.0"), ("x-amz-target", f"AmazonSQS.{action}")],
            body=msgspec.json.encode(arguments),
        )
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                response = await self._wire.send(request)
        except TimeoutError as error:
            raise Unreachable(f"{action}: no answer within {CALL_TIMEOUT_S:.0f} s ({self._endpoint})") from error
        answer = _document(response.body)
        if response.status != 200:
            raise _refusal(action, response.status, answer)
        return answer

    async def receive(self, queue: QueueName, *, wait_s: int, visibility_s: int) -> list[Message]:
        """Up to ten messages; waits for the first one up to `wait_s`. Others do not see them for `visibility_s`."""
        answer = await self.call(
            "ReceiveMessage",
            QueueUrl=self.url(queue),
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=visibility_s,
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        found = answer.get("Messages")
        return [_message(each) for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    async def delete(self, queue: QueueName, handles: Sequence[str]) -> int:
        """Remove up to ten messages; how many were removed. One that is gone already counts as removed."""
        entries = [{"Id": str(index), "ReceiptHandle": handle} for index, handle in enumerate(handles)]
        answer = await self.call("DeleteMessageBatch", QueueUrl=self.url(queue), Entries=entries)
        failed = answer.get("Failed")
        return len(handles) - (len(failed) if isinstance(failed, list) else 0)

    async def attributes(self, queue: QueueName) -> dict[str, str]:
        """Everything the service says about the queue."""
        answer = await self.call("GetQueueAttributes", QueueUrl=self.url(queue), AttributeNames=["All"])
        found = answer.get("Attributes")
        return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}

    async def aclose(self) -> None:
        """Close the connections; calls under way fail."""
        await self._wire.aclose()


def open_sqs(
    region: str,
    credentials: CredentialSource,
    *,
    endpoint: str = "",
    options: CrtWireOptions | None = None,
    environ: Mapping[str, str] | None = None,
) -> SqsApi:
    """The service of a region. Nothing is sent yet.

    Raises:
        ConfigError: the endpoint is not a URL.
    """
    environment = os.environ if environ is None else environ
    url = endpoint or sqs_endpoint(region, environment)
    parts = urlsplit(url)
    signer = CrtSigner(credentials, region, service="sqs", sign_payload=True, environ=environment)
    wire = CrtWire(parse_endpoint(url), signer, options or CrtWireOptions(), environment)
    return SqsApi(wire, f"{parts.scheme}://{parts.netloc}")


def _message(found: dict[str, Any]) -> Message:
    attributes = found.get("Attributes")
    sent = attributes.get("SentTimestamp", "") if isinstance(attributes, dict) else ""
    return Message(
        str(found.get("MessageId", "")),
        str(found.get("ReceiptHandle", "")),
        str(found.get("Body", "")),
        int(sent) if isinstance(sent, str) and sent.isascii() and sent.isdecimal() else 0,
    )


def _document(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise StorageError(
            "the queue service answers with something else than JSON", hint="Is this the endpoint of SQS?"
        ) from error
    return found if isinstance(found, dict) else {}


def _refusal(action: str, status: int, answer: Mapping[str, Any]) -> LakelinkError:
    code = str(answer.get("__type", "")).rpartition("#")[2] or f"Http{status}"
    text = str(answer.get("message") or answer.get("Message") or "")[:500]
    said = f"{action}: {code}" + (f" ({text})" if text else "")
    if code in {"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"}:
        return QueueMissing(said, hint="Was the queue removed? `lakelink link events NAME --check` tells more.")
    if code in _CREDENTIALS:
        return CredentialsRefused(said, hint="Check which credentials are found: `lakelink doctor`.")
    if code in _DENIED or status in {401, 403}:
        return NotPermitted(said, hint=f"The credentials need sqs:{_PERMISSIONS.get(action, action)} on the queue.")
    if status >= 500 or status == 429 or code in _LATER:
        return Unreachable(said)
    return StorageError(said)


_PERMISSIONS = {"DeleteMessageBatch": "DeleteMessage"}
