"""`lakelink infra`: the AWS side, checked before it exists, made through Pulumi, compared afterwards."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from lakelink.cli.supervise import supervised
from lakelink.errors import UsageError
from lakelink.infra.checks import check as check_spec
from lakelink.infra.findings import Finding, errors, refuse_errors, warning
from lakelink.infra.graph import Graph
from lakelink.infra.load import Loaded, load
from lakelink.infra.names import bucket_name

Config = Annotated[
    str | None, Parameter(name="--config", help="The configuration file; else $LAKELINK_CONFIG and so on.")
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON document.")]
Stack = Annotated[str, Parameter(name="--stack", help="The Pulumi stack.")]
Project = Annotated[
    Path | None,
    Parameter(name="--project", help="Where the Pulumi project is kept; else infra/ beside the configuration."),
]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask.")]

ABOUT = """Provision, check and compare the AWS side: bucket, Lustre file system linked to it, network, client.

What is to exist stands below [infra] in lakelink.toml; name and region are enough to start with.

For example:

```
lakelink infra check
lakelink infra graph
lakelink infra up
lakelink infra drift
```
"""
EXTRA = "lakelink[infra]"
app = App(name="infra", help=ABOUT, help_format="markdown")


def _out(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def _say(text: str) -> None:
    sys.stderr.write(text if text.endswith("\n") else f"{text}\n")


def _json(value: Any) -> None:
    _out(json.dumps(value, indent=2, ensure_ascii=False))


def _all_findings(loaded: Loaded, *, graph: bool) -> list[Finding]:
    """What the rules say, and, where they allow it and the extra is installed, what the recorded graph says."""
    from importlib.util import find_spec

    from lakelink.infra.check_links import link_overlaps
    from lakelink.infra.policy import findings

    found = [*check_spec(loaded.spec), *link_overlaps(loaded.spec, dict(loaded.lakes))]
    if graph and not errors(found):
        if find_spec("pulumi_aws") is None:
            text = "is not installed, so the program is not recorded and its graph not checked"
            found.append(warning("not-recorded", EXTRA, text))
        else:
            found += findings(_graph(loaded))
    return found


def _graph(loaded: Loaded) -> Graph:
    """The recorded program.

    Raises:
        UsageError: the extra is not installed.
    """
    try:
        from lakelink.infra.record import record
    except ModuleNotFoundError as problem:
        raise UsageError(f"{problem.name} is not installed", hint=f"Run pip install '{EXTRA}'.") from problem
    return record(loaded.spec)


@app.command
def check(*, config: Config = None, policy: bool = True, as_json: Json = False) -> int:
    """Check the specification against every rule, and the program it gives against the policies. Needs no credentials.

    Exit code 0 if nothing stops it, 3 if a rule refuses. For example: lakelink infra check --config lakelink.toml

    Args:
        config: The configuration file; else $LAKELINK_CONFIG, ./lakelink.toml, /etc/lakelink/lakelink.toml.
        as_json: Print one JSON document.
        policy: Record the program and check its graph as well; needs the extra lakelink[infra].
    """
    loaded = load(config)
    found = _all_findings(loaded, graph=policy)
    if as_json:
        _json(
            {
                "specification": str(loaded.path),
                "findings": [
                    {"rule": f.rule, "level": f.level.value, "field": f.field, "message": f.message} for f in found
                ],
            }
        )
    else:
        for finding in found:
            _out(f"{finding.level.value:7} {finding.field}: {finding.message} [{finding.rule}]")
        stops = len(errors(found))
        _out(
            f"{stops} {'rule is' if stops == 1 else 'rules are'} broken"
            if stops
            else f"{loaded.spec.name} in {loaded.spec.region} can be created"
        )
    return 3 if errors(found) else 0


@app.command
def graph(*, config: Config = None, output: Annotated[str, Parameter(name="--format")] = "text") -> int:
    """Print what would be made, in which order: nothing is made and nobody is asked.

    Args:
        config: The configuration file.
        output: text, json or mermaid.
    """
    from lakelink.infra.graph import as_json, as_mermaid, as_text

    writers = {"text": as_text, "json": as_json, "mermaid": as_mermaid}
    if output not in writers:
        raise UsageError(f"{output!r} is no format", hint=f"Choose {', '.join(writers)}.")
    loaded = load(config)
    refuse_errors(check_spec(loaded.spec))
    _out(writers[output](_graph(loaded)))
    return 0


@app.command
def userdata(
    *,
    config: Config = None,
    part: str = "client",
    dns_name: str = "FILE-SYSTEM-DNS-NAME",
    mount_name: str = "MOUNT-NAME",
    queue_arn: str = "QUEUE-ARN",
) -> int:
    """Print the script that the client, or the agent, runs at its first boot.

    For example: lakelink infra userdata --part agent

    Args:
        config: The configuration file.
        part: client or agent.
        dns_name: The file system's DNS name (output dns_name).
        mount_name: The file system's mount name (output mount_name).
        queue_arn: The queue of bucket events (output queue_arn), for an agent beside events.
    """
    from lakelink.infra import agent
    from lakelink.infra.userdata import render

    if part not in {"client", "agent"}:
        raise UsageError(f"{part!r} has no script", hint="Choose client or agent.")
    loaded = load(config)
    spec = loaded.spec
    refuse_errors(check_spec(spec))
    if not (spec.mounts if part == "client" else spec.agent.enabled):
        hint = "Set file_system and client.enabled, or agent.enabled, or choose the other --part."
        raise UsageError(f"{loaded.path} specifies no {part}", hint=hint)
    queue = queue_arn if spec.events.enabled else ""
    _out(render(spec.client, dns_name, mount_name) if part == "client" else agent.render(spec, queue))
    return 0


@app.command
def iam(*, config: Config = None) -> int:
    """Print the least-privilege policies of what is configured, as JSON: who deploys, who compares, what each host may do."""
    from lakelink.infra.iam import documents

    loaded = load(config)
    refuse_errors(check_spec(loaded.spec))
    _json(documents(loaded.spec, _graph(loaded).types()))
    return 0


@app.command(name="link-file")
def link_file(*, config: Config = None, files_root: str = "") -> int:
    """Print the sections of lakelink.toml that give the same links self-hosted.

    Args:
        config: The configuration file.
        files_root: The directory below which the links' directories are; else the client's mount point.
    """
    from lakelink.infra.linkfile import render

    loaded = load(config)
    refuse_errors(check_spec(loaded.spec))
    _out(render(loaded.spec, files_root))
    return 0


@app.command
def drift(*, config: Config = None, as_json: Json = False) -> int:
    """Compare the account with the specification; reads only. Exit code 1 if anything differs."""
    from lakelink.infra.drift import compare, desired
    from lakelink.infra.observe import observe

    loaded = load(config)
    refuse_errors(check_spec(loaded.spec))
    found = compare(desired(loaded.spec), observe(loaded.spec))
    if as_json:
        _json(
            {
                "specification": str(loaded.path),
                "differences": [
                    {"part": d.part, "attribute": d.attribute, "wanted": d.wanted, "found": d.found} for d in found
                ],
            }
        )
    else:
        for difference in found:
            _out(f"{difference.part}: {difference.attribute} is {difference.found}, not {difference.wanted}")
        _out(f"{len(found)} differences" if found else "no differences")
    return 1 if found else 0


def _pulumi(verb: str, config: str | None, stack: str, project: Path | None, *, yes: bool) -> int:
    """Check, run Pulumi, and after `up` say what exists; 1 where Pulumi failed."""
    from lakelink.infra import pulumi_cli

    loaded = load(config)
    pulumi_cli.find()
    graph = _graph(loaded) if verb == "up" and not errors(check_spec(loaded.spec)) else None
    found = _all_findings(loaded, graph=verb != "destroy")
    for finding in found:
        _say(f"{finding.level.value}: {finding.field}: {finding.message} [{finding.rule}]")
    if verb != "destroy":
        refuse_errors(found)
    directory = project or loaded.path.resolve().parent / "infra"
    code = pulumi_cli.run(verb, loaded, stack=stack, directory=directory, yes=yes)
    if graph is not None:
        _out(pulumi_cli.summary(graph, loaded, stack=stack, directory=directory).text)
    if verb == "destroy" and code == 0:
        _out(f"the bucket {bucket_name(loaded.spec)} is protected and kept, with all that is in it\n")
    return 1 if code else 0


@app.command
def preview(*, config: Config = None, stack: Stack = "dev", project: Project = None) -> int:
    """Ask AWS what `up` would change; changes nothing."""
    return _pulumi("preview", config, stack, project, yes=False)


@app.command
def up(*, config: Config = None, stack: Stack = "dev", project: Project = None, yes: Yes = False) -> int:
    """Make what is specified and say what exists afterwards. Safe to repeat: it goes on where it stopped."""
    return _pulumi("up", config, stack, project, yes=yes)


@app.command
def destroy(*, config: Config = None, stack: Stack = "dev", project: Project = None, yes: Yes = False) -> int:
    """Remove what was made, except what is protected: the bucket always, the file system where `protect` is set."""
    return _pulumi("destroy", config, stack, project, yes=yes)


def run(arguments: Sequence[str]) -> int:
    """Run one command by itself and return its exit code, as `lakelink infra` does."""
    return supervised(lambda: _dispatch(arguments), debug=False)


def _dispatch(arguments: Sequence[str]) -> int:
    try:
        return int(app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0)
    except CycloptsError as problem:
        raise UsageError(" ".join(str(problem).split()), hint="Run `lakelink infra --help`.") from problem


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
