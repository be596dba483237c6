import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.model import units


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("4096", 4096),
        ("10MiB", 10 * 1024**2),
        ("1.5G", 1024**3 * 3 // 2),
        ("100KB", 100_000),
        ("100kB", 100_000),
        (" 1 k ", 1024),
        ("5TiB", 5 * 1024**4),
        ("0.1KB", 100),
        ("1E", 1024**6),
        ("17b", 17),
    ],
)
def test_a_size_is_read_with_its_unit(text, size_bytes):
    assert units.parse_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5.2M", "10 Mbit", "1e6", "ten", "1,5G", "0x10", "\u0661"])
def test_what_is_no_size_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a size; write"):
        units.parse_bytes(text)


@given(st.integers(min_value=0, max_value=2**70))
def test_an_exact_size_reads_back_as_itself(size_bytes):
    assert units.parse_bytes(units.exact_bytes(size_bytes)) == size_bytes


def test_exact_sizes_use_the_largest_unit_that_divides():
    assert [units.exact_bytes(n) for n in (0, 1000, 1024, 64 << 20, 1024**7)] == [
        "0",
        "1000",
        "1KiB",
        "64MiB",
        "1024EiB",
    ]


@given(st.integers(min_value=0, max_value=2**69))
def test_a_size_for_people_is_off_by_at_most_a_twentieth_of_its_unit(size_bytes):
    shown = units.format_bytes(size_bytes)
    number, unit = shown.split(" ")
    assert abs(units.parse_bytes(shown) - size_bytes) <= units.parse_bytes(f"1{unit}") / 20 + 1
    assert float(number) < 1024 or unit == "EiB"


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (1024**2 - 1, "1 MiB"), (2**80, "1048576 EiB")],
)
def test_sizes_are_shown_with_at_most_one_decimal(size_bytes, shown):
    assert units.format_bytes(size_bytes) == shown


@pytest.mark.parametrize(
    ("text", "rate"), [("100KB/s", 100_000), ("10MiB/s", 10 << 20), ("1M", 1 << 20), ("5kBps", 5000)]
)
def test_a_rate_is_bytes_per_second(text, rate):
    assert units.parse_rate(text) == rate


@pytest.mark.parametrize("text", ["fast", "10MiB/h", "", "/s"])
def test_what_is_no_rate_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a rate; write bytes per second"):
        units.parse_rate(text)


@pytest.mark.parametrize("text", ["0", "0.5B/s"])
def test_a_rate_that_would_never_end_is_refused(text):
    with pytest.raises(ValueError, match="less than one byte per second"):
        units.parse_rate(text)


def test_a_rate_is_shown_per_second():
    assert units.format_rate(1536.7) == "1.5 KiB/s"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30d", 2_592_000),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        ("250ms", 0.25),
        ("0s", 0),
        ("2w 1d", 1_296_000),
        (" 1m5s ", 65),
    ],
)
def test_a_duration_is_read_as_the_sum_of_its_parts(text, seconds):
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "1h30", "h", "1y", "-5s", "1h-5m"])
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a duration; write numbers with"):
        units.parse_duration(text)


@given(st.integers(min_value=1, max_value=59))
def test_seconds_below_a_minute_read_back_exactly(seconds):
    assert units.parse_duration(units.format_duration(seconds)) == seconds


@given(st.floats(min_value=0, max_value=10**9))
def test_a_shown_duration_reads_back_within_its_smaller_unit(seconds):
    back = units.parse_duration(units.format_duration(seconds))
    assert abs(back - seconds) <= max(0.06, seconds / 8)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0ms"),
        (0.25, "250ms"),
        (1.0, "1s"),
        (1.26, "1.3s"),
        (59.96, "1m"),
        (5400, "1h30m"),
        (90_061, "1d1h"),
        (3605, "1h5s"),
    ],
)
def test_durations_are_shown_with_at_most_two_units(seconds, shown):
    assert units.format_duration(seconds) == shown


@pytest.mark.parametrize(("text", "percent"), [("50%", 50), ("0%", 0), ("100 %", 100), ("0.5%", 0.5)])
def test_a_percentage_is_read(text, percent):
    assert units.parse_percent(text) == percent


@pytest.mark.parametrize("text", ["50", "101%", "-1%", "%", "half"])
def test_what_is_no_percentage_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a percentage; write"):
        units.parse_percent(text)


@given(st.integers(min_value=0, max_value=1000))
def test_a_shown_percentage_reads_back(tenths):
    assert units.parse_percent(units.format_percent(tenths / 10)) == tenths / 10
