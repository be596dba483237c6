"""A fake of Amazon FSx for Lustre that does what it says: associations really import and export, tasks really run.

States move on, and both sides are looked at, in `step`: nothing happens by itself, so that a test decides when. Rules and states:
https://docs.aws.amazon.com/fsx/latest/APIReference/API_CreateDataRepositoryAssociation.html and
https://docs.aws.amazon.com/fsx/latest/LustreGuide/dra-lifecycles.html. Not modelled: capacity, throughput, striping, the
notification configuration of the bucket, regions and accounts other than one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lakelink.testing.aws import rounds, shapes
from lakelink.testing.aws.operations import HANDLERS
from lakelink.testing.aws.records import FsxError, Side, State

SERVICE = "fsx"


class FsxService:
    """The service. `call` answers one API operation; `step` lets one round of time pass. Safe to use from several threads.

    Args:
        root: file systems are directories below it.
        s3: a boto3 client for the buckets.
        ec2: with it, creation fails as it does at AWS where the security groups keep the Lustre ports closed.
        first: which side is dealt with first in a round, hence which one wins where both changed.
    """

    def __init__(
        self, root: Path, s3: Any, *, region: str = "us-east-1", ec2: Any = None, first: Side = "lake"
    ) -> None:
        self.state = State(root, s3, region, ec2, first)
        self._tokens: dict[tuple[str, str], tuple[Mapping[str, Any], dict[str, Any]]] = {}
        self._lock = threading.RLock()

    def directory(self, file_system_id: str) -> Path:
        """Where a client would have mounted the file system."""
        return self.state.file_systems[file_system_id].directory

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """One operation, by its name in the API. Repeated with the same token it answers the same and does nothing.

        Raises:
            FsxError: what the service would say; nothing was changed.
        """
        handler = HANDLERS.get(operation)
        if handler is None:
            raise FsxError("UnsupportedOperation", f"{operation} is not emulated")
        if problems := shapes.request_problems(SERVICE, operation, request):
            raise FsxError("BadRequest", "; ".join(problems))
        with self._lock:
            key = (operation, str(request.get("ClientRequestToken", "")))
            if key in self._tokens:
                before, answer = self._tokens[key]
                if before != request:
                    raise FsxError("IncompatibleParameterError", "the token was used with other parameters")
                return answer
            answer = handler(self.state, request)
            if key[1]:
                self._tokens[key] = (dict(request), answer)
            return answer

    def step(self) -> bool:
        """One round; whether anything moved."""
        with self._lock:
            return rounds.advance(self.state)

    def settle(self, limit: int = 50) -> None:
        """Step until nothing moves any more.

        Raises:
            TimeoutError: something still moves after that many rounds.
        """
        for _ in range(limit):
            if not self.step():
                return
        raise TimeoutError(f"still not at rest after {limit} rounds")

    def hsm_state(self, association_id: str, relative: str) -> set[str]:
        """The flags that `lfs hsm_state` shows for a file."""
        with self._lock:
            mirror = self.state.associations[association_id].mirror
            exported = mirror.exported.get(relative)
            if exported is None:
                return set()
            if mirror.files().get(relative) != exported:
                return {"exists", "archived", "dirty"}
            released = (association_id, relative) in self.state.released
            return {"exists", "archived"} | ({"released"} if released else set())
