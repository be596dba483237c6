"""Settings of a link that compute something."""

import pytest

from lakelink.model.linkspec import Room


@pytest.mark.parametrize(
    ("room", "size_bytes"),
    [
        (Room(percent=20.0), 200),
        (Room(size_bytes=300), 300),
        (Room(percent=20.0, size_bytes=300), 300),  # the larger of the two holds
        (Room(), 0),
    ],
)
def test_room_is_a_share_of_a_file_system_or_so_many_bytes(room, size_bytes):
    assert room.of(1000) == size_bytes
