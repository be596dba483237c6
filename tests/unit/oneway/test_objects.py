"""How single objects are named."""

import pytest

from lakelink.errors import UsageError
from lakelink.oneway.objects import split_object


@pytest.mark.parametrize(
    ("text", "location", "name"),
    [
        ("s3://lake/key", "s3://lake", "key"),
        ("s3://lake/a b/k%20+", "s3://lake/a b", "k%20+"),
        ("./file", ".", "file"),
        ("/file", "/", "file"),
        ("home:dumps", "home:", "dumps"),
    ],
)
def test_an_object_is_a_location_and_a_name(text, location, name):
    assert split_object(text) == (location, name)


@pytest.mark.parametrize(
    "text", ["s3://lake", "s3://lake/", "s3://lake/a/", "s3://lake//key", "s3://lake/a//key", "dir/"]
)
def test_what_would_name_another_object_or_none_is_refused(text):
    with pytest.raises(UsageError):
        split_object(text)
