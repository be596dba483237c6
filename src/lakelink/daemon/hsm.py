"""What the daemon does about the files of a lazy link when it is asked to."""

from __future__ import annotations

from lakelink.api.answers import HsmPath, HsmReport, wire_path
from lakelink.api.calls import HsmCommand
from lakelink.daemon.lazy_tree import chosen_by
from lakelink.daemon.open_link import OpenLink
from lakelink.errors import Refused
from lakelink.links.hsm.commands import Commands, Report


async def carry_out(link: OpenLink, call: HsmCommand, report: Report) -> None:
    """Do it; `report` grows meanwhile.

    Raises:
        Refused: the link is not lazy. UsageError: a flag or pattern is none.
    """
    commands = _commands(link, call.link)
    paths = [path.exact for path in call.paths] or [""]
    chosen = chosen_by(call.include)
    match call.action:
        case "state":
            report.named = (await commands.state(paths)).named
        case "restore":
            await commands.restore(paths, chosen, report)
        case "release" if call.older_than_s is not None or call.until_free_bytes is not None:
            await commands.release_old(call.older_than_s or 0.0, chosen, call.until_free_bytes, report)
        case "release":
            await commands.release(paths, chosen, report)
        case "archive":
            await link.survey(paths)
            report.named = (await commands.state(paths)).named
        case "accept":
            await commands.accept(paths, report)
        case "set" | "clear":
            await commands.flag(paths, call.flags, clear=call.action == "clear", report=report)


async def refuse_released(link: OpenLink, name: str) -> None:
    """A lazy link is not let go while files have their bytes in the lake alone.

    Raises:
        Refused: some have.
    """
    commands = link.commands
    if commands is None:
        return
    released = sum("released" in state.flags for state in (await commands.state([""])).named)
    if released:
        raise Refused(
            f"{released:,} files of link {name} have their bytes in the lake alone: without the link nobody could read them",
            hint=f"Load them first: lakelink link preload {name}. Or have local copies of what the lake holds removed: "
            f"lakelink link remove {name} --delete-files.",
        )


def hsm_report(report: Report, *, named: bool = True) -> HsmReport:
    """As it travels."""
    states = report.named if named else []
    return HsmReport(
        files=report.files,
        bytes=report.size_bytes,
        already=report.already,
        failed=report.failed,
        paths=[
            HsmPath(
                path=wire_path(each.path),
                flags=list(each.flags),
                size_bytes=each.size_bytes,
                allocated_bytes=each.allocated_bytes,
                message=each.message,
            )
            for each in states
        ],
    )


def _commands(link: OpenLink, name: str) -> Commands:
    commands = link.commands
    if commands is None:
        raise Refused(f"link {name} is not lazy: all its files are here", hint="`lakelink link add --lazy` makes one.")
    return commands
