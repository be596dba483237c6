"""Runs the Pulumi CLI over the ready project. State, passphrase and credentials are Pulumi's own business and pass through."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from lakelink.errors import StorageError, UsageError
from lakelink.infra.graph import Graph
from lakelink.infra.load import Loaded

MINIMUM: Final = (3, 200, 0)  # as the extra lakelink[infra] asks of the SDK
PROBE_TIMEOUT_S: Final = 60
EXPORT_TIMEOUT_S: Final = 300
FILES: Final = ("Pulumi.yaml", "__main__.py")
_INSTALL = "https://www.pulumi.com/docs/install/"


@dataclass(frozen=True, slots=True)
class Summary:
    """What exists after a run and what does not, by logical name."""

    created: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def text(self) -> str:
        """For people: what is there, what is not, what to do."""
        if not self.missing:
            return f"all {len(self.created)} resources exist\n"
        return (
            f"created: {', '.join(self.created) or 'nothing'}\n"
            f"not created: {', '.join(self.missing)}\n"
            "what exists is kept: correct the cause and run `lakelink infra up` again, it goes on from here\n"
        )


def find() -> str:
    """The Pulumi CLI on PATH, new enough.

    Raises:
        UsageError: it is missing or too old; the version wanted is named.
    """
    wanted = ".".join(str(part) for part in MINIMUM)
    program = shutil.which("pulumi")
    if program is None:
        raise UsageError(
            f"the Pulumi CLI is not on PATH; version {wanted} or newer is needed",
            hint=f"Install it ({_INSTALL}); check, graph, userdata, iam, drift and link-file work without it.",
        )
    answer = subprocess.run([program, "version"], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False)
    found = re.search(r"v?(\d+)\.(\d+)\.(\d+)", answer.stdout)
    if found is None or tuple(int(part) for part in found.groups()) < MINIMUM:
        raise UsageError(
            f"{program} is version {answer.stdout.strip() or 'unknown'}; {wanted} or newer is needed",
            hint=f"Update it ({_INSTALL}).",
        )
    return program


def project(directory: Path) -> Path:
    """The project's files in `directory`; what is there already stays as it is."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        target = directory / name
        if not target.exists():
            text = resources.files("lakelink.infra").joinpath("project", name).read_text(encoding="utf-8")
            target.write_text(text, encoding="utf-8")
    return directory


def environment(loaded: Loaded) -> Mapping[str, str]:
    """Ours, with this Python first on PATH, since the project needs the lakelink that runs here, and the specification's file."""
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "LAKELINK_CONFIG": str(loaded.path.resolve()),
    }


def run(verb: str, loaded: Loaded, *, stack: str, directory: Path, yes: bool = False, more: Sequence[str] = ()) -> int:
    """`pulumi preview`, `up` or `destroy` on a stack, which is made if need be; Pulumi's exit code.

    `destroy` leaves out what is protected: the bucket always, the file system where the specification says `protect`.
    Safe to repeat: what exists is left, what is missing is made.

    Raises:
        UsageError: the Pulumi CLI is missing or too old.
    """
    program, where = find(), ["--cwd", str(project(directory)), "--stack", stack]
    env = environment(loaded)
    # Without --yes a human is there, and may be asked for a passphrase.
    silent = ["--non-interactive"] if yes else []
    selected = subprocess.run(
        [program, "stack", "select", "--create", *silent, *where], env=env, check=False
    ).returncode
    if selected != 0:
        return selected
    arguments = [program, verb, *where]
    if yes and verb != "preview":
        arguments += ["--yes", *silent]
    if verb == "destroy":
        arguments.append("--exclude-protected")
    return subprocess.run([*arguments, *more], env=env, check=False).returncode


def summary(graph: Graph, loaded: Loaded, *, stack: str, directory: Path) -> Summary:
    """What of a graph exists, by the stack's own state.

    Raises:
        StorageError: the state could not be read.
    """
    arguments = [find(), "stack", "export", "--cwd", str(directory), "--stack", stack]
    answer = subprocess.run(
        arguments, env=environment(loaded), capture_output=True, text=True, timeout=EXPORT_TIMEOUT_S, check=False
    )
    try:
        resources_ = json.loads(answer.stdout)["deployment"].get("resources", [])
    except (ValueError, KeyError) as problem:
        raise StorageError(
            "the state of the stack could not be read", hint=answer.stderr.strip() or "Try `pulumi stack export`."
        ) from problem
    there = {entry["urn"].rpartition("::")[2] for entry in resources_ if entry.get("custom") and entry.get("id")}
    wanted = [node.name for node in graph.nodes if node.custom]
    return Summary(tuple(name for name in wanted if name in there), tuple(name for name in wanted if name not in there))
