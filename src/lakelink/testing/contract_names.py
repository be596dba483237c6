"""Names: what can be stored comes back under exactly its name, what cannot is refused before anything is stored."""

from __future__ import annotations

from lakelink.errors import LakelinkError
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent
from lakelink.model.entry import Kind
from lakelink.testing.hand import ABSENT, Hand, require
from lakelink.testing.promise import NotApplicable, Promise

NAMES: dict[str, str] = {
    "spaces": " a  b ",
    "a newline": "line\nbreak",
    "a carriage return": "line\rbreak",
    "a tab": "tab\there",
    "control characters": "\x01\x02\x1b\x1f\x7f",
    "a backslash": "back\\slash",
    "a percent sign and digits": "100%25%2F%",
    "plus signs": "a+b c+d",
    "markup": '<a href="x">&amp;\'</a>',
    "a CDATA end": "]]>",
    "query characters": "a?b=c&d#e;f:g@h",
    "shell characters": "$HOME`id`*[!a]{b,c}|~'\"",
    "a leading dash": "-rf",
    "three dots": "...",
    "two dots and a letter": "..a",
    "a trailing dot": "dot.",
    "a trailing space": "space ",
    "a leading dot": ".hidden",
    "composed letters": "\u00e9",
    "decomposed letters": "e\u0301",
    "a right-to-left mark": "a\u200fb",
    "a byte order mark": "\ufeffbom",
    "an astral character": "\U0001f40b",
    "a noncharacter": "\ufffe\uffff",
    "255 bytes": "n" * 255,
    "255 bytes of umlauts": "\u00e4" * 127 + "a",
    "depth": "/".join(["deep"] * 60),
    "a name that only looks like lakelink's own": ".lakelink2/x",
    "lakelink's name below the top": "sub/.lakelink/x",
    "bytes that are not UTF-8": "latin1-\udce4",
}


async def _comes_back(at: Hand, name: str) -> None:
    if problem := at.location.name_problem(name, Kind.FILE):
        answer = (await at.location.write([Write(name, Kind.FILE, BytesContent(b"x"), None, ABSENT)]))[0]
        require(isinstance(answer, LakelinkError), f"name_problem says {problem!r}, yet the write is accepted")
        require(not await at.files(), "a refused name left something behind")
        raise NotApplicable(problem)
    data = b"content of " + name.encode("utf-8", "surrogateescape")
    await at.put(name, data)
    require(await at.files() == {name}, f"stored {name!r}, listed {sorted(await at.files())}")
    require(await at.get(name) == data, f"{name!r} does not give back its bytes")
    await at.remove(name, await at.version(name))
    require(await at.stat(name) is None, f"{name!r} is still there after its removal")


def _promise_of(what: str, name: str) -> Promise:
    async def check(at: Hand) -> None:
        await _comes_back(at, name)

    return Promise(f"a name with {what} comes back as it was given", check, lambda _: True, heavy=False)


async def _similar_names_stay_apart(at: Hand) -> None:
    similar = ["A", "a", "a-b", "a.b", "a b", "a%20b", "a+b", "\u00e9", "e\u0301", "d/x", "d-x", "d.x", "D/x"]
    answers = await at.location.write([Write(n, Kind.FILE, BytesContent(n.encode()), None, ABSENT) for n in similar])
    for name, answer in zip(similar, answers, strict=True):
        require(not isinstance(answer, LakelinkError), f"{name!r}: {answer!r}")
    require(await at.files() == set(similar), f"listed {sorted(await at.files())}")
    for name in similar:
        require(await at.get(name) == name.encode(), f"{name!r} holds the bytes of another name")


async def _impossible_names_are_refused(at: Hand) -> None:
    for name in ("a\0b", "a//b", "/a", "../a", "a/../../b", "a/./b", "x" * 256 + "/\0"):
        require(at.location.name_problem(name, Kind.FILE) is not None, f"name_problem has nothing against {name!r}")
        answer = (await at.location.write([Write(name, Kind.FILE, BytesContent(b"x"), None, ABSENT)]))[0]
        require(isinstance(answer, LakelinkError), f"{name!r} is accepted")
    require(not await at.files(), f"a refused name left {sorted(await at.files())}")


PROMISES = [
    *(_promise_of(what, name) for what, name in NAMES.items()),
    Promise("names that look alike stay apart", _similar_names_stay_apart, lambda _: True, heavy=False),
    Promise("names that no file can have are refused", _impossible_names_are_refused, lambda _: True, heavy=False),
]
