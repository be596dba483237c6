import pytest

from tests.e2e.program import Program


@pytest.fixture
def program(tmp_path) -> Program:
    """The program without a store."""
    return Program(tmp_path)


@pytest.fixture
def on_lake(tmp_path, seaweed, s3_prefix) -> Program:
    """The program with the embedded store; `on_lake.lake` is a prefix of this test alone."""
    return Program(tmp_path, seaweed, s3_prefix)
