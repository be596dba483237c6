"""What `lakelink store validate` does: the contract of a location, and races of conditional writes, told to a person or as a document."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakelink.cli.parameters import Output
from lakelink.errors import UsageError

if TYPE_CHECKING:
    from lakelink.locations.base import Location
    from lakelink.locations.s3.probe import Capabilities
    from lakelink.testing.contract import Outcome

SAFE = "Two writers never lose each other's changes here."
UNSAFE = "Two writers at once can lose each other's changes here: see to it that there is one."


async def run_validation(location: str, output: Output, *, quick: bool, only: str) -> int:
    """Check the promises and race the conditions, tell what was found, and return the exit code: 0, or 1 where a promise is broken.

    Raises:
        UsageError: `only` matches no promise.
        LakelinkError: the place cannot be used at all.
    """
    from lakelink.testing.contract import PROMISES
    from lakelink.testing.contract import validate as check

    wanted = [promise for promise in PROMISES if only in promise.name and not (quick and promise.heavy)]
    if not wanted:
        raise UsageError(f"no promise contains {only!r}", hint="Leave --only out to see them all.")
    outcomes: list[Outcome] = []
    with _places(location, output.config) as open_place:
        async for outcome in check(open_place, wanted):
            outcomes.append(outcome)
            _tell_one(outcome, output)
        found = await _probe(await open_place("probe"), quick=quick)
    return _tell_all(location, outcomes, found, output)


@contextmanager
def _places(location: str, config: str | None) -> Iterator[Callable[[str], Awaitable[Location]]]:
    """Opens places by name in a new directory or prefix below `location`; what is left in a directory goes at the end."""
    from lakelink.config.document import load_document
    from lakelink.locations.resolve import OpenOptions, local_path, open_location, parse_location
    from lakelink.ports.random import SystemRandom

    document = load_document(config)
    base = f"{location.rstrip('/')}/lakelink-validate-{SystemRandom().token()}"
    spec = parse_location(base, document)
    folder = Path(local_path(spec)) if spec.url.startswith("file://") else None

    async def open_place(name: str) -> Location:
        if folder is not None:
            (folder / name).mkdir(parents=True, exist_ok=True)  # a directory that is scanned has to be there
        return await open_location(parse_location(f"{base}/{name}", document), OpenOptions(writable=True))

    try:
        yield open_place
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _tell_one(outcome: Outcome, output: Output) -> None:
    broken = outcome.status.value == "broken"
    if output.json or (output.quiet and not broken):
        return
    print(f"{outcome.status.value:<14}  {outcome.promise}", flush=True)
    if outcome.detail and broken:
        print(f"{'':16}{outcome.detail}", flush=True)


async def _probe(location: Location, *, quick: bool) -> Capabilities | None:
    """What an S3 store does with conditions when many writers race; None for other locations."""
    from lakelink.locations.s3.location import S3Location
    from lakelink.locations.s3.probe import QUICK_RACERS, QUICK_ROUNDS, RACERS, ROUNDS, probe

    rounds, racers = (QUICK_ROUNDS, QUICK_RACERS) if quick else (ROUNDS, RACERS)
    try:
        return await probe(location, rounds=rounds, racers=racers) if isinstance(location, S3Location) else None
    finally:
        await location.aclose()


def _tell_all(location: str, outcomes: Sequence[Outcome], found: Capabilities | None, output: Output) -> int:
    broken = sum(outcome.status.value == "broken" for outcome in outcomes)
    if output.json:
        from lakelink.cli.result import print_json

        document = {"location": location, "passed": not broken, "promises": [_as_json(o) for o in outcomes]}
        print_json(document | ({"capabilities": _capabilities_as_json(found)} if found else {}))
        return 1 if broken else 0
    if found is not None:
        for race in found.races:
            print(race)
        if found.folded:
            print(f"names that do not come back as they were given: {', '.join(map(repr, found.folded))}")
        print(SAFE if found.safe else UNSAFE)
    if not output.quiet:
        print(f"{len(outcomes) - broken} of {len(outcomes)} promises kept or not applicable, {broken} broken")
    return 1 if broken else 0


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {"promise": outcome.promise, "outcome": outcome.status.value, "detail": outcome.detail}


def _capabilities_as_json(found: Capabilities) -> dict[str, Any]:
    return {
        "safe": found.safe,
        "conditions": [
            {
                "condition": race.name,
                "support": race.support.value,
                "rounds": race.rounds,
                "rounds_won_once": race.rounds_won_once,
                "most_winners": race.most_winners,
                "unclear": race.unclear,
            }
            for race in found.races
        ],
        "ordered_list": found.ordered_list,
        "marker_metadata": found.marker_metadata,
        "folded_names": list(found.folded),
    }
