"""What adapters ask of the operating system beside the ports, led into the simulation for as long as it runs.

Bodies are read from and written to descriptors with `os.pread` and its like: descriptors of simulated kernels are numbers that no real kernel hands
out, and calls on them go to the kernel that did. Sleeping takes virtual time. Names that nobody else has drawn are drawn from the seed.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from lakelink.testing.sim.kernel import SimKernel
from lakelink.testing.sim.loop import SimLoop

_SHIFT = 24
_EPOCH_S = 1_700_000_000


class Borders:
    """The kernels of one simulation, found by their descriptors."""

    def __init__(self, loop: SimLoop, seed: int) -> None:
        self._loop = loop
        self._random = random.Random(seed)
        self._kernels: dict[int, SimKernel] = {}

    def first_fd(self) -> int:
        """Where the descriptors of the next kernel begin."""
        return (len(self._kernels) + 1) << _SHIFT

    def add(self, kernel: SimKernel) -> SimKernel:
        """The kernel made with `first_fd`."""
        self._kernels[len(self._kernels) + 1] = kernel
        return kernel

    @contextmanager
    def led(self) -> Iterator[None]:
        """While this lasts, calls on simulated descriptors, sleeps and chance are those of the simulation. Not for two at once."""
        calls: list[tuple[object, str, Callable[..., Any]]] = [
            *((os, name, self._routed(name)) for name in ("pread", "pwrite", "ftruncate", "fstat")),
            (os, "preadv", self._preadv(os.preadv)),
            (time, "sleep", self._loop.tick),
            (time, "monotonic", self._loop.time),
            (time, "time_ns", self._time_ns),
            (time, "time", lambda: self._time_ns() / 1e9),
            (secrets, "token_hex", lambda size: self._random.randbytes(size).hex()),
            (random, "random", self._random.random),
        ]
        with ExitStack() as patched:
            for module, name, call in calls:
                patched.enter_context(mock.patch.object(module, name, call))
            yield

    def _routed(self, name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def routed(fd: int, *arguments: Any) -> Any:
            kernel = self._kernels.get(fd >> _SHIFT)
            return real(fd, *arguments) if kernel is None else getattr(kernel, name)(fd, *arguments)

        return routed

    def _preadv(self, real: Callable[..., int]) -> Callable[..., int]:
        def routed(fd: int, buffers: Sequence[memoryview], offset: int) -> int:
            kernel = self._kernels.get(fd >> _SHIFT)
            if kernel is None:
                return real(fd, buffers, offset)
            count = 0
            for buffer in buffers:
                data = kernel.pread(fd, len(buffer), offset + count)
                buffer[: len(data)] = data
                count += len(data)
            return count

        return routed

    def _time_ns(self) -> int:
        return _EPOCH_S * 1_000_000_000 + int(self._loop.time() * 1e9)
