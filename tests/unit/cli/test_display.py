"""The lines that a run writes where nobody watches a terminal, and the summary at its end."""

import json

import pytest

from lakelink.cli.display import plain_line
from lakelink.cli.result import plan_lines, print_json, summary, tell_problems
from lakelink.model.change import Problem, Skipped, SkipReason
from lakelink.model.task import Action, PlannedStep, Progress, SyncResult
from lakelink.obs.progress import Meter


def test_a_scanning_run_tells_what_it_has_seen():
    view = Meter(Progress(phase="scanning", listed_source=1200, listed_target=3), 0.0).look(0.1)
    assert plain_line(view) == "scanning: 1,200 paths seen at the source, 3 at the target"


def test_a_moving_run_tells_files_bytes_rate_time_and_trouble():
    progress = Progress(phase="transferring", planned_files=100, planned_bytes=100 << 20, problems=1, deleted=2)
    meter = Meter(progress, 0.0)
    progress.done_files, progress.done_bytes = 50, 50 << 20
    line = plain_line(meter.look(10.0))
    assert line == "transferring: 50 of 100 files, 50 MiB of 100 MiB, 5 MiB/s, 10s left, 2 deleted, 1 problem"


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (SyncResult(source="a", target="b"), "copied 0 files (0 B) in 0ms"),
        (
            SyncResult(
                source="a", target="b", transferred_files=1, transferred_bytes=3, unchanged=1200, duration_s=0.1
            ),
            "copied 1 file (3 B), 1,200 unchanged in 100ms",
        ),
        (
            SyncResult(
                source="a", target="b", transferred_files=2, transferred_bytes=4 << 20, deleted=1, duration_s=2.0
            ),
            "copied 2 files (4 MiB), 1 deleted in 2s (2 MiB/s)",
        ),
        (
            SyncResult(source="a", target="b", dry_run=True, transferred_files=2, transferred_bytes=4, duration_s=2.0),
            "would copy 2 files (4 B) in 2s",
        ),
    ],
)
def test_the_summary_is_one_line(result, line):
    assert summary(result) == line


def test_a_plan_shows_names_that_are_no_text_in_one_line():
    steps = [PlannedStep("a\nb", Action.CREATE, 1024, "new"), PlannedStep("", Action.METADATA, 0, "")]
    assert list(plan_lines(steps)) == ["create        1 KiB  a%0Ab  (new)", "metadata        0 B  ./"]


def test_many_problems_are_cut_and_the_same_hint_is_told_once(capsys):
    tell_problems([Problem(f"p{n}", "LL406", "no", "Rename it.") for n in range(60)])
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 50 + 1 + 1
    assert err[50] == "failed: and 10 more; --report FILE or --json lists them all"
    assert err[51] == "hint: Rename it."


def test_what_the_user_excluded_is_not_mentioned_and_other_skips_are_counted(capsys):
    tell_problems(
        [], [Skipped("a", SkipReason.EXCLUDED), Skipped("b", SkipReason.SPECIAL), Skipped("c", SkipReason.SPECIAL)]
    )
    assert capsys.readouterr().err == "skipped: devices, FIFOs and sockets: 2\n"


@pytest.mark.parametrize(
    "document", [{}, {"a": 1, "b": []}, {"b": [{"path": "x\n", "n": 1}, {"path": "é"}], "c": {"d": [1]}, "e": {}}]
)
def test_a_document_that_is_written_piece_by_piece_reads_as_if_written_at_once(capsys, document):
    print_json({key: iter(value) if isinstance(value, list) else value for key, value in document.items()})
    out = capsys.readouterr().out
    assert json.loads(out) == document
    assert not document or out == json.dumps(document, indent=2) + "\n"
