"""`lakelink demo`: the main job on real data, with the commands that anybody would type, and the proof that it worked."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from lakelink.cli import demo_link, demo_tree
from lakelink.cli.parameters import OUTPUT, flag
from lakelink.errors import Corrupt, InternalError, Refused
from lakelink.model.units import format_bytes, format_duration, format_rate

SHOWN_DIFFERENCES = 10
BUCKET = "lake"
LIVE = "live"
LINKED = ("json", "email", "asyncio", "oddities")  # parts of the tree that the live link keeps in step


def demo(
    *,
    keep: Annotated[
        Path | None, Parameter(help="Work in this new directory and leave everything there.", metavar="DIR")
    ] = None,
    quiet: Annotated[bool, flag(OUTPUT, "Only the result.")] = False,
) -> int:
    """Sync a real tree to an S3 server and back, and prove it.

    Starts an S3 server on loopback, syncs the running Python's own standard library to it and back to a second directory, proves that
    both are equal, edits some files, and does it again. Then a link keeps a directory and a prefix in step while both sides are edited, and each
    change is seen to arrive. Takes less than a minute and removes what it made.

    For example:

    ```
    lakelink demo
    lakelink demo --keep /tmp/lakelink-demo
    ```
    """
    from lakelink.locations.embedded import EmbeddedStore

    began_s = time.monotonic()
    folder = _folder(keep)
    port = demo_link.free_port()
    demo_link.push_events(folder / "store", port, f"/{BUCKET}/{LIVE}")
    try:
        with EmbeddedStore(folder / "store", bucket=BUCKET) as store:
            env = {
                "AWS_ENDPOINT_URL_S3": store.endpoint,
                "AWS_ACCESS_KEY_ID": store.access_key,
                "AWS_SECRET_ACCESS_KEY": store.secret_key,
                "AWS_REGION": "us-east-1",
                "LAKELINK_STATE_DIR": str(folder / "state"),
            }
            stage = _Stage(folder, f"s3://{BUCKET}/demo", env, quiet=quiet)
            stage.say(f"An S3 server of its own: SeaweedFS at {store.endpoint}, its data in {folder / 'store'}\n")
            _play(stage)
            _play_live(stage, port)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(
        f"demo: all trees are equal, before and after the edits; {format_duration(time.monotonic() - began_s)} in all"
    )
    if not quiet:
        print(_what_next(keep))
    return 0


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="lakelink-demo-"))
    try:
        keep.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise Refused(
            f"{keep} is there already", hint="Name a directory that is not there; the demo fills it."
        ) from error
    return keep.resolve()


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where the demonstration plays, and how it talks."""

    folder: Path
    lake: str
    env: Mapping[str, str]
    quiet: bool

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def back(self) -> Path:
        return self.folder / "back"

    def say(self, text: str) -> None:
        if not self.quiet:
            print(text, flush=True)

    def sync(self, source: str, target: str, *options: str) -> dict[str, Any]:
        """Run `lakelink sync` as a command of its own and show what it did."""
        arguments = ["sync", source, target, *options]
        self.say(f"$ lakelink {' '.join(arguments)}")
        # -P: the current directory is not searched for modules, which matters where somebody runs this in a directory of theirs.
        command = [sys.executable, "-P", "-m", "lakelink", *arguments, "--json", *(["--quiet"] if self.quiet else [])]
        done = subprocess.run(command, env=os.environ | dict(self.env), stdout=subprocess.PIPE, check=False, text=True)
        if done.returncode != 0:
            raise InternalError(f"the demonstration's sync ended with exit code {done.returncode}")
        result: dict[str, Any] = json.loads(done.stdout)
        self.say("  " + _moved(result) + "\n")
        return result

    def prove(self) -> None:
        """Both trees are equal.

        Raises:
            Corrupt: they are not; the message says where.
        """
        found = demo_tree.differences(self.tree, self.back)
        if found:
            raise Corrupt(f"{len(found)} paths differ: " + "; ".join(found[:SHOWN_DIFFERENCES]))
        size = demo_tree.measure(self.back)
        self.say(
            f"Proved: equal in names, content (SHA-256 of {size.files:,} files), mode, time to the nanosecond and\n"
            f"the targets of {size.links:,} links; read back from both directories by code that lakelink does not use.\n"
        )


def _play(stage: _Stage) -> None:
    demo_tree.build(stage.tree)
    size = demo_tree.measure(stage.tree)
    stage.say(
        f"A real tree: {size.files:,} files in {size.directories:,} directories, {size.links:,} links, "
        f"{format_bytes(size.size_bytes)}:\nthe standard library of this Python, with odd modes and names, a sparse file and an empty directory\n"
    )
    stage.sync(str(stage.tree), stage.lake)
    stage.sync(stage.lake, str(stage.back))
    stage.prove()
    changed, removed, added = demo_tree.edit(stage.tree)
    stage.say(f"Edited: {changed} files changed, {removed} removed, {added} added, one mode changed\n")
    stage.sync(str(stage.tree), stage.lake, "--delete")
    stage.sync(stage.lake, str(stage.back), "--delete")
    stage.prove()


def _play_live(stage: _Stage, port: int) -> None:
    root, back, lake = stage.folder / LIVE, stage.folder / "live-back", f"s3://{BUCKET}/{LIVE}"
    for part in LINKED:
        shutil.copytree(stage.tree / part, root / part, symlinks=True)
    with (
        _environment(stage.env),
        demo_link.serving(stage.folder / "state", stage.env, stage.folder / "serve.log", port) as daemon,
    ):
        stage.say(f"$ lakelink serve &\n$ lakelink link add {demo_link.NAME} {root} {lake}")
        demo_link.add(daemon, root, lake)
        stage.say(
            f"  a live link: {demo_tree.measure(root).files:,} files, in step from now on. What is done, and when it arrives:\n"
        )
        asyncio.run(demo_link.play(daemon, root, lake, stage.say))
        demo_link.settle(daemon)
    stage.say("")
    stage.sync(lake, str(back))
    found = demo_tree.differences(root, back, directory_times=False)
    if found:
        raise Corrupt(f"{len(found)} paths differ: " + "; ".join(found[:SHOWN_DIFFERENCES]))
    stage.say(
        "Proved: what the link kept in step is equal on both sides, in names, content, mode and the times of files.\n"
    )


@contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    """The store's access in this process as well, for the while."""
    before = dict(os.environ)
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _moved(result: Mapping[str, Any]) -> str:
    files, size_bytes, duration_s = result["transferred_files"], result["transferred_bytes"], result["duration_s"]
    parts = [f"{files:,} files, {format_bytes(size_bytes)}"]
    if result["deleted"]:
        parts.append(f"{result['deleted']:,} deleted")
    if result["unchanged"]:
        parts.append(f"{result['unchanged']:,} unchanged")
    requests = sum(result["requests"].values())
    parts.append(f"{requests:,} requests")
    speed = (
        f" ({format_rate(size_bytes / duration_s)}, {files / duration_s:,.0f} files/s)" if files and duration_s else ""
    )
    return f"{', '.join(parts)} in {format_duration(duration_s)}{speed}"


def _what_next(keep: Path | None) -> str:
    lines = ["", "What to try next:"]
    if keep is None:
        lines.append("  lakelink demo --keep DIR            keep the trees and look around")
    else:
        lines.append(f"  ls {keep}            the two trees, and the server's data")
    lines += [
        "  lakelink store serve ~/lake         an S3 server of your own, in the foreground",
        "  lakelink link add NAME DIR s3://bucket/dir && lakelink serve    both kept in step, for ever",
        "  lakelink doctor                     what this machine and its credentials can do",
        "  lakelink sync DIR s3://bucket/dir   the same with your data; add --dry-run to see the plan first",
    ]
    return "\n".join(lines)
