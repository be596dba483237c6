from lakelink.model.task import Progress
from lakelink.obs.progress import Meter


def test_nothing_is_promised_before_something_has_moved():
    view = Meter(Progress(phase="scanning", listed_source=7), now_s=100.0).look(100.1)
    assert (view.bytes_per_s, view.files_per_s, view.left_s, view.fraction) == (0.0, 0.0, None, None)
    assert view.listed_source == 7


def test_the_rate_is_that_of_the_last_ten_seconds():
    progress = Progress(planned_files=100, planned_bytes=100_000)
    meter = Meter(progress, now_s=0.0)
    for second in range(1, 31):
        progress.done_bytes += 100 if second <= 15 else 1000
        view = meter.look(float(second))
    assert view.bytes_per_s == 1000.0


def test_a_stall_brings_the_rate_down_to_nothing_and_the_time_left_with_it():
    progress = Progress(planned_files=10, planned_bytes=1000, done_files=5, done_bytes=500)
    meter = Meter(progress, now_s=0.0)
    assert meter.look(1.0).bytes_per_s == 500.0
    for second in range(2, 14):
        view = meter.look(float(second))
    assert view.bytes_per_s == 0.0
    assert view.left_s is None


def test_the_time_left_is_the_longer_of_bytes_and_files():
    progress = Progress(planned_files=101, planned_bytes=2000)
    meter = Meter(progress, now_s=0.0)
    progress.done_files, progress.done_bytes = 1, 1000
    assert meter.look(1.0).left_s == 100.0


def test_only_empty_files_still_have_a_fraction_and_a_time_left():
    progress = Progress(planned_files=4)
    meter = Meter(progress, now_s=0.0)
    progress.done_files = 1
    view = meter.look(1.0)
    assert (view.fraction, view.left_s) == (0.25, 3.0)


def test_the_fraction_never_exceeds_one_although_a_file_may_grow():
    progress = Progress(planned_files=1, planned_bytes=10, done_files=1, done_bytes=50)
    assert Meter(progress, now_s=0.0).look(1.0).fraction == 1.0


def test_a_run_that_is_done_has_no_time_left_to_show():
    progress = Progress(planned_files=1, planned_bytes=10, done_files=1, done_bytes=10)
    assert Meter(progress, now_s=0.0).look(1.0).left_s is None
