"""What befalls the daemon, the store, the network and the directory while people write."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Sequence

from lakelink.model.linkspec import LinkState
from tests.realworld.relay import Weather
from tests.realworld.world import Failed, World, wait_for

HOW_OFTEN = {
    "kill": 6, "kill at once": 2, "kill store": 3, "bad weather": 3, "network down": 2, "stop": 1, "freeze": 1, "pause": 1,
    "reconcile": 1, "lose journal": 1, "lose root": 1,
}  # fmt: skip


class Misfortunes:
    """Each leaves the store running and the root in its place."""

    def __init__(self, world: World, gates: Sequence[threading.Lock], choice: random.Random, span_s: float) -> None:
        """`gates`: held, nobody writes in the directory. `span_s`: how long they last, more or less."""
        self._world = world
        self._gates = gates
        self._random = choice
        self._span_s = span_s
        self._sleep = threading.Event().wait
        self._all: dict[str, Callable[[], None]] = {
            "kill": self._kill,
            "kill at once": self._kill,
            "kill store": self._kill_store,
            "bad weather": self._bad_weather,
            "network down": self._network_down,
            "stop": self._stop,
            "freeze": self._freeze,
            "pause": self._pause,
            "reconcile": world.reconcile,
            "lose journal": self._lose_journal,
            "lose root": self._lose_root,
        }

    def befall(self, name: str) -> None:
        """Let that happen; its name is one of `HOW_OFTEN`."""
        if name != "kill at once":
            self._world.start()
        self._all[name]()

    def _some_s(self) -> float:
        return self._random.random() * self._span_s

    def _kill(self) -> None:
        self._sleep(self._some_s())
        self._world.kill()
        self._world.start()

    def _kill_store(self) -> None:
        self._world.store.kill()
        self._sleep(self._some_s())
        self._world.store.start()

    def _bad_weather(self) -> None:
        self._world.relay.weather = Weather.bad(0.5)

    def _network_down(self) -> None:
        relay = self._world.relay
        relay.weather = Weather(down=True)
        relay.cut_all()
        self._sleep(2 * self._some_s())
        relay.weather = Weather()

    def _stop(self) -> None:
        self._world.stop()
        self._world.start()

    def _freeze(self) -> None:
        self._world.signal(signal.SIGSTOP)
        self._sleep(2 * self._some_s())
        self._world.signal(signal.SIGCONT)

    def _pause(self) -> None:
        self._world.pause()
        self._sleep(2 * self._some_s())
        self._world.resume()

    def _lose_journal(self) -> None:
        self._world.kill()
        self._world.lose_journal()
        self._world.start()

    def _lose_root(self) -> None:
        """The link halts, and changes nothing while the root is away; it goes on by itself."""
        for gate in self._gates:
            gate.acquire()
        try:
            self._world.ledger.tell("stage", self._world.remove_root())
            try:
                self._without_root()
            finally:
                self._world.restore_root()
        finally:
            for gate in self._gates:
                gate.release()
        self._world.resume()

    def _is_halted(self) -> bool:
        """Because of the root: other trouble may be there as well."""
        status = self._world.status()
        return (
            status is not None
            and status.state is LinkState.MISCONFIGURED
            and os.fsencode(self._world.root) in os.fsencode(status.reason)
        )

    def _without_root(self) -> None:
        world = self._world
        if self._random.random() < 0.5:
            world.kill()
            world.start()
        wait_for(self._is_halted, "the link to halt")
        if self._random.random() < 0.3:
            world.kill()
            world.start()
            wait_for(self._is_halted, "the link to halt again")
        before = world.relay.changes
        self._sleep(1.0)
        if world.relay.changes != before:
            raise Failed("the link changed the lake while its root was away")
        if world.root.is_dir() and list(world.root.iterdir()):
            raise Failed("the link wrote into a root that is not its own")
