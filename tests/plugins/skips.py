"""The run ends by listing what was skipped and why, grouped by reason, so that nobody takes a skipped test for a passed one."""

from __future__ import annotations

from collections import defaultdict

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        by_reason[reason.removeprefix("Skipped: ")].append(report.nodeid)
    if not by_reason:
        terminalreporter.section("skipped: nothing")
        return
    count = sum(len(nodes) for nodes in by_reason.values())
    terminalreporter.section(f"skipped: {count} test{'' if count == 1 else 's'}, and why")
    for reason, nodes in sorted(by_reason.items()):
        files = sorted({node.partition("::")[0] for node in nodes})
        terminalreporter.write_line(f"{len(nodes):4}  {reason}")
        for file in files:
            terminalreporter.write_line(f"        {file}")
