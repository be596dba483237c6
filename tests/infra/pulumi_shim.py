"""Stands where the Pulumi CLI would: runs the project's program under the stand-in engine, with emulators as the provider.

Knows `version`, `stack select`, `stack export`, `preview`, `up` and `destroy`, which it only writes down. State is a file where
`PULUMI_BACKEND_URL` says, as with Pulumi's own file back end. Every call is appended to `PULUMI_SHIM_LOG`. It is served by a process that
has imported the SDK already and forks once for each call.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

SERVICES = ("s3", "ec2", "iam", "fsx", "ssm", "sts")
session: Any = None  # of the process that forks: it has read the API models


def main(arguments: list[str]) -> int:
    with Path(os.environ["PULUMI_SHIM_LOG"]).open("a", encoding="utf-8") as log:
        log.write(json.dumps(arguments) + "\n")
    parser = argparse.ArgumentParser(prog="pulumi")
    parser.add_argument("words", nargs="+")
    for flag in ("--create", "--non-interactive", "--yes", "--exclude-protected"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--cwd")
    parser.add_argument("--stack")
    given = parser.parse_args(arguments)
    words = " ".join(given.words)
    if words == "version":
        sys.stdout.write(f"{os.environ.get('PULUMI_SHIM_VERSION', 'v3.272.0')}\n")
        return 0
    state = Path(os.environ["PULUMI_BACKEND_URL"].removeprefix("file://")) / f"{given.stack}.json"
    if words == "stack export":
        sys.stdout.write(json.dumps({"version": 3, "deployment": {"resources": _resources(state)}}))
        return 0
    if words in {"preview", "up"}:
        return _run(Path(given.cwd) / "__main__.py", state, apply=words == "up")
    return 0


def _read(state: Path) -> dict[str, Any]:
    from lakelink.infra.graph import Node
    from lakelink.infra.record import Made

    if not state.exists():
        return {}
    table = json.loads(state.read_text(encoding="utf-8"))
    return {name: Made(Node(**entry["node"]), entry["id"], entry["outputs"]) for name, entry in table.items()}


def _resources(state: Path) -> list[dict[str, Any]]:
    return [
        {"urn": f"urn:pulumi:dev::lakelink-infra::{made.node.type}::{name}", "custom": True, "id": made.id}
        for name, made in _read(state).items()
    ]


def _run(program: Path, state: Path, *, apply: bool) -> int:
    from lakelink.infra.record import run
    from tests.infra.emulator import Emulator

    region = os.environ["AWS_DEFAULT_REGION"]
    provider = Emulator(region, lambda service: session.client(service, region_name=region)) if apply else None
    outcome = run(lambda: runpy.run_path(str(program), run_name="__main__"), provider, _read(state))
    if apply:
        state.write_text(json.dumps({name: asdict(made) for name, made in outcome.made.items()}), encoding="utf-8")
    for name, reason in outcome.failed.items():
        sys.stderr.write(f"error: {name}: {reason}\n")
    return 255 if outcome.failed else 0


def prepare() -> None:
    """Everything that takes long to import or to read, and nothing that looks at the environment."""
    global session  # noqa: PLW0603  # read by the forks
    import boto3

    import tests.infra.emulator  # noqa: F401

    session = boto3.session.Session()
    loader = session._session.get_component("data_loader")
    for service in SERVICES:
        loader.load_service_model(service, "service-2")


if __name__ == "__main__":
    from tests.docs.warm import serve

    warnings.simplefilter("ignore", DeprecationWarning)
    own = sys.modules["__main__"]
    serve(sys.argv[1], prepare, lambda: sys.exit(own.main(sys.argv[1:])))
