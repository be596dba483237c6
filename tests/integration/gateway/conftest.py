"""Homes for the gateway's tests: in memory, on this machine, in a store."""

from __future__ import annotations

import pytest


@pytest.fixture
def s3_home(seaweed, monkeypatch, s3_prefix) -> str:
    """A prefix of a store, which the environment leads to."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", seaweed.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweed.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweed.secret_key)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return f"s3://{seaweed.bucket}/{s3_prefix}"


@pytest.fixture
def local_home(tmp_path) -> str:
    """An empty directory."""
    (tmp_path / "home").mkdir()
    return str(tmp_path / "home")


@pytest.fixture(params=["memory", "local", "s3"])
def home(request, s3_prefix) -> str:
    """Each kind of home, empty."""
    if request.param == "memory":
        return f"memory:{s3_prefix}"
    return request.getfixturevalue(f"{request.param}_home")
