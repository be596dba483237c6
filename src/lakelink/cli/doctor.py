"""`lakelink doctor`: one line for each thing that has to be right, and what to do where it is not."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator

from lakelink.cli.checks.finding import Finding, Status
from lakelink.cli.parameters import Output

MARKS = {Status.OK: "ok  ", Status.NOTE: "note", Status.FAIL: "FAIL"}


def doctor(*locations: str, output: Output = Output()) -> int:
    """Check this machine, the credentials and the store.

    And the daemon with its links. Ends with 0 when nothing stands in the way and with 1 when something does. Secrets are never printed; nothing is
    written outside the state directory.

    For example:

    ```
    lakelink doctor
    lakelink doctor s3://lake/data --json
    AWS_ENDPOINT_URL_S3=http://minio:9000 lakelink doctor
    ```

    Args:
        locations: also look whether these can be reached; those in the settings always are.
    """
    findings: list[Finding] = []
    for finding in _all(locations, output.config):
        findings.append(finding)
        if not output.json and not (output.quiet and finding.status is Status.OK):
            _print(finding)
    healthy = all(finding.status is not Status.FAIL for finding in findings)
    if output.json:
        from lakelink.cli.result import print_json

        print_json({"healthy": healthy, "checks": [finding.as_json() for finding in findings]})
    return 0 if healthy else 1


def _all(locations: tuple[str, ...], config: str | None) -> Iterator[Finding]:
    from lakelink.cli.checks.access import access
    from lakelink.cli.checks.gateway import gateway
    from lakelink.cli.checks.hsm import lazy
    from lakelink.cli.checks.links import links
    from lakelink.cli.checks.machine import machine
    from lakelink.cli.checks.settings import read_settings
    from lakelink.config.state_dir import state_dir_path

    settings = read_settings(config)
    yield from machine(state_dir_path())
    yield from lazy(state_dir_path(), locations)
    yield settings.finding
    yield from links(state_dir_path())
    if settings.document is not None:
        yield from gateway(state_dir_path(), settings.document)
    asked_for_s3 = any(text.startswith("s3://") for text in locations)
    yield from access(
        needed=asked_for_s3 or bool(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    )
    wanted = [*(f"{name}:" for name in settings.locations), *locations]
    if settings.document is not None and wanted:
        from lakelink.cli.checks.reach import reach

        for text in wanted:
            yield asyncio.run(reach(text, settings.document))


def _print(finding: Finding) -> None:
    sys.stdout.write(f"{MARKS[finding.status]}  {finding.check:<12} {finding.found}\n")
    if finding.todo:
        sys.stdout.write(f"{'':6}{'':<12} → {finding.todo}\n")
    sys.stdout.flush()
