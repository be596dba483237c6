"""Random operations on a lazy tree and on a plain one, with releases, loads and dead workers in between: no answer differs, no size, no byte.

`LAKELINK_FSX_STEPS` and `LAKELINK_FSX_SEED` play more, or the one that failed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from lakelink.links.hsm.base import Candidate, Outcome
from tests.integration.hsm.conftest import scene_at
from tests.integration.hsm.fsx import COLLAPSE, INSERT, KEEP_SIZE, PUNCH, ZERO
from tests.integration.hsm.scene import Scene, eventually, noise

STEPS = int(os.environ.get("LAKELINK_FSX_STEPS", "150"))
SEED = int(os.environ.get("LAKELINK_FSX_SEED", "1"))
NAMES = ["a", "b", "d/a", "d/b", "d/e/c", "f"]
SIZES = [0, 1, 100, 4096, 5000, 65_536, 200_000]
BLOCK = 4096
MODES = [KEEP_SIZE, 0, PUNCH | KEEP_SIZE, ZERO, ZERO | KEEP_SIZE, COLLAPSE, INSERT]
KEPT = {Outcome.DONE, Outcome.ALREADY, Outcome.IN_USE}


class Play:
    """One seed on one file system."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self.chance = random.Random(seed)
        self.told: list[str] = []
        self.outcomes: Counter[Any] = Counter()
        self._stored = 0
        plain = scene.top / "plain"
        for directory in (scene.tree / "d/e", plain / "d/e"):
            directory.mkdir(parents=True)
        files = {name: noise(self.chance.choice(SIZES[1:]), number) for number, name in enumerate(NAMES[:4])}
        for name, data in files.items():
            (plain / name).write_bytes(data)
        scene.make(files)
        self._plain = plain
        program = Path(__file__).with_name("fsx.py")
        command = [sys.executable, "-I", "-S", program, scene.view, plain]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=30)

    def both(self, verb: str, *arguments: Any) -> Any:
        """What both trees answer, which is the same."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.told.append(f"{verb}{arguments}"[:200])
        self._process.stdin.write(json.dumps([verb, *arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the program has ended"
        lazy, plain = json.loads(line)
        assert lazy == plain, f"{verb}{arguments}: lazy {lazy}, plain {plain}"
        return plain

    def step(self) -> None:
        """One operation; then everything is compared, and some of it changes its state."""
        touched = self._operation()
        there = self.both("names")
        for name in touched & there.keys():
            self.both("read", name)
        for name in self.chance.sample(sorted(there), self.chance.randint(0, len(there))):
            self._release(name, there[name][0])
        what = self.chance.random()
        if what < 0.1 and there:
            self.scene.loop.run(self.scene.guard.restore([self.chance.choice(sorted(there))]))
        elif what < 0.12:
            self._kill_worker()
        elif what < 0.13:
            self._reboot()

    def _release(self, name: str, size: int) -> None:
        """What the file holds now is in the lake, under a name of its own, and so it may be released."""
        scene = self.scene
        sight = scene.sight(name)
        if not size or sight.flags.is_stub:
            return
        self._stored += 1
        scene.put(f"v{self._stored}", (self._plain / name).read_bytes())
        origin = scene.origin(f"v{self._stored}")
        (result,) = scene.loop.run(scene.guard.release([Candidate(name, sight.version, origin)]))
        self.outcomes[result.outcome] += 1
        assert result.outcome in KEPT, result

    def _kill_worker(self) -> None:
        """Nobody waits at this moment: what a dying worker had just been asked and not noted would end in EIO, as it may."""
        pid = self.scene.guard.crew.worker_pid
        self.told.append(f"kill {pid}")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: self.scene.guard.crew.worker_pid != pid)

    def _reboot(self) -> None:
        self.told.append("reboot")
        for number in range(3):
            self.both("drop", number)
        self.scene.loop.run(self.scene.guard.stop())
        self.scene.again()

    def _operation(self) -> set[str]:
        chance = self.chance
        name, other = chance.choice(NAMES), chance.choice(NAMES)
        at, size = chance.choice(SIZES) + chance.randrange(100), chance.choice(SIZES)
        text = chance.randbytes(chance.choice([1, 100, 6000])).hex()
        number = chance.randrange(3)
        mode = chance.choice(MODES)
        aligned = mode in {COLLAPSE, INSERT}
        hole = (BLOCK * chance.randrange(8), BLOCK * chance.randint(1, 8)) if aligned else (at, size)
        verb, *arguments = chance.choice([
            ("read", name), ("pread", name, at, size), ("mmap_read", name, at, size), ("sendfile", name, other),
            ("copy_range", name, other, at, size, chance.choice(SIZES)), ("write", name, at, text), ("write", name, 0, text),
            ("mmap_write", name, at, text), ("append", name, text), ("anew", name, text), ("truncate", name, size),
            ("truncate", name, at), ("ftruncate", name, size), ("fallocate", name, mode, *hole), ("fallocate", name, mode, *hole),
            ("rename", name, other), ("exchange", name, other), ("unlink", name), ("link", name, other),
            ("chmod", name, chance.choice([0o600, 0o640, 0o755])), ("mark", name, str(at)), ("marked", name),
            ("hold", name, number), ("held_read", number, at, size), ("held_write", number, at, text),
            ("held_truncate", number, size), ("drop", 0), ("drop", 1), ("drop", 2), ("drop", number), ("utime", name, chance.randrange(10**18)),
        ])  # fmt: skip
        if (verb in {"sendfile", "copy_range"}) and name == other:
            verb, arguments = "read", [name]
        self.both(verb, *arguments)
        if verb == "utime":
            self.both("time", name)
        return {name, other}


def test_random_operations_on_a_lazy_tree_are_those_on_a_plain_one(any_file_system):
    with scene_at(any_file_system, "fsx") as scene:
        play = Play(scene, SEED)
        try:
            for _ in range(STEPS):
                play.step()
        except BaseException:
            print(f"LAKELINK_FSX_SEED={SEED}, step {len(play.told)}:", *play.told[-40:], sep="\n  ")
            raise
        finally:
            play.close()
        print(f"seed {SEED}: {dict(play.outcomes)}")
        assert play.outcomes[Outcome.DONE] > STEPS / 10
