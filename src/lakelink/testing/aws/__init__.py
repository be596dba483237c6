"""Fakes of AWS services that moto does not have: FSx for Lustre with associations that really import and export.

    service = FsxService(directory, boto3.client("s3", ...))
    with serve(service) as endpoint:
        fsx = boto3.client("fsx", endpoint_url=endpoint, ...)

Needs boto3 for the API model and for the bucket; any S3 endpoint will do.
"""

from __future__ import annotations

from lakelink.testing.aws.fsx import FsxService
from lakelink.testing.aws.mirror import Mirror
from lakelink.testing.aws.records import FsxError
from lakelink.testing.aws.server import serve

__all__ = ["FsxError", "FsxService", "Mirror", "serve"]
