"""The table of places: numbers last, several processes agree, what a power failure cut off is not taken for a place."""

import pytest

from lakelink.links.hsm.places import NAME, Places
from lakelink.links.hsm.stub import Origin, Stub, Unreadable
from lakelink.model.entry import Version


def stub(path: str, location: str = "lake") -> Stub:
    return Stub(Origin(location, path, Version(1, 2, etag="e")), 3)


def test_a_stub_comes_back_with_its_location_and_path(tmp_path):
    for path in ("top", "d/below", "d/e/\udcff", "d/ü\n"):
        places = Places(str(tmp_path))
        value = places.encode(stub(path))
        places.close()
        assert Places(str(tmp_path)).decode(value) == stub(path)


def test_two_that_have_the_table_open_agree_on_numbers(tmp_path):
    one, other = Places(str(tmp_path)), Places(str(tmp_path))
    first = one.number("lake", "a")
    second = other.number("lake", "b")
    assert first != second
    assert one.number("lake", "b") == second
    assert other.number("lake", "a") == first
    assert other.decode(one.encode(stub("c/x", "elsewhere"))) == stub("c/x", "elsewhere")


def test_a_line_that_was_cut_off_is_written_over(tmp_path):
    Places(str(tmp_path)).number("lake", "a")
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"place": 2, "loc')
    places = Places(str(tmp_path))
    assert places.number("lake", "b") == 2
    assert Places(str(tmp_path)).number("lake", "b") == 2


def test_many_places_are_added_in_one_go_and_once(tmp_path):
    places = Places(str(tmp_path))
    places.add([("lake", str(number % 10)) for number in range(100)])
    assert len((tmp_path / NAME).read_bytes().splitlines()) == 10


def test_a_number_that_is_not_in_the_table_is_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "empty").mkdir()
    value = Places(str(tmp_path / "full")).encode(stub("a/b"))
    with pytest.raises(Unreadable, match="not in the table"):
        Places(str(tmp_path / "empty")).decode(value)
