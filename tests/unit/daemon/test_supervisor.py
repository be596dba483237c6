"""Links under supervision: apart from each other, opened again, changed while they run, let go."""

import asyncio
import dataclasses
import functools
import logging
import threading

import pytest

from lakelink.config.document import Document, parse_document
from lakelink.daemon import keeper as keeping
from lakelink.daemon import supervisor as supervising
from lakelink.daemon.journals import link_directory
from lakelink.daemon.supervisor import Supervisor, refuse_queued
from lakelink.errors import Busy, ConfigError, NotFound, Refused, StorageError, Unreachable
from lakelink.links.registry import Registry
from lakelink.model.linkspec import Flow, LinkState, Transport
from tests.unit.daemon.fakes import FakeWorld, spec, until


def asynchronous(test):
    @functools.wraps(test)
    def run(**fixtures):
        asyncio.run(test(**fixtures))

    return run


@pytest.fixture
def world():
    return FakeWorld()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(keeping, "PAUSES", dataclasses.replace(keeping.PAUSES, base_s=0.001, cap_s=0.01))


def state(folder):
    path = folder / "state"
    path.mkdir(exist_ok=True)
    return path


def settings(folder, text):
    return parse_document(text, folder / "lakelink.toml")


def status(supervisor, name):
    return next(status for status in supervisor.statuses() if status.name == name)


@asynchronous
async def test_links_of_the_registry_are_taken_up(tmp_path, world):
    registry = Registry(state(tmp_path))
    registry.add(spec(tmp_path))
    registry.close()
    supervisor = Supervisor(state(tmp_path), Document(), world)
    supervisor.start()
    await until(lambda: status(supervisor, "logs").state is LinkState.AVAILABLE)
    await supervisor.stop(10)
    assert world.newest("logs").closed


@asynchronous
async def test_a_link_that_cannot_be_opened_says_why_and_is_tried_again_alone(tmp_path, world):
    world.trouble["logs"] = Unreachable("the store is away", hint="Wait.")
    supervisor = Supervisor(state(tmp_path), Document(), world)
    supervisor.start()
    await supervisor.add(spec(tmp_path))
    await supervisor.add(spec(tmp_path, "other"))
    await until(lambda: status(supervisor, "logs").state is LinkState.MISCONFIGURED)
    found = status(supervisor, "logs")
    assert (found.reason, found.hint) == ("the store is away", "Wait.")
    assert status(supervisor, "other").state is LinkState.AVAILABLE
    with pytest.raises(Refused, match="not open at the moment: the store is away"):
        _ = supervisor.keeper("logs").link
    del world.trouble["logs"]
    await until(lambda: status(supervisor, "logs").state is LinkState.AVAILABLE)
    assert len([link for link in world.opened if link.spec.name == "other"]) == 1
    await supervisor.stop(10)


@asynchronous
async def test_a_defect_in_one_link_is_failed_closed_and_started_again(tmp_path, world, monkeypatch):
    monkeypatch.setattr(keeping, "PAUSES", dataclasses.replace(keeping.PAUSES, base_s=60, cap_s=60))
    supervisor = Supervisor(state(tmp_path), Document(), world)
    supervisor.start()
    await supervisor.add(spec(tmp_path))
    await until(lambda: world.opened)
    first = world.newest("logs")
    first.fail(ZeroDivisionError("oops"))
    await until(lambda: status(supervisor, "logs").state is LinkState.FAILED)
    assert first.closed
    await supervisor.resume("logs", allow_deletes=False)  # the pause would last a minute: a command ends it
    await until(lambda: len(world.opened) == 2)
    await supervisor.stop(10)


@asynchronous
async def test_pausing_and_resuming_are_remembered(tmp_path, world):
    supervisor = Supervisor(state(tmp_path), Document(), world)
    supervisor.start()
    await supervisor.add(spec(tmp_path))
    await until(lambda: world.opened)
    await supervisor.pause("logs")
    assert world.newest("logs").paused
    await supervisor.stop(10)

    again = Supervisor(state(tmp_path), Document(), world)
    again.start()
    await until(lambda: len(world.opened) == 2)
    await until(lambda: world.newest("logs").paused)
    await again.resume("logs", allow_deletes=True)
    assert world.newest("logs").told[-1] == ("resume", True)
    assert not again.registry.get("logs").paused
    await again.stop(10)


@asynchronous
async def test_an_update_is_taken_over_in_flight_unless_the_sides_were_opened_with_it(tmp_path, world):
    supervisor = Supervisor(state(tmp_path), Document(), world)
    supervisor.start()
    made = await supervisor.add(spec(tmp_path))
    await until(lambda: world.opened)
    first = made
    made = await supervisor.update(dataclasses.replace(made, filters=("*.tmp",)), made)
    with pytest.raises(Refused, match="by somebody else meanwhile"):
        await supervisor.update(dataclasses.replace(first, filters=("*.bak",)), first)
    assert world.newest("logs").told == ["update"]
    await supervisor.update(dataclasses.replace(made, transport=Transport(bandwidth_bytes_per_s=1000)), made)
    await until(lambda: len(world.opened) == 2)
    assert world.opened[0].closed
    assert world.opened[1].spec.transport.bandwidth_bytes_per_s == 1000
    await supervisor.stop(10)


@asynchronous
async def test_a_link_is_let_go_with_its_journal(tmp_path, world):
    supervisor = Supervisor(state(tmp_path), Document(), world)
    supervisor.start()
    made = await supervisor.add(spec(tmp_path))
    directory = link_directory(state(tmp_path), made.ident)
    directory.mkdir(parents=True)
    await supervisor.let_go("logs")
    assert not directory.exists()
    with pytest.raises(NotFound):
        supervisor.keeper("logs")
    assert supervisor.statuses() == []
    await supervisor.stop(10)


@asynchronous
async def test_a_link_that_does_not_end_is_not_forgotten_and_never_runs_twice(tmp_path, world, monkeypatch):
    monkeypatch.setattr(supervising, "STOP_LINK_WITHIN_S", 0.02)
    supervisor = Supervisor(state(tmp_path), Document(), world)
    supervisor.start()
    made = await supervisor.add(spec(tmp_path))
    await until(lambda: world.opened)
    world.newest("logs").stubborn = True
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await supervisor.let_go("logs")
    assert supervisor.registry.get("logs") == made
    supervisor.keeper("logs").start()
    assert len(world.opened) == 1
    await supervisor.stop(10)  # cancelled once more, it ends


@asynchronous
async def test_a_reload_adds_updates_and_pauses(tmp_path, world):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = f'[links.a]\nfiles="{tmp_path}/a"\nlake="memory:a"\n'
    two = f'[links.b]\nfiles="{tmp_path}/b"\nlake="memory:b"\n'
    supervisor = Supervisor(state(tmp_path), settings(tmp_path, one), world)
    assert supervisor.start() == ["link a is added"]
    told = await supervisor.reload(settings(tmp_path, one + 'exclude=["*.tmp"]\n' + two))
    assert told == ["link b is added", "link a is updated"]
    await until(lambda: len(world.opened) == 2)
    assert await supervisor.reload(settings(tmp_path, two)) == ["link a is paused, since its section is gone"]
    await until(lambda: status(supervisor, "a").paused)
    assert await supervisor.reload(settings(tmp_path, two)) == []
    await supervisor.stop(10)


@asynchronous
async def test_wrong_settings_change_nothing(tmp_path, world):
    (tmp_path / "a").mkdir()
    good = f'[links.a]\nfiles="{tmp_path}/a"\nlake="memory:a"\n'
    supervisor = Supervisor(state(tmp_path), settings(tmp_path, good), world)
    supervisor.start()
    for bad in (good + "exlude=[]\n", good.replace("memory:a", "memory:z"), '[locations.x]\nurl="s3://b"\nfoo=1\n'):
        with pytest.raises(ConfigError):
            await supervisor.reload(settings(tmp_path, bad))
    assert [spec.name for spec in supervisor.registry.list()] == ["a"]
    assert not status(supervisor, "a").paused
    await supervisor.stop(10)


@asynchronous
async def test_a_location_that_is_reached_otherwise_now_opens_its_links_again(tmp_path, world):
    (tmp_path / "a").mkdir()
    link = f'[links.a]\nfiles="{tmp_path}/a"\nlake="x:a"\n'
    place = '[locations.x]\nurl="s3://b"\nendpoint="http://127.0.0.1:1"\n'
    supervisor = Supervisor(state(tmp_path), settings(tmp_path, link + place), world)
    supervisor.start()
    await until(lambda: len(world.opened) == 1)
    told = await supervisor.reload(settings(tmp_path, link + place + 'profile="ops"\n'))
    assert told == ["link a is opened again, since its location has changed"]
    await until(lambda: len(world.opened) == 2)
    await supervisor.stop(10)


@asynchronous
async def test_changes_of_state_are_logged_once(tmp_path, world, caplog):
    world.trouble["logs"] = Unreachable("away")
    supervisor = Supervisor(state(tmp_path), Document(), world)
    supervisor.start()
    await supervisor.add(spec(tmp_path))
    await until(lambda: status(supervisor, "logs").reason)
    with caplog.at_level(logging.INFO, logger="lakelink"):
        supervisor.tell_changes()
        supervisor.tell_changes()
    told = [record.lakelink_fields for record in caplog.records if record.message == "link.changed"]
    assert told == [{"link": "logs", "state": "MISCONFIGURED", "message": "away", "hint": ""}]
    await supervisor.stop(10)


def test_a_link_with_queued_changes_is_not_let_go(tmp_path):
    from lakelink.daemon.open_link import unopened

    made = dataclasses.replace(unopened(spec(tmp_path)), state=LinkState.AVAILABLE)
    refuse_queued(made, discard=False)
    for unsure in (
        dataclasses.replace(made, imports=Flow(pending=3)),
        dataclasses.replace(made, exports=Flow(pending=1)),
        dataclasses.replace(made, paused=True),
        dataclasses.replace(made, state=LinkState.MISCONFIGURED),
        dataclasses.replace(made, state=LinkState.CREATING),
    ):
        with pytest.raises(Refused, match="queued"):
            refuse_queued(unsure, discard=False)
        refuse_queued(unsure, discard=True)


@asynchronous
async def test_a_call_waits_for_a_link_that_is_being_opened_and_not_for_one_in_trouble(tmp_path, world):
    supervisor = Supervisor(state(tmp_path), Document(), world)
    supervisor.start()
    await supervisor.add(spec(tmp_path))
    await supervisor.keeper("logs").during(lambda link: link.survey(["a"]))
    assert world.newest("logs").told == [("survey", ("a",))]
    world.trouble["other"] = Unreachable("away")
    await supervisor.add(spec(tmp_path, "other"))
    with pytest.raises(Refused, match="not open at the moment: away"):
        await supervisor.keeper("other").opened()
    await supervisor.stop(10)


@asynchronous
async def test_a_call_ends_when_its_link_does(tmp_path, world):
    supervisor = Supervisor(state(tmp_path), Document(), world)
    supervisor.start()
    await supervisor.add(spec(tmp_path))
    keeper = supervisor.keeper("logs")
    call = asyncio.create_task(keeper.during(lambda _: asyncio.sleep(3600)))
    await until(lambda: world.opened)
    await asyncio.sleep(0)
    world.newest("logs").fail(Unreachable("the root was unmounted"))
    with pytest.raises(Refused, match="ended meanwhile: the root was unmounted"):
        await asyncio.wait_for(call, 30)
    await supervisor.stop(10)


@asynchronous
async def test_another_root_is_accepted_while_the_link_is_closed(tmp_path, world):
    supervisor = Supervisor(state(tmp_path), Document(), world)
    supervisor.start()
    await supervisor.add(spec(tmp_path))
    await until(lambda: world.opened)
    await supervisor.resume("logs", allow_deletes=False, accept_root=True)
    assert world.accepted == ["logs"]
    assert world.opened[0].closed
    await until(lambda: len(world.opened) == 2)
    await supervisor.stop(10)


@asynchronous
async def test_a_link_whose_journal_cannot_be_read_does_not_hide_the_others(tmp_path, world, monkeypatch):
    supervisor = Supervisor(state(tmp_path), Document(), world)
    supervisor.start()
    await supervisor.add(spec(tmp_path))
    await supervisor.add(spec(tmp_path, "other"))
    await until(lambda: len(world.opened) == 2)

    def unreadable():
        raise StorageError("the journal cannot be read")

    monkeypatch.setattr(world.newest("logs"), "status", unreadable)
    assert status(supervisor, "logs").reason == "the journal cannot be read"
    assert status(supervisor, "other").state is LinkState.AVAILABLE
    await supervisor.stop(10)


@asynchronous
async def test_a_link_whose_directory_does_not_answer_is_let_go_all_the_same(tmp_path, world, monkeypatch):
    monkeypatch.setattr(supervising, "CLEARED_WITHIN_S", 0.02)
    answers = threading.Event()
    monkeypatch.setattr(supervising, "release", lambda *_: answers.wait(60) and [])
    supervisor = Supervisor(state(tmp_path), Document(), world)
    supervisor.start()
    await supervisor.add(spec(tmp_path))
    removed = await supervisor.let_go("logs")
    answers.set()
    assert "does not answer" in removed.kept[-1]
    assert supervisor.statuses() == []
    await supervisor.stop(10)
