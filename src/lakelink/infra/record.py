"""A stand-in for the Pulumi engine: it speaks the engine's own gRPC to the unchanged program and records what it registers.

With no provider it is a preview: ids and whatever the account would answer are unknown, as in a real one, so that code which leans on
a value being there is found. With a provider the resources are made by it, and what fails takes along only what waits for it.
The real provider's checks, replacement rules and timeouts are not part of it. Protocol: `pulumi/resource.proto`, `engine.proto`.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import grpc
import pulumi
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN as WIRE_UNKNOWN
from pulumi.runtime.stack import run_in_stack

from lakelink.infra.graph import UNKNOWN, Graph, Lookup, Node, ordered
from lakelink.infra.spec import LakeSpec

PROJECT: Final = "lakelink-infra"
WORKERS: Final = 16
GRACE_S: Final = 5.0
_SIGNATURE: Final = (
    "4dabf18193072939515e22adb298388d"  # marks secrets and references (pulumi/sdk, resource/properties.go)
)
_STACK: Final = "pulumi:pulumi:Stack"


class ProviderError(Exception):
    """The provider could not make a resource; the message is what the operator reads."""


class Provider(Protocol):
    """What makes resources when the program is not only recorded."""

    def create(self, node: Node) -> tuple[str, Mapping[str, Any]]:
        """Make one resource; its id and outputs.

        Raises:
            ProviderError: it was not made.
        """
        ...

    def look_up(self, token: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer one question about the account."""
        ...


@dataclass(slots=True)
class Made:
    """A resource that exists: enough to find it in place on the next run."""

    node: Node
    id: str
    outputs: dict[str, Any]


@dataclass(slots=True)
class Outcome:
    """What one run left behind."""

    graph: Graph
    made: dict[str, Made] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # name to reason
    skipped: list[str] = field(default_factory=list)  # waited for something that failed
    outputs: dict[str, Any] = field(default_factory=dict)


class Monitor(resource_pb2_grpc.ResourceMonitorServicer, engine_pb2_grpc.EngineServicer):
    """The engine's side of the wire. Calls arrive on many threads; `lock` guards what they share."""

    def __init__(self, provider: Provider | None, before: Mapping[str, Made]) -> None:
        self.provider = provider
        self.nodes: dict[str, Node] = {}
        self.lookups: list[Lookup] = []
        self.outputs: dict[str, Any] = {}
        self.made: dict[str, Made] = dict(before)
        self.failed: dict[str, str] = {}
        self.skipped: list[str] = []
        self.root = ""
        self.lock = threading.Lock()

    # Method and argument names are the protocol's.
    def GetDeploymentInfo(self, request: Any, context: Any) -> resource_pb2.DeploymentInfo:  # noqa: N802, ARG002
        features = [
            resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
            resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
            resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
        ]
        return resource_pb2.DeploymentInfo(supportedFeatures=features)

    def RegisterResource(self, request: Any, context: Any) -> resource_pb2.RegisterResourceResponse:  # noqa: N802, ARG002
        node = _node_of(request)
        urn = f"urn:pulumi:stack::{PROJECT}::{request.type}::{request.name}"
        with self.lock:
            if node.name in self.nodes:
                raise ValueError(f"two resources are named {node.name}")
            self.nodes[node.name] = node
        if request.type == _STACK or not request.custom:
            return resource_pb2.RegisterResourceResponse(urn=urn, object=request.object)
        if self.provider is None:
            return resource_pb2.RegisterResourceResponse(urn=urn, object=request.object)
        made = self._make(node, self.provider)
        if made is None:
            return resource_pb2.RegisterResourceResponse(urn=urn, result=resource_pb2.Result.FAIL)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=made.id, object=_struct(made.outputs))

    def _make(self, node: Node, provider: Provider) -> Made | None:
        """The resource, made or found in place; None if it failed or waits for something that did."""
        with self.lock:
            blocked = [needed for needed in node.after if needed in self.failed or needed in self.skipped]
            known = self.made.get(node.name)
            if blocked:
                self.skipped.append(node.name)
                return None
        if known is not None:
            return known
        try:
            identity, outputs = provider.create(node)
        except ProviderError as problem:
            with self.lock:
                self.failed[node.name] = str(problem)
            return None
        made = Made(node, identity, {**node.inputs, **outputs})
        with self.lock:
            self.made[node.name] = made
        return made

    def Invoke(self, request: Any, context: Any) -> resource_pb2.ResourceInvokeResponse:  # noqa: N802, ARG002
        arguments = _plain(request.args)
        with self.lock:
            self.lookups.append(Lookup(request.tok, arguments))
        if self.provider is None:
            return resource_pb2.ResourceInvokeResponse(unknown=True)
        return resource_pb2.ResourceInvokeResponse(**{"return": _struct(self.provider.look_up(request.tok, arguments))})

    def RegisterResourceOutputs(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: N802, ARG002
        if f"::{_STACK}::" in request.urn:
            self.outputs = _plain(request.outputs)
        return empty_pb2.Empty()

    def SignalAndWaitForShutdown(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: N802, ARG002
        return empty_pb2.Empty()

    def Log(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: N802, ARG002
        return empty_pb2.Empty()

    def GetRootResource(self, request: Any, context: Any) -> engine_pb2.GetRootResourceResponse:  # noqa: N802, ARG002
        return engine_pb2.GetRootResourceResponse(urn=self.root)

    def SetRootResource(self, request: Any, context: Any) -> engine_pb2.SetRootResourceResponse:  # noqa: N802, ARG002
        self.root = request.urn
        return engine_pb2.SetRootResourceResponse()


def _name_of(urn: str) -> str:
    return urn.rpartition("::")[2]


def _node_of(request: Any) -> Node:
    """A registration as a node; dependencies by name, without the stack itself."""
    timeouts = {kind: getattr(request.customTimeouts, kind) for kind in ("create", "update", "delete")}
    uses = {
        key: tuple(sorted({_name_of(urn) for urn in value.urns})) for key, value in request.propertyDependencies.items()
    }
    return Node(
        name=request.name,
        type=request.type,
        inputs=_plain(request.object),
        after=tuple(sorted({_name_of(urn) for urn in request.dependencies})),
        uses={key: names for key, names in sorted(uses.items()) if names},
        parent=_name_of(request.parent),
        custom=request.custom,
        protect=request.protect,
        retain=request.retainOnDelete,
        ignores=tuple(request.ignoreChanges),
        timeouts={kind: value for kind, value in timeouts.items() if value},
    )


def _plain(value: Any) -> Any:
    """A protobuf value as plain Python: whole numbers as int, the marker of unknown values as ours, secrets unwrapped."""
    if isinstance(value, struct_pb2.Struct):
        if _SIGNATURE in value.fields:
            return _plain(value.fields["value"])
        return {key: _plain(item) for key, item in sorted(value.fields.items())}
    if isinstance(value, struct_pb2.ListValue):
        return [_plain(item) for item in value.values]
    match value.WhichOneof("kind"):
        case "struct_value":
            found: Any = _plain(value.struct_value)
        case "list_value":
            found = _plain(value.list_value)
        case "number_value":
            number = value.number_value
            found = int(number) if number.is_integer() else number
        case "string_value":
            found = UNKNOWN if value.string_value == WIRE_UNKNOWN else value.string_value
        case "bool_value":
            found = value.bool_value
        case _:
            found = None
    return found


def _struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    found = struct_pb2.Struct()
    found.update(values)
    return found


def run(
    program: Callable[[], object], provider: Provider | None = None, before: Mapping[str, Made] | None = None
) -> Outcome:
    """Run a program against the stand-in. Without a provider nothing is made and nothing outside of this process is asked.

    `before` holds what an earlier run made: it is found in place. Several runs in one process do not see each other.
    """
    monitor = Monitor(provider, before or {})
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=WORKERS))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
    engine_pb2_grpc.add_EngineServicer_to_server(monitor, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        # The SDK keeps its settings in context variables: a context of our own keeps runs apart.
        contextvars.copy_context().run(_run_program, program, address, dry_run=provider is None)
    finally:
        server.stop(GRACE_S).wait()
    nodes = {name: node for name, node in monitor.nodes.items() if node.type != _STACK}
    lookups = tuple(sorted(monitor.lookups, key=lambda look: (look.token, str(look.arguments))))
    graph = Graph(ordered(nodes), lookups, tuple(sorted(monitor.outputs)))
    return Outcome(graph, monitor.made, monitor.failed, sorted(monitor.skipped), monitor.outputs)


def _run_program(program: Callable[[], object], address: str, *, dry_run: bool) -> None:
    pulumi.runtime.configure(
        pulumi.runtime.Settings(project=PROJECT, stack="stack", monitor=address, engine=address, dry_run=dry_run)
    )

    def synchronous() -> None:
        program()

    asyncio.run(run_in_stack(synchronous))


def record(spec: LakeSpec) -> Graph:
    """The graph of a specification, as a preview on an empty account sees it. No credentials, nothing is made.

    Raises:
        Refused: a rule of the specification is broken.
    """
    from lakelink.infra.program import deploy

    return run(lambda: deploy(spec)).graph
