"""Which stubs need an object is found by their inodes, wherever their names have gone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from lakelink.links.hsm.lazy import Going
from lakelink.links.hsm.needed import LivingStubs
from tests.integration.hsm.conftest import scene_at
from tests.integration.hsm.scene import Scene, noise, run

DATA = noise(20_000, 1)


def going(scene: Scene, path: str) -> Going:
    version = scene.origin(path).version
    return Going(path, scene.sight(path).version.ino, version)


def places(scene: Scene, *objects: Going) -> list[list[str]]:
    lives = asyncio.run(LivingStubs(scene.guard).living(objects))
    found = zip(objects, lives, strict=True)
    return [[one.place for one in some if one.origin and going.is_origin(one.origin)] for going, some in found]


def test_a_stub_is_found_under_any_name_and_only_while_it_stands_for_that_very_object(any_file_system):
    with scene_at(any_file_system, "needed") as scene:
        scene.make({f"d/{name}": DATA for name in ("moved", "linked", "loaded", "other", "gone")})
        asked = [going(scene, f"d/{name}") for name in ("moved", "linked", "loaded", "other", "gone")]
        asked[3] = replace(asked[3], version=replace(asked[3].version, time_ns=7))
        (scene.tree / ".lakelink/trash").mkdir(parents=True)
        run("mv", scene.view / "d/moved", scene.view / ".lakelink/trash/m")
        run("ln", scene.view / "d/linked", scene.view / "link")
        run("rm", scene.view / "d/linked", scene.view / "d/gone")
        assert scene.cat("d/loaded") == DATA
        # Descriptors of files whose names nobody has looked up have no path.
        run("sync")
        Path("/proc/sys/vm/drop_caches").write_text("2", encoding="ascii")
        assert places(scene, *asked) == [[".lakelink/trash/m"], ["link"], [], [], []]


def test_an_inode_that_was_given_to_another_file_needs_nothing(any_file_system):
    with scene_at(any_file_system, "reused") as scene:
        scene.make({"a": DATA, "b": DATA})
        wanted = replace(going(scene, "a"), inode=scene.sight("b").version.ino)
        assert places(scene, wanted) == [[]]
