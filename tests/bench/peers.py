"""The commands of each tool, tuned with its documented options."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Store:
    """An S3 endpoint with its keys and a bucket."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str

    def environment(self, state: Path) -> Mapping[str, str]:
        """What every tool needs in its environment."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_S3_TYPE": "s3",
            "RCLONE_CONFIG_S3_PROVIDER": "SeaweedFS",
            "RCLONE_CONFIG_S3_ENV_AUTH": "true",
            "RCLONE_CONFIG_S3_ENDPOINT": self.endpoint,
            "RCLONE_CONFIG_S3_REGION": "us-east-1",
            "LAKELINK_STATE_DIR": str(state),
        }

    def url(self, prefix: str) -> str:
        return f"s3://{self.bucket}/{prefix}"


def lakelink(source: str, target: str) -> list[str]:
    return [str(BIN / "lakelink"), "sync", source, target, "--quiet"]


def s5cmd(store: Store, verb: str, source: str, target: str) -> list[str]:
    """`source` and `target` directories get the wildcard or slash that s5cmd wants."""
    source = f"{source}/*"
    return [
        str(BIN / "s5cmd"),
        "--endpoint-url",
        store.endpoint,
        "--numworkers",
        "64",
        "--log",
        "error",
        verb,
        source,
        f"{target}/",
    ]


def rclone(source: str, target: str, *extra: str) -> list[str]:
    tuned = ["--transfers", "32", "--checkers", "32", "--s3-no-check-bucket"]
    return [str(BIN / "rclone"), "sync", *tuned, *extra, _remote(source), _remote(target)]


def juicefs(store: Store, source: str, target: str) -> list[str]:
    return [str(BIN / "juicefs"), "sync", "--threads", "32", "--no-https", _minio(store, source), _minio(store, target)]


def rsync(source: str, target: str, *extra: str) -> list[str]:
    return ["rsync", "-a", *extra, f"{source}/", f"{target}/"]


def _remote(place: str) -> str:
    return place.replace("s3://", "s3:")


def _minio(store: Store, place: str) -> str:
    if not place.startswith("s3://"):
        return f"{place}/"
    host = store.endpoint.removeprefix("http://")
    return f"minio://{store.access_key}:{store.secret_key}@{host}/{place.removeprefix('s3://')}/"


def installed(command: Sequence[str]) -> bool:
    from shutil import which

    return which(command[0]) is not None
