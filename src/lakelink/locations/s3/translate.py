"""S3's refusals as lakelink's errors, with the permission or the setting that would help."""

from __future__ import annotations

from dataclasses import dataclass

from lakelink.errors import (
    Corrupt,
    CredentialsRefused,
    LakelinkError,
    NameUnsupported,
    NoSpace,
    NotFound,
    NotPermitted,
    PreconditionFailed,
    RootMissing,
    StorageError,
    Unreachable,
    Unsupported,
)
from lakelink.locations.s3.xml import element
from lakelink.ports.wire import WireRequest, WireResponse

# Amazon S3 API reference, Error responses: List of error codes.
_CREDENTIALS = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "TokenRefreshRequired",
        "RequestTimeTooSkewed",
        "AuthorizationHeaderMalformed",
        "InvalidSecurity",
        "NotSignedUp",
    }
)
_ABSENT = frozenset({"NoSuchKey", "NotFound", "NoSuchVersion", "NoSuchUpload"})
_CONFLICT = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
_SLOW_DOWN = "The store asks us to slow down; try later or with less --concurrency."
_FULL = "The store is full or over its quota."
_RENAME = "Rename the file, or exclude it."
_DAMAGED = "The bytes were damaged on the way, or the file changed; nothing was stored."
_OF_CODE: dict[str, tuple[type[LakelinkError], str]] = {
    **dict.fromkeys(
        ("SlowDown", "ServiceUnavailable", "RequestTimeout", "TooManyRequests", "Throttling", "Busy"),
        (Unreachable, _SLOW_DOWN),
    ),
    **dict.fromkeys(("QuotaExceeded", "XMinioStorageFull", "InsufficientStorage"), (NoSpace, _FULL)),
    **dict.fromkeys(
        ("KeyTooLongError", "KeyTooLong", "XMinioInvalidObjectName", "InvalidURI", "InvalidObjectName"),
        (NameUnsupported, _RENAME),
    ),
    **dict.fromkeys(
        ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"), (Corrupt, _DAMAGED)
    ),
    "EntityTooLarge": (Unsupported, "The object is larger than this store takes."),
    "InvalidObjectState": (Unsupported, "The object is archived: restore it first (RestoreObject), or exclude it."),
    "NotImplemented": (Unsupported, "This store cannot do that."),
}

# Actions of the Service Authorization Reference where they are not named like the operation.
_ACTIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject (and s3:ListBucket, without which an absent key is answered with 403)",
    "PutObject": "s3:PutObject (with conditions also s3:GetObject)",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "UploadPartCopy": "s3:PutObject, and s3:GetObject on the origin",
    "CopyObject": "s3:PutObject, and s3:GetObject on the origin",
    "DeleteObjects": "s3:DeleteObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "PutBucketNotificationConfiguration": "s3:PutBucketNotification",
}
_MAX_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """The error document of an answer; `code` is made from the status where there is no document (HEAD)."""

    code: str
    message: str
    region: str = ""


def refusal(response: WireResponse) -> Refusal:
    """What the store says it will not do."""
    code = element(response.body, "Code") or _CODE_OF_STATUS.get(response.status, f"Http{response.status}")
    region = response.headers.get("x-amz-bucket-region", "") or element(response.body, "Region")
    return Refusal(code, element(response.body, "Message")[:_MAX_MESSAGE], region)


_CODE_OF_STATUS = {
    400: "BadRequest",
    401: "AccessDenied",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    416: "InvalidRange",
    429: "SlowDown",
    500: "InternalError",
    501: "NotImplemented",
    503: "SlowDown",
    507: "InsufficientStorage",
}


def translate(request: WireRequest, response: WireResponse, bucket: str, name: str) -> LakelinkError:
    """The error of a refused request about the object `name`; whoever calls decides whether to raise it."""
    found = refusal(response)
    return error_of(found, request.operation, bucket, name, response.status)


def error_of(  # a table in words
    found: Refusal, operation: str, bucket: str, name: str, status: int = 0
) -> LakelinkError:
    """The error that stands for an S3 error code; where the code is not known, for the status."""
    code = found.code
    said = f"{operation} {name or bucket}: {code}" + (f" ({found.message})" if found.message else "")
    if code == "NoSuchBucket":
        return RootMissing(
            f"the bucket {bucket} is not there", hint="Check its name, the endpoint and the region, or create it."
        )
    if code in _ABSENT:
        return NotFound(f"{name or bucket} is not there")
    if code in _CONFLICT:
        return PreconditionFailed(f"{name} is no longer what was to be replaced", hint="Look again, then decide again.")
    if code in _CREDENTIALS:
        return CredentialsRefused(said, hint=_credential_hint(code))
    if code in {"PermanentRedirect", "TemporaryRedirect"}:
        return StorageError(said, hint=f"The bucket is in region {found.region or 'unknown'}: set region or endpoint.")
    if code in _OF_CODE:
        kind, hint = _OF_CODE[code]
        return kind(said, hint=hint)
    if status in {401, 403}:
        action = _ACTIONS.get(operation, f"s3:{operation}")
        hint = f"The credentials need {action} on {bucket}; for SSE-KMS also kms:GenerateDataKey and kms:Decrypt."
        return NotPermitted(said, hint=hint)
    return Unreachable(said, hint=_SLOW_DOWN) if status in {429, 503} else StorageError(said)


def _credential_hint(code: str) -> str:
    match code:
        case "RequestTimeTooSkewed":
            return "This machine's clock is off: set it (NTP)."
        case "SignatureDoesNotMatch":
            return "The secret key does not belong to the access key, or a proxy rewrites requests."
        case "ExpiredToken" | "TokenRefreshRequired":
            return "Renew the session (for example `aws sso login`) and run again."
        case "AuthorizationHeaderMalformed":
            return "Set the region of the bucket."
        case _:
            return "Check which credentials are found: `lakelink doctor`."
