"""Each takes one safeguard out of the program while it lasts. The simulation must notice every one of them."""

from __future__ import annotations

import base64
import hashlib
import re
from contextlib import contextmanager
from unittest import mock

from lakelink.locations.local import area
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.s3 import copying, deleting, parts, upload
from lakelink.state import journal
from lakelink.state.database import connect


def _no_condition(_expect):
    return []


def _whatever(_version, _st):
    return True


def _nobody(_self, _name):
    return False


@contextmanager
def put_without_condition():
    with (
        mock.patch.object(upload, "condition_headers", _no_condition),
        mock.patch.object(parts, "condition_headers", _no_condition),
    ):
        yield


@contextmanager
def copy_without_condition():
    with mock.patch.object(copying, "condition_headers", _no_condition):
        yield


@contextmanager
def delete_without_condition():
    make = deleting._batch_request

    def without(client, objects):
        request = make(client, objects)
        request.body = re.sub(rb"<ETag>.*?</ETag>", b"", request.body)
        digest = base64.b64encode(hashlib.md5(request.body, usedforsecurity=False).digest()).decode()
        request.headers = [("content-md5", digest), ("content-type", "application/xml")]
        return request

    with mock.patch.object(deleting, "_batch_request", without):
        yield


@contextmanager
def displaced_file_is_not_looked_at():
    with mock.patch.object(area, "is_version", _whatever):
        yield


@contextmanager
def writers_of_displaced_files_are_not_asked_for():
    with mock.patch.object(area.Area, "has_writers", _nobody):
        yield


@contextmanager
def nothing_is_synced_before_it_is_remembered():
    async def flush(_self):
        return

    with mock.patch.object(LocalLocation, "flush", flush):
        yield


@contextmanager
def journal_is_not_synced_with_each_commit():
    def lazily(path, schema):
        return connect(path, schema, synchronous="NORMAL")

    with mock.patch.object(journal, "connect_durable", lazily):
        yield
