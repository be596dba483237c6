"""A link that does what the test says, for what surrounds links in the daemon."""

from __future__ import annotations

import asyncio
import dataclasses

from lakelink.model.linkspec import Flow, LinkSpec, LinkState, LinkStatus


class FakeLink:
    """Runs until cancelled, or until `fail` is set; remembers what it was told."""

    def __init__(self, spec: LinkSpec) -> None:
        self.spec = spec
        self.told: list[object] = []
        self.pending = 0
        self.state = LinkState.AVAILABLE
        self.closed = False
        self.stubborn = False  # does not end when it is cancelled
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.paused = False

    def fail(self, error: Exception) -> None:
        self._failure.set_exception(error)

    async def run(self) -> None:
        try:
            await self._failure
        except asyncio.CancelledError:
            if not self.stubborn:
                raise
            await asyncio.sleep(3600)

    def status(self) -> LinkStatus:
        return LinkStatus(
            name=self.spec.name,
            ident=self.spec.ident,
            files=self.spec.files,
            lake=self.spec.lake,
            state=self.state,
            paused=self.paused,
            declared=self.spec.declared,
            exports=Flow(pending=self.pending),
        )

    async def survey(self, paths=()):
        self.told.append(("survey", tuple(paths)))

    async def settle(self, timeout_s):
        self.told.append("settle")
        return not self.pending

    def pause(self):
        self.paused = True
        self.told.append("pause")

    def resume(self, *, allow_deletes=False):
        self.paused = False
        self.told.append(("resume", allow_deletes))

    def update(self, spec):
        self.spec = spec
        self.told.append("update")

    async def resolve(self, conflict_id, keep):
        self.told.append(("resolve", conflict_id, keep))

    def note(self, code, message):
        self.told.append((code, message))

    async def aclose(self):
        self.closed = True


class FakeWorld:
    """Opens fake links; `trouble` makes opening fail."""

    def __init__(self) -> None:
        self.opened: list[FakeLink] = []
        self.accepted: list[str] = []
        self.trouble: dict[str, Exception] = {}

    async def accept_root(self, spec: LinkSpec) -> None:
        self.accepted.append(spec.name)

    async def __call__(self, spec: LinkSpec) -> FakeLink:
        if spec.name in self.trouble:
            raise self.trouble[spec.name]
        link = FakeLink(spec)
        self.opened.append(link)
        return link

    def newest(self, name: str) -> FakeLink:
        return [link for link in self.opened if link.spec.name == name][-1]


def spec(folder, name="logs", **changes):
    (folder / name).mkdir(exist_ok=True)
    made = LinkSpec(name=name, ident="", files=str(folder / name), lake=f"memory:{name}")
    return dataclasses.replace(made, **changes)


async def until(condition, what="it", deadline_s=30.0):
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110  # whatever it is, it sets no event
            await asyncio.sleep(0.005)
