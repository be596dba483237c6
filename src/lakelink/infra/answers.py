"""How answers of AWS are read: errors as ours, absence only where the service says it, tags as facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from lakelink.errors import NotPermitted, Unreachable
from lakelink.infra import names
from lakelink.infra.drift import Facts

Client: TypeAlias = Any  # boto3 makes its clients at run time
DENIED = {
    "403",
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "OptInRequired",
}
GONE = {
    "404",
    "NoSuchBucket",
    "NotFound",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
    "UserNotFound",
}


@contextmanager
def translated() -> Iterator[None]:
    """Errors of botocore as ours."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as problem:
        code = str(problem.response.get("Error", {}).get("Code", ""))
        if code in DENIED:
            hint = "`lakelink infra iam` prints the policy under `drift`."
            raise NotPermitted(f"{problem.operation_name} is not permitted ({code})", hint=hint) from problem
        raise Unreachable(f"{problem.operation_name} failed: {problem}", hint="Try again later.") from problem
    except NoCredentialsError as problem:
        raise NotPermitted("there are no AWS credentials", hint="Set AWS_PROFILE, or log in.") from problem
    except BotoCoreError as problem:
        raise Unreachable(str(problem), hint="Check the region, the network and AWS_ENDPOINT_URL.") from problem


def tag_facts(tags: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Each tag as a fact of its own."""
    return {f"tag {tag['Key']}": tag["Value"] for tag in tags}


def part_of(tags: Sequence[Mapping[str, str]]) -> str:
    """Which part of a stack a thing says that it is; "" if it says nothing."""
    return next((tag["Value"] for tag in tags if tag["Key"] == names.PART_TAG), "")


def place(facts: Facts, tags: Sequence[Mapping[str, str]], identity: str) -> str:
    """Where a thing stands among the facts: its part, or its id where it has none or another thing is that part already."""
    part = part_of(tags)
    return part if part and part not in facts else identity


def unless(codes: set[str], call: Callable[[], Any]) -> Any:
    """The answer, or None where the service says, in one of these codes, that there is nothing."""
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as problem:
        if problem.response.get("Error", {}).get("Code") in codes:
            return None
        raise
