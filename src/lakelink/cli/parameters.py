"""Option groups and value types that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

from cyclopts import Group, Parameter, Token

from lakelink.errors import UsageError
from lakelink.model.task import MaxDelete, Symlinks

T = TypeVar("T")

SELECTION = Group("What is synced", sort_key=1)
SAFETY = Group("Safety", sort_key=2)
TRANSFER = Group("How it is moved", sort_key=3)
OUTPUT = Group("Output", sort_key=9)


def flag(group: Group, help_text: str, names: Sequence[str] | None = None) -> Parameter:
    """A switch that is off unless given. cyclopts would invent a --no-… for it."""
    return Parameter(name=names, help=help_text, group=group, negative=(), show_default=False)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """How a command talks, and where its settings are."""

    json: Annotated[bool, flag(OUTPUT, "Print one JSON document on standard output; its fields are a contract.")] = (
        False
    )
    quiet: Annotated[
        bool, flag(OUTPUT, "No progress and no summary; problems are still told.", names=["--quiet", "-q"])
    ] = False
    config: Annotated[
        str | None,
        Parameter(
            help="Settings file. Else $LAKELINK_CONFIG, ./lakelink.toml, /etc/lakelink/lakelink.toml.",
            metavar="FILE",
            group=OUTPUT,
            show_default=False,
        ),
    ] = None


def one(parse: Callable[[str], T]) -> Callable[[Any, Sequence[Token]], T]:
    """A converter of cyclopts from a parser whose ValueError is a sentence for the user."""

    def convert(_hint: Any, tokens: Sequence[Token]) -> T:
        token = tokens[-1]
        try:
            return parse(token.value)
        except ValueError as error:
            raise UsageError(f"{token.keyword}: {error}", hint="Run the command with --help for examples.") from error

    return convert


def _rate(text: str) -> int:
    from lakelink.model.units import parse_rate

    return parse_rate(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ValueError(f"{text!r} is not a whole number above zero")
    return int(text)


def _max_delete(text: str) -> MaxDelete:
    """`N` or `P%`: how much of the target a run may remove."""
    from lakelink.model.units import parse_percent

    if text.endswith("%"):
        return MaxDelete(percent=parse_percent(text))
    if not text.isdecimal():
        raise ValueError(f"{text!r} is neither a number of paths nor a percentage such as 25%")
    return MaxDelete(count=int(text))


def _sse(text: str) -> str:
    if text in {"AES256", "aws:kms"} or text.startswith("aws:kms:"):
        return text
    raise ValueError(f"{text!r} is not AES256, aws:kms or aws:kms:KEY")


def filter_lines(_hint: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    """Gitignore-style lines from --exclude, --include and --filter-from, in the order in which they were given.

    Raises:
        UsageError: a filter file cannot be read; the pattern is empty.
    """
    lines: list[str] = []
    for token in tokens:
        match token.keyword:
            case "--exclude":
                lines.append(_escaped(token))
            case "--include":
                lines.append("!" + _escaped(token))
            case _:
                lines.extend(_lines_of(token.value))
    return tuple(lines)


def _escaped(token: Token) -> str:
    """A pattern of the command line is always a pattern: a leading `!` or `#` means itself there, and not a comment or an inversion."""
    if not token.value.strip():
        raise UsageError(f"{token.keyword} needs a pattern", hint="For example --exclude '*.tmp' or --exclude /cache/.")
    return "\\" + token.value if token.value[0] in "!#" else token.value


def _lines_of(name: str) -> list[str]:
    try:
        text = Path(os.fspath(name)).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UsageError(
            f"the filter file {name} cannot be read: {error.strerror}",
            hint="It has one pattern per line, as .gitignore.",
        ) from error
    return [line for line in text.split("\n") if line.strip() and not line.startswith("#")]


RATE = one(_rate)
POSITIVE = one(_positive)
MAX_DELETE = one(_max_delete)
SSE = one(_sse)

Filters: TypeAlias = Annotated[
    tuple[str, ...],
    Parameter(
        name=["--exclude", "--include", "--filter-from"],
        help="Leave out, take back in, or read such lines from a file: gitignore patterns; the last that matches wins. "
        "May be repeated; the order counts.",
        metavar="PATTERN|FILE",
        converter=filter_lines,
        n_tokens=1,
        negative=(),
        group=SELECTION,
        show_default=False,
    ),
]
Links: TypeAlias = Annotated[
    Symlinks, Parameter(help="Take symbolic links as links, as what they point at, or skip them.", group=SELECTION)
]
NoPosix: TypeAlias = Annotated[bool, flag(SELECTION, "Leave mode, owner and times out of it.")]
Bandwidth: TypeAlias = Annotated[
    int | None,
    Parameter(
        help="At most this many bytes per second, as in 10MiB/s.",
        metavar="RATE",
        converter=RATE,
        n_tokens=1,
        group=TRANSFER,
    ),
]
Concurrency: TypeAlias = Annotated[
    int | None,
    Parameter(
        help="Requests in flight; found out while running unless given.",
        metavar="N",
        converter=POSITIVE,
        n_tokens=1,
        group=TRANSFER,
    ),
]
StorageClass: TypeAlias = Annotated[
    str | None, Parameter(help="Of new objects, as in STANDARD_IA.", metavar="CLASS", group=TRANSFER)
]
Sse: TypeAlias = Annotated[
    str | None,
    Parameter(
        help="Encryption of new objects: AES256, aws:kms or aws:kms:KEY.",
        metavar="SSE",
        converter=SSE,
        n_tokens=1,
        group=TRANSFER,
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Storing:
    """How single objects are moved and stored."""

    bandwidth: Bandwidth = None
    storage_class: StorageClass = None
    sse: Sse = None
