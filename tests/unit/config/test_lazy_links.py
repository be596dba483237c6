"""Lazy links in the settings."""

import pytest

from lakelink.config.document import Document, load_document
from lakelink.config.links import declared, room_of
from lakelink.errors import ConfigError
from lakelink.model.linkspec import Lazy, Refresh, Room


def read(tmp_path, *lines: str) -> Document:
    file = tmp_path / "lakelink.toml"
    head = ["[links.g]", 'files = "/data"', 'lake = "s3://lake/g"']
    file.write_text("\n".join([*head, *lines]), encoding="utf-8")
    return load_document(str(file))


def test_a_lazy_link_has_defaults_and_takes_shares_and_sizes(tmp_path):
    assert declared(read(tmp_path, "lazy = true"))[0].lazy == Lazy()
    (spec,) = declared(
        read(
            tmp_path,
            "lazy = true",
            'keep_free = "20%"',
            'free_up_to = "1GiB"',
            'release_after = "30d"',
            'refresh = "load"',
        )
    )
    assert spec.lazy == Lazy(
        keep_free=Room(percent=20),
        free_up_to=Room(size_bytes=1 << 30),
        release_after_s=30 * 86400.0,
        refresh=Refresh.LOAD,
    )
    assert declared(read(tmp_path))[0].lazy is None


@pytest.mark.parametrize("line", ['keep_free = "much"', 'refresh = "never"', 'release_after = "x"'])
def test_what_is_no_value_is_refused(tmp_path, line):
    with pytest.raises(ConfigError):
        declared(read(tmp_path, "lazy = true", line))


def test_what_is_for_lazy_links_is_refused_for_others(tmp_path):
    with pytest.raises(ConfigError, match="lazy"):
        declared(read(tmp_path, 'keep_free = "20%"'))


def test_a_room_is_the_larger_of_share_and_size():
    assert room_of("25%").of(1000) == 250
    assert room_of("300B").of(1000) == 300
