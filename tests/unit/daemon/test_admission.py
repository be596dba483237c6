"""What is looked at before a link is made."""

import asyncio
import dataclasses
import os
from pathlib import Path

import pytest

from lakelink.config.document import Document
from lakelink.daemon import admission
from lakelink.daemon.admission import admit
from lakelink.errors import NotPermitted, Refused, RootMissing, Unreachable, UsageError
from lakelink.links.stores import Stores
from lakelink.locations.base import Guarantee
from lakelink.locations.memory import MemoryLocation, MemoryStore
from lakelink.locations.wrap.delegating import Delegating
from lakelink.model.link import Rule
from lakelink.ports.clock import SystemClock
from lakelink.watch.mounts import FileSystem
from tests.unit.daemon.fakes import spec


def look(link):
    return asyncio.run(admit(link, Document(), Stores(Path(link.files).parent / "state", SystemClock())))


def test_a_directory_and_a_lake_that_can_be_used_are_admitted_and_nothing_is_left(tmp_path):
    link = spec(tmp_path, lake="memory:admitted")
    assert look(link) == []
    assert not list((tmp_path / "logs").iterdir())

    async def rows():
        return [row.path async for batch in MemoryLocation(MemoryStore.named("admitted")).scan() for row in batch.rows]

    assert [path for path in asyncio.run(rows()) if path] == []


def test_a_directory_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(RootMissing, match="is not there"):
        look(spec(tmp_path, files=str(tmp_path / "nothing")))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is no directory"):
        look(spec(tmp_path, files=str(tmp_path / "file")))
    with pytest.raises(UsageError, match="is no directory of this machine"):
        look(spec(tmp_path, files="s3://lake/a"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_a_directory_without_rights_is_refused(tmp_path):
    link = spec(tmp_path)
    (tmp_path / "logs").chmod(0o500)
    with pytest.raises(NotPermitted, match="may not read and write"):
        look(link)


class Blind(Delegating):
    """A store that checks no conditions."""

    @property
    def traits(self):
        return dataclasses.replace(super().traits, write=Guarantee.BLIND)


class Silent(Delegating):
    """A store that never answers."""

    async def write(self, writes):
        await asyncio.sleep(3600)


def on(monkeypatch, kind):
    async def open_it(where, options):
        return kind(MemoryLocation(MemoryStore()))

    monkeypatch.setattr(admission, "open_location", open_it)


def test_a_store_that_checks_no_conditions_has_to_be_accepted(tmp_path, monkeypatch):
    on(monkeypatch, Blind)
    with pytest.raises(Refused, match="does not check conditions") as caught:
        look(spec(tmp_path))
    assert "--accept-unconditional-writes" in caught.value.hint
    (note,) = look(spec(tmp_path, accept_unconditional=True))
    assert "nobody else writes" in note


def test_a_link_that_never_writes_to_the_lake_needs_no_right_to(tmp_path, monkeypatch):
    on(monkeypatch, Silent)
    assert look(spec(tmp_path, rule=Rule(exports=frozenset()))) == []


def test_a_lake_that_does_not_answer_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(admission, "ANSWER_WITHIN_S", 0.05)
    on(monkeypatch, Silent)
    with pytest.raises(Unreachable, match="did not answer within"):
        look(spec(tmp_path))


def test_a_file_system_that_others_write_to_is_recognised(tmp_path, monkeypatch):
    monkeypatch.setattr(admission, "file_system", lambda *_: FileSystem("nfs4", True, True, ""))
    (note,) = look(spec(tmp_path))
    assert "This is nfs4" in note
    assert "by scan only, within 3600 s" in note
