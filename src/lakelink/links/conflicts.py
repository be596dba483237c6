"""Conflicts told to people: what is in the trash because of one, and what can be done about those that are open."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lakelink.core.conflict_name import is_conflict_copy
from lakelink.links.trash import Trashed
from lakelink.model.path import display, split
from lakelink.state.findings import Clash

_SLACK_NS = 60 * 1_000_000_000


def trash_reasons(conflicts: Iterable[Clash]) -> Callable[[Trashed], str]:
    """Why something is in the trash, one sentence, where a conflict is known to be the reason; else "".

    `conflicts`: the journal's, resolved ones included. The file of the losing side went there within moments of the conflict.
    """
    by_path: dict[str, list[Clash]] = {}
    for clash in conflicts:
        by_path.setdefault(clash.path, []).append(clash)

    def reason(item: Trashed) -> str:
        for clash in by_path.get(item.path, ()):
            if item.bin.begun_ns - _SLACK_NS <= clash.since_ns <= item.bin.ended_ns + _SLACK_NS:
                return f"it lost conflict {clash.id}: {clash.reason}"
        if is_conflict_copy(item.path):
            return "a version that lost a conflict"
        return ""

    return reason


def advice(clash: Clash, link: str) -> str:
    """What an operator can do about a conflict, one sentence."""
    if clash.resolved_ns:
        return "It is resolved; what lost is in the trash or has a copy."
    if clash.copy:
        name = split(clash.copy)[1]
        return f"Both are kept. Look at {display(name)} beside it, then `lakelink link resolve {link} {clash.id} --keep files|lake|both`."
    return f"Both stand as they are. `lakelink link resolve {link} {clash.id} --keep files|lake|both` decides."
