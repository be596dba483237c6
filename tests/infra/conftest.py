"""One moto server for all tests of this directory, emptied before each; the fake FSx beside it. Loopback only, no real account."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lakelink.testing.aws import FsxService, serve
from tests.infra.matrix import MATRIX, REGION, spec


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The provider's package deprecates classes of its own while it is imported: not ours to change."""
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning"))


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The address of an in-process moto server."""
    moto_threads = pytest.importorskip("moto.server", reason="moto is not installed")
    server = moto_threads.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def graphs() -> dict[str, Any]:
    """The recorded graph of every specification of the matrix."""
    from lakelink.infra.record import record

    return {name: record(spec(**given)) for name, given in MATRIX.items()}


@pytest.fixture(scope="session")
def boto_session() -> Any:
    """One session: reading the API models takes longer than most tests."""
    import boto3

    return boto3.session.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)


@pytest.fixture
def aws(moto_server: str, boto_session: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Any]:
    """Makes boto3 clients of an empty account; the environment leads every client there, and nowhere else."""
    empty = urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")  # noqa: S310  # http on loopback
    urllib.request.urlopen(empty, timeout=120).close()  # noqa: S310
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_FSX", "LAKELINK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return boto_session.client


@pytest.fixture
def fsx_service(aws: Callable[[str], Any], tmp_path: Path) -> FsxService:
    """The fake FSx over moto's buckets and networks."""
    return FsxService(tmp_path / "file-systems", aws("s3"), region=REGION, ec2=aws("ec2"))


@pytest.fixture
def fsx_endpoint(fsx_service: FsxService, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The fake over HTTP, where every boto3 client for FSx goes."""
    with serve(fsx_service) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_FSX", endpoint)
        yield endpoint
