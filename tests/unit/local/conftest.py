"""Fixtures of the local location's tests."""

import pytest
from local_scene import Scene


@pytest.fixture
def scene(tmp_path) -> Scene:
    """A location over an empty directory."""
    root = tmp_path / "root"
    root.mkdir()
    return Scene(root)
