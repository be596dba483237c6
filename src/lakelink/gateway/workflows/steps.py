"""One step of one job, whatever it is."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack

import msgspec

from lakelink.config.document import Document
from lakelink.config.gateway_workflows import Workflow
from lakelink.errors import InternalError, Unreachable
from lakelink.gateway.http_call import Endpoint, check_url, post
from lakelink.gateway.telling import Telling
from lakelink.gateway.workflows.carrying import Opener, Place, copy, move, place_of, tag
from lakelink.gateway.workflows.command import run_command
from lakelink.gateway.workflows.queue import Job
from lakelink.gateway.workflows.upload import fill, words
from lakelink.locations.base import Location
from lakelink.locations.resolve import OpenOptions, local_path, open_location, parse_location
from lakelink.model.path import json_fields

SHOWN_BYTES = 200


class Steps:
    """Carries out steps with the locations of a process."""

    def __init__(self, document: Document, telling: Telling | None = None) -> None:
        """`telling` hears of what is made and removed in the lake."""
        self._document = document
        self._telling = telling or Telling(document)

    async def do(self, workflow: Workflow, step: str, job: Job) -> None:
        """The step is done when this returns. It may have been done before: doing it again is the price of never leaving it out.

        Raises:
            LakelinkError: it was not done, or nobody knows.
        """
        known = words(job.upload, job.id, self._file(job))
        source = Place(job.upload.location, job.upload.relative)
        match step:
            case "run":
                command = [fill(word, known) for word in workflow.run]
                await run_command(command, environment(workflow, job, known), workflow.timeout_s)
            case "webhook":
                await self._call(workflow, job)
            case "tag":
                async with AsyncExitStack() as stack:
                    await tag(source, workflow.tag, self._opener(stack))
            case "copy" | "move":
                await self._carry(workflow, step, source, known)
            case _:
                raise InternalError(f"there is no step {step}")

    async def _carry(self, workflow: Workflow, step: str, source: Place, known: Mapping[str, str]) -> None:
        target = place_of(workflow.copy if step == "copy" else workflow.move, known)
        carry = copy if step == "copy" else move
        try:
            async with AsyncExitStack() as stack:
                await carry(source, target, self._opener(stack), replaces=workflow.replaces)
        finally:
            for place in (source, target):
                self._telling(place.location, place.path)

    def _opener(self, stack: AsyncExitStack) -> Opener:
        """Locations that are open while the step is done."""
        opened: dict[str, Location] = {}

        async def open_one(text: str) -> Location:
            if text not in opened:
                spec = parse_location(text, self._document)
                opened[text] = await open_location(spec, OpenOptions(one_file=False, must_exist=False))
                stack.push_async_callback(opened[text].aclose)
            return opened[text]

        return open_one

    def _file(self, job: Job) -> str:
        spec = parse_location(job.upload.location, self._document)
        if not spec.url.startswith("file://"):
            return ""
        return os.path.join(local_path(spec), job.upload.relative)  # noqa: PTH118  # names are strings with surrogates here

    async def _call(self, workflow: Workflow, job: Job) -> None:
        body = msgspec.json.encode(document_of(workflow, job))
        headers = {"Idempotency-Key": f"{job.upload.session}-{job.id}"}
        if secret := workflow.webhook_secret.reveal():
            headers["Lakelink-Signature"] = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
        answer = await post(Endpoint(workflow.webhook, workflow.ca_bundle, workflow.timeout_s), body, headers)
        if not 200 <= answer.status < 300:
            said = answer.body[:SHOWN_BYTES].decode("utf-8", "replace")
            raise Unreachable(f"the webhook answered {answer.status}: {said}", hint="It has to answer with 2xx.")


def document_of(workflow: Workflow, job: Job) -> dict[str, object]:
    """What a webhook is told."""
    upload = job.upload
    fields = json_fields(upload.path)
    return {
        "event": "file.stored",
        "job": job.id,
        "workflow": workflow.name,
        "attempt": job.attempts + 1,
        "user": upload.user,
        **fields,
        "location": upload.location,
        **{f"relative{key.removeprefix('path')}": value for key, value in json_fields(upload.relative).items()},
        "size_bytes": upload.size_bytes,
        "stored_ns": upload.stored_ns,
        "session": upload.session,
        "address": upload.address,
        "client": upload.client,
    }


def environment(workflow: Workflow, job: Job, known: Mapping[str, str]) -> dict[str, str]:
    """What a program is told beside its arguments."""
    upload = job.upload
    return {
        "LAKELINK_WORKFLOW": workflow.name,
        "LAKELINK_JOB": str(job.id),
        "LAKELINK_ATTEMPT": str(job.attempts + 1),
        "LAKELINK_USER": upload.user,
        "LAKELINK_PATH": upload.path,
        "LAKELINK_LOCATION": upload.location,
        "LAKELINK_RELATIVE": upload.relative,
        "LAKELINK_URL": known["url"],
        "LAKELINK_FILE": known["file"],
        "LAKELINK_SIZE": str(upload.size_bytes),
        "LAKELINK_SESSION": upload.session,
        "LAKELINK_ADDRESS": upload.address,
    }


def check_workflow(workflow: Workflow, document: Document) -> None:
    """What can be known before a file comes.

    Raises:
        ConfigError, UsageError: a webhook goes over the network in the clear, or a target is at no location.
    """
    if workflow.webhook:
        check_url(workflow.webhook, f"webhook of workflow {workflow.name}")
    for target in filter(None, (workflow.copy, workflow.move)):
        parse_location(target.partition("{")[0].rstrip("/") or "/", document)
