"""The example of docs/ADAPTERS.md is run as it stands there."""

import re
import sys
import types
from pathlib import Path

import pytest

from lakelink.locations.memory import MemoryLocation, MemoryStore

GUIDE = Path(__file__).parents[2] / "docs" / "ADAPTERS.md"


def played(location_type, monkeypatch):
    (source,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    example = types.ModuleType("example")
    example.ExampleLocation = location_type
    monkeypatch.setitem(sys.modules, "example", example)
    names = {}
    exec(compile(source, GUIDE, "exec"), names)  # noqa: S102  # our own page
    return names["test_the_promise_is_kept"], names["PROMISES"]


class Good(MemoryLocation):
    def __init__(self, _):
        super().__init__(MemoryStore())


class Bad(Good):
    async def delete(self, deletes):
        return [None for _ in deletes]


def test_the_example_keeps_and_breaks_promises(monkeypatch, tmp_path):
    keep, promises = played(Good, monkeypatch)
    by_name = {promise.name: promise for promise in promises}
    for name in ("an empty file is a file", "deleting what is gone is done"):
        keep(by_name[name], tmp_path)
    keep, _ = played(Bad, monkeypatch)
    with pytest.raises(AssertionError):
        keep(by_name["a delete removes only the version it names"], tmp_path)
