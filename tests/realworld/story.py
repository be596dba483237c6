"""One story, from its seed: people write on both sides while the daemon, the store and the network between them come to grief; then it is calm."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from lakelink.model.linkspec import LinkState
from tests.realworld.here import Writer
from tests.realworld.ledger import Ledger
from tests.realworld.misfortunes import HOW_OFTEN, Misfortunes
from tests.realworld.oracle import differences, files_view, lake_view, trash_of, unaccounted
from tests.realworld.relay import Relay, Weather, relay_to
from tests.realworld.slow import SlowWriter
from tests.realworld.store import MortalStore
from tests.realworld.there import Stranger
from tests.realworld.world import LINK, Failed, World, wait_for

SILENT_S = 4.0


@dataclass(frozen=True, slots=True)
class Told:
    """How a story is told. `chapters`: misfortunes, one after the other, with some time of writing after each."""

    seed: int
    chapters: tuple[str, ...]
    chapter_s: float = 1.5
    rests_s: tuple[float, float] = (0.03, 0.05)  # of the writers here and there
    conflict: str = "keep-both"
    scan_interval_s: int = 2
    list_interval_s: int = 1
    large: int = 1
    pushed: bool = True  # the store's events, through the webhook


def short(seed: int) -> Told:
    """A story for every day: of the misfortunes the even or the odd ones, and two kills more."""
    choice = random.Random(f"{seed} told")
    chapters = [*sorted(HOW_OFTEN)[seed % 2 :: 2], "kill", "kill"]
    choice.shuffle(chapters)
    return Told(seed, tuple(chapters), chapter_s=0.5)


def long(seed: int, minutes: float) -> Told:
    """A story of about that length."""
    choice = random.Random(f"{seed} told")
    chapter_s = choice.choice([0.5, 1.5, 3.0])
    count = max(3, int(minutes * 60 / (chapter_s + 2.0)))
    rests = choice.choice([(0.005, 0.01), (0.03, 0.05), (0.2, 0.2), (0.03, 1.0), (1.0, 0.03)])
    return Told(
        seed,
        tuple(choice.choices(list(HOW_OFTEN), weights=list(HOW_OFTEN.values()), k=count)),
        chapter_s,
        rests,
        conflict=choice.choice(["keep-both", "keep-both", "keep-both", "newest", "files", "lake"]),
        scan_interval_s=choice.choice([1, 2, 3600]),
        list_interval_s=choice.choice([1, 1, 5]),
        large=choice.choice([0, 1, 2]),
        pushed=choice.random() < 0.5,
    )


class Story:
    """See the module. `play` raises `Failed` with all that is needed to understand it."""

    def __init__(self, told: Told, folder: Path, store: MortalStore, relay: Relay) -> None:
        self.told = told
        self.ledger = Ledger()
        self._prefix = f"story-{told.seed}-{time.monotonic_ns()}"
        self.world = World(folder, store, relay, self.ledger, self._prefix)
        self._random = random.Random(f"{told.seed} misfortunes")
        self._over = threading.Event()
        self._failures: list[BaseException] = []

    def play(self) -> str:
        """The whole story; a line of figures."""
        began_s = time.monotonic()
        try:
            self._begin()
            with self._writers():
                for chapter in self.told.chapters:
                    self._misfortune(chapter)
                    self._over.wait(self.told.chapter_s * (0.5 + self._random.random()))
                    if self._failures:
                        raise self._failures[0]
            calm_s = time.monotonic()
            self._end()
        except Failed as error:
            raise Failed(f"seed {self.told.seed}: {error}\n{self._report(str(error))}") from error
        finally:
            self.world.close()
            self.world.relay.weather = Weather()
        relay = self.world.relay
        return (
            f"seed {self.told.seed}: {self.ledger.figures}; {self.world.kills} kills; {relay.requests} requests, harmed {relay.harmed}; "
            f"{self._writer.races} races; {calm_s - began_s:.0f} s of story, {time.monotonic() - calm_s:.0f} s to the proof"
        )

    def _begin(self) -> None:
        world, told = self.world, self.told
        world.make_tree()
        if told.pushed:
            world.hear_of_events()
        world.command(
            "link", "add", LINK, world.root, f"s3://{world.store.bucket}/{self._prefix}", "--conflict", told.conflict, "--max-delete", "100%",
            "--list-interval", f"{told.list_interval_s}s", "--scan-interval", f"{told.scan_interval_s}s", "--quiet-time", "300ms", "-q",
        )  # fmt: skip
        self._writer = Writer(world.root, world.aside, self.ledger, f"{told.seed} here")
        self._slow = SlowWriter(world.root, self.ledger, f"{told.seed} slow")
        gates = self._writer.gate, self._slow.gate
        choice = random.Random(f"{told.seed} misfortunes")
        self._misfortunes = Misfortunes(world, gates, choice, told.chapter_s)
        self._stranger = Stranger(world.store.client(), self._prefix, self.ledger, f"{told.seed} there")

    @contextmanager
    def _writers(self) -> Iterator[None]:
        here_s, there_s = self.told.rests_s
        acts = ((self._writer.act, here_s), (self._slow.act, 0.2), (self._stranger.act, there_s))
        threads = [threading.Thread(target=self._write, args=act, daemon=True) for act in acts]
        large = [threading.Timer(2.0 * number + 1, self._writer.write_large) for number in range(self.told.large)]
        for thread in [*threads, *large]:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in [*threads, *large]:
                thread.join(240)

    def _write(self, act: Callable[[], None], rest_s: float) -> None:
        choice = random.Random(f"{self.told.seed} {rest_s}")
        while not self._over.is_set():
            try:
                act()
            except BaseException as error:  # noqa: BLE001  # told by the main thread
                self._failures.append(error)
                return
            self._over.wait(rest_s * 2 * choice.random())

    def _misfortune(self, name: str) -> None:
        self.ledger.tell("stage", name)
        self.world.relay.weather = Weather.bad(self._random.choice([0.0, 0.0, 0.05]))
        self._misfortunes.befall(name)
        self.ledger.tell("stage", f"{name}: done")

    # ── the end ──

    def _end(self) -> None:
        """Calm: both sides equal, everything somewhere, and nothing stirs any more."""
        world, ledger = self.world, self.ledger
        world.relay.weather = Weather()
        world.start()
        world.resume()
        ledger.tell("stage", "calm")
        world.reconcile()
        client = world.store.client()
        deadline = time.monotonic() + 240
        while True:
            wait_for(self._is_idle, "rest")
            before = world.relay.mutations
            time.sleep(SILENT_S)
            silent = world.relay.mutations == before
            files, lake = files_view(world.root), lake_view(client, self._prefix)
            found = differences(files, lake)
            if (silent and not found) or time.monotonic() > deadline:
                break
            ledger.tell("stage", f"not yet: {'silent' if silent else 'still sending'}, {found[:1]}")
        there = f"/{world.store.bucket}/{self._prefix}/"
        ledger.overwritten_by_marker((path.removeprefix(there), span) for path, span in world.relay.markers)
        found += unaccounted(ledger, files, lake, trash_of(world.root))
        if not silent:
            found.append("the link does not come to rest")
        uploads = client.list_multipart_uploads(Bucket=world.store.bucket, Prefix=f"{self._prefix}/").get("Uploads", ())
        if uploads:
            ledger.tell("stage", f"{len(uploads)} uploads are left")
        found += [line for line in world.log.read_text(encoding="utf-8").splitlines() if "defect.met" in line]
        if found:
            raise Failed("\n".join(found))

    def _is_idle(self) -> bool:
        status = self.world.status()
        pending = status is None or status.imports.pending or status.exports.pending
        return self.world.state() is LinkState.AVAILABLE and not pending

    def _report(self, why: str) -> str:
        world = self.world
        kept = world.folder / "report.txt"
        view = "\n".join(f"{path!r} {thing}" for path, thing in sorted(files_view(world.root).items()))
        try:
            lake = lake_view(world.store.client(), self._prefix)
        except (BotoCoreError, ClientError) as error:  # the store may be what failed
            lake = {}
            view += f"\n(the lake cannot be listed: {error})"
        there = "\n".join(f"{path!r} {thing}" for path, thing in sorted(lake.items()))
        log = world.log.read_text(encoding="utf-8", errors="replace") if world.log.exists() else ""
        parts = {
            "why": why, "story": self.ledger.story, "requests": "\n".join(world.relay.recent), "daemon": log, "here": view, "there": there,
            "status": repr(world.status()), "trash": "\n".join(repr(data[:24]) for data in trash_of(world.root)),
        }  # fmt: skip
        text = "\n\n".join(f"== {name} ==\n{part}" for name, part in parts.items())
        kept.write_text(text, encoding="utf-8", errors="backslashreplace")
        tail = self.ledger.story.splitlines()[-40:]
        return f"{self.told}\n(all of it: {kept})\n" + "\n".join(tail) + "\n" + log[-3000:]


def play(told: Told, folder: Path, store: MortalStore) -> str:
    """A story in a folder of its own; what it leaves is removed when it ended well."""
    folder.mkdir(parents=True)
    with relay_to(store.endpoint, told.seed) as relay:
        line = Story(told, folder, store, relay).play()
    shutil.rmtree(folder)
    return line
