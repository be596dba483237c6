import asyncio
import csv
import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.errors import (
    Busy,
    ChangedWhileRead,
    InternalError,
    InTheWay,
    LakeGone,
    LakelinkError,
    NameUnsupported,
    NoSpace,
    NotFound,
    NotPermitted,
    Refused,
    RootMissing,
    StorageError,
    Unreachable,
    Unsupported,
    UsageError,
)
from lakelink.links.codes import direction_of, log_code, report_code
from lakelink.links.events import DROPPED, MOST_PER_WRITE, Events, shown
from lakelink.links.report import FAILED, Report, check_report, csv_line, read_csv
from lakelink.links.tasks import MOST_PATHS, MOST_WAITING, Tasks
from lakelink.model.change import Problem
from lakelink.model.linkspec import Direction
from lakelink.model.linktask import LinkTask, TaskState
from lakelink.model.plan import Verb
from lakelink.state.event_log import KEPT, EventLog, Logged
from lakelink.state.findings import Result, Trouble
from lakelink.state.journal import Journal
from lakelink.state.task_table import KEPT as KEPT_TASKS
from lakelink.state.task_table import TaskTable
from lakelink.testing.clocks import JumpingClock

IMPORT, EXPORT = Direction.IMPORT, Direction.EXPORT


class FakeLink:
    """Tells its observers what a script says, when it is surveyed. `gate` holds a survey back."""

    def __init__(self):
        self.told = []
        self.outcomes = []
        self.surveyed = []
        self.gate = None
        self.error = None

    async def survey(self, paths=()):
        self.surveyed.append(tuple(paths))
        for outcome in self.outcomes:
            for tell in list(self.told):
                tell(*outcome)
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self.error:
            raise self.error


class Scene:
    def __init__(self, tmp_path):
        self.journal = Journal.open(tmp_path / "journal.sqlite")
        self.db = self.journal.db
        self.link = FakeLink()
        self.log = EventLog(self.db)
        self.clock = JumpingClock()
        self.renew()

    def renew(self):
        """As a new process."""
        self.events = Events(self.log, self.clock)
        self.tasks = Tasks(self.link, self.journal, self.clock, self.events)

    async def begun(self):
        async with asyncio.timeout(60):
            while not self.link.surveyed:  # noqa: ASYNC110  # what runs is not told that it is watched
                await asyncio.sleep(0.001)

    async def ended(self, task):
        async with asyncio.timeout(60):
            while not (found := self.tasks.get(task.id)).state.is_final:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        return found

    def run(self, story):
        async def whole():
            running = asyncio.create_task(self.tasks.run())
            try:
                return await story()
            finally:
                running.cancel()
                await asyncio.wait([running])

        return asyncio.run(whole())


@pytest.fixture
def scene(tmp_path):
    one = Scene(tmp_path)
    yield one
    one.db.close()


def test_a_task_counts_what_was_carried_in_its_direction(scene):
    scene.link.outcomes = [
        ("a/x", "import", None),
        ("a/y", "import-delete", None),
        ("a/z", "import", NoSpace("full")),
        ("a/out", "export", None),
        ("elsewhere", "import", None),
        ("ab", "import", None),
        ("a/bad", "", NameUnsupported("no")),
        ("a/held", "", None),
        ("a/again", "import", Busy("busy")),
        ("a/again", "import", None),
    ]

    async def story():
        return await scene.ended(scene.tasks.submit(IMPORT, ["a"]))

    task = scene.run(story)
    assert scene.link.surveyed == [("a",)]
    assert (task.total, task.succeeded, task.failed, task.state) == (5, 3, 2, TaskState.FAILED)
    assert task.created_ns <= task.started_ns <= task.ended_ns
    assert len(task.id) == len("task-") + 17
    assert scene.link.told == []
    assert TaskTable(scene.db).get(task.id) == task


def test_paths_that_cannot_be_carried_at_all_fail_the_tasks_of_their_direction(scene):
    def trouble(path, code):
        return Result(path, trouble=Trouble(Problem(path, code, "no", "rename it"), 1, 0))

    scene.journal.settle(
        [trouble("caf\udce9", "LL406"), trouble("a//b", "LL406"), trouble("unread", "LL301"), trouble("odd", "LL?")], 1
    )
    scene.link.outcomes = [("unread", "export", Unreachable("away"))]

    async def story():
        exported = await scene.ended(scene.tasks.submit(EXPORT))
        imported = await scene.ended(scene.tasks.submit(IMPORT, ["a"]))
        return exported, imported

    exported, imported = scene.run(story)
    assert (exported.failed, imported.failed) == (3, 1)


def test_a_task_without_failures_succeeded_and_everything_is_its_default(scene):
    scene.link.outcomes = [("x", "export", None), ("y", "export-metadata", None), ("z", "import", NoSpace("full"))]

    async def story():
        return await scene.ended(scene.tasks.submit(EXPORT, ["/", "a"]))

    task = scene.run(story)
    assert (task.state, task.total, task.paths) == (TaskState.SUCCEEDED, 2, ())
    scene.events.flush()
    assert [line.code for line in scene.log.newest(10)] == ["TaskSucceeded"]


def test_tasks_of_a_link_run_one_after_the_other(scene):
    async def story():
        scene.link.gate = asyncio.Event()
        tasks = [scene.tasks.submit(IMPORT, [name]) for name in "abc"]
        await scene.begun()
        states = [scene.tasks.get(task.id).state for task in tasks]
        assert states == [TaskState.EXECUTING, TaskState.PENDING, TaskState.PENDING]
        with pytest.raises(Refused, match="does the same already"):
            scene.tasks.submit(IMPORT, ["a"])
        with pytest.raises(Refused, match="does the same already"):
            scene.tasks.submit(IMPORT, ["c"])
        scene.tasks.submit(EXPORT, ["a"])
        scene.link.gate.set()
        for task in tasks:
            await scene.ended(task)
        assert scene.link.surveyed[:3] == [("a",), ("b",), ("c",)]

    scene.run(story)


def test_a_running_task_is_canceled_and_keeps_what_it_did(scene, tmp_path):
    scene.link.outcomes = [("x", "import", None)]
    report = tmp_path / "r.jsonl"

    async def story():
        scene.link.gate = asyncio.Event()
        task = scene.tasks.submit(IMPORT, report=str(report))
        await scene.begun()
        assert scene.tasks.cancel(task.id).state is TaskState.CANCELING
        assert scene.tasks.cancel(task.id).state is TaskState.CANCELING
        ended = await scene.ended(task)
        assert (ended.state, ended.succeeded) == (TaskState.CANCELED, 1)
        assert scene.tasks.cancel(task.id).state is TaskState.CANCELED

    scene.run(story)
    assert json.loads(report.read_text())["path"] == "x"


def test_a_waiting_task_is_canceled_and_never_runs(scene):
    async def story():
        scene.link.gate = asyncio.Event()
        first, second = scene.tasks.submit(IMPORT, ["a"]), scene.tasks.submit(IMPORT, ["b"])
        await scene.begun()
        assert scene.tasks.cancel(second.id).state is TaskState.CANCELED
        scene.link.gate.set()
        await scene.ended(first)
        with pytest.raises(Refused, match="has ended"):
            scene.tasks.cancel(first.id)
        with pytest.raises(NotFound):
            scene.tasks.cancel("task-0")

    scene.run(story)
    assert scene.link.surveyed == [("a",)]


def test_a_halted_link_fails_the_task_with_its_sentence(scene):
    scene.link.error = LakeGone("the bucket is gone")

    async def story():
        return await scene.ended(scene.tasks.submit(IMPORT))

    task = scene.run(story)
    assert (task.state, task.message) == (TaskState.FAILED, "the bucket is gone")


def test_a_task_that_a_killed_process_left_begins_anew_and_a_canceled_one_ends(scene, tmp_path):
    table = TaskTable(scene.db)
    left = [
        LinkTask(id="task-1", kind=IMPORT, paths=("a",), state=TaskState.EXECUTING, created_ns=1, total=7, failed=7),
        LinkTask(id="task-2", kind=IMPORT, paths=("b",), state=TaskState.CANCELING, created_ns=2),
        LinkTask(id="task-3", kind=IMPORT, paths=("c",), created_ns=3),
    ]
    for task in left:
        table.put(task)
    scene.link.outcomes = [("a/x", "import", None)]

    async def story():
        return [await scene.ended(task) for task in left]

    ended = scene.run(story)
    assert [task.state for task in ended] == [TaskState.SUCCEEDED, TaskState.CANCELED, TaskState.SUCCEEDED]
    assert (ended[0].total, ended[0].failed) == (1, 0)
    assert scene.link.surveyed == [("a",), ("c",)]


def test_a_task_under_way_when_the_daemon_stops_is_begun_anew(scene, tmp_path):
    report = tmp_path / "r.csv"

    async def story():
        scene.link.gate = asyncio.Event()
        task = scene.tasks.submit(IMPORT, report=str(report))
        await scene.begun()
        return task

    task = scene.run(story)
    assert sorted(path.name for path in tmp_path.iterdir() if "journal" not in path.name) == []
    scene.link.gate = None
    scene.renew()

    async def again():
        return await scene.ended(task)

    assert scene.run(again).state is TaskState.SUCCEEDED
    assert report.read_text() == ""


def test_what_cannot_be_a_task_is_refused_and_leaves_nothing(scene, tmp_path):
    (tmp_path / "there").touch()
    for paths, report in (
        (["a"] * (MOST_PATHS + 1), ""),
        (["../x"], ""),
        (["a//b"], ""),
        ([".lakelink/trash"], ""),
        (["a\0b"], ""),
        ([], "relative.csv"),
        ([], str(tmp_path / "there")),
        ([], str(tmp_path / "no" / "such" / "directory")),
    ):
        with pytest.raises(UsageError):
            scene.tasks.submit(IMPORT, paths, report)
    assert scene.tasks.newest() == []
    for number in range(MOST_WAITING):
        scene.tasks.submit(IMPORT, [f"p{number}"])
    with pytest.raises(Busy):
        scene.tasks.submit(IMPORT, ["one more"])


def test_a_report_that_cannot_be_written_fails_the_task_and_not_the_link(scene, tmp_path):
    scene.link.outcomes = [("x", "import", None)]
    report = tmp_path / "r.jsonl"

    async def story():
        scene.link.gate = asyncio.Event()
        task = scene.tasks.submit(IMPORT, report=str(report))
        await scene.begun()
        report.write_text("somebody else's")
        scene.link.gate.set()
        return await scene.ended(task)

    task = scene.run(story)
    assert task.state is TaskState.FAILED
    assert "cannot be written" in task.message
    assert report.read_text() == "somebody else's"
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".report")] == []


def test_tasks_are_remembered_with_any_path_and_old_ones_forgotten(scene):
    table = TaskTable(scene.db)
    odd = LinkTask(
        id="task-odd", kind=EXPORT, paths=("a\n", os.fsdecode(b"caf\xe9")), report="/r\udce9", created_ns=10**18
    )
    table.put(odd)
    assert table.get("task-odd") == odd
    for number in range(KEPT_TASKS + 20):
        table.put(LinkTask(id=f"task-{number}", kind=IMPORT, state=TaskState.SUCCEEDED, created_ns=number))
    table.prune()
    assert len(table.newest(10_000)) == KEPT_TASKS + 1
    assert table.get("task-19") is None
    assert table.get("task-20") is not None
    scene.db.execute("DROP TABLE task")
    for call in (table.unfinished, table.prune, lambda: table.put(odd)):
        with pytest.raises(StorageError):
            call()


# Reports


def test_a_csv_report_holds_what_failed_as_fsx_writes_it(tmp_path):
    path = tmp_path / "failures.csv"
    report = Report(str(path), EXPORT)
    report.add("fine", "export", None)
    report.add("dir1/big", "export", Unsupported("dir1/big is larger than 5 TiB"))
    report.add("@f", "export", NotPermitted("no"))
    report.add('a,"b"', "export", NotFound("gone"))
    assert [each.name for each in tmp_path.iterdir() if each.name == "failures.csv"] == []
    report.finish()
    report.finish()
    assert path.read_text().splitlines() == [
        "dir1/big,failed,FileSizeTooLarge",
        '"""@f""",failed,S3AccessDenied',
        '"a,""b""",failed,S3FileDeleted',
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["failures.csv"]


def test_a_report_of_json_lines_holds_every_path(tmp_path):
    path = tmp_path / "report.jsonl"
    report = Report(str(path), IMPORT)
    report.add("fine", "import", None)
    report.add(os.fsdecode(b"caf\xe9"), "import", NoSpace("full", hint="make room"))
    report.finish()
    fine, bad = map(json.loads, path.read_text().splitlines())
    assert fine == {"path": "fine", "status": "succeeded", "action": "import"}
    assert bad["path_base64"] == "Y2Fm6Q=="
    assert (bad["status"], bad["code"], bad["fsx_code"], bad["hint"]) == ("failed", "LL403", "NoDiskSpace", "make room")


def test_a_report_that_is_given_up_leaves_nothing(tmp_path):
    report = Report(str(tmp_path / "r.csv"), IMPORT)
    report.discard()
    report.discard()
    report.add("x", "import", NoSpace("full"))
    report.finish()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError):
        Report(str(tmp_path / "no" / "r.csv"), IMPORT)
    check_report(str(tmp_path / "r.csv"))


path_text = st.text(st.characters(exclude_characters="\0", exclude_categories=()), max_size=12).map(
    lambda text: os.fsdecode(text.encode("utf-8", "replace"))
) | st.binary(max_size=8).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))


@given(st.lists(st.tuples(path_text, st.sampled_from(["failed", "succeeded with warning"]), path_text), max_size=5))
def test_every_path_can_be_read_back_from_a_report(rows):
    text = "".join(csv_line(*row) for row in rows)
    assert read_csv(text) == rows
    assert len(list(csv.reader(io.StringIO(text, newline="")))) == len(rows)


@given(path_text)
def test_no_cell_of_a_report_begins_like_a_formula(path):
    ((cell, *_),) = csv.reader(io.StringIO(csv_line(path, FAILED, "X"), newline=""))
    assert not cell.startswith(("@", "+", "-", "="))


# Codes


@pytest.mark.parametrize("verb", list(Verb))
def test_every_verb_carries_in_one_direction_or_none(verb):
    carries = {
        Verb.ADOPT: None, Verb.FORGET: None, Verb.COMPARE: None, Verb.HOLD: None, Verb.STAND: None, Verb.WAIT: None,
        Verb.KEEP_BOTH: IMPORT, Verb.TAKE_LAKE: IMPORT, Verb.TAKE_FILES: EXPORT, Verb.MAKE_WAY: EXPORT,
    }  # fmt: skip
    expected = carries.get(verb, IMPORT if verb.value.startswith("import") else EXPORT)
    assert direction_of(verb.value) is expected


@pytest.mark.parametrize(
    ("verb", "path", "error", "code"),
    [
        ("import", "x", NotPermitted("no"), "S3ImportAccessDenied"),
        ("import-delete", "x", NotPermitted("no"), "S3ImportDeleteAccessDenied"),
        ("import", "x", RootMissing("no"), "S3ImportBucketDoesNotExist"),
        ("import-delete", "x", LakeGone("no"), "S3ImportDeleteBucketDoesNotExist"),
        ("import", "x", InTheWay("no"), "S3ImportObjectTypeMismatch"),
        ("import", "x", NotFound("no"), "S3ImportObjectDeleted"),
        ("import", "x", NoSpace("no"), "NoDiskSpace"),
        ("import", "x", Unreachable("no"), "LL300"),
        ("", "a//b", NameUnsupported("no"), "S3ImportObjectPathNotPosixCompliant"),
        ("", "x" * 200, NameUnsupported("no"), "S3ExportPathSizeTooLong"),
        ("export", "\udce9", NameUnsupported("no"), "LL406"),
        ("export", "x", NotPermitted("no"), "S3ExportAccessDenied"),
        ("export", "x", Unsupported("x is larger than 5 TiB"), "S3ExportFileSizeTooLarge"),
        ("export", "x", ChangedWhileRead("no"), "S3ExportResourceBusy"),
        ("export", "x", InternalError("no"), "S3ExportInternalError"),
        ("export", "x", Unsupported("no"), "LL404"),
        ("", "x", NotPermitted("no"), "LL301"),
    ],
)
def test_events_have_the_codes_of_fsx_where_there_is_one(verb, path, error, code):
    assert log_code(verb, path, error) == code


@pytest.mark.parametrize(
    ("kind", "error", "code"),
    [
        (EXPORT, NameUnsupported("no"), "PathSizeTooLong"),
        (IMPORT, NameUnsupported("no"), "S3ObjectPathNotPosixCompliant"),
        (IMPORT, NotFound("no"), "S3ObjectNotFound"),
        (IMPORT, InTheWay("no"), "S3ObjectTypeMismatch"),
        (EXPORT, InternalError("no"), "InternalError"),
        (EXPORT, Unreachable("no"), "S3Error"),
        (EXPORT, Busy("no"), "ResourceBusy"),
        (EXPORT, LakelinkError("no"), "LL000"),
    ],
)
def test_reports_have_the_codes_of_fsx_where_there_is_one(kind, error, code):
    assert report_code(kind, "x", error) == code


# Events


def test_events_are_written_together_and_told_at_once(scene):
    told = []
    events = Events(scene.log, scene.clock, lambda *line: told.append(line))
    events.outcome("a", "import", NoSpace("the disk is full"))
    events.outcome("b", "import", None)
    events.halted(LakeGone("the bucket is gone"))
    assert scene.log.newest(10) == []
    events.flush()
    lines = scene.log.newest(10)
    assert [(line.code, line.path, line.message) for line in lines] == [
        ("NoDiskSpace", "a", "the disk is full"),
        ("LL216", "", "the bucket is gone"),
    ]
    assert [shown(line) for line in lines] == ["NoDiskSpace a: the disk is full", "LL216: the bucket is gone"]
    assert [line[1] for line in told] == ["NoDiskSpace", "LL216"]
    assert scene.log.newest(10, after=lines[0].seq) == lines[1:]
    assert scene.log.newest(1) == lines[1:]


def test_a_storm_of_events_is_bounded_and_says_so(scene):
    for number in range(MOST_PER_WRITE + 70):
        scene.events.note("X", str(number))
    scene.events.flush()
    lines = scene.log.newest(10_000)
    assert len(lines) == MOST_PER_WRITE + 1
    assert (lines[-1].code, lines[-1].message[:2]) == (DROPPED, "70")


def test_the_log_is_bounded(scene):
    for start in range(0, KEPT + 1000, 1000):
        scene.log.write([Logged(number, "X", os.fsdecode(b"caf\xe9"), "") for number in range(start, start + 1000)])
    lines = scene.log.newest(10**6)
    assert (len(lines), lines[0].time_ns, lines[-1].time_ns) == (KEPT, 1000, KEPT + 999)
    assert lines[0].path == os.fsdecode(b"caf\xe9")


def test_events_are_written_while_the_link_runs_and_when_it_ends(scene):
    async def story():
        running = asyncio.create_task(scene.events.run())
        scene.events.note("A", "first")
        while not scene.log.newest(1):  # noqa: ASYNC110  # the clock jumps
            await asyncio.sleep(0)
        scene.events.note("B", "last")
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(asyncio.wait_for(story(), 60))
    assert [line.code for line in scene.log.newest(10)] == ["A", "B"]


def test_events_that_cannot_be_written_are_kept(scene):
    scene.events.note("A", "x")
    scene.db.execute("ALTER TABLE event RENAME TO away")
    with pytest.raises(StorageError):
        scene.events.flush()
    with pytest.raises(StorageError):
        scene.log.newest(1)
    scene.db.execute("ALTER TABLE away RENAME TO event")
    scene.events.flush()
    assert [line.code for line in scene.log.newest(10)] == ["A"]
