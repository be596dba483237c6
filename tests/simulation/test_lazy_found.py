"""What simulated stories of lazy links found, each as short as it can be told: one effect at a time, on a simulated disk and store."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from unittest import mock

from lakelink.links.dirty import Mark
from lakelink.links.effects import Step
from lakelink.links.hsm.base import Outcome, Result
from lakelink.links.hsm.effects import LazyEffects
from lakelink.links.observe import Look
from lakelink.locations.base import Delete, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.local.options import LocalOptions
from lakelink.model.entry import Entry, Expect, Kind
from lakelink.model.link import Agreed
from lakelink.model.plan import Verb
from lakelink.ports.kernel import RENAME_EXCHANGE
from lakelink.testing.sim.lazy import LazyTree
from lakelink.testing.sim.loop import simulate
from lakelink.testing.sim.process import Process
from lakelink.testing.sim.world import Told, staged

ROOT, PREFIX = "/srv/files", "data/"


class Stage:
    """A lazy tree, its lake, and what both sides agreed on."""

    def __init__(self, world) -> None:
        machine = world.machine("m1")
        people = machine.people(ROOT)
        tree = LazyTree(world, PREFIX, "m1")
        top = machine.disk.top.entries[b"srv"].entries[b"files"]
        tree.settle(people, top)
        self.process: Process = world.boot(machine)
        self.lazy = tree.laziness(
            world.local(machine, ROOT, LocalOptions(create_root=False, trash=True)), machine.kernel
        )
        self.files, self.lake = self.lazy.files, world.lake(machine, PREFIX)
        self.base: dict[str, Agreed] = {}
        self.noted: list[str] = []
        self.effects = LazyEffects(self.files, self.lake, self.lazy, self.noted.append, self.names)
        self._disk, self._top, self._user = machine.disk, top, people.kernel

    def names(self, inodes):
        return {ino: [(p, a) for p, a in self.base.items() if a.files.version.ino == ino] for ino in inodes}

    async def put(self, path, data):
        """A stranger stores an object."""
        (old,) = await self.lake.stat([path])
        expect = Expect(old.version if old else None)
        (made,) = await self.lake.write([Write(path, Kind.FILE, BytesContent(data), None, expect)])
        assert isinstance(made, Entry), made

    async def do(self, verb, path, *, attempts=0):
        """Look at the path, act, and agree on what comes of it."""
        (files,), (lake,) = await self.files.stat([path]), await self.lake.stat([path])
        look = Look(Mark(path, 0.0, attempts=attempts), self.base.get(path), files, lake, lake_seen=True)
        (answer,) = await self.effects.run(verb, [Step(look, verb, files, lake)])
        if isinstance(answer, Agreed):
            self.base[path] = answer
        elif answer is None:
            self.base.pop(path, None)
        return answer

    async def adopt(self, path):
        (files,), (lake,) = await self.files.stat([path]), await self.lake.stat([path])
        look = Look(Mark(path, 0.0), self.base[path], files, lake, lake_seen=True)
        return await self.effects.adoptable(Step(look, Verb.ADOPT, files, lake))

    async def stubs(self, **contents):
        for path, data in contents.items():
            await self.put(path, data)
            assert isinstance(await self.do(Verb.IMPORT, path), Agreed)

    def move(self, old, new, flags=0):
        top = self._user.open(ROOT, os.O_PATH | os.O_DIRECTORY)
        self._user.rename(old, new, old_dir_fd=top, new_dir_fd=top, flags=flags)
        self._user.close(top)

    def link(self, old, new):
        top = self._user.open(ROOT, os.O_PATH | os.O_DIRECTORY)
        self._user.link(old, new, old_dir_fd=top, new_dir_fd=top)
        self._user.close(top)

    def remove(self, path):
        self._user.unlink(f"{ROOT}/{path}")

    def write(self, path, data):
        fd = self._user.open(f"{ROOT}/{path}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._user.write(fd, data)
        self._user.close(fd)

    def read(self, path):
        fd = self._user.open(f"{ROOT}/{path}", os.O_RDONLY)
        try:
            return self._user.read(fd, 100)
        finally:
            self._user.close(fd)

    def on_disk(self):
        """The bytes of every file, those in the trash among them."""
        return {bytes(inode.data) for _, inode in self._disk.tree(self._top) if inode.is_file}

    async def objects(self):
        seen = await self.lake.stat(["a", "b", "c"])
        return {path for path, found in zip("abc", seen, strict=True) if isinstance(found, Entry)}


@asynccontextmanager
async def stage(loop):
    with staged(loop, Told(1, profile="aws")) as world:
        world.calm()
        found = Stage(world)
        yield found
        await found.files.aclose()
        await found.lake.aclose()


def told(story):
    async def play(loop):
        async with stage(loop) as scene:
            await story(scene)
        return True

    assert simulate(1, play)


async def cannot(paths):
    """The store does not answer."""
    return [Result(path, Outcome.FAILED) for path in paths]


def test_what_displaces_a_stub_that_took_another_name_leaves_its_bytes_in_the_trash():
    """Two files swap their names, and a stranger overwrites one of them before the link has carried both."""

    async def story(scene):
        await scene.stubs(a=b"the bytes of a", b=b"the bytes of b")
        assert scene.read("b") == b"the bytes of b"
        scene.move("a", "b", RENAME_EXCHANGE)
        assert isinstance(await scene.do(Verb.EXPORT, "b"), Agreed)  # as a copy of the object at a
        await scene.put("b", b"of a stranger")
        with mock.patch.object(scene.lazy.guard, "restore", cannot):
            assert not isinstance(await scene.do(Verb.IMPORT, "b"), Agreed)
        assert isinstance(await scene.do(Verb.IMPORT, "b"), Agreed)
        assert isinstance(await scene.do(Verb.EXPORT, "a", attempts=9), Agreed)
        assert b"the bytes of a" in scene.on_disk()

    told(story)


def test_a_stub_with_two_names_outlives_the_object_of_one_of_them():
    async def story(scene):
        for verb, gone in ((Verb.IMPORT_DELETE, "b"), (Verb.EXPORT_DELETE, "b")):
            await scene.stubs(a=b"shared")
            scene.link("a", "b")
            assert isinstance(
                await scene.do(Verb.EXPORT, "b"), Agreed
            )  # the file stands for the object at b from now on
            if verb is Verb.IMPORT_DELETE:
                (there,) = await scene.lake.stat([gone])
                await scene.lake.delete([Delete(gone, Kind.FILE, Expect(there.version))])
            else:
                scene.remove(gone)
            assert await scene.do(verb, gone) is None
            assert await scene.objects() == {"a"}
            assert scene.read("a") == b"shared"

    told(story)


def test_names_that_are_swapped_while_a_stub_is_loaded_do_not_let_its_object_go():
    async def story(scene):
        await scene.stubs(a=b"the bytes of a")
        scene.move("a", "b")
        scene.write("c", b"of c")
        restore = scene.lazy.guard.restore

        async def swapped(paths):
            scene.move("b", "c", RENAME_EXCHANGE)
            return await restore(paths)

        scene.lazy.guard.restore = swapped
        refused = await scene.do(Verb.EXPORT_DELETE, "a", attempts=9)
        assert refused is not None
        assert await scene.objects() == {"a"}
        scene.lazy.guard.restore = restore
        assert await scene.do(Verb.EXPORT_DELETE, "a", attempts=9) is None
        assert b"the bytes of a" in scene.on_disk()

    told(story)


def test_another_file_is_not_agreed_on_while_the_stub_that_was_known_needs_the_object():
    async def story(scene):
        await scene.stubs(a=b"the bytes of a")
        scene.move("a", "b")
        scene.write("a", b"the bytes of a")
        assert await scene.adopt("a") is not None
        assert scene.noted == ["b"]
        assert isinstance(await scene.do(Verb.EXPORT, "b"), Agreed)
        assert await scene.adopt("a") is None

    told(story)


def test_an_object_that_was_moved_away_stays_while_its_copy_is_gone():
    """A stub is renamed, its copy made, and a stranger overwrites the copy before what was moved away is removed."""

    async def story(scene):
        await scene.stubs(a=b"the bytes of a")
        scene.move("a", "b")
        assert isinstance(await scene.do(Verb.EXPORT, "b"), Agreed)
        await scene.put("b", b"of a stranger")
        assert await scene.do(Verb.EXPORT_DELETE, "a") is not None
        assert scene.noted == ["b"]
        assert isinstance(await scene.do(Verb.IMPORT, "b"), Agreed)
        assert await scene.do(Verb.EXPORT_DELETE, "a") is None
        assert b"the bytes of a" in scene.on_disk()

    told(story)


def test_a_stub_that_both_sides_agree_on_stands_for_the_object_at_its_own_path():
    """The process died between the copy of a renamed stub's object and the change of the stub."""

    async def story(scene):
        await scene.stubs(a=b"the bytes of a")
        scene.move("a", "b")
        await scene.put("b", b"the bytes of a")
        scene.base["b"] = scene.base["a"]
        assert await scene.adopt("b") is None
        (there,) = await scene.lake.stat(["a"])
        await scene.lake.delete([Delete("a", Kind.FILE, Expect(there.version))])  # by a stranger
        assert scene.read("b") == b"the bytes of a"

    told(story)


def test_a_stub_of_a_version_that_is_gone_holds_up_nothing():
    async def story(scene):
        await scene.stubs(a=b"the bytes of a")
        scene.move("a", "b")
        await scene.put("a", b"of a stranger")
        assert await scene.do(Verb.EXPORT_DELETE, "a") is None
        assert await scene.objects() == set()

    told(story)
