"""`lakelink link preload` and `lakelink link release`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from lakelink.cli.links.options import LAZY, duration, size
from lakelink.cli.parameters import Output, one
from lakelink.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lakelink.api.answers import HsmReport
    from lakelink.api.calls import HsmCommand

MANIFEST_AT_ONCE = 1000
Include = Annotated[
    tuple[str, ...],
    Parameter(
        help="Only what this pattern names, as in .gitignore; may be given several times.",
        metavar="PATTERN",
        group=LAZY,
        negative=(),
        show_default=False,
    ),
]


def _value(help_text: str, metavar: str, parse: Callable[[str], Any]) -> Parameter:
    return Parameter(
        help=help_text, metavar=metavar, group=LAZY, converter=one(parse), n_tokens=1, accepts_keys=False, negative=(), show_default=False,
    )  # fmt: skip


def preload(
    name: str,
    /,
    *,
    include: Include = (),
    manifest: Annotated[
        Path | None,
        Parameter(
            help="Only the paths in this file, one per line, relative to the link.",
            metavar="FILE",
            group=LAZY,
            show_default=False,
        ),
    ] = None,
    output: Output = Output(),
) -> int:
    """Load files of a lazy link now, so that nobody waits for them later.

    All of them, those that patterns name, or those of a list. Room is made as in any load. May be stopped and begun again at any time: what is
    there is not loaded twice.

    For example:

    ```
    lakelink link preload genomes --include '2026/**'
    lakelink link preload genomes --manifest todays-files.txt
    ```

    Args:
        name: of the link.
    """
    from lakelink.api.answers import HsmReport, wire_path
    from lakelink.api.calls import HsmCommand
    from lakelink.cli.hsm import tell_report

    parts = _manifest(manifest) if manifest else [[""]]
    total = HsmReport()
    for part in parts:
        call = HsmCommand(link=name, action="restore", paths=[wire_path(path) for path in part], include=list(include))
        total = _sum(total, _ask(call, output))
    return tell_report(total, "loaded", output)


def release(
    name: str,
    /,
    *,
    older_than: Annotated[
        float | None, _value("Only what nobody has read or changed for so long.", "TIME", duration)
    ] = None,
    until_free: Annotated[
        int | None, _value("No more than is needed to have so much of the disk free.", "SIZE", size)
    ] = None,
    include: Include = (),
    report: Annotated[
        Path | None,
        Parameter(
            help="Write what was not released, and why, into this file, a JSON document per line.",
            metavar="FILE",
            group=LAZY,
            show_default=False,
        ),
    ] = None,
    output: Output = Output(),
) -> int:
    """Give up the bytes of files of a lazy link that the lake holds just so.

    In the order of their last use: the latest of access, change of metadata and change of content. What is open, changed or marked `norelease`
    stays.

    For example:

    ```
    lakelink link release genomes --older-than 30d --include '*.bam' --until-free 100GiB
    ```

    Args:
        name: of the link.
    """
    from lakelink.api.calls import HsmCommand
    from lakelink.cli.hsm import fields, tell_report

    call = HsmCommand(
        link=name, action="release", include=list(include), older_than_s=older_than or 0.0, until_free_bytes=until_free
    )
    found = _ask(call, output)
    if report is not None:
        try:
            report.write_text("".join(json.dumps(fields(each)) + "\n" for each in found.paths), encoding="utf-8")
        except OSError as error:
            raise StorageError(
                f"{report} cannot be written: {error.strerror}", hint="The release itself is done."
            ) from error
    tell_report(found, "released", output)
    return 0  # that something stays is what was asked for


def _ask(call: HsmCommand, output: Output) -> HsmReport:
    from lakelink.cli.hsm import progress_line
    from lakelink.cli.links.progress import Beats
    from lakelink.cli.links.reach import ask

    with Beats(quiet=output.quiet or output.json) as beats:
        return ask(call, lambda so_far: beats.line(progress_line(so_far)))


def _manifest(file: Path) -> list[list[str]]:
    """The paths of a list, in parts.

    Raises:
        UsageError: it cannot be read, or holds none.
    """
    from lakelink.cli.links.paths import inside

    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    paths = [inside(line.decode("utf-8", "surrogateescape").rstrip("\r")) for line in lines if line.strip()]
    if not paths:
        raise UsageError(f"{file} names no path", hint="One path per line, relative to the link's directory.")
    return [paths[start : start + MANIFEST_AT_ONCE] for start in range(0, len(paths), MANIFEST_AT_ONCE)]


def _sum(one_: HsmReport, other: HsmReport) -> HsmReport:
    from lakelink.api.answers import HsmReport

    return HsmReport(
        files=one_.files + other.files,
        bytes=one_.bytes + other.bytes,
        already=one_.already + other.already,
        failed=one_.failed + other.failed,
        paths=[*one_.paths, *other.paths],
    )
