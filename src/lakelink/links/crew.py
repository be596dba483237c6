"""What everyone who carries changes of one link shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lakelink.links import parts as _parts
from lakelink.links.committer import Committer
from lakelink.links.dirty import LAKE, Dirty, Mark
from lakelink.links.doomed import Doomed
from lakelink.links.effects import Effects
from lakelink.links.hsm.effects import LazyEffects
from lakelink.links.hsm.keeping import LazyKeeper
from lakelink.links.hsm.lazy import Laziness
from lakelink.links.keeping import Keeper
from lakelink.links.observe import Observer
from lakelink.links.tally import Tally
from lakelink.locations.base import Location
from lakelink.model.link import Event, Rule
from lakelink.ports.clock import Clock
from lakelink.ports.random import Random
from lakelink.state.journal import Journal


@dataclass(slots=True)
class Crew:
    """What carrying needs; one per session of a link."""

    files: Location
    lake: Location
    journal: Journal
    clock: Clock
    random: Random
    dirty: Dirty
    tally: Tally
    rule: Rule
    brake: _parts.Brake
    host: str
    observer: Observer
    committer: Committer
    lazy: Laziness | None = None
    told: list[_parts.Observer] = field(default_factory=list)
    survey_below: Callable[[str, str], None] = lambda _side, _path: (
        None
    )  # (side, directory): more than can be noted one by one
    doomed: Doomed = field(default_factory=Doomed)
    placing: dict[str, str] = field(
        default_factory=dict
    )  # path -> ETag of the object: imports that the last process had begun: a power failure may have torn them

    def effects(self) -> Effects:
        """What is done to both sides, in the way of this link."""
        if self.lazy is None:
            return Effects(self.files, self.lake)
        return LazyEffects(
            self.files,
            self.lake,
            self.lazy,
            lambda path: self.note_both(path, self.clock.monotonic()),
            self.journal.by_inode,
        )

    def keeper(self, effects: Effects) -> Keeper:
        """Who settles conflicts, in the way of this link."""
        exports = bool(self.rule.exports & {Event.NEW, Event.CHANGED})
        make = LazyKeeper if self.lazy else Keeper
        return make(self.files, self.lake, self.journal, self.dirty, self.clock, effects, self.host, exports)

    def note_both(self, path: str, now_s: float) -> Mark:
        """The path is to be looked at on both sides."""
        mark = self.dirty.note(path, LAKE, now_s)
        self.dirty.concerns_files(mark)
        return mark
