"""`lakelink hsm`: the files of lazy links one by one, by the names of `lfs hsm_*`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from lakelink.cli.parameters import Output
from lakelink.errors import UsageError

if TYPE_CHECKING:
    from lakelink.api.answers import HsmPath, HsmReport

app = App(
    name="hsm",
    help="""Files of lazy links: how they stand, load them, release them.

Paths are those that users see, absolute or relative to where the command is started; a directory stands for all that is in it.

For example:

```
lakelink hsm state /data/genomes/2026
lakelink hsm restore /data/genomes/2026/sample.bam
lakelink hsm release /data/genomes/2025
lakelink hsm set --norelease /data/genomes/reference
```
""",
)


@app.command(name="state")
def state(*paths: str, output: Output = Output()) -> int:
    """Say how files stand.

    `released`: the bytes are in the lake alone; `exists`, `archived`: the lake holds them; `dirty`: changed here since; `norelease`: never
    released; `lost`: what it stood for is gone; `unknown`: a hole without a mark, of which nothing is concluded.

    For example:

    ```
    lakelink hsm state /data/genomes/sample.bam
    ```

    Args:
        paths: files or directories.
    """
    return _tell_states(_ask("state", paths), output)


@app.command(name="restore")
def restore(*paths: str, output: Output = Output()) -> int:
    """Load files now, instead of when somebody opens them.

    A file that lost its mark in a copy or a restore is taken from the lake anew.

    For example:

    ```
    lakelink hsm restore /data/genomes/2026
    ```

    Args:
        paths: files or directories.
    """
    return tell_report(_ask("restore", paths, quiet=output.quiet or output.json), "loaded", output)


@app.command(name="release")
def release(*paths: str, output: Output = Output()) -> int:
    """Give up the bytes of files that the lake holds just so, however lately they were used.

    What is open, changed or marked `norelease` keeps them, and is told.

    For example:

    ```
    lakelink hsm release /data/genomes/2025
    ```

    Args:
        paths: files or directories.
    """
    return tell_report(_ask("release", paths, quiet=output.quiet or output.json), "released", output)


@app.command(name="archive")
def archive(*paths: str, output: Output = Output()) -> int:
    """Store files in the lake now, and say how they stand then.

    For example:

    ```
    lakelink hsm archive /data/genomes/results
    ```

    Args:
        paths: files or directories.
    """
    return _tell_states(_ask("archive", paths, quiet=output.quiet or output.json), output)


@app.command(name="accept")
def accept(*paths: str, output: Output = Output()) -> int:
    """Say of files that are `unknown` that their zeros are meant.

    A file that is one hole, has the size of its object and bears no mark may have been a stub, so it is neither read nor stored. If it is one of your
    own, an empty disk image perhaps, this says so: it can be read, and is stored as any file, in the place of the object that is there.
    Each file is named by itself; `lakelink hsm restore` is for those that did stand for an object.

    For example:

    ```
    lakelink hsm accept /data/genomes/scratch/disk.img
    ```

    Args:
        paths: files.
    """
    return tell_report(_ask("accept", paths), "accepted", output)


@app.command(name="withdraw")
def withdraw(*, output: Output = Output()) -> int:
    """Take away the views of lazy links that nothing guards any more.

    For the service manager, right after the daemon has ended: where every process that guards a tree was killed at once, nobody finds the tree at its
    path any more until the daemon is back. Views that are guarded stay, and so does everything while a daemon runs.

    For example:

    ```
    lakelink hsm withdraw
    ```
    """
    from lakelink.cli.links.reach import alone
    from lakelink.cli.result import print_json, print_lines
    from lakelink.daemon.unguarded import withdraw as work

    gone = alone(work, output.config)
    if output.json:
        print_json({"withdrawn": gone or []})
    elif not output.quiet:
        print_lines([f"{view} was not guarded, and is gone" for view in gone or []] or ["nothing had to go"])
    return 0


Flagged = Annotated[bool, Parameter(negative=())]


@app.command(name="set")
def set_(
    *paths: str,
    norelease: Flagged = False,
    noarchive: Flagged = False,
    lost: Flagged = False,
    output: Output = Output(),
) -> int:
    """Set flags of files that were loaded or released before.

    For example:

    ```
    lakelink hsm set --norelease /data/genomes/reference
    ```

    Args:
        paths: files or directories.
        norelease: it is never released.
        noarchive: it is marked as not to be stored; for tools that look at it.
        lost: what it stands for is gone.
    """
    words = _words(norelease=norelease, noarchive=noarchive, lost=lost)
    return tell_report(_ask("set", paths, flags=words), "flagged", output)


@app.command(name="clear")
def clear(
    *paths: str,
    norelease: Flagged = False,
    noarchive: Flagged = False,
    lost: Flagged = False,
    output: Output = Output(),
) -> int:
    """Clear flags of files.

    For example:

    ```
    lakelink hsm clear --norelease /data/genomes/reference
    ```

    Args:
        paths: files or directories.
        norelease: it may be released again.
        noarchive: as `hsm set` has it.
        lost: as `hsm set` has it.
    """
    words = _words(norelease=norelease, noarchive=noarchive, lost=lost)
    return tell_report(_ask("clear", paths, flags=words), "cleared", output)


def _words(**flags: bool) -> list[str]:
    words = [name for name, wanted in flags.items() if wanted]
    if not words:
        raise UsageError("no flag is named", hint="For example --norelease.")
    return words


def _ask(action: str, paths: Sequence[str], *, flags: Sequence[str] = (), quiet: bool = True) -> HsmReport:
    """The same of the links that the paths lie in, all in one answer."""
    from lakelink.api.answers import HsmReport, wire_path
    from lakelink.api.calls import HsmCommand
    from lakelink.cli.links.progress import Beats
    from lakelink.cli.links.reach import ask

    if not paths:
        raise UsageError("no path is named", hint="Name files or directories of a lazy link.")
    total = HsmReport()
    for link, (top, inside) in _by_link(paths).items():
        call = HsmCommand(link=link, action=action, paths=[wire_path(path) for path in inside], flags=list(flags))  # type: ignore[arg-type]
        with Beats(quiet=quiet) as beats:
            found = ask(call, lambda so_far: beats.line(progress_line(so_far)))  # called before the next round
        total = HsmReport(
            files=total.files + found.files,
            bytes=total.bytes + found.bytes,
            already=total.already + found.already,
            failed=total.failed + found.failed,
            paths=[*total.paths, *(_absolute(each, top) for each in found.paths)],
        )
    return total


def _absolute(each: HsmPath, top: str) -> HsmPath:
    from msgspec.structs import replace

    from lakelink.api.answers import wire_path

    return replace(each, path=wire_path(f"{top}/{each.path.exact}".rstrip("/")))


def _by_link(paths: Sequence[str]) -> dict[str, tuple[str, list[str]]]:
    """Which link each path lies in: its directory, and the paths inside.

    Raises:
        UsageError: a path is in none.
    """
    from lakelink.api.calls import ListLinks
    from lakelink.cli.links.reach import ask

    links = ask(ListLinks())
    found: dict[str, tuple[str, list[str]]] = {}
    for path in paths:
        place = os.path.abspath(path)  # noqa: PTH100  # names are strings with surrogates, and links are not followed
        for link in links:
            top = link.files.rstrip("/")
            if place == top or place.startswith(f"{top}/"):
                found.setdefault(link.name, (top, []))[1].append(place[len(top) + 1 :])
                break
        else:
            names = ", ".join(f"{link.name} ({link.files})" for link in links if link.lazy) or "none"
            raise UsageError(f"{place} is in no link", hint=f"Lazy links: {names}.")
    return found


def progress_line(so_far: HsmReport) -> str:
    """How far a command is."""
    from lakelink.model.units import format_bytes

    return f"{so_far.files:,} files, {format_bytes(so_far.bytes)}; {so_far.failed:,} not"


def fields(each: HsmPath) -> dict[str, object]:
    """One file, in JSON."""
    from lakelink.cli.links.told import path_fields

    return {
        **path_fields(each.path),
        "flags": each.flags,
        "size_bytes": each.size_bytes,
        "allocated_bytes": each.allocated_bytes,
        "message": each.message,
    }


def _tell_states(report: HsmReport, output: Output) -> int:
    from lakelink.cli.result import print_json, print_lines
    from lakelink.model.path import display

    if output.json:
        print_json({"paths": [fields(each) for each in report.paths]})
    elif not output.quiet:
        print_lines(
            f"{display(each.path.exact)}: {' '.join(each.flags) or each.message or 'not in the lake'}"
            for each in report.paths
        )
    return 1 if any(each.message for each in report.paths) else 0


def tell_report(report: HsmReport, verb: str, output: Output) -> int:
    """What was done, and what was not and why."""
    import sys

    from lakelink.cli.result import print_json
    from lakelink.model.path import display
    from lakelink.model.units import format_bytes

    if output.json:
        failures = [fields(each) for each in report.paths]
        print_json(
            {
                "files": report.files,
                "bytes": report.bytes,
                "already": report.already,
                "failed": report.failed,
                "failures": failures,
            }
        )
    elif not output.quiet:
        already = f", {report.already:,} were so already" if report.already else ""
        print(f"{verb} {report.files:,} files ({format_bytes(report.bytes)}){already}")
        for each in report.paths:
            sys.stderr.write(f"{display(each.path.exact)}: {each.message}\n")
    return 1 if report.failed else 0
