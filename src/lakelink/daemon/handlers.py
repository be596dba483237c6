"""What the daemon does with each call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from lakelink.api import calls
from lakelink.api.answers import (
    Checked,
    Daemon,
    Difference,
    HeldPath,
    HsmReport,
    LinkDetail,
    LogEntry,
    PathConflict,
    PathProblem,
    Reloaded,
    Removed,
    Settled,
    StatusReport,
    TaskInfo,
    wire_path,
)
from lakelink.daemon import journals
from lakelink.daemon.admission import admit
from lakelink.daemon.gateway_keeper import GatewayKeeper
from lakelink.daemon.hsm import carry_out, hsm_report, refuse_released
from lakelink.daemon.keeper import Keeper
from lakelink.daemon.server import Asked
from lakelink.daemon.supervisor import Supervisor, refuse_queued
from lakelink.errors import InternalError
from lakelink.links.hsm.commands import Report
from lakelink.links.stores import Stores
from lakelink.model.linkspec import LinkSpec, LinkStatus
from lakelink.ports.clock import SystemClock

T = TypeVar("T")

BEAT_S = 0.5
SHORTEST_WATCH_S, LONGEST_WATCH_S = 0.1, 60.0
LONGEST_SETTLE_S = 24 * 3600.0


class Handlers:
    """Carries out calls on a supervisor. `describe` and `reload` are the daemon's own."""

    def __init__(
        self,
        supervisor: Supervisor,
        describe: Callable[[], Daemon],
        reload: Callable[[], Awaitable[list[str]]],
        gateway: GatewayKeeper,
    ) -> None:
        self._supervisor = supervisor
        self._describe = describe
        self._reload = reload
        self._gateway = gateway
        self._by_call: dict[type[calls.Call[Any]], Callable[[Any, Asked], Awaitable[Any]]] = {
            calls.DescribeDaemon: self._daemon,
            calls.Reload: self._reloaded,
            calls.GetStatus: self._status,
            calls.Watch: self._watch,
            calls.AddLink: self._add,
            calls.ListLinks: self._list,
            calls.ShowLink: self._show,
            calls.UpdateLink: self._update,
            calls.RemoveLink: self._remove,
            calls.PauseLink: self._pause,
            calls.ResumeLink: self._resume,
            calls.ReconcileLink: self._reconcile,
            calls.SettleLink: self._settle,
            calls.CheckLink: self._check,
            calls.ListHeld: self._held,
            calls.ListProblems: self._problems,
            calls.ListConflicts: self._conflicts,
            calls.ResolveConflict: self._resolve,
            calls.ReadLog: self._log,
            calls.StartTask: self._start_task,
            calls.ListTasks: self._tasks,
            calls.CancelTask: self._cancel_task,
            calls.HsmCommand: self._hsm,
        }

    async def __call__(self, asked: Asked) -> Any:
        """Carry out one call.

        Raises:
            LakelinkError: what the asker is told.
        """
        handler = self._by_call.get(type(asked.call))
        if handler is None and isinstance(asked.call, calls.GATEWAY):
            return await self._gateway(asked)
        if handler is None:
            raise InternalError(f"nobody carries out {asked.call.name}")
        return await handler(asked.call, asked)

    def report(self) -> StatusReport:
        """How everything stands."""
        return StatusReport(self._describe(), self._supervisor.statuses(), self._gateway.condition())

    async def _daemon(self, _call: calls.DescribeDaemon, _asked: Asked) -> Daemon:
        return self._describe()

    async def _reloaded(self, _call: calls.Reload, _asked: Asked) -> Reloaded:
        return Reloaded(await self._reload())

    async def _status(self, _call: calls.GetStatus, _asked: Asked) -> StatusReport:
        return self.report()

    async def _watch(self, call: calls.Watch, asked: Asked) -> None:
        while True:
            asked.beat(self.report())
            await asyncio.sleep(min(max(call.interval_s, SHORTEST_WATCH_S), LONGEST_WATCH_S))

    async def _add(self, call: calls.AddLink, _asked: Asked) -> LinkDetail:
        stores = Stores(self._supervisor.state_dir, SystemClock())
        notes = await admit(call.spec, self._supervisor.document, stores)
        spec = await self._supervisor.add(call.spec)
        return LinkDetail(spec, self._keeper(spec.name).status(), notes)

    async def _list(self, _call: calls.ListLinks, _asked: Asked) -> list[LinkSpec]:
        return list(self._supervisor.registry.list())

    async def _show(self, call: calls.ShowLink, _asked: Asked) -> LinkDetail:
        return LinkDetail(self._supervisor.registry.get(call.link), self._keeper(call.link).status())

    async def _update(self, call: calls.UpdateLink, _asked: Asked) -> LinkDetail:
        spec = await self._supervisor.update(call.spec, call.was)
        return LinkDetail(spec, self._keeper(spec.name).status())

    async def _remove(self, call: calls.RemoveLink, asked: Asked) -> Removed:
        keeper = self._keeper(call.link)
        refuse_queued(keeper.status(), discard=call.discard)
        if keeper.spec.lazy and not call.delete_files:
            await keeper.during(lambda link: refuse_released(link, call.link))

        async def work() -> Removed:
            if call.delete_files:  # what is known to be in the lake has to be so now
                await keeper.during(lambda link: link.survey())
                refuse_queued(keeper.status(), discard=False)
            return await self._supervisor.let_go(call.link, delete_files=call.delete_files)

        return await _beating(asked, lambda: Removed(call.link, 0, []), work())

    async def _pause(self, call: calls.PauseLink, _asked: Asked) -> LinkStatus:
        return (await self._supervisor.pause(call.link)).status()

    async def _resume(self, call: calls.ResumeLink, _asked: Asked) -> LinkStatus:
        keeper = await self._supervisor.resume(
            call.link, allow_deletes=call.allow_deletes, accept_root=call.accept_root
        )
        return keeper.status()

    async def _reconcile(self, call: calls.ReconcileLink, asked: Asked) -> LinkStatus:
        keeper = self._keeper(call.link)
        paths = [path.exact for path in call.paths]
        await _beating(asked, keeper.status, keeper.during(lambda link: link.survey(paths)))
        return keeper.status()

    async def _settle(self, call: calls.SettleLink, asked: Asked) -> Settled:
        keeper = self._keeper(call.link)
        timeout_s = min(max(call.timeout_s, 0.0), LONGEST_SETTLE_S)

        def so_far() -> Settled:
            return Settled(settled=False, status=keeper.status())

        settled = await _beating(asked, so_far, keeper.during(lambda link: link.settle(timeout_s)))
        return Settled(settled=settled, status=keeper.status())

    async def _check(self, call: calls.CheckLink, asked: Asked) -> Checked:
        keeper = self._keeper(call.link)
        found = await _beating(asked, lambda: None, keeper.during(lambda link: link.check(repair=call.repair)))
        named = [Difference(wire_path(each.path), each.side, each.what) for each in found.named]
        return Checked(found.agreed, found.differences, named, repaired=call.repair and bool(found.differences))

    async def _held(self, call: calls.ListHeld, _asked: Asked) -> list[HeldPath]:
        return journals.held(self._supervisor.state_dir, self._keeper(call.link).spec, call.most)

    async def _problems(self, call: calls.ListProblems, _asked: Asked) -> list[PathProblem]:
        return journals.problems(self._supervisor.state_dir, self._keeper(call.link).spec, call.most)

    async def _conflicts(self, call: calls.ListConflicts, _asked: Asked) -> list[PathConflict]:
        spec = self._keeper(call.link).spec
        return journals.conflicts(self._supervisor.state_dir, spec, call.most, resolved=call.resolved)

    async def _resolve(self, call: calls.ResolveConflict, asked: Asked) -> LinkStatus:
        keeper = self._keeper(call.link)
        await _beating(asked, keeper.status, keeper.during(lambda link: link.resolve(call.conflict, call.keep)))
        return keeper.status()

    async def _log(self, call: calls.ReadLog, _asked: Asked) -> list[LogEntry]:
        return journals.events(self._supervisor.state_dir, self._keeper(call.link).spec, call.most)

    async def _start_task(self, call: calls.StartTask, _asked: Asked) -> TaskInfo:
        paths = [path.exact for path in call.paths]
        return journals.task_info(
            call.link, (await self._keeper(call.link).opened()).tasks.submit(call.kind, paths, call.report)
        )

    async def _tasks(self, call: calls.ListTasks, _asked: Asked) -> list[TaskInfo]:
        tasks = (await self._keeper(call.link).opened()).tasks
        if call.task:
            return [journals.task_info(call.link, tasks.get(call.task))]
        return [journals.task_info(call.link, task) for task in tasks.newest(call.most)]

    async def _cancel_task(self, call: calls.CancelTask, _asked: Asked) -> TaskInfo:
        return journals.task_info(call.link, (await self._keeper(call.link).opened()).tasks.cancel(call.task))

    async def _hsm(self, call: calls.HsmCommand, asked: Asked) -> HsmReport:
        keeper = self._keeper(call.link)
        report = Report()
        await _beating(
            asked, lambda: hsm_report(report, named=False), keeper.during(lambda link: carry_out(link, call, report))
        )
        return hsm_report(report)

    def _keeper(self, name: str) -> Keeper:
        return self._supervisor.keeper(name)


async def _beating(asked: Asked, so_far: Callable[[], Any], work: Coroutine[Any, Any, T]) -> T:
    """Do the work, and tell how it goes meanwhile; it is cancelled with the call."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            asked.beat(so_far())
            await asyncio.wait([task], timeout=BEAT_S)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
