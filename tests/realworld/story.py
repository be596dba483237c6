"""One story, from its seed: people write on both sides while the daemon, the store and the network between them come to grief; then it is calm."""

from __future__ import annotations

import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lakelink.model.linkspec import LinkState
from tests.realworld.here import SlowWriter, Writer
from tests.realworld.ledger import Ledger
from tests.realworld.oracle import differences, files_view, lake_view, trash_of, unaccounted
from tests.realworld.relay import Relay, Weather, relay_to
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


MISFORTUNES = {
    "kill": 6, "kill at once": 2, "kill store": 3, "bad weather": 3, "network down": 2, "stop": 1, "freeze": 1, "pause": 1,
    "reconcile": 1, "lose journal": 1, "lose root": 1,
}  # fmt: skip


def short(seed: int) -> Told:
    """A story for every day: each misfortune once, kills thrice."""
    choice = random.Random(f"{seed} told")
    chapters = [*MISFORTUNES, "kill", "kill"]
    choice.shuffle(chapters)
    return Told(seed, tuple(chapters), chapter_s=0.6)


def long(seed: int, minutes: float) -> Told:
    """A story of about that length."""
    choice = random.Random(f"{seed} told")
    chapter_s = choice.choice([0.5, 1.5, 3.0])
    count = max(3, int(minutes * 60 / (chapter_s + 2.0)))
    rests = choice.choice([(0.005, 0.01), (0.03, 0.05), (0.2, 0.2), (0.03, 1.0), (1.0, 0.03)])
    return Told(
        seed,
        tuple(choice.choices(list(MISFORTUNES), weights=list(MISFORTUNES.values()), k=count)),
        chapter_s,
        rests,
        conflict=choice.choice(["keep-both", "keep-both", "keep-both", "newest", "files", "lake"]),
        scan_interval_s=choice.choice([1, 2, 3600]),
        list_interval_s=choice.choice([1, 1, 5]),
        large=choice.choice([0, 1, 2]),
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
            raise Failed(f"seed {self.told.seed}: {error}\n{self._report()}") from error
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
        world.command(
            "link", "add", LINK, world.root, f"s3://{world.store.bucket}/{self._prefix}", "--conflict", told.conflict, "--max-delete", "100%",
            "--list-interval", f"{told.list_interval_s}s", "--scan-interval", f"{told.scan_interval_s}s", "--quiet-time", "300ms", "-q",
        )  # fmt: skip
        self._writer = Writer(world.root, world.aside, self.ledger, f"{told.seed} here")
        self._slow = SlowWriter(world.root, self.ledger, f"{told.seed} slow")
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

    # ── misfortunes ──

    def _misfortune(self, name: str) -> None:
        self.ledger.tell("stage", name)
        world, relay = self.world, self.world.relay
        relay.weather = Weather.bad(self._random.choice([0.0, 0.0, 0.05]))
        if name != "kill at once":
            world.start()
        match name:
            case "kill" | "kill at once":
                self._over.wait(self._random.random() * self.told.chapter_s)
                world.kill()
                world.start()
            case "kill store":
                world.store.kill()
                self._over.wait(self._random.random())
                world.store.start()
            case "bad weather":
                relay.weather = Weather.bad(0.5)
            case "network down":
                relay.weather = Weather(down=True)
                relay.cut_all()
                self._over.wait(self._random.random() * 2)
                relay.weather = Weather()
            case "stop":
                world.stop()
                world.start()
            case "freeze":
                world.signal(signal.SIGSTOP)
                self._over.wait(self._random.random() * 2)
                world.signal(signal.SIGCONT)
            case "pause":
                world.pause()
                self._over.wait(self.told.chapter_s)
                world.resume()
            case "reconcile":
                world.reconcile()
            case "lose journal":
                world.kill()
                world.lose_journal()
                world.start()
            case _:
                self._lose_root()
        self.ledger.tell("stage", f"{name}: done")

    def _lose_root(self) -> None:
        """The link halts, and changes nothing while the root is away; it goes on by itself."""
        world = self.world
        with self._writer.gate, self._slow.gate:
            self.ledger.tell("stage", world.remove_root())
            try:
                if self._random.random() < 0.5:
                    world.kill()
                    world.start()
                wait_for(lambda: self._state() is LinkState.MISCONFIGURED, "the link to halt")
                if self._random.random() < 0.5:
                    world.kill()
                    world.start()
                    wait_for(lambda: self._state() is LinkState.MISCONFIGURED, "the link to halt again")
                before = world.relay.mutations
                self._over.wait(1.5)
                if world.relay.mutations != before:
                    raise Failed("the link changed the lake while its root was away")
                if list(world.root.iterdir()) if world.root.is_dir() else []:
                    raise Failed("the link wrote into a root that is not its own")
            finally:
                world.restore_root()
        world.resume()
        self.ledger.tell("stage", "the root is there again")

    def _state(self) -> LinkState | None:
        status = self.world.status()
        if status is not None and status.state is LinkState.FAILED:
            raise Failed(f"the link has failed: {status.reason}")
        return status.state if status else None

    # ── the end ──

    def _end(self) -> None:
        """Calm: both sides equal, everything somewhere, and nothing stirs."""
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
        found += unaccounted(ledger, files, lake, trash_of(world.root))
        if not silent:
            found.append("the link does not come to rest")
        status = world.status()
        if status is None or status.imports.pending or status.exports.pending:
            found.append(f"still pending: {status}")
        uploads = client.list_multipart_uploads(Bucket=world.store.bucket, Prefix=f"{self._prefix}/").get("Uploads", ())
        if uploads:
            ledger.tell("stage", f"{len(uploads)} uploads are left")
        found += [line for line in world.log.read_text(encoding="utf-8").splitlines() if "defect.met" in line]
        if found:
            raise Failed("\n".join(found))

    def _is_idle(self) -> bool:
        status = self.world.status()
        if status is not None and status.state is LinkState.FAILED:
            raise Failed(f"the link has failed: {status.reason}")
        return (
            status is not None
            and status.state is LinkState.AVAILABLE
            and not (status.imports.pending or status.exports.pending)
        )

    def _report(self) -> str:
        world = self.world
        kept = world.folder / "report.txt"
        view = "\n".join(f"{path!r} {thing}" for path, thing in sorted(files_view(world.root).items()))
        try:
            lake = lake_view(world.store.client(), self._prefix)
        except Exception as error:  # noqa: BLE001  # the store may be what failed
            lake = {}
            view += f"\n(the lake cannot be listed: {error})"
        there = "\n".join(f"{path!r} {thing}" for path, thing in sorted(lake.items()))
        log = world.log.read_text(encoding="utf-8", errors="replace") if world.log.exists() else ""
        parts = {
            "story": self.ledger.story, "requests": "\n".join(world.relay.recent), "daemon": log, "here": view, "there": there,
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
