"""One who writes slowly."""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import suppress
from pathlib import Path

from tests.realworld.held import everything
from tests.realworld.ledger import Ledger
from tests.realworld.names import SLOW


class SlowWriter:
    """One who keeps a file open for long, and writes a little now and then; nobody else writes at its paths here."""

    def __init__(self, root: Path, ledger: Ledger, seed: str) -> None:
        self.gate = threading.Lock()
        self._root = root
        self._ledger = ledger
        self._random = random.Random(seed)

    def act(self) -> None:
        with self.gate, suppress(OSError):
            path = self._random.choice(SLOW)
            place = self._root / path
            place.parent.mkdir(exist_ok=True)
            fd = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                self._ledger.overwritten(everything(fd), f"slowly at {path!r}")
                token = self._ledger.mint(path)
                pieces = self._random.randint(2, 8)
                self._ledger.written(token * (1000 * pieces))
                os.ftruncate(fd, 0)
                for piece in range(pieces):
                    os.pwrite(fd, token * 1000, piece * 1000 * len(token))
                    time.sleep(self._random.random() * 0.3)
            finally:
                os.close(fd)
            self._ledger.due(token)
            self._ledger.tell("slow", f"wrote {path!r} {token.decode()} in {pieces} pieces")
