"""A few stories from fixed seeds. Longer ones: `python -m tests.realworld`."""

import pytest

from tests.realworld.story import play, short


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
def test_under_kill_9_both_sides_end_equal_and_no_byte_is_lost(tmp_path, mortal_store, seed):
    print(play(short(seed), tmp_path / "story", mortal_store))
